/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the job of a pivot: how it is begun, spoken to, and called off. */

#include "pivot-private.h"

#include <string.h>

#include "guest-errors.h"

/* A command to a job, and the wait for what it does. */
typedef struct
{
  Pivot       *pivot;
  QmpJob      *watch;
  QmpJobState  state;
  guint        deadline_ms;
} Command;

static void
command_free (Command *self)
{
  g_clear_object (&self->watch);
  g_free (self);
}

static JsonNode *
commit_arguments (const Pivot *pivot, const PivotVerdict *verdict, gint64 speed)
{
  return qmp_args ("job-id", "s", pivot->job,
                   "device", "s", verdict->root,
                   "top-node", "s", verdict->from_node,
                   "base-node", "s", verdict->to_node,
                   "speed", "i", speed,
                   "on-error", "s", pivot->on_error,
                   "auto-finalize", "b", FALSE,
                   "auto-dismiss", "b", FALSE,
                   NULL);
}

/* Of what is above the active node nothing is replaced. */
static JsonNode *
mirror_arguments (const Pivot *pivot, const PivotVerdict *verdict, gint64 speed)
{
  gboolean has_filter = strcmp (verdict->root, verdict->from_node) != 0;

  return qmp_args ("job-id", "s", pivot->job,
                   "device", "s", verdict->root,
                   "target", "s", verdict->to_node,
                   "replaces", "s", has_filter ? verdict->from_node : NULL,
                   "sync", "s", pivot->sync,
                   "copy-mode", "s", pivot->copy_mode,
                   "speed", "i", speed,
                   "on-source-error", "s", pivot->on_error,
                   "on-target-error", "s", pivot->on_error,
                   "auto-finalize", "b", FALSE,
                   "auto-dismiss", "b", FALSE,
                   NULL);
}

/**
 * pivot_job_command:
 * @pivot: a pivot
 * @verdict: that its job is to be begun
 * @speed: bytes a second; 0: as fast as it goes
 * @arguments: (out) (transfer full): of the command
 *
 * Returns: QEMU's command for it
 */
const char *
pivot_job_command (const Pivot *pivot, const PivotVerdict *verdict, gint64 speed,
                   JsonNode **arguments)
{
  gboolean is_commit = pivot->way == PIVOT_COMMIT;

  *arguments = is_commit ? commit_arguments (pivot, verdict, speed)
                         : mirror_arguments (pivot, verdict, speed);
  return is_commit ? "block-commit" : "blockdev-mirror";
}

/* --- speaking to it --- */

static void
on_reached (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Command *self = g_task_get_task_data (task);
  const QmpJobInfo *info = qmp_job_get_info (QMP_JOB (source));
  GError *error = NULL;

  self->pivot->moved = MAX (self->pivot->moved, info->progress);
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

/* The commands of jobs take an "id"; those that block jobs alone have, a "device". */
static JsonNode *
command_arguments (const char *command, const char *id)
{
  if (strcmp (command, "block-job-cancel") == 0)
    return qmp_args ("device", "s", id, "force", "b", FALSE, NULL);
  return qmp_args ("id", "s", id, NULL);
}

/**
 * pivot_command_async:
 * @set: pivots
 * @pivot: one of them
 * @command: (nullable): what its job is told
 * @state: what that leads to
 * @deadline_ms: milliseconds until it has to be there
 * @callback: called with the result
 * @user_data: for @callback
 */
void
pivot_command_async (PivotSet *set, Pivot *pivot, const char *command, QmpJobState state,
                     guint deadline_ms, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Command *self = g_new0 (Command, 1);
  GError *error = NULL;
  QmpClient *client = guest_require_client (set->peer.guest, &error);

  self->pivot = pivot;
  self->state = state;
  self->deadline_ms = deadline_ms;
  g_task_set_task_data (task, self, (GDestroyNotify) command_free);
  if (client == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  self->watch = qmp_job_watch (client, pivot->job);
  if (command == NULL)
    qmp_job_await_async (self->watch, state, deadline_ms, NULL, on_reached, g_object_ref (task));
  else
    qmp_client_execute_async (client, command, command_arguments (command, pivot->job),
                              GUEST_COMMAND_DEADLINE_MS, NULL, on_commanded, g_object_ref (task));
}

gboolean
pivot_command_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * pivot_cancel_async:
 * @set: pivots
 * @pivot: one of them
 * @callback: called with the result
 * @user_data: for @callback
 *
 * The device stays where it is, and the file that it is on holds all that it held.
 */
void
pivot_cancel_async (PivotSet *set, Pivot *pivot, GAsyncReadyCallback callback, gpointer user_data)
{
  const char *const ids[] = { pivot->job, NULL };

  peer_end_jobs (g_task_new (NULL, NULL, callback, user_data), &set->peer, ids);
}

gboolean
pivot_cancel_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
