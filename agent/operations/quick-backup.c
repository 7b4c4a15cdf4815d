/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a quick backup from end to end: freeze the disks at one point, then upload the frozen
 * layers while the guest runs on. The steps themselves are in the files that quick-backup.h
 * names. */

#include "quick-backup.h"

#include <core/error.h>

#include "fields.h"
#include "guest-errors.h"

static gboolean
has_naming (QuickBackup *job, gboolean (*is_of_kind) (Naming naming))
{
  for (guint i = 0; i < job->disks->len; i++)
    if (is_of_kind (((DiskPlan *) g_ptr_array_index (job->disks, i))->naming))
      return TRUE;
  return FALSE;
}

static gboolean
has_jobs (gpointer job)
{
  return ((QuickBackup *) job)->jobs[0] != NULL;
}

/**
 * quick_backup_needs_stop:
 * @self: a job
 *
 * Returns: whether the guest's CPUs are stopped for the name of one of its disks
 */
gboolean
quick_backup_needs_stop (QuickBackup *self)
{
  return has_naming (self, naming_needs_stop);
}

static gboolean
is_adopted (Naming naming)
{
  return naming == NAMING_ADOPT;
}

static gboolean
adopts (gpointer job)
{
  return has_naming (job, is_adopted);
}

static gboolean
is_published_early (Naming naming)
{
  return !naming_needs_stop (naming);
}

static gboolean
publishes_early (gpointer job)
{
  return has_naming (job, is_published_early);
}

static gboolean
requires_quiesce (gpointer job)
{
  return ((QuickBackup *) job)->quiesce_policy == QUIESCE_REQUIRE;
}

static gboolean
uploads (gpointer job)
{
  return ((QuickBackup *) job)->uploads->len > 0;
}

/* The order keeps the name invariant (README.md). From "freeze" to "thaw" the guest may stand
 * still: these steps are held, nothing slow stands between them, and each is repeatable, since a
 * restart finds only that the window was open. "adopt-names" is held so as not to be left
 * half-way, where the disk is without its lock. */
static const Step quick_backup_steps[] = {
  /* name               starts                        when             cleans up after   held   needed if */
  { "end-jobs",         quick_backup_end_jobs,        STEP_FORWARD,    NULL,             FALSE, has_jobs },
  { "create-files",     quick_backup_create_files,    STEP_FORWARD,    NULL,             FALSE, NULL },
  { "adopt-names",      quick_backup_adopt_names,     STEP_FORWARD,    NULL,             TRUE,  adopts },
  { "open-overlays",    quick_backup_open_overlays,   STEP_FORWARD,    NULL,             FALSE, NULL },
  { "look-again",       quick_backup_look_again,      STEP_FORWARD,    NULL,             FALSE, NULL },
  { "publish-early",    quick_backup_publish_early,   STEP_FORWARD,    NULL,             FALSE, publishes_early },
  { "settle-caches",    quick_backup_settle_caches,   STEP_FORWARD,    NULL,             TRUE,  NULL },
  { "freeze",           quick_backup_freeze,          STEP_FORWARD,    NULL,             TRUE,  NULL },
  { "stop",             quick_backup_stop,            STEP_FORWARD,    NULL,             TRUE,  NULL },
  { "take-point",       quick_backup_take_point,      STEP_FORWARD,    NULL,             TRUE,  NULL },
  { "swap-disks",       quick_backup_swap_disks,      STEP_FORWARD,    NULL,             TRUE,  NULL },
  { "rename-layers",    quick_backup_rename_layers,   STEP_ALWAYS,     "take-point",     TRUE,  NULL },
  { "publish-late",     quick_backup_publish_late,    STEP_ALWAYS,     "take-point",     TRUE,  NULL },
  { "cont",             quick_backup_cont,            STEP_ALWAYS,     "stop",           TRUE,  NULL },
  { "thaw",             quick_backup_thaw,            STEP_ALWAYS,     "freeze",         TRUE,  NULL },
  { "record-point",     quick_backup_record_point,    STEP_ALWAYS,     "take-point",     FALSE, NULL },
  { "check-quiesce",    quick_backup_check_quiesce,   STEP_FORWARD,    NULL,             FALSE, requires_quiesce },
  { "create-images",    quick_backup_create_images,   STEP_FORWARD,    NULL,             FALSE, uploads },
  { "upload",           quick_backup_upload,          STEP_FORWARD,    NULL,             FALSE, uploads },
  { "delete-images",    quick_backup_delete_images,   STEP_ON_FAILURE, "create-images",  FALSE, NULL },
  { "withdraw",         quick_backup_withdraw,        STEP_ON_FAILURE, "create-files",   FALSE, NULL },
  { NULL }
};

