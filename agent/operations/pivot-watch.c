/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the job of a pivot is watched while it copies: how far it is, and that it waits after
 * an error. */

#include "pivot-private.h"

#include "guest-errors.h"

#define PROGRESS_MS 1000

struct _PivotWatch
{
  PivotSet    *set;
  Pivot       *pivot;
  QmpJob      *job;
  QmpListener *errors;          /* what QEMU says of them */
  guint        progress;        /* a source that asks how far it is */
  gint64       bulk;            /* what there was to be copied at first, in QEMU's measure */
  gint64       seen;            /* how far it was when that was last asked for */
};

static gboolean
has_text (const QmpEvent *event, const char *member, const char *text)
{
  JsonNode *node = json_object_get_member (event->data, member);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node)
         && json_node_get_value_type (node) == G_TYPE_STRING
         && g_strcmp0 (json_node_get_string (node), text) == 0;
}

static gboolean
is_of_job (const QmpEvent *event, gpointer user_data)
{
  return has_text (event, "device", user_data);
}

static void
on_error_event (QmpListener *errors, const QmpEvent *event, gpointer user_data)
{
  PivotWatch *self = user_data;
  JsonObject *told = pivot_told (self->set, self->pivot);

  if (told != NULL && has_text (event, "action", "stop"))
    json_object_set_string_member (told, "waits",
                                   "the job waits after an error of its storage: mend that, then "
                                   "resume the operation");
}

static void
on_progress (QmpJob *job, gpointer user_data)
{
  PivotWatch *self = user_data;

  if (self->bulk == 0)
    self->bulk = qmp_job_get_info (job)->total;
}

/**
 * pivot_watch_new:
 * @set: pivots
 * @pivot: one of them; both must outlive the watch
 * @client: the guest's monitor
 *
 * Make it before the command that begins the job is sent.
 *
 * Returns: (transfer full): the watch
 */
PivotWatch *
pivot_watch_new (PivotSet *set, Pivot *pivot, QmpClient *client)
{
  static const char *const names[] = { "BLOCK_JOB_ERROR", NULL };
  PivotWatch *self = g_new0 (PivotWatch, 1);

  self->set = set;
  self->pivot = pivot;
  self->job = qmp_job_watch (client, pivot->job);
  g_signal_connect (self->job, "changed", G_CALLBACK (on_progress), self);
  self->errors = qmp_listener_new (client, names, is_of_job, g_strdup (pivot->job), g_free);
  g_signal_connect (self->errors, "event", G_CALLBACK (on_error_event), self);
  return self;
}

static void
tell_no_wait (PivotWatch *self)
{
  JsonObject *told = pivot_told (self->set, self->pivot);

  if (told != NULL && json_object_has_member (told, "waits"))
    json_object_remove_member (told, "waits");
}

/**
 * pivot_watch_free:
 * @self: (nullable): a watch
 */
void
pivot_watch_free (PivotWatch *self)
{
  if (self == NULL)
    return;
  tell_no_wait (self);
  g_clear_handle_id (&self->progress, g_source_remove);
  g_signal_handlers_disconnect_by_data (self->errors, self);
  g_signal_handlers_disconnect_by_data (self->job, self);
  g_object_unref (self->errors);
  g_object_unref (self->job);
  g_free (self);
}

static void
on_refreshed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Operation) operation = user_data;
  const QmpJobInfo *info = qmp_job_get_info (QMP_JOB (source));

  if (qmp_job_refresh_finish (QMP_JOB (source), result, NULL))
    operation_set_progress (operation, info->progress, info->total);
}

/* QEMU has no event for progress. */
static gboolean
ask_progress (gpointer user_data)
{
  PivotWatch *self = user_data;

  if (qmp_job_get_info (self->job)->state == QMP_JOB_RUNNING)
    tell_no_wait (self);
  qmp_job_refresh_async (self->job, GUEST_COMMAND_DEADLINE_MS, NULL, on_refreshed,
                         g_object_ref (self->set->operation));
  return G_SOURCE_CONTINUE;
}

/**
 * pivot_watch_follow:
 * @self: the watch of a job that runs
 *
 * From now on the operation tells how far it is.
 *
 * Returns: (transfer none): the job
 */
QmpJob *
pivot_watch_follow (PivotWatch *self)
{
  if (self->progress == 0)
    self->progress = g_timeout_add (PROGRESS_MS, ask_progress, self);
  return self->job;
}

/**
 * pivot_watch_is_paused:
 * @self: a watch
 *
 * Returns: whether the job waits, because somebody wants it to or after an error: it is not late
 */
gboolean
pivot_watch_is_paused (const PivotWatch *self)
{
  QmpJobState state = qmp_job_get_info (self->job)->state;

  return state == QMP_JOB_PAUSED || state == QMP_JOB_STANDBY;
}

/**
 * pivot_watch_gets_on:
 * @self: a watch
 *
 * No help is of use to a job that has not copied yet what was there from the beginning; it is late
 * when it only follows the guest, or stands still.
 *
 * Returns: whether it is not late for that
 */
gboolean
pivot_watch_gets_on (PivotWatch *self)
{
  gint64 progress = qmp_job_get_info (self->job)->progress;
  gboolean gets_on = progress < self->bulk && progress > self->seen;

  self->seen = progress;
  return gets_on;
}
