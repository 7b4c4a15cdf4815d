/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the job of a move is watched while it copies: how far it is, whether it gets on at all,
 * what QEMU says of errors, and that somebody calls it off. */

#include "move-run.h"

#include <core/error.h>

#include "../guest-errors.h"

#define PROGRESS_MS 1000
#define STALL_US    (600 * G_USEC_PER_SEC)      /* of a job that neither gets on nor waits */

struct _MoveWatch
{
  MovesJob     *job;
  guint         index;
  QmpJob       *watch;
  QmpListener  *events;         /* what QEMU says of errors */
  char         *words;          /* (nullable): the first of them */
  guint         progress;       /* a source that asks how far it is */
  gint64        seen;           /* its progress when it was last asked, */
  gint64        seen_us;        /* and since when that is so: monotonic */
  GCancellable *impatience;     /* ends the wait: called off, or stalled */
  gulong        called_off;     /* a handler of the operation's cancellable */
  gboolean      stalled;
};

/* --- what is told --- */

static void
tell_waiting (MoveWatch *self, const char *words)
{
  JsonObject *told = moves_job_told (self->job, self->index);

  if (told == NULL)
    return;
  if (words != NULL)
    json_object_set_string_member (told, "waits", words);
  else if (json_object_has_member (told, "waits"))
    json_object_remove_member (told, "waits");
}

static void
tell_progress (MoveWatch *self, const QmpJobInfo *info)
{
  gint64 done = 0, total = 0;

  for (guint i = 0; i < self->job->moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (self->job->moves, i);

      total += move->estimate;
      if (i < self->index)
        done += move->estimate;
      else if (i == self->index && info->total > 0)
        done += (gint64) ((double) move->estimate * (double) info->progress
                          / (double) info->total);
    }
  operation_set_progress (self->job->operation, MIN (done, total), total);
}

/* --- how far it is --- */

static void
judge_progress (MoveWatch *self, const QmpJobInfo *info)
{
  gint64 now = g_get_monotonic_time ();

  tell_progress (self, info);
  if (info->state == QMP_JOB_RUNNING)
    tell_waiting (self, NULL);
  if (info->progress != self->seen || info->state != QMP_JOB_RUNNING)
    {
      self->seen = info->progress;
      self->seen_us = now;
    }
  else if (now - self->seen_us > STALL_US)
    {
      self->stalled = TRUE;
      g_cancellable_cancel (self->impatience);
    }
}

static void
on_refreshed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  MoveWatch *self = g_task_get_task_data (task);

  if (qmp_job_refresh_finish (QMP_JOB (source), result, NULL) && !g_task_get_completed (task)
      && self->progress != 0)
    judge_progress (self, qmp_job_get_info (QMP_JOB (source)));
}

/* QEMU has no event for progress. */
static gboolean
ask_progress (gpointer user_data)
{
  MoveWatch *self = g_task_get_task_data (user_data);

  qmp_job_refresh_async (self->watch, GUEST_COMMAND_DEADLINE_MS, NULL, on_refreshed,
                         g_object_ref (user_data));
  return G_SOURCE_CONTINUE;
}

/* --- what QEMU says --- */

static const char *
text_of (const QmpEvent *event, const char *member)
{
  JsonNode *node = json_object_get_member (event->data, member);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_STRING
         ? json_node_get_string (node) : NULL;
}

static gboolean
is_of_job (const QmpEvent *event, gpointer user_data)
{
  return g_strcmp0 (text_of (event, "device"), user_data) == 0;
}

static void
on_event (QmpListener *events, const QmpEvent *event, gpointer user_data)
{
  MoveWatch *self = user_data;
  const char *words = text_of (event, "error");

  if (g_strcmp0 (event->name, "BLOCK_JOB_ERROR") != 0)
    {
      if (words != NULL && self->words == NULL)
        self->words = g_strdup (words);
    }
  else if (g_strcmp0 (text_of (event, "action"), "stop") == 0)
    tell_waiting (self, "the job waits after an error of its storage: mend that, then resume the "
                        "operation");
}