static const Field plan_fields[] = {
  FIELD (QuickBackup, name, FIELD_STRING),
  FIELD (QuickBackup, quiesce_policy, FIELD_ENUM),
  FIELD (QuickBackup, was_running, FIELD_BOOLEAN),
  FIELD (QuickBackup, pid, FIELD_INT64),
  FIELD (QuickBackup, start_time, FIELD_INT64),
  FIELD (QuickBackup, files_known, FIELD_BOOLEAN),
  FIELD (QuickBackup, boot_id, FIELD_STRING),
  FIELD (QuickBackup, point_us, FIELD_INT64),
  FIELD (QuickBackup, frozen, FIELD_BOOLEAN),
  FIELD (QuickBackup, released, FIELD_BOOLEAN),
  FIELD (QuickBackup, attempt, FIELD_INT64),
  { NULL }
};

/**
 * quick_backup_new:
 *
 * Returns: (transfer full): a job without a plan
 */
QuickBackup *
quick_backup_new (void)
{
  QuickBackup *self = g_new0 (QuickBackup, 1);

  self->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_plan_free);
  self->uploads = g_ptr_array_new_with_free_func ((GDestroyNotify) upload_plan_free);
  return self;
}

/**
 * quick_backup_free:
 * @self: (nullable): a job
 */
void
quick_backup_free (QuickBackup *self)
{
  if (self == NULL)
    return;
  g_clear_object (&self->operation);
  g_clear_object (&self->operations);
  g_clear_object (&self->guest);
  g_ptr_array_unref (self->disks);
  g_ptr_array_unref (self->uploads);
  g_strfreev (self->jobs);
  g_free (self->name);
  g_free (self->boot_id);
  g_free (self->facts);
  g_clear_object (&self->quiesce);
  g_free (self);
}

/**
 * quick_backup_save_plan:
 * @self: a job
 * @plan: the operation's plan, whose members are replaced
 *
 * Puts down all that a restart will need.
 */
void
quick_backup_save_plan (const QuickBackup *self, JsonObject *plan)
{
  g_autoptr (JsonArray) disks = json_array_new ();
  g_autoptr (JsonArray) uploads = json_array_new ();
  g_autoptr (JsonArray) jobs = json_array_new ();

  for (guint i = 0; i < self->disks->len; i++)
    json_array_add_element (disks, disk_plan_to_json (g_ptr_array_index (self->disks, i)));
  for (guint i = 0; i < self->uploads->len; i++)
    json_array_add_element (uploads, upload_plan_to_json (g_ptr_array_index (self->uploads, i)));
  for (guint i = 0; self->jobs != NULL && self->jobs[i] != NULL; i++)
    json_array_add_string_element (jobs, self->jobs[i]);

  json_object_set_member (plan, "snapshot", fields_to_json (plan_fields, self));
  json_object_set_array_member (plan, "disks", g_steal_pointer (&disks));
  json_object_set_array_member (plan, "uploads", g_steal_pointer (&uploads));
  json_object_set_array_member (plan, "jobs", g_steal_pointer (&jobs));
}

static JsonArray *
plan_array (JsonObject *plan, const char *member, GError **error)
{
  JsonNode *node = json_object_get_member (plan, member);

  if (node != NULL && JSON_NODE_HOLDS_ARRAY (node))
    return json_node_get_array (node);
  agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "the journal's plan lacks \"%s\"", member);
  return NULL;
}

/**
 * quick_backup_load_plan:
 * @self: a job without a plan
 * @plan: what quick_backup_save_plan() made
 * @error: return location: AGENT_ERROR_INTERNAL when it is not that
 *
 * Returns: whether the plan is whole
 */
