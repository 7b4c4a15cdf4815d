/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what "commit" and "stream" ask for, and the workflow of all operations that consist of
 * moves, from end to end. */

#include "moves.h"

#include "../pivot-steps.h"
#include "keep.h"

#include <core/error.h>
#include <disk/device-number.h>
#include <string.h>

/* --- layers, as people name them --- */

/* (nullable): of the layer @index, counted from the base; behind the last: the name that the active
 * one is published by. */
static const char *
path_at (Disk *disk, guint index)
{
  return index < disk->layers->len ? disk_layer_from_base (disk, index)->path : disk->published;
}

static gboolean
find_path (Disk *disk, const char *path, guint *index)
{
  for (guint i = 0; i <= disk->layers->len; i++)
    if (g_strcmp0 (path_at (disk, i), path) == 0)
      {
        *index = MIN (i, disk->layers->len - 1);
        return TRUE;
      }
  return FALSE;
}

/* *@path (nullable): of the only layer whose file is called so. */
static gboolean
find_file (Disk *disk, const char *name, const char **path, GError **error)
{
  guint found = 0;

  *path = NULL;
  for (guint i = 0; i <= disk->layers->len; i++)
    {
      const char *each = path_at (disk, i);
      g_autofree char *file = each != NULL ? g_path_get_basename (each) : NULL;
      guint index = MIN (i, disk->layers->len - 1);

      if (g_strcmp0 (file, name) != 0 || g_strcmp0 (*path, each) == 0)
        continue;
      if (*path != NULL && found != index)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, "give the whole path",
                           "disk %s: \"%s\" may be %s or %s", disk->name, name, *path, each);
          return FALSE;
        }
      *path = each;
      found = index;
    }
  return TRUE;
}

/* A path or file name, of the active one also as it is published; else a point, which stands for
 * the layer that it lives in. */
static gboolean
find_layer (const ChainAsk *ask, Disk *disk, const char *name, guint *index, GError **error)
{
  const char *path = NULL;
  const Point *point = NULL;

  if (find_path (disk, name, index))
    return TRUE;
  if (!find_file (disk, name, &path, error))
    return FALSE;
  if (path != NULL)
    return find_path (disk, path, index);
  point = points_find (ask->look->points, name, error);
  for (guint i = 0; point != NULL && i < disk->layers->len; i++)
    {
      const Layer *layer = disk_layer_from_base (disk, i);

      if (!layer->known || !point_is_in (point, layer->path, &layer->facts))
        continue;
      *index = i;
      return TRUE;
    }
  if (point != NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "the guest's tree shows where it lives",
                     "the point \"%s\" is not in the chain of disk %s", name, disk->name);
  else
    g_prefix_error (error, "disk %s has no layer of that name, and ", disk->name);
  return FALSE;
}

static gboolean
read_layer (const ChainAsk *ask, Disk *disk, const char *member, guint *index, GError **error)
{
  g_autofree char *name = NULL;

  return request_text (ask->request, member, &name, error)
         && (name == NULL || find_layer (ask, disk, name, index, error));
}

/* --- the verbs --- */

static gboolean
check_texts (JsonObject *request, const char *const *members, GError **error)
{
  for (guint i = 0; members[i] != NULL; i++)
    {
      g_autofree char *text = NULL;

      if (!request_text (request, members[i], &text, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
check_common (JsonObject *request, GError **error)
{
  static const char *const texts[] = { "top", "base", "into", NULL };
  g_autofree char *disk = NULL;
  gboolean flag = FALSE;
  gint64 number = 0;
  guint index;

  if (!request_text (request, "disk", &disk, error))
    return FALSE;
  if (disk == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "ask for the guest's disks to see them",
                       "\"disk\" is missing");
      return FALSE;
    }
  return check_texts (request, texts, error)
         && request_flag (request, "discard_points", &flag, error)
         && request_number (request, "speed", 0, G_MAXINT64, "bytes a second", &number, error)
         && request_number (request, "deadline", 1, MOVES_SECONDS_MAX, "seconds", &number, error)
         && request_word (request, "on_error", chain_on_error_words, chain_on_error_words[0],
                          &index, error)
         && request_word (request, "on_deadline", chain_on_deadline_words,
                          chain_on_deadline_words[0], &index, error);
}

static GPtrArray *
choose_disk (JsonObject *request, ChainLook *look, GError **error)
{
  const char *name = json_object_get_string_member (request, "disk");
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  Disk *disk = disks_find (look->inspection->disks, name);

  if (disk == NULL)
    {
      agent_set_error (error, AGENT_ERROR_NOT_FOUND, "ask for the guest's disks to see them",
                       "the guest has no disk \"%s\"", name);
      return NULL;
    }
  if (disk->skipped != NULL)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "disk %s: %s", disk->name,
                       disk->skipped);
      return NULL;
    }
  g_ptr_array_add (chosen, disk);
  return g_steal_pointer (&chosen);
}

static JsonObject *
plan_one (const ChainAsk *ask, Disk *disk, PlannedMove *planned, GError **error)
{
  g_autoptr (GPtrArray) layers = chain_plan_layers (ask, disk, NULL);
  g_autoptr (GPtrArray) list = g_ptr_array_new ();
  g_autoptr (GPtrArray) moves = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_move_free);

  g_ptr_array_add (list, planned);
  planned->bytes = planner_estimate (layers, planned->kind, planned->first, planned->last);
  if (!chain_moves_of_disk (ask, disk, list, moves, error))
    return NULL;
  return chain_moves_plan (ask, moves, NULL, NULL, error);
}