/* --- who calls it off --- */

static void
on_called_off (GCancellable *cancellable, gpointer user_data)
{
  MoveWatch *self = user_data;

  g_cancellable_cancel (self->impatience);
}

/**
 * move_watch_new:
 * @job: whose move it is; it must outlive the watch
 * @index: which one
 * @client: the guest's monitor
 *
 * Make it before the command that begins the job is sent.
 *
 * Returns: (transfer full): the watch
 */
MoveWatch *
move_watch_new (MovesJob *job, guint index, QmpClient *client)
{
  static const char *const names[] = {
    "BLOCK_JOB_ERROR", "BLOCK_JOB_COMPLETED", "BLOCK_JOB_CANCELLED", NULL
  };
  MoveWatch *self = g_new0 (MoveWatch, 1);
  GCancellable *cancellable = operation_get_cancellable (job->operation);
  g_autofree char *id = moves_job_id (job, index);

  self->job = job;
  self->index = index;
  self->watch = qmp_job_watch (client, id);
  self->events = qmp_listener_new (client, names, is_of_job, g_strdup (id), g_free);
  g_signal_connect (self->events, "event", G_CALLBACK (on_event), self);
  self->impatience = g_cancellable_new ();
  self->called_off = g_signal_connect (cancellable, "cancelled", G_CALLBACK (on_called_off), self);
  if (g_cancellable_is_cancelled (cancellable))
    g_cancellable_cancel (self->impatience);
  return self;
}

/**
 * move_watch_free:
 * @self: (transfer full): a watch whose job nobody waits for any more
 */
void
move_watch_free (MoveWatch *self)
{
  g_signal_handler_disconnect (operation_get_cancellable (self->job->operation),
                               self->called_off);
  g_signal_handlers_disconnect_by_data (self->events, self);
  qmp_listener_close (self->events);
  g_object_unref (self->events);
  g_object_unref (self->watch);
  g_object_unref (self->impatience);
  g_free (self->words);
  g_free (self);
}

QmpJob *
move_watch_get_job (MoveWatch *self)
{
  return self->watch;
}

const char *
move_watch_get_words (MoveWatch *self)
{
  return self->words;
}

static void
on_pending (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  MoveWatch *self = g_task_get_task_data (task);
  GError *error = NULL;

  g_clear_handle_id (&self->progress, g_source_remove);
  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  if (self->stalled)
    {
      g_clear_error (&error);
      error = agent_error_new (AGENT_ERROR_TIMEOUT, NULL, "the job has not got on for %d s",
                               (int) (STALL_US / G_USEC_PER_SEC));
    }
  else if (self->words != NULL && g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    {
      g_clear_error (&error);
      error = g_error_new_literal (QMP_ERROR, QMP_ERROR_JOB, self->words);
    }
  g_task_return_error (task, error);
}

/**
 * move_watch_await_async:
 * @self: a watch
 * @callback: called when the job has copied all there is
 * @user_data: for @callback
 *
 * However long that takes: it ends when the job gets on no more.
 */
void
move_watch_await_async (MoveWatch *self, GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);

  g_task_set_task_data (task, self, NULL);
  self->seen_us = g_get_monotonic_time ();
  self->progress = g_timeout_add (PROGRESS_MS, ask_progress, task);
  qmp_job_await_async (self->watch, QMP_JOB_PENDING, 0, self->impatience, on_pending, task);
}

/**
 * move_watch_await_finish:
 * @result: the result
 * @error: return location: QMP_ERROR_JOB with QEMU's words; G_IO_ERROR_CANCELLED: it was called
 *   off; AGENT_ERROR_TIMEOUT: it does not get on; others of libqmp
 *
 * Returns: whether the job waits before its end
 */
gboolean
move_watch_await_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
