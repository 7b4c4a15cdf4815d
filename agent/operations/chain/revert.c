/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what it is to go back to a point: what can be asked, what is planned, and the order of the
 * steps. */

#include "revert-plan.h"
#include "revert-steps.h"

#include <core/error.h>
#include <string.h>

#include "../request-members.h"

static const char *const members[] = { "point", "disks", "reset", "discard", "name", NULL };

/* From "stop" to "cont" the guest stands still. Until the first name has moved all is undone, from
 * then on all is finished; "finish" begins by looking which of both it is. What was written since
 * the point stays as a branch. */
static const Step revert_steps[] = {
  /* name            starts                when             cleans up after held   needed if */
  { "choose-names",  revert_choose_names,  STEP_FORWARD,    NULL,           FALSE, NULL },
  { "create-files",  revert_create_files,  STEP_FORWARD,    NULL,           FALSE, NULL },
  { "open-nodes",    revert_open_nodes,    STEP_FORWARD,    NULL,           FALSE, revert_is_live },
  { "look-again",    revert_look_again,    STEP_FORWARD,    NULL,           FALSE, revert_is_live },
  { "stop",          revert_stop,          STEP_FORWARD,    NULL,           TRUE,  revert_is_live },
  { "mirror",        revert_mirror,        STEP_FORWARD,    NULL,           TRUE,  revert_is_live },
  { "publish",       revert_publish,       STEP_FORWARD,    NULL,           TRUE,  NULL },
  { "finish",        revert_finish,        STEP_ALWAYS,     "mirror",       TRUE,  NULL },
  { "reset",         revert_reset,         STEP_ALWAYS,     "publish",      TRUE,  NULL },
  { "cont",          revert_cont,          STEP_ALWAYS,     "stop",         TRUE,  NULL },
  { "close-nodes",   revert_close_nodes,   STEP_ALWAYS,     "publish",      FALSE, NULL },
  { "record-branch", revert_record_branch, STEP_ALWAYS,     "publish",      FALSE, NULL },
  { "discard",       revert_discard,       STEP_ALWAYS,     "publish",      FALSE, NULL },
  { "withdraw",      revert_withdraw,      STEP_ON_FAILURE, "create-files", FALSE, NULL },
  { NULL }
};

const Workflow revert_workflow = {
  .kind = "revert",
  .steps = revert_steps,
  .job_new = revert_job_new,
  .job_free = revert_job_free,
  .gather_facts = revert_gather_facts,
  .decide = revert_decide,
  .patient_from = "finish",
};

gboolean
revert_is_live (gpointer job)
{
  return !((Revert *) job)->offline;
}

/* --- what is asked --- */

static gboolean
check_disks (JsonObject *request, GError **error)
{
  JsonNode *node = json_object_get_member (request, "disks");
  JsonArray *array;

  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  array = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    if (json_node_get_value_type (json_array_get_element (array, i)) != G_TYPE_STRING)
      array = NULL;
  if (array != NULL && json_array_get_length (array) > 0)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, "leave it out for all disks of the point",
                   "\"disks\" is to be a list of names of disks");
  return FALSE;
}

static gboolean
check (JsonObject *request, GError **error)
{
  g_autofree char *point = NULL;

  if (!request_text (request, "point", &point, error))
    return FALSE;
  if (point == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "the guest's snapshots show its points",
                       "\"point\" is missing: the name or the id of the point to go back to");
      return FALSE;
    }
  return check_disks (request, error) && revert_check_options (request, error);
}

static Point *
find_point (JsonObject *request, const ChainLook *look, GError **error)
{
  return points_find (look->points, json_object_get_string_member (request, "point"), error);
}

/* NULL when the point does not concern @disk. */
static PointDisk *
find_point_disk (Point *point, Disk *disk)
{
  for (guint i = 0; i < point->disks->len; i++)
    {
      PointDisk *found = g_ptr_array_index (point->disks, i);

      if (strcmp (found->disk, disk->name) == 0
          || g_ptr_array_find_with_equal_func (disk->aliases, found->disk, g_str_equal, NULL))
        return found;
    }
  return NULL;
}