gboolean
quick_backup_load_plan (QuickBackup *self, JsonObject *plan, GError **error)
{
  JsonNode *snapshot = json_object_get_member (plan, "snapshot");
  JsonArray *disks = plan_array (plan, "disks", error);
  JsonArray *uploads = disks != NULL ? plan_array (plan, "uploads", error) : NULL;
  JsonArray *jobs = uploads != NULL ? plan_array (plan, "jobs", error) : NULL;
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  if (jobs == NULL)
    return FALSE;
  if (snapshot == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "the journal's plan lacks \"snapshot\"");
      return FALSE;
    }
  if (!fields_from_json (plan_fields, self, snapshot, error))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (disks); i++)
    {
      DiskPlan *disk = disk_plan_from_json (json_array_get_element (disks, i), error);

      if (disk == NULL)
        return FALSE;
      g_ptr_array_add (self->disks, disk);
    }
  for (guint i = 0; i < json_array_get_length (uploads); i++)
    {
      UploadPlan *upload = upload_plan_from_json (json_array_get_element (uploads, i), error);

      if (upload == NULL)
        return FALSE;
      g_ptr_array_add (self->uploads, upload);
    }
  for (guint i = 0; i < json_array_get_length (jobs); i++)
    {
      const char *name = json_array_get_string_element (jobs, i);

      if (name != NULL)
        g_strv_builder_add (names, name);
    }
  self->jobs = g_strv_builder_end (names);
  return TRUE;
}

/**
 * quick_backup_dup_boot_id:
 *
 * Returns: (transfer full) (nullable): what is different after each start of the host
 */
char *
quick_backup_dup_boot_id (void)
{
  char *text = NULL;

  return g_file_get_contents ("/proc/sys/kernel/random/boot_id", &text, NULL, NULL)
    ? g_strchomp (text) : NULL;
}

static void
renew_device (const char *path, gint64 ino, gint64 *dev)
{
  FileFacts facts = { 0 };

  if (files_look (path, &facts, NULL) && facts.ino == (guint64) ino)
    *dev = (gint64) facts.dev;
}

/* A file keeps its inode over a start of the host; its device may get another number. */
static void
renew_devices (QuickBackup *self)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      DiskPlan *disk = g_ptr_array_index (self->disks, i);

      renew_device (disk->layer, disk->layer_ino, &disk->layer_dev);
      renew_device (disk->overlay, disk->overlay_ino, &disk->overlay_dev);
    }
  for (guint i = 0; i < self->uploads->len; i++)
    {
      UploadPlan *upload = g_ptr_array_index (self->uploads, i);

      renew_device (upload->path, upload->ino, &upload->dev);
    }
}

static gpointer
job_new (Operation *operation, gpointer environment, GError **error)
{
  g_autoptr (QuickBackup) self = quick_backup_new ();
  Operations *operations = environment;
  g_autofree char *boot_id = NULL;
  Guest *guest;

  self->operation = g_object_ref (operation);
  self->operations = g_object_ref (operations);
  guest = guest_registry_find (operations_get_guests (operations),
                               operation_get_guest (operation), NULL);
  self->guest = guest != NULL ? g_object_ref (guest) : NULL;
  if (!quick_backup_load_plan (self, operation_get_plan (operation), error))
    return NULL;
  boot_id = quick_backup_dup_boot_id ();
  if (g_strcmp0 (boot_id, self->boot_id) != 0)
    renew_devices (self);
  self->facts = g_new0 (DiskFacts, self->disks->len);
  self->same_process = TRUE;
  self->point = POINT_NOT_TAKEN;
  return g_steal_pointer (&self);
}

static void
job_free (gpointer job)
{
  quick_backup_free (job);
}

QmpClient *
quick_backup_client (QuickBackup *job, GError **error)
{
  QmpClient *client = guest_require_client (job->guest, error);

  if (client == NULL
      || (guest_get_pid (job->guest) == job->pid
          && (gint64) guest_get_start_time (job->guest) == job->start_time))
    return client;
  agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "ask for the point again",
                   "guest %s was started anew meanwhile", guest_get_id (job->guest));
  return NULL;
}

/**
 * quick_backup_step_done:
 * @step: (transfer full): a step that has ended well
 */
void
quick_backup_step_done (GTask *step)
{
  g_task_return_boolean (step, TRUE);
  g_object_unref (step);
}

/**
 * quick_backup_step_failed:
 * @step: (transfer full): a step
 * @error: (transfer full): why it failed
 */
void
quick_backup_step_failed (GTask *step, GError *error)
{
  g_task_return_error (step, error);
  g_object_unref (step);
}

const Workflow quick_backup_workflow = {
  .kind = "snapshot",
  .steps = quick_backup_steps,
  .job_new = job_new,
  .job_free = job_free,
  .gather_facts = quick_backup_gather_facts,
  .decide = quick_backup_decide,
};
