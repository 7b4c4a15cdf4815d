/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what it is to put an image of the store in the place of a disk: what can be asked, what is
 * planned, and the order of the steps. What is fetched becomes layers; then it is a revert to the
 * uppermost of them. */

#include "restore-steps.h"
#include "revert-plan.h"

#include <core/error.h>

#include "../request-members.h"

static const char *const members[] = { "image", "disk", "reset", "discard", "name", NULL };

static const Step restore_steps[] = {
  /* name            starts                when             cleans up after held   needed if */
  { "find-image",    restore_find_image,   STEP_FORWARD,    NULL,           FALSE, NULL },
  { "choose-names",  revert_choose_names,  STEP_FORWARD,    NULL,           FALSE, NULL },
  { "fetch",         restore_fetch,        STEP_FORWARD,    NULL,           FALSE, NULL },
  { "find-target",   restore_find_target,  STEP_FORWARD,    NULL,           FALSE, NULL },
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
  { "record-image",  restore_record_image, STEP_ALWAYS,     "publish",      FALSE, NULL },
  { "record-branch", revert_record_branch, STEP_ALWAYS,     "publish",      FALSE, NULL },
  { "discard",       revert_discard,       STEP_ALWAYS,     "publish",      FALSE, NULL },
  { "withdraw",      revert_withdraw,      STEP_ON_FAILURE, "fetch",        FALSE, NULL },
  { NULL }
};

/**
 * restore_decide:
 * @job: the job with its facts
 * @last_step: the last step that had begun
 * @ended: whether it had ended
 *
 * What was fetched whole stays, and the rest is fetched after a restart. Pure.
 *
 * Returns: what becomes of a restore that was cut off
 */
Recovery
restore_decide (gpointer job, const char *last_step, gboolean ended)
{
  static const char *const before[] = { "find-image", "choose-names", NULL };
  static const char *const fetching[] = { "fetch", "find-target", NULL };

  if (g_strv_contains (before, last_step))
    return (Recovery) { RECOVERY_RESUME, "find-image", "nothing had been fetched yet" };
  if (g_strv_contains (fetching, last_step))
    return (Recovery) { RECOVERY_RESUME, "fetch", "the image was being fetched" };
  return revert_decide (job, last_step, ended);
}

const Workflow restore_workflow = {
  .kind = "restore",
  .steps = restore_steps,
  .job_new = revert_job_new,
  .job_free = revert_job_free,
  .gather_facts = revert_gather_facts,
  .decide = restore_decide,
  .patient_from = "finish",
};

/* --- what is asked --- */

static gboolean
check (JsonObject *request, GError **error)
{
  g_autofree char *image = NULL;
  g_autofree char *disk = NULL;

  if (!request_text (request, "image", &image, error)
      || !request_text (request, "disk", &disk, error)
      || !revert_check_options (request, error))
    return FALSE;
  if (image != NULL && g_uuid_string_is_valid (image))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                   "\"image\" is to be the id of an image, which is a UUID");
  return FALSE;
}

/* (nullable): the disk that the image is of, by its own account. */
static Disk *
find_own_disk (const ChainLook *look)
{
  const char *name = look->image != NULL
    ? g_hash_table_lookup (look->image->properties, "qsnapd_disk") : NULL;
  Disk *disk = name != NULL ? disks_find (look->inspection->disks, name) : NULL;

  return disk != NULL && disk->skipped == NULL ? disk : NULL;
}

/* The one that is named, or that the image was made of, or the guest's first. */
static GPtrArray *
choose_disk (JsonObject *request, ChainLook *look, GError **error)
{
  const char *name = json_object_get_string_member_with_default (request, "disk", NULL);
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  Disk *own = find_own_disk (look);

  if (name != NULL)
    {
      Disk *disk = disks_find (look->inspection->disks, name);

      if (disk == NULL)
        {
          agent_set_error (error, AGENT_ERROR_NOT_FOUND, "ask for the guest's disks to see them",
                           "the guest has no disk \"%s\"", name);
          return NULL;
        }
      g_ptr_array_add (chosen, disk);
      return g_steal_pointer (&chosen);
    }
  if (own != NULL)
    g_ptr_array_add (chosen, own);
  for (guint i = 0; i < look->inspection->disks->len && chosen->len == 0; i++)
    if (((Disk *) g_ptr_array_index (look->inspection->disks, i))->skipped == NULL)
      g_ptr_array_add (chosen, g_ptr_array_index (look->inspection->disks, i));
  if (chosen->len > 0)
    return g_steal_pointer (&chosen);
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "the guest has no writable disk");
  return NULL;
}

/* --- what is planned --- */

static JsonObject *
summarize (const Revert *self)
{
  const RevertDisk *plan = g_ptr_array_index (self->disks, 0);
  JsonObject *summary = json_object_new ();
  JsonObject *disk = json_object_new ();
  JsonArray *disks = json_array_new ();

  json_object_set_string_member (disk, "disk", plan->disk);
  json_object_set_string_member (disk, "path", plan->published);
  json_object_set_string_member (disk, "from", plan->from_path);
  json_array_add_object_element (disks, disk);
  json_object_set_string_member (summary, "image", self->restore->image_id);
  revert_plan_tell_options (self, summary);
  json_object_set_array_member (summary, "disks", disks);
  return summary;
}

/* What it says of itself, in bytes; 0: nothing. What counts is the file, once it is here. */
static gint64
size_told (const ImageInfo *image)
{
  const char *told = g_hash_table_lookup (image->properties, "qsnapd_virtual_size");

  return told != NULL ? g_ascii_strtoll (told, NULL, 10) : 0;
}

static JsonObject *
plan (const ChainAsk *ask, GError **error)
{
  const char *image = json_object_get_string_member (ask->request, "image");
  g_autofree char *what = g_strdup_printf ("restore of %s", image);
  g_autoptr (Revert) self = revert_plan_begin (ask, what);
  const char *parent;
  RevertDisk *disk;
  JsonObject *result;

  if (!restore_check_image (ask->look->image, &parent, error))
    return NULL;
  disk = revert_plan_disk (ask, g_ptr_array_index (ask->disks, 0), 0, error);
  if (disk == NULL)
    return NULL;
  g_ptr_array_add (self->disks, disk);
  if (!self->offline && !restore_check_size (image, size_told (ask->look->image), disk, error))
    return NULL;
  self->restore = restore_new (image);
  result = json_object_new ();
  revert_save (self, result);
  json_object_set_object_member (result, "summary", summarize (self));
  revert_plan_room (self, result);
  return result;
}

const ChainVerb chain_restore_verb = {
  .kind = "restore",
  .members = members,
  .wants_image = TRUE,
  .check = check,
  .disks = choose_disk,
  .plan = plan,
};
