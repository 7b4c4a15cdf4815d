/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the parts that all steps of folding back have: which disks are due, what is told of those
 * that stay, and how the commit of a disk is spoken to. */

#include "fold.h"

#include <core/error.h>

#include "guest-errors.h"
#include "point-jobs.h"
#include "told.h"

/* A command to a job, and the wait for what it does. */
typedef struct
{
  QmpJob      *watch;
  char        *id;
  QmpJobState  state;
  guint        deadline_ms;
} Command;

static void
command_free (Command *self)
{
  g_clear_object (&self->watch);
  g_free (self->id);
  g_free (self);
}

char *
fold_job_id (Backup *job, guint index)
{
  return snapshot_node_name (operation_get_id (job->operation), index, "-fold");
}

/* Also of a point that was not taken of all disks: those that have their overlays lose them. */
gboolean
fold_is_due (Backup *job)
{
  gboolean any = job->point != POINT_NOT_TAKEN;

  for (guint i = 0; i < job->disks->len; i++)
    any = any || job->facts[i].overlay_in_chain;
  return job->folds && any;
}

/**
 * fold_is_settled:
 * @job: a job that folds overlays back
 * @error: return location: AGENT_ERROR_UNAVAILABLE
 *
 * Returns: whether nothing is left to fold
 */
gboolean
fold_is_settled (Backup *job, GError **error)
{
  for (guint i = 0; i < job->disks->len; i++)
    if (job->folding[i] != FOLD_DONE && job->folding[i] != FOLD_KEPT)
      {
        const DiskPlan *disk = g_ptr_array_index (job->disks, i);

        agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "it is tried again when the guest is back",
                         "the overlay of disk %s is not folded back yet", disk->disk);
        return FALSE;
      }
  return TRUE;
}

/**
 * fold_keep:
 * @job: a job
 * @index: one of its disks
 * @reason: (transfer full): why its overlay stays
 */
void
fold_keep (Backup *job, guint index, GError *reason)
{
  const DiskPlan *disk = g_ptr_array_index (job->disks, index);
  JsonObject *told = told_find (job->operation, "disks", "disk", disk->disk);

  g_message ("operation %s: the overlay %s of disk %s stays: %s",
             operation_get_id (job->operation), disk->overlay, disk->disk, reason->message);
  if (told != NULL)
    json_object_set_string_member (told, "kept", reason->message);
  job->folding[index] = FOLD_KEPT;
  g_error_free (reason);
}

/* --- speaking to the commit of a disk --- */

static void
on_reached (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_commanded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Command *self = g_task_get_task_data (task);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    g_task_return_error (task, error);
  else
    qmp_job_await_async (self->watch, self->state, self->deadline_ms, NULL, on_reached,
                         g_object_ref (task));
}

/**
 * fold_command_async:
 * @job: a job
 * @index: one of its disks
 * @command: (nullable): what its commit is told
 * @state: what that leads to
 * @deadline_ms: milliseconds until it has to be there
 * @callback: called with the result
 * @user_data: for @callback
 */
void
fold_command_async (Backup *job, guint index, const char *command, QmpJobState state,
                    guint deadline_ms, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Command *self = g_new0 (Command, 1);
  GError *error = NULL;
  QmpClient *client = guest_require_client (job->guest, &error);

  self->id = fold_job_id (job, index);
  self->state = state;
  self->deadline_ms = deadline_ms;
  g_task_set_task_data (task, self, (GDestroyNotify) command_free);
  if (client == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  self->watch = qmp_job_watch (client, self->id);
  if (command == NULL)
    qmp_job_await_async (self->watch, state, deadline_ms, NULL, on_reached, g_object_ref (task));
  else
    qmp_client_execute_async (client, command, qmp_args ("id", "s", self->id, NULL),
                              GUEST_COMMAND_DEADLINE_MS, NULL, on_commanded, g_object_ref (task));
}

gboolean
fold_command_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * fold_cancel_async:
 * @job: a job
 * @index: one of its disks
 * @callback: called with the result
 * @user_data: for @callback
 *
 * The overlay stays on top, and holds all that it held.
 */
void
fold_cancel_async (Backup *job, guint index, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autofree char *id = fold_job_id (job, index);
  char *ids[] = { id, NULL };

  point_jobs_end (g_task_new (NULL, NULL, callback, user_data), job, ids);
}

gboolean
fold_cancel_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

