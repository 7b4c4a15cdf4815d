/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the steps of a backup work on, and how its plan is written down and read again. */

#include "backup-steps.h"

#include <core/error.h>
#include <disk/device-number.h>

#include "fields.h"

static const Field plan_fields[] = {
  FIELD (Backup, name, FIELD_STRING),
  FIELD (Backup, quiesce_policy, FIELD_ENUM),
  FIELD (Backup, was_running, FIELD_BOOLEAN),
  FIELD (Backup, pid, FIELD_INT64),
  FIELD (Backup, start_time, FIELD_INT64),
  FIELD (Backup, files_known, FIELD_BOOLEAN),
  FIELD (Backup, boot_id, FIELD_STRING),
  FIELD (Backup, point_us, FIELD_INT64),
  FIELD (Backup, frozen, FIELD_BOOLEAN),
  FIELD (Backup, gone_on, FIELD_BOOLEAN),
  FIELD (Backup, released, FIELD_BOOLEAN),
  FIELD (Backup, folds, FIELD_BOOLEAN),
  FIELD (Backup, attempt, FIELD_INT64),
  { NULL }
};

static void
drop_source (gpointer source)
{
  g_clear_object (&source);
}

/**
 * backup_new:
 *
 * Returns: (transfer full): a job without a plan
 */
Backup *
backup_new (void)
{
  Backup *self = g_new0 (Backup, 1);

  self->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_plan_free);
  self->uploads = g_ptr_array_new_with_free_func ((GDestroyNotify) upload_plan_free);
  self->sources = g_ptr_array_new_with_free_func (drop_source);
  pivot_set_init (&self->pivots, NULL, &(Peer) { 0 });
  return self;
}

/**
 * backup_free:
 * @self: (nullable): a job
 */
void
backup_free (Backup *self)
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
  pivot_set_clear (&self->pivots);
  g_ptr_array_unref (self->sources);
  g_clear_object (&self->quiesce);
  g_free (self);
}

/**
 * backup_save_plan:
 * @self: a job
 * @plan: the operation's plan, whose members are replaced
 *
 * Puts down all that a restart will need.
 */
void
backup_save_plan (const Backup *self, JsonObject *plan)
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
  pivot_set_save (&self->pivots, plan);
}

/**
 * backup_load_plan:
 * @self: a job without a plan
 * @plan: what backup_save_plan() made
 * @error: return location: AGENT_ERROR_INTERNAL when it is not that
 *
 * Returns: whether the plan is whole
 */
gboolean
backup_load_plan (Backup *self, JsonObject *plan, GError **error)
{
  JsonNode *snapshot = json_object_get_member (plan, "snapshot");
  JsonArray *disks = fields_get_array (plan, "disks", error);
  JsonArray *uploads = disks != NULL ? fields_get_array (plan, "uploads", error) : NULL;
  JsonArray *jobs = uploads != NULL ? fields_get_array (plan, "jobs", error) : NULL;
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
  return pivot_set_load (&self->pivots, plan, error);
}

static void
renew_devices (Backup *self)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      DiskPlan *disk = g_ptr_array_index (self->disks, i);

      device_number_renew (&disk->layer_dev, disk->layer, disk->layer_ino, 0);
      device_number_renew (&disk->overlay_dev, disk->overlay, disk->overlay_ino, 0);
    }
  for (guint i = 0; i < self->uploads->len; i++)
    {
      UploadPlan *upload = g_ptr_array_index (self->uploads, i);

      device_number_renew (&upload->dev, upload->path, upload->ino, 0);
      for (guint j = 0; upload->layers != NULL && j < upload->layers->len; j++)
        {
          ImageLayer *layer = g_ptr_array_index (upload->layers, j);
          gint64 dev = (gint64) layer->dev;

          device_number_renew (&dev, layer->path, (gint64) layer->ino, 0);
          layer->dev = (guint64) dev;
        }
    }
}

