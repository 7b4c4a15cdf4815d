/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a device gets its overlay without blockdev-reopen (NAMING_SWAP): the guest is
 * stopped, so a mirror of nothing is ready at once, and its completion moves the device from the
 * layer opened as `disk` onto the overlay over the same layer opened by its name for life. Once
 * in the life of a QEMU process; 7 to 20 ms a disk. */

#include "backup-steps.h"

#include "guest-errors.h"
#include "node-batch.h"

#define READY_DEADLINE_MS 10000

typedef struct
{
  Backup *job;
  GTask  *step;
  guint   next;
  char   *job_id;
  QmpJob *mirror;
} Swap;

static void swap_next (Swap *self);

static void
swap_finish (Swap *self, GError *error)
{
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, guest_error_name (self->job->guest, error));
  g_clear_object (&self->mirror);
  g_free (self->job_id);
  g_free (self);
}

static const DiskPlan *
current (Swap *self)
{
  return g_ptr_array_index (self->job->disks, self->next);
}

static void
on_dismissed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Swap *self = user_data;
  GError *error = NULL;

  if (!qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    {
      swap_finish (self, error);
      return;
    }
  backup_note_overlay (self->job, self->next);
  self->next++;
  swap_next (self);
}

static void
on_swapped (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Swap *self = user_data;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  GError *error = NULL;
  QmpClient *client = NULL;

  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    client = backup_client (self->job, &error);
  if (client == NULL)
    {
      /* After a mere refusal the device is where it was. */
      if (!g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
        self->job->point = POINT_UNKNOWN;
      swap_finish (self, error);
      return;
    }
  qmp_batch_add_tolerant (batch, "job-dismiss", qmp_args ("id", "s", self->job_id, NULL));
  node_batch_delete (batch, current (self)->active_node);
  node_batch_delete (batch, current (self)->active_file_node);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_dismissed, self);
}

static void
on_completed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Swap *self = user_data;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    {
      if (!guest_error_is_refusal (error))
        self->job->point = POINT_UNKNOWN;
      swap_finish (self, error);
    }
  else
    qmp_job_await_async (self->mirror, QMP_JOB_CONCLUDED, READY_DEADLINE_MS, NULL, on_swapped,
                         self);
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Swap *self = user_data;
  GError *error = NULL;
  QmpClient *client = NULL;

  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    client = backup_client (self->job, &error);
  if (client == NULL)
    swap_finish (self, error);
  else
    qmp_client_execute_async (client, "job-complete", qmp_args ("id", "s", self->job_id, NULL),
                              GUEST_COMMAND_DEADLINE_MS, NULL, on_completed, self);
}

static void
on_mirroring (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Swap *self = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    qmp_job_await_async (self->mirror, QMP_JOB_READY, READY_DEADLINE_MS, NULL, on_ready, self);
  else
    swap_finish (self, error);
}

static void
swap_next (Swap *self)
{
  Backup *job = self->job;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  GError *error = NULL;
  QmpClient *client;

  while (self->next < job->disks->len && current (self)->naming != NAMING_SWAP)
    self->next++;
  if (self->next == job->disks->len)
    {
      swap_finish (self, NULL);
      return;
    }
  client = backup_client (job, &error);
  if (client == NULL)
    {
      swap_finish (self, error);
      return;
    }

  g_free (self->job_id);
  self->job_id = snapshot_swap_job (operation_get_id (job->operation), self->next);
  g_clear_object (&self->mirror);
  self->mirror = qmp_job_watch (client, self->job_id);

  /* The device still holds the lock on the layer's file, under its other name. */
  node_batch_add_layer (batch, current (self), "off");
  node_batch_add_overlay (batch, current (self), current (self)->layer_node);
  qmp_batch_add (batch, "blockdev-mirror",
                 qmp_args ("job-id", "s", self->job_id,
                           "device", "s", current (self)->root_node,
                           "target", "s", current (self)->overlay_node,
                           "sync", "s", "none",
                           "auto-dismiss", "b", FALSE,
                           NULL));
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_mirroring, self);
}

void
backup_swap_disks (GTask *step, gpointer user_data)
{
  Swap *self = g_new0 (Swap, 1);

  self->job = user_data;
  self->step = step;
  swap_next (self);
}