static gboolean
refuse_order (Disk *disk, guint lower, guint upper, GError **error)
{
  agent_set_error (error, AGENT_ERROR_CONFLICT, "the guest's disks show their layers, top first",
                   "disk %s: %s is not below %s", disk->name,
                   disk_layer_from_base (disk, lower)->path,
                   disk_layer_from_base (disk, upper)->path);
  return FALSE;
}

static gboolean
check_depth (Disk *disk, GError **error)
{
  if (disk->layers->len > 1)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "disk %s has one layer only", disk->name);
  return FALSE;
}

/* What was there before the disk's own layers may be shared by more than is seen here. */
static gboolean
check_bottom (Disk *disk, GError **error)
{
  const Layer *bottom = disk_layer_from_base (disk, 0);

  if (keep_is_layer_of (disk, bottom->path))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "name it as \"base\" when nothing else was made from it, or stream instead",
                   "disk %s: %s has a name of its own, and others may stand on it", disk->name,
                   bottom->path != NULL ? bottom->path : bottom->node);
  return FALSE;
}

static JsonObject *
plan_commit (const ChainAsk *ask, GError **error)
{
  Disk *disk = g_ptr_array_index (ask->disks, 0);
  PlannedMove planned = { .kind = MOVE_COMMIT, .first = 0, .last = disk->layers->len - 1 };
  guint base = G_MAXUINT;

  if (!check_depth (disk, error)
      || !read_layer (ask, disk, "base", &base, error)
      || !read_layer (ask, disk, "top", &planned.last, error)
      || (base == G_MAXUINT && !check_bottom (disk, error)))
    return NULL;
  planned.first = base != G_MAXUINT ? base : 0;
  if (planned.first >= planned.last && !refuse_order (disk, planned.first, planned.last, error))
    return NULL;
  return plan_one (ask, disk, &planned, error);
}

static JsonObject *
plan_stream (const ChainAsk *ask, GError **error)
{
  Disk *disk = g_ptr_array_index (ask->disks, 0);
  PlannedMove planned = { .kind = MOVE_STREAM, .first = 0, .last = disk->layers->len - 1 };
  guint base = G_MAXUINT;

  if (!check_depth (disk, error)
      || !read_layer (ask, disk, "base", &base, error)
      || !read_layer (ask, disk, "into", &planned.last, error))
    return NULL;
  if (base != G_MAXUINT && base >= planned.last
      && !refuse_order (disk, base, planned.last, error))
    return NULL;
  planned.first = base != G_MAXUINT ? base + 1 : 0;
  if (planned.first < planned.last)
    return plan_one (ask, disk, &planned, error);
  agent_set_error (error, AGENT_ERROR_CONFLICT, "name a base that is further down",
                   base != G_MAXUINT ? "disk %s: there is nothing between %s and what it stands on"
                                     : "disk %s: %s stands alone already",
                   disk->name, disk_layer_from_base (disk, planned.last)->path);
  return NULL;
}

static const char *const commit_members[] = {
  "disk", "top", "base", "discard_points", "speed", "deadline", "on_deadline", "on_error", NULL
};
static const char *const stream_members[] = {
  "disk", "into", "base", "discard_points", "speed", "on_error", NULL
};

const ChainVerb chain_commit_verb = {
  .kind = "commit",
  .members = commit_members,
  .wants_maps = TRUE,
  .check = check_common,
  .disks = choose_disk,
  .plan = plan_commit,
};

const ChainVerb chain_stream_verb = {
  .kind = "stream",
  .members = stream_members,
  .wants_maps = TRUE,
  .check = check_common,
  .disks = choose_disk,
  .plan = plan_stream,
};

/* --- the workflow --- */

static gpointer job_new (Operation *operation, gpointer environment, GError **error);

static void
job_free (gpointer job)
{
  moves_job_free (job);
}

static void
begin_pivots (GTask *step, gpointer job)
{
  pivot_begin (step, &((MovesJob *) job)->pivots);
}