gpointer
backup_job_new (Operation *operation, gpointer environment, GError **error)
{
  g_autoptr (Backup) self = backup_new ();
  Operations *operations = environment;
  Guest *guest;

  self->operation = g_object_ref (operation);
  self->operations = g_object_ref (operations);
  guest = guest_registry_find (operations_get_guests (operations),
                               operation_get_guest (operation), NULL);
  self->guest = guest != NULL ? g_object_ref (guest) : NULL;
  if (!backup_load_plan (self, operation_get_plan (operation), error))
    return NULL;
  if (!device_number_holds (self->boot_id))
    renew_devices (self);
  self->n_records = self->uploads->len;
  self->facts = g_new0 (DiskFacts, self->disks->len);
  self->pivots.operation = self->operation;
  self->pivots.peer = backup_get_peer (self);
  g_ptr_array_set_size (self->sources, (int) self->uploads->len);
  self->same_process = TRUE;
  self->point = POINT_NOT_TAKEN;
  return g_steal_pointer (&self);
}

void
backup_job_free (gpointer job)
{
  backup_free (job);
}

/**
 * backup_get_peer:
 * @self: a job
 *
 * Returns: the process that the plan was made for
 */
Peer
backup_get_peer (const Backup *self)
{
  return (Peer) { .guest = self->guest, .pid = self->pid, .start_time = self->start_time };
}

gboolean
backup_guest_is_gone (Backup *job)
{
  const Peer peer = backup_get_peer (job);

  return peer_is_gone (&peer);
}

gboolean
backup_is_same_process (Backup *job)
{
  const Peer peer = backup_get_peer (job);

  return peer_is_same (&peer);
}

QmpClient *
backup_client (Backup *job, GError **error)
{
  const Peer peer = backup_get_peer (job);

  return peer_client (&peer, error);
}

/**
 * backup_step_done:
 * @step: (transfer full): a step that has ended well
 */
void
backup_step_done (GTask *step)
{
  g_task_return_boolean (step, TRUE);
  g_object_unref (step);
}

/**
 * backup_step_failed:
 * @step: (transfer full): a step
 * @error: (transfer full): why it failed
 */
void
backup_step_failed (GTask *step, GError *error)
{
  g_task_return_error (step, error);
  g_object_unref (step);
}

static gboolean
has_naming (Backup *job, gboolean (*is_of_kind) (Naming naming))
{
  for (guint i = 0; i < job->disks->len; i++)
    if (is_of_kind (((DiskPlan *) g_ptr_array_index (job->disks, i))->naming))
      return TRUE;
  return FALSE;
}

void
backup_end_jobs (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  const Peer peer = backup_get_peer (job);

  peer_end_jobs (step, &peer, (const char *const *) job->jobs);
}

gboolean
backup_has_jobs (gpointer job)
{
  return ((Backup *) job)->jobs[0] != NULL;
}

/**
 * backup_needs_stop:
 * @self: a job
 *
 * Returns: whether the guest's CPUs are stopped for the name of one of its disks
 */
gboolean
backup_needs_stop (Backup *self)
{
  return has_naming (self, naming_needs_stop);
}

static gboolean
is_adopted (Naming naming)
{
  return naming == NAMING_ADOPT;
}

gboolean
backup_adopts (gpointer job)
{
  return has_naming (job, is_adopted);
}

static gboolean
is_published_early (Naming naming)
{
  return !naming_needs_stop (naming);
}

gboolean
backup_publishes_early (gpointer job)
{
  return has_naming (job, is_published_early);
}

gboolean
backup_requires_quiesce (gpointer job)
{
  return ((Backup *) job)->quiesce_policy == QUIESCE_REQUIRE;
}

gboolean
backup_uploads (gpointer job)
{
  return ((Backup *) job)->uploads->len > 0;
}

static gboolean
is_full (gconstpointer upload, gconstpointer unused)
{
  return ((const UploadPlan *) upload)->layers != NULL;
}

gboolean
backup_uploads_full (gpointer job)
{
  return g_ptr_array_find_with_equal_func (((Backup *) job)->uploads, NULL, is_full, NULL);
}
