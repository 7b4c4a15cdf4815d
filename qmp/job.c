/* SPDX-License-Identifier: Apache-2.0 */

/* Knows where one job is in its life.
 *
 * State comes from two sources, JOB_STATUS_CHANGE and query-jobs, and from nothing else: progress
 * that equals the total says nothing, nor does BLOCK_JOB_COMPLETED. Where both sources speak, the
 * event wins if it came after the question was sent, because then it is at least as new as the
 * reply. How a job ended is known only from a reply that itself says "concluded". */

#include "deadline.h"
#include "fields.h"

#include <qmp/error.h>
#include <qmp/job.h>
#include <qmp/listener.h>

struct _QmpJob
{
  GObject      parent_instance;

  QmpClient   *client;
  QmpListener *listener;
  gulong       closed_handler;

  QmpJobInfo   info;
  gboolean     seen;            /* QEMU has spoken of it */
  gboolean     outcome_known;   /* info.error is final */
  guint        events;          /* how many changes of state QEMU announced */
  GPtrArray   *waits;           /* of GTask with a Wait, owned */
};

G_DEFINE_FINAL_TYPE (QmpJob, qmp_job, G_TYPE_OBJECT)

enum
{
  SIGNAL_CHANGED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

typedef struct
{
  QmpJobState   state;
  guint         deadline_ms;
  gint64        deadline;       /* see deadline.h */
  GSource      *timer;          /* (nullable) */
  GSource      *cancelled;      /* (nullable) */
  GCancellable *question;       /* (nullable): the query-jobs in flight */
  guint         asked_at;       /* events when it was sent */
  gboolean      caught_up;      /* query-jobs has answered once: type and progress are known */
  gboolean      ended;
} Wait;

static void
wait_free (Wait *wait)
{
  g_clear_pointer (&wait->timer, g_source_unref);
  g_clear_pointer (&wait->cancelled, g_source_unref);
  g_clear_object (&wait->question);
  g_free (wait);
}

/* Ends a wait: with success when @error is NULL. Takes @error. */
static void
end_wait (GTask  *task,
          GError *error)
{
  g_autoptr (GTask) keep = g_object_ref (task);
  QmpJob *self = g_task_get_source_object (task);
  Wait *wait = g_task_get_task_data (task);

  wait->ended = TRUE;
  g_ptr_array_remove (self->waits, task);
  if (wait->timer != NULL)
    g_source_destroy (wait->timer);
  if (wait->cancelled != NULL)
    g_source_destroy (wait->cancelled);
  if (wait->question != NULL)
    g_cancellable_cancel (wait->question);

  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

/* "commit job "x"", or "job "x"" while QEMU has not told the type. */
static char *
describe (QmpJob *self)
{
  return g_strdup_printf ("%s%sob \"%s\"", self->info.type != NULL ? self->info.type : "",
                          self->info.type != NULL ? " j" : "J", self->info.id);
}

static GError *
error_vanished (QmpJob *self)
{
  g_autofree char *who = describe (self);

  if (!self->seen)
    return g_error_new (QMP_ERROR, QMP_ERROR_JOB,
                        "%s is unknown to QEMU: it was never started, or it ended and vanished "
                        "before it was watched", who);

  return g_error_new (QMP_ERROR, QMP_ERROR_JOB,
                      "%s vanished before its outcome could be read: it was dismissed by another "
                      "client, or started with auto-dismiss", who);
}

static GError *
error_failed (QmpJob      *self,
              QmpJobState  wanted)
{
  g_autofree char *who = describe (self);

  if (wanted >= QMP_JOB_CONCLUDED)
    return g_error_new (QMP_ERROR, QMP_ERROR_JOB, "%s failed: %s", who, self->info.error);

  return g_error_new (QMP_ERROR, QMP_ERROR_JOB, "%s failed before it was %s: %s", who,
                      qmp_job_state_to_string (wanted), self->info.error);
}

static GError *
error_timeout (QmpJob *self,
               Wait   *wait)
{
  g_autofree char *who = describe (self);

  return g_error_new (QMP_ERROR, QMP_ERROR_TIMEOUT,
                      "%s was not %s within %u ms: it is %s, its progress was %" G_GINT64_FORMAT
                      " of %" G_GINT64_FORMAT " when last asked for", who,
                      qmp_job_state_to_string (wait->state), wait->deadline_ms,
                      qmp_job_state_to_string (self->info.state), self->info.progress,
                      self->info.total);
}

static void wait_ask (GTask *task);

/* Ends a wait if the job's state decides it, and asks for the outcome if only that is missing.
 * Aborting is after pending in the order of states, but not on the way from one to the other. */
static void
judge (QmpJob *self,
       GTask  *task)
{
  Wait *wait = g_task_get_task_data (task);
  QmpJobState state = self->info.state;

  if (state == QMP_JOB_NULL)
    end_wait (task, wait->state == QMP_JOB_NULL ? NULL : error_vanished (self));
  else if (wait->state == QMP_JOB_NULL)
    return;
  else if (state == QMP_JOB_CONCLUDED && !self->outcome_known)
    wait_ask (task);
  else if (state == QMP_JOB_CONCLUDED)
    end_wait (task, self->info.error != NULL ? error_failed (self, wait->state) : NULL);
  else if (state == QMP_JOB_ABORTING ? wait->state == state : wait->state <= state)
    end_wait (task, NULL);
}

static gboolean
has_ended (GTask *task)
{
  return ((Wait *) g_task_get_task_data (task))->ended;
}

static gboolean
is_caught_up (GTask *task)
{
  return ((Wait *) g_task_get_task_data (task))->caught_up;
}

/* A callback may begin and end other waits: whoever goes through all of them needs a copy. */
static GPtrArray *
copy_waits (QmpJob *self)
{
  GPtrArray *waits = g_ptr_array_new_full (self->waits->len, g_object_unref);

  for (guint i = 0; i < self->waits->len; i++)
    g_ptr_array_add (waits, g_object_ref (g_ptr_array_index (self->waits, i)));

  return waits;
}

static void
judge_all (QmpJob *self)
{
  g_autoptr (QmpJob) keep = g_object_ref (self);
  g_autoptr (GPtrArray) waits = copy_waits (self);

  for (guint i = 0; i < waits->len; i++)
    if (!has_ended (g_ptr_array_index (waits, i)) && is_caught_up (g_ptr_array_index (waits, i)))
      judge (self, g_ptr_array_index (waits, i));
}

/* An id may be used again; whatever is said after "null" is said of another job. */
static gboolean
is_over (QmpJob *self)
{
  return self->info.state == QMP_JOB_NULL;
}

static void
take_event (QmpJob         *self,
            const QmpEvent *event,
            QmpListener    *listener)
{
  g_autoptr (QmpJob) keep = g_object_ref (self);
  const char *status = qmp_fields_peek_text (event->data, "status");

  if (is_over (self) || status == NULL || !qmp_job_state_from_string (status, &self->info.state))
    return;

  self->seen = TRUE;
  self->events++;
  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  judge_all (self);
}

/* What query-jobs said when it was asked at @asked_at. Returns whether the job was in it. */
static gboolean
take_reply (QmpJob    *self,
            GPtrArray *jobs,
            guint      asked_at)
{
  gboolean is_newest = asked_at == self->events;
  const QmpJobInfo *info = NULL;

  for (guint i = 0; i < jobs->len && info == NULL; i++)
    if (g_str_equal (((QmpJobInfo *) g_ptr_array_index (jobs, i))->id, self->info.id))
      info = g_ptr_array_index (jobs, i);

  if (is_over (self))
    return FALSE;

  if (info == NULL)
    {
      if (!is_newest)
        return TRUE;
      if (self->seen)
        {
          self->info.state = QMP_JOB_NULL;
          g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
        }
      return FALSE;
    }

  self->seen = TRUE;
  if (self->info.type == NULL)
    self->info.type = g_strdup (info->type);
  self->info.progress = info->progress;
  self->info.total = info->total;
  g_free (self->info.error);
  self->info.error = g_strdup (info->error);
  if (is_newest)
    self->info.state = info->state;
  if (info->state == QMP_JOB_CONCLUDED)
    self->outcome_known = TRUE;

  g_signal_emit (self, signals[SIGNAL_CHANGED], 0);
  return TRUE;
}

static void
wait_answered (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  QmpJob *self = g_task_get_source_object (task);
  Wait *wait = g_task_get_task_data (task);
  g_autoptr (GPtrArray) jobs = NULL;
  g_autoptr (GError) error = NULL;

  jobs = qmp_jobs_query_finish (result, &error);
  g_clear_object (&wait->question);
  wait->caught_up = TRUE;
  if (wait->ended)
    return;

  if (g_error_matches (error, QMP_ERROR, QMP_ERROR_TIMEOUT))
    end_wait (task, error_timeout (self, wait));
  else if (jobs == NULL)
    {
      g_autofree char *who = describe (self);

      g_prefix_error (&error, "%s: ", who);
      end_wait (task, g_steal_pointer (&error));
    }
  else if (!take_reply (self, jobs, wait->asked_at) && !self->seen && !wait->ended)
    end_wait (task, wait->state == QMP_JOB_NULL ? NULL : error_vanished (self));

  judge_all (self);
}

static void
wait_ask (GTask *task)
{
  QmpJob *self = g_task_get_source_object (task);
  Wait *wait = g_task_get_task_data (task);

  if (wait->question != NULL)
    return;

  wait->question = g_cancellable_new ();
  wait->asked_at = self->events;
  qmp_jobs_query_async (self->client, qmp_deadline_left (wait->deadline), wait->question,
                        wait_answered, g_object_ref (task));
}

static gboolean
wait_expired (gpointer user_data)
{
  GTask *task = user_data;

  end_wait (task, error_timeout (g_task_get_source_object (task), g_task_get_task_data (task)));
  return G_SOURCE_REMOVE;
}

static gboolean
wait_cancelled (GCancellable *cancellable,
                gpointer      user_data)
{
  GTask *task = user_data;
  g_autofree char *who = describe (g_task_get_source_object (task));

  end_wait (task, g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                               "The wait for %s was cancelled", who));
  return G_SOURCE_REMOVE;
}

static void
link_closed (QmpJob       *self,
             const GError *reason,
             QmpClient    *client)
{
  g_autoptr (QmpJob) keep = g_object_ref (self);
  g_autoptr (GPtrArray) waits = copy_waits (self);
  g_autofree char *who = describe (self);

  for (guint i = 0; i < waits->len; i++)
    if (!has_ended (g_ptr_array_index (waits, i)))
      end_wait (g_ptr_array_index (waits, i),
                g_error_new (QMP_ERROR, QMP_ERROR_LINK,
                             "%s: the link to QEMU dropped while it was %s: %s", who,
                             qmp_job_state_to_string (self->info.state),
                             reason != NULL ? reason->message : "it was closed"));
}

/**
 * qmp_job_await_async:
 * @self: a job
 * @state: the state to wait for
 * @deadline_ms: how long, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait, not the job
 * @callback: called when the job is there, or cannot get there any more
 * @user_data: for @callback
 *
 * Waits until the job has reached @state or one after it; begin it when the command that starts
 * the job has been sent. It asks query-jobs first, so that nothing is missed by having been away,
 * and qmp_job_get_info() is complete afterwards.
 *
 * When the job concludes, its error is read, and fails the wait if there is one; so a job has to
 * be started with `auto-dismiss` off. With `auto-finalize` off it stops in
 * %QMP_JOB_PENDING until it is told to go on. %QMP_JOB_NULL asks only that the job be
 * gone, whatever became of it.
 */
void
qmp_job_await_async (QmpJob              *self,
                     QmpJobState          state,
                     guint                deadline_ms,
                     GCancellable        *cancellable,
                     GAsyncReadyCallback  callback,
                     gpointer             user_data)
{
  GTask *task;
  Wait *wait;

  g_return_if_fail (QMP_IS_JOB (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_check_cancellable (task, FALSE);
  if (g_task_return_error_if_cancelled (task))
    {
      g_object_unref (task);
      return;
    }

  wait = g_new0 (Wait, 1);
  wait->state = state;
  wait->deadline_ms = deadline_ms;
  wait->deadline = qmp_deadline_begin (deadline_ms);
  g_task_set_task_data (task, wait, (GDestroyNotify) wait_free);
  g_ptr_array_add (self->waits, task);

  if (deadline_ms > 0)
    {
      wait->timer = g_timeout_source_new (deadline_ms);
      g_task_attach_source (task, wait->timer, wait_expired);
    }
  if (cancellable != NULL)
    {
      wait->cancelled = g_cancellable_source_new (cancellable);
      g_task_attach_source (task, wait->cancelled, G_SOURCE_FUNC (wait_cancelled));
    }

  wait_ask (task);
}

/**
 * qmp_job_await_finish:
 * @self: a job
 * @result: what the callback was given
 * @error: where to put an error
 *
 * Errors: %QMP_ERROR_JOB when the job failed or was cancelled (with QEMU's words), or vanished so
 * that nobody can say how it ended; %QMP_ERROR_TIMEOUT after the deadline, with state and
 * progress; %QMP_ERROR_LINK when the link dropped; %G_IO_ERROR_CANCELLED.
 *
 * Returns: whether the state was reached
 */
gboolean
qmp_job_await_finish (QmpJob        *self,
                      GAsyncResult  *result,
                      GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
refreshed (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  QmpJob *self = g_task_get_source_object (task);
  g_autoptr (GPtrArray) jobs = NULL;
  g_autoptr (GError) error = NULL;

  jobs = qmp_jobs_query_finish (result, &error);
  if (jobs == NULL)
    g_task_return_error (task, g_steal_pointer (&error));
  else if (take_reply (self, jobs, GPOINTER_TO_UINT (g_task_get_task_data (task))))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error_vanished (self));

  judge_all (self);
}

/**
 * qmp_job_refresh_async:
 * @self: a job
 * @deadline_ms: how long it may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait
 * @callback: called when the job's description is fresh
 * @user_data: for @callback
 *
 * Reads state, progress and error now.
 */
void
qmp_job_refresh_async (QmpJob              *self,
                       guint                deadline_ms,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  GTask *task;

  g_return_if_fail (QMP_IS_JOB (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, GUINT_TO_POINTER (self->events), NULL);
  qmp_jobs_query_async (self->client, deadline_ms, cancellable, refreshed, task);
}

/**
 * qmp_job_refresh_finish:
 * @self: a job
 * @result: what the callback was given
 * @error: where to put an error
 *
 * A job that failed is no error here: its words are in qmp_job_get_info().
 *
 * Errors: %QMP_ERROR_JOB when QEMU knows no such job; those of qmp_jobs_query_finish().
 *
 * Returns: whether the description is fresh
 */
gboolean
qmp_job_refresh_finish (QmpJob        *self,
                        GAsyncResult  *result,
                        GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * qmp_job_get_info:
 * @self: a job
 *
 * Returns: (transfer none): what is known of the job; valid until it changes. State follows
 *   QEMU's events, the rest is as fresh as the last await or refresh
 */
const QmpJobInfo *
qmp_job_get_info (QmpJob *self)
{
  g_return_val_if_fail (QMP_IS_JOB (self), NULL);

  return &self->info;
}

static gboolean
is_of_job (const QmpEvent *event,
           gpointer        user_data)
{
  return g_strcmp0 (qmp_fields_peek_text (event->data, "id"), user_data) == 0;
}

/**
 * qmp_job_watch:
 * @client: a monitor
 * @id: the job's id
 *
 * Watches a job by its id. Make it before the command that starts the job is sent: QEMU may
 * announce the job's first states, or its end, before it answers that command.
 *
 * Returns: (transfer full): the job
 */
QmpJob *
qmp_job_watch (QmpClient  *client,
               const char *id)
{
  static const char *const names[] = { "JOB_STATUS_CHANGE", NULL };
  QmpJob *self;

  g_return_val_if_fail (QMP_IS_CLIENT (client), NULL);
  g_return_val_if_fail (id != NULL, NULL);

  self = g_object_new (QMP_TYPE_JOB, NULL);
  self->client = g_object_ref (client);
  self->info.id = g_strdup (id);
  self->listener = qmp_listener_new (client, names, is_of_job, g_strdup (id), g_free);
  g_signal_connect_swapped (self->listener, "event", G_CALLBACK (take_event), self);
  self->closed_handler = g_signal_connect_swapped (client, "closed", G_CALLBACK (link_closed),
                                                   self);

  return self;
}

static void
qmp_job_finalize (GObject *object)
{
  QmpJob *self = QMP_JOB (object);

  qmp_listener_close (self->listener);
  g_signal_handlers_disconnect_by_data (self->listener, self);
  g_clear_object (&self->listener);
  g_clear_signal_handler (&self->closed_handler, self->client);
  g_clear_object (&self->client);
  g_clear_pointer (&self->waits, g_ptr_array_unref);
  g_free (self->info.id);
  g_free (self->info.type);
  g_free (self->info.error);

  G_OBJECT_CLASS (qmp_job_parent_class)->finalize (object);
}

static void
qmp_job_class_init (QmpJobClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = qmp_job_finalize;

  /**
   * QmpJob::changed:
   * @self: the job
   *
   * State moved, or progress was asked for and came.
   */
  signals[SIGNAL_CHANGED] = g_signal_new ("changed", QMP_TYPE_JOB, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                          NULL, G_TYPE_NONE, 0);
}

static void
qmp_job_init (QmpJob *self)
{
  self->waits = g_ptr_array_new_with_free_func (g_object_unref);
}
