/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the steps of a revert work on, and how its plan is written down and read again. */

#include "revert.h"

#include <core/error.h>
#include <disk/device-number.h>

#include "../backup.h"
#include "../fields.h"
#include "../guest-errors.h"

static const Field job_fields[] = {
  FIELD (Revert, offline, FIELD_BOOLEAN),
  FIELD (Revert, reset, FIELD_BOOLEAN),
  FIELD (Revert, discard, FIELD_BOOLEAN),
  FIELD (Revert, was_running, FIELD_BOOLEAN),
  FIELD (Revert, branch, FIELD_STRING),
  FIELD (Revert, pid, FIELD_INT64),
  FIELD (Revert, start_time, FIELD_INT64),
  FIELD (Revert, boot_id, FIELD_STRING),
  FIELD (Revert, switched_us, FIELD_INT64),
  FIELD (Revert, gone_on, FIELD_BOOLEAN),
  FIELD (Revert, given_up, FIELD_BOOLEAN),
  { NULL }
};

/**
 * revert_new:
 *
 * Returns: (transfer full): a job without a plan
 */
Revert *
revert_new (void)
{
  Revert *self = g_new0 (Revert, 1);

  self->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) revert_disk_free);
  return self;
}

/**
 * revert_free:
 * @self: (nullable): a job
 */
void
revert_free (Revert *self)
{
  if (self == NULL)
    return;
  g_clear_object (&self->operation);
  g_clear_object (&self->operations);
  g_clear_object (&self->guest);
  g_ptr_array_unref (self->disks);
  g_free (self->branch);
  g_free (self->boot_id);
  restore_free (self->restore);
  g_free (self->facts);
  g_free (self);
}

/* --- to JSON and back --- */

/**
 * revert_save:
 * @self: a job
 * @plan: the operation's plan, whose members are replaced
 *
 * Puts down all that a restart will need.
 */
void
revert_save (const Revert *self, JsonObject *plan)
{
  JsonArray *disks = json_array_new ();

  for (guint i = 0; i < self->disks->len; i++)
    json_array_add_element (disks, revert_disk_to_json (g_ptr_array_index (self->disks, i)));
  json_object_set_array_member (plan, "disks", disks);
  json_object_set_member (plan, "revert", fields_to_json (job_fields, self));
  if (self->restore != NULL)
    json_object_set_member (plan, "restore", restore_to_json (self->restore));
}

/**
 * revert_load:
 * @self: a job without a plan
 * @plan: what revert_save() made
 * @error: return location: AGENT_ERROR_INTERNAL when it is not that
 *
 * Returns: whether the plan is whole
 */
gboolean
revert_load (Revert *self, JsonObject *plan, GError **error)
{
  JsonArray *disks = fields_get_array (plan, "disks", error);
  JsonNode *revert = json_object_get_member (plan, "revert");
  JsonNode *restore = json_object_get_member (plan, "restore");

  if (disks == NULL)
    return FALSE;
  if (revert == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "the journal's plan lacks \"revert\"");
      return FALSE;
    }
  if (!fields_from_json (job_fields, self, revert, error))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (disks); i++)
    {
      RevertDisk *disk = revert_disk_from_json (json_array_get_element (disks, i), error);

      if (disk == NULL)
        return FALSE;
      g_ptr_array_add (self->disks, disk);
    }
  if (restore != NULL)
    self->restore = restore_from_json (restore, error);
  return restore == NULL || self->restore != NULL;
}

/* --- the job --- */

static void
renew_layers (GPtrArray *layers)
{
  for (guint i = 0; i < layers->len; i++)
    {
      RevertLayer *layer = g_ptr_array_index (layers, i);

      device_number_renew (&layer->dev, layer->path, layer->ino, 0);
    }
}

static void
renew_devices (Revert *self)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      RevertDisk *disk = g_ptr_array_index (self->disks, i);

      device_number_renew (&disk->from_dev, disk->from_name, disk->from_ino, 0);
      device_number_renew (&disk->overlay_dev, disk->overlay, disk->overlay_ino, 0);
      renew_layers (disk->opens);
      renew_layers (disk->leaves);
    }
  if (self->restore == NULL)
    return;
  device_number_renew (&self->restore->below_dev, self->restore->below_path,
                       self->restore->below_ino, 0);
  for (guint i = 0; i < self->restore->images->len; i++)
    {
      RestoreImage *image = g_ptr_array_index (self->restore->images, i);

      device_number_renew (&image->dev, image->path, image->ino, 0);
    }
}

gpointer
revert_job_new (Operation *operation, gpointer environment, GError **error)
{
  g_autoptr (Revert) self = revert_new ();
  Operations *operations = environment;
  Guest *guest;

  self->operation = g_object_ref (operation);
  self->operations = g_object_ref (operations);
  guest = guest_registry_find (operations_get_guests (operations),
                               operation_get_guest (operation), NULL);
  self->guest = guest != NULL ? g_object_ref (guest) : NULL;
  if (!revert_load (self, operation_get_plan (operation), error))
    return NULL;
  if (!device_number_holds (self->boot_id))
    renew_devices (self);
  self->peer = (Peer) { .guest = self->guest, .pid = self->pid, .start_time = self->start_time };
  self->guest_state = self->offline ? REVERT_GUEST_GONE : REVERT_GUEST_SAME;
  self->facts = g_new0 (RevertFacts, self->disks->len);
  return g_steal_pointer (&self);
}

void
revert_job_free (gpointer job)
{
  revert_free (job);
}

/**
 * revert_step_over:
 * @self: a job, whose plan is written down
 * @step: (transfer full): a step that has ended
 * @error: (transfer full) (nullable): why it failed
 */
void
revert_step_over (Revert *self, GTask *step, GError *error)
{
  revert_save (self, operation_get_plan (self->operation));
  if (error == NULL)
    backup_step_done (step);
  else
    backup_step_failed (step, self->guest != NULL ? guest_error_name (self->guest, error) : error);
}