static void
move_devices (GTask *step, gpointer job)
{
  pivot_move (step, &((MovesJob *) job)->pivots);
}

static void
go_on (GTask *step, gpointer job)
{
  pivot_go_on (step, &((MovesJob *) job)->pivots);
}

static void
speed_up (GTask *step, gpointer job)
{
  pivot_speed_up (step, &((MovesJob *) job)->pivots);
}

/* Once a point is forgotten, what has begun goes on, whatever happens: each of the steps from
 * "run-moves" begins by looking, and stays open for a guest that cannot be reached. What could not
 * be done, or was called off, is told at the end. */
static const Step moves_steps[] = {
  /* name             starts               when          cleans up after  held */
  { "forget-points",  moves_forget_points, STEP_FORWARD, NULL,            FALSE, NULL },
  { "run-moves",      moves_run,           STEP_ALWAYS,  "forget-points", FALSE, NULL },
  { "commit-down",    begin_pivots,        STEP_ALWAYS,  "forget-points", FALSE, NULL },
  { "pivot",          move_devices,        STEP_ALWAYS,  "forget-points", TRUE,  NULL },
  { "go-on",          go_on,               STEP_ALWAYS,  "forget-points", TRUE,  NULL },
  { "speed-up",       speed_up,            STEP_ALWAYS,  "forget-points", FALSE, NULL },
  { "settle",         moves_settle,        STEP_ALWAYS,  "forget-points", FALSE, NULL },
  { "check-moves",    moves_check,         STEP_FORWARD, NULL,            FALSE, NULL },
  { NULL }
};

static void
renew_device (ChainFile *file)
{
  if (file != NULL)
    device_number_renew (&file->dev, file->path, file->ino, file->born_ns);
}

static void
renew_devices (MovesJob *self)
{
  for (guint i = 0; i < self->moves->len; i++)
    {
      ChainMove *move = g_ptr_array_index (self->moves, i);

      for (guint j = 0; j < move->files->len; j++)
        renew_device (g_ptr_array_index (move->files, j));
      renew_device (move->below);
      renew_device (move->above);
    }
  for (guint i = 0; i < self->remove->len; i++)
    renew_device (g_ptr_array_index (self->remove, i));
  pivot_set_renew_devices (&self->pivots);
}

static gpointer
job_new (Operation *operation, gpointer environment, GError **error)
{
  g_autoptr (MovesJob) self = moves_job_new ();
  Operations *operations = environment;
  Guest *guest = guest_registry_find (operations_get_guests (operations),
                                      operation_get_guest (operation), NULL);

  self->operation = g_object_ref (operation);
  self->operations = g_object_ref (operations);
  self->guest = guest != NULL ? g_object_ref (guest) : NULL;
  self->called_off = g_cancellable_new ();
  if (!moves_job_load (self, operation_get_plan (operation), error))
    return NULL;
  if (!device_number_holds (self->boot_id))
    renew_devices (self);
  self->pivots.cancellable = operation_get_cancellable (operation);
  return g_steal_pointer (&self);
}

/**
 * moves_decide:
 * @job: the job
 * @last_step: (nullable): the last step that had begun
 * @ended: whether it had ended
 *
 * What becomes of moves that a death of ours has cut off. Pure.
 *
 * Returns: the decision
 */
Recovery
moves_decide (gpointer job, const char *last_step, gboolean ended)
{
  if (last_step == NULL)
    return (Recovery) { RECOVERY_UNDO, NULL, "nothing had been touched yet" };
  /* Later on the points of what was merged live where others were forgotten. */
  if (strcmp (last_step, "forget-points") == 0 && !ended)
    return (Recovery) { RECOVERY_RESUME, "forget-points", "no move had been begun yet" };
  return (Recovery) { RECOVERY_RESUME, "run-moves", "moves may have been begun" };
}

/* What begins by itself is for nobody's sake in particular. */
static gboolean
gives_way (Operation *operation)
{
  return json_object_get_boolean_member_with_default (operation_get_request (operation),
                                                      REQUEST_GIVES_WAY, FALSE);
}

#define MOVES_WORKFLOW(name) { \
    .kind = name, \
    .steps = moves_steps, \
    .job_new = job_new, \
    .job_free = job_free, \
    .decide = moves_decide, \
    .patient_from = "run-moves", \
    .gives_way = gives_way, \
  }

const Workflow chain_commit_workflow = MOVES_WORKFLOW ("commit");
const Workflow chain_stream_workflow = MOVES_WORKFLOW ("stream");
const Workflow chain_delete_workflow = MOVES_WORKFLOW ("delete");
const Workflow chain_shorten_workflow = MOVES_WORKFLOW ("shorten");
