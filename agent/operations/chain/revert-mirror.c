/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a device is moved onto its overlay: the CPUs stand, so that a mirror of nothing is
 * ready at once; told to complete, it waits, pending, until the names have moved. */

#include "revert-steps.h"

#include <string.h>

#include "../guest-errors.h"

#define MOVE_DEADLINE_MS 10000

typedef struct
{
  Revert *revert;
  guint   index;
  QmpJob *watch;
} Move;

static void
move_free (Move *self)
{
  g_clear_object (&self->watch);
  g_free (self);
}

static const RevertDisk *
disk_of (const Move *self)
{
  return g_ptr_array_index (self->revert->disks, self->index);
}

/* (transfer full): a task with a Move; without a link it has been answered, and this is NULL. */
static GTask *
move_new (Revert *revert, guint index, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Move *self = g_new0 (Move, 1);
  GError *error = NULL;
  QmpClient *client = peer_client (&revert->peer, &error);

  self->revert = revert;
  self->index = index;
  g_task_set_task_data (task, self, (GDestroyNotify) move_free);
  if (client == NULL)
    {
      g_task_return_error (task, error);
      return NULL;
    }
  self->watch = qmp_job_watch (client, disk_of (self)->job);
  return g_steal_pointer (&task);
}

/* Takes @arguments. Without a link the task is answered; else @answered gets it. */
static void
send_command (GTask *task, const char *command, JsonNode *arguments, GAsyncReadyCallback answered)
{
  Move *self = g_task_get_task_data (task);
  g_autoptr (JsonNode) owned = arguments;
  GError *error = NULL;
  QmpClient *client = peer_client (&self->revert->peer, &error);

  if (client == NULL)
    g_task_return_error (task, error);
  else
    qmp_client_execute_async (client, command, g_steal_pointer (&owned),
                              GUEST_COMMAND_DEADLINE_MS, NULL, answered, g_object_ref (task));
}

static JsonNode *
job_args (GTask *task)
{
  return qmp_args ("id", "s", disk_of (g_task_get_task_data (task))->job, NULL);
}

/* --- to pending --- */

static void
on_pending (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_completing (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Move *self = g_task_get_task_data (task);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    g_task_return_error (task, error);
  else
    qmp_job_await_async (self->watch, QMP_JOB_PENDING, MOVE_DEADLINE_MS, NULL, on_pending,
                         g_object_ref (task));
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    send_command (task, "job-complete", job_args (task), on_completing);
  else
    g_task_return_error (task, error);
}

static void
await_ready (GTask *task)
{
  Move *self = g_task_get_task_data (task);

  qmp_job_await_async (self->watch, QMP_JOB_READY, MOVE_DEADLINE_MS, NULL, on_ready,
                       g_object_ref (task));
}

static void
on_mirroring (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    g_task_return_error (task, error);
  else
    await_ready (task);
}

/* QEMU mirrors what a device is on, and replaces what is below its filters. */
static JsonNode *
mirror_args (const RevertDisk *disk)
{
  gboolean filtered = strcmp (disk->root_node, disk->active_node) != 0;

  return qmp_args ("job-id", "s", disk->job,
                   "device", "s", disk->root_node,
                   "replaces", "s", filtered ? disk->active_node : NULL,
                   "target", "s", disk->overlay_node,
                   "sync", "s", "none",
                   "auto-finalize", "b", FALSE,
                   "auto-dismiss", "b", FALSE,
                   NULL);
}

/**
 * revert_pend_async:
 * @self: a job with its facts
 * @index: one of its disks
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Begins the disk's mirror, where it is not there, and has it complete as far as it goes by itself.
 */
void
revert_pend_async (Revert *self, guint index, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = move_new (self, index, callback, user_data);
  const RevertFacts *facts = &self->facts[index];

  if (task == NULL)
    return;
  if (facts->has_job && facts->job_state == QMP_JOB_PENDING)
    g_task_return_boolean (task, TRUE);
  else if (facts->has_job)
    await_ready (task);
  else
    send_command (task, "blockdev-mirror", mirror_args (g_ptr_array_index (self->disks, index)),
                  on_mirroring);
}

/* --- to the end --- */

static void
on_dismissed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply != NULL || guest_error_is_refusal (error))
    {
      g_clear_error (&error);
      g_task_return_boolean (task, TRUE);
    }
  else
    g_task_return_error (task, error);
}

/* Whatever it has come to, the graph is looked at afterwards. */
static void
on_concluded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Move *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!qmp_job_await_finish (QMP_JOB (source), result, &error)
      && g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    {
      g_message ("disk %s: %s", disk_of (self)->disk, error->message);
      g_clear_error (&error);
    }
  if (error == NULL)
    send_command (task, "job-dismiss", job_args (task), on_dismissed);
  else
    g_task_return_error (task, error);
}

static void
on_finalizing (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Move *self = g_task_get_task_data (task);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  /* Refused when it has ended by now: the await tells. */
  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL && !guest_error_is_refusal (error))
    {
      g_task_return_error (task, error);
      return;
    }
  g_clear_error (&error);
  qmp_job_await_async (self->watch, QMP_JOB_CONCLUDED, MOVE_DEADLINE_MS, NULL, on_concluded,
                       g_object_ref (task));
}

/**
 * revert_finalize_async:
 * @self: a job
 * @index: one of its disks, whose mirror is pending, or concluded
 * @callback: called with the result
 * @user_data: for @callback
 */
void
revert_finalize_async (Revert *self, guint index, GAsyncReadyCallback callback,
                       gpointer user_data)
{
  g_autoptr (GTask) task = move_new (self, index, callback, user_data);

  if (task != NULL)
    send_command (task, "job-finalize", job_args (task), on_finalizing);
}

/**
 * revert_end_mirrors_async:
 * @self: a job with its facts
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Ends the mirrors of all disks, those that there are; no device moves.
 */
void
revert_end_mirrors_async (Revert *self, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();

  for (guint i = 0; i < self->disks->len; i++)
    if (self->facts[i].has_job)
      g_ptr_array_add (ids, ((RevertDisk *) g_ptr_array_index (self->disks, i))->job);
  g_ptr_array_add (ids, NULL);
  peer_end_jobs (g_task_new (NULL, NULL, callback, user_data), &self->peer,
                 (const char *const *) ids->pdata);
}

gboolean
revert_move_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/* --- the step --- */

typedef struct
{
  Revert *revert;
  GTask  *step;
  guint   next;
} Call;

static void mirror_next (Call *call);

static void
on_pended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Call *call = user_data;
  GError *error = NULL;

  if (revert_move_finish (result, &error))
    {
      call->next++;
      mirror_next (call);
      return;
    }
  revert_step_over (call->revert, call->step, error);
  g_free (call);
}

static void
mirror_next (Call *call)
{
  if (call->next < call->revert->disks->len)
    {
      revert_pend_async (call->revert, call->next, on_pended, call);
      return;
    }
  revert_step_over (call->revert, call->step, NULL);
  g_free (call);
}

void
revert_mirror (GTask *step, gpointer job)
{
  Call *call = g_new0 (Call, 1);

  call->revert = job;
  call->step = step;
  call->revert->in_doubt = TRUE;
  mirror_next (call);
}