static gboolean
add_disk (GPtrArray *chosen, ChainLook *look, Point *point, const char *name, GError **error)
{
  Disk *disk = disks_find (look->inspection->disks, name);

  if (disk == NULL)
    agent_set_error (error, AGENT_ERROR_NOT_FOUND, "name the disks to go back (disks)",
                     "the guest has no disk \"%s\" now", name);
  else if (find_point_disk (point, disk) == NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "name disks of the point, or none for all of them",
                     "point %s holds no state of disk %s", point->name, disk->name);
  else
    {
      if (!g_ptr_array_find (chosen, disk, NULL))
        g_ptr_array_add (chosen, disk);
      return TRUE;
    }
  return FALSE;
}

static GPtrArray *
choose_disks (JsonObject *request, ChainLook *look, GError **error)
{
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  JsonNode *node = json_object_get_member (request, "disks");
  Point *point = find_point (request, look, error);

  if (point == NULL)
    return NULL;
  if (node != NULL && JSON_NODE_HOLDS_ARRAY (node))
    {
      JsonArray *array = json_node_get_array (node);

      for (guint i = 0; i < json_array_get_length (array); i++)
        if (!add_disk (chosen, look, point, json_array_get_string_element (array, i), error))
          return NULL;
    }
  else if (point->disks->len < point->disk_count)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "name the disks that are to go back (disks)",
                       "point %s has lost %u of its %u disks: the others would be of another "
                       "moment",
                       point->name, point->disk_count - point->disks->len, point->disk_count);
      return NULL;
    }
  else
    for (guint i = 0; i < point->disks->len; i++)
      if (!add_disk (chosen, look, point,
                     ((PointDisk *) g_ptr_array_index (point->disks, i))->disk, error))
        return NULL;
  return g_steal_pointer (&chosen);
}

/* --- what is planned --- */

/* No device can be given a disk of another size while its guest runs. */
static gboolean
check_size (const RevertDisk *plan, const ChainLook *look, GError **error)
{
  if (look->offline || plan->to_size == plan->from_size)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "shut the guest off first",
                   "disk %s has another size (%" G_GINT64_FORMAT " bytes) than at the point (%"
                   G_GINT64_FORMAT "): its device cannot change while the guest runs", plan->disk,
                   plan->from_size, plan->to_size);
  return FALSE;
}

static RevertDisk *
plan_disk (const ChainAsk *ask, Point *point, Disk *disk, guint index, GError **error)
{
  const PointDisk *goal = find_point_disk (point, disk);
  g_autoptr (RevertDisk) plan = revert_plan_disk (ask, disk, index, error);

  if (plan == NULL
      || !revert_plan_target (plan, index, ask->operation, ask->look, disk, goal->dev, goal->ino,
                              goal->format, error)
      || !check_size (plan, ask->look, error))
    return NULL;
  return g_steal_pointer (&plan);
}

static JsonObject *
summarize (const Revert *self, const Point *point)
{
  JsonObject *summary = json_object_new ();
  JsonArray *disks = json_array_new ();

  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *plan = g_ptr_array_index (self->disks, i);
      JsonObject *disk = json_object_new ();

      json_object_set_string_member (disk, "disk", plan->disk);
      json_object_set_string_member (disk, "path", plan->published);
      json_object_set_string_member (disk, "from", plan->from_path);
      json_object_set_string_member (disk, "layer", plan->to_path);
      json_array_add_object_element (disks, disk);
    }
  json_object_set_string_member (summary, "reverts_to", point->id);
  revert_plan_tell_options (self, summary);
  json_object_set_int_member (summary, "bytes", 0);
  json_object_set_array_member (summary, "disks", disks);
  return summary;
}

static JsonObject *
plan (const ChainAsk *ask, GError **error)
{
  Point *point = find_point (ask->request, ask->look, error);
  g_autofree char *what = NULL;
  g_autoptr (Revert) self = NULL;
  JsonObject *result;

  if (point == NULL)
    return NULL;
  what = g_strdup_printf ("revert to %s", point->name);
  self = revert_plan_begin (ask, what);
  for (guint i = 0; i < ask->disks->len; i++)
    {
      RevertDisk *disk = plan_disk (ask, point, g_ptr_array_index (ask->disks, i), i, error);

      if (disk == NULL)
        return NULL;
      g_ptr_array_add (self->disks, disk);
    }
  result = json_object_new ();
  revert_save (self, result);
  json_object_set_object_member (result, "summary", summarize (self, point));
  revert_plan_room (self, result);
  return result;
}

const ChainVerb chain_revert_verb = {
  .kind = "revert",
  .members = members,
  .check = check,
  .disks = choose_disks,
  .plan = plan,
};
