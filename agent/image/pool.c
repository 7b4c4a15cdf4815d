/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how blocking work gets into threads and out of them again. */

#include "pool.h"

#include <core/error.h>

/* Requests about images are short; two at once keep one that hangs from holding up the rest. */
#define SMALL_THREADS 2

#define STRANGERS_MAX 64        /* that wait */

#define PROGRESS_US (G_USEC_PER_SEC / 5)

struct _ImagePool
{
  GThreadPool *small;
  GThreadPool *strangers;
  GThreadPool *transfers;
};

enum
{
  JOB_WAITS,
  JOB_RUNS,
  JOB_IS_CANCELLED,
};

/* Work in the queue. Whoever takes it out of JOB_WAITS answers the task: a thread, or the
 * cancellable. */
typedef struct
{
  GTask     *task;
  ImageWork  work;
  gulong     handler;
  int        state;
} Job;

static gboolean
job_take (Job *self,
          int  state)
{
  return g_atomic_int_compare_and_exchange (&self->state, JOB_WAITS, state);
}

/* Has @function called in the loop that @task belongs to: later, even when this is its thread. */
static void
call_in_loop (GTask          *task,
              GSourceFunc     function,
              gpointer        data,
              GDestroyNotify  free_data)
{
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_static_name (source, "image pool");
  g_source_set_callback (source, function, data, free_data);
  g_source_attach (source, g_task_get_context (task));
}

static gboolean
return_cancelled (gpointer data)
{
  g_task_return_new_error (G_TASK (data), G_IO_ERROR, G_IO_ERROR_CANCELLED,
                           "cancelled before its turn came");

  return G_SOURCE_REMOVE;
}

/* Not answered from here: that would call back into whoever is in the middle of
 * g_cancellable_cancel(). */
static void
job_cancelled (GCancellable *cancellable,
               Job          *self)
{
  if (job_take (self, JOB_IS_CANCELLED))
    call_in_loop (self->task, return_cancelled, g_object_ref (self->task), g_object_unref);
}

static void
job_run (gpointer data,
         gpointer user_data)
{
  Job *self = data;
  GCancellable *cancellable = g_task_get_cancellable (self->task);

  /* Waits for a handler that is running; afterwards nobody else knows this job. */
  if (cancellable != NULL)
    g_cancellable_disconnect (cancellable, self->handler);

  if (job_take (self, JOB_RUNS))
    self->work (self->task, g_task_get_task_data (self->task));

  g_object_unref (self->task);
  g_free (self);
}

/**
 * image_pool_new:
 * @transfers: how many of them run at once; the others wait
 * @error: G_THREAD_ERROR
 *
 * Returns: (transfer full): the threads of a store; none is started yet
 */
ImagePool *
image_pool_new (guint    transfers,
                GError **error)
{
  g_autoptr (ImagePool) self = g_new0 (ImagePool, 1);

  self->small = g_thread_pool_new (job_run, NULL, SMALL_THREADS, FALSE, error);
  if (self->small == NULL)
    return NULL;

  self->strangers = g_thread_pool_new (job_run, NULL, SMALL_THREADS, FALSE, error);
  if (self->strangers == NULL)
    return NULL;

  self->transfers = g_thread_pool_new (job_run, NULL, (int) CLAMP (transfers, 1, 64), FALSE, error);
  if (self->transfers == NULL)
    return NULL;

  return g_steal_pointer (&self);
}

/**
 * image_pool_free:
 * @self: (transfer full) (nullable): the threads
 *
 * Does not wait: what is queued is still done. (A task keeps its store, and by that this, so there
 * is no such work; but the last reference may be dropped by one of these threads, which must not
 * wait for itself.)
 */
void
image_pool_free (ImagePool *self)
{
  if (self == NULL)
    return;

  if (self->small != NULL)
    g_thread_pool_free (self->small, FALSE, FALSE);
  if (self->strangers != NULL)
    g_thread_pool_free (self->strangers, FALSE, FALSE);
  if (self->transfers != NULL)
    g_thread_pool_free (self->transfers, FALSE, FALSE);
  g_free (self);
}

static void
push (GThreadPool *threads,
      GTask       *task,
      ImageWork    work)
{
  GCancellable *cancellable = g_task_get_cancellable (task);
  Job *job = g_new0 (Job, 1);

  job->task = g_object_ref (task);
  job->work = work;
  job->state = JOB_WAITS;
  if (cancellable != NULL)
    job->handler = g_cancellable_connect (cancellable, G_CALLBACK (job_cancelled), job, NULL);

  /* Fails only where no thread can be made; the job stays queued then and the next one tries
   * again. */
  g_thread_pool_push (threads, job, NULL);
}

/**
 * image_pool_run:
 * @self: the threads
 * @task: (transfer none): the task, with its request as data
 * @work: what to do
 *
 * Has @work done soon. A task that is cancelled before its turn is answered at once.
 */
void
image_pool_run (ImagePool *self,
                GTask     *task,
                ImageWork  work)
{
  push (self->small, task, work);
}

/**
 * image_pool_run_transfer:
 * @self: the threads
 * @task: (transfer none): the task, with its request as data
 * @work: what to do
 *
 * Has @work done when one of the transfers' threads is free. A task that is cancelled before its
 * turn is answered at once.
 */
void
image_pool_run_transfer (ImagePool *self,
                         GTask     *task,
                         ImageWork  work)
{
  push (self->transfers, task, work);
}

/**
 * image_pool_run_stranger:
 * @self: the threads
 * @task: (transfer none): the task, with its request as data
 * @work: what to do for somebody who may be nobody
 *
 * Has @work done in threads that nothing else needs; when too much waits for them, @task is
 * answered with %AGENT_ERROR_UNAVAILABLE at once.
 */
void
image_pool_run_stranger (ImagePool *self,
                         GTask     *task,
                         ImageWork  work)
{
  if (g_thread_pool_unprocessed (self->strangers) < STRANGERS_MAX)
    push (self->strangers, task, work);
  else
    g_task_return_error (task, agent_error_new (AGENT_ERROR_UNAVAILABLE, "Ask again.",
                                                "too many are asking who they are"));
}

typedef struct
{
  GTask         *task;
  ImageProgress  callback;
  gpointer       user_data;
  gint64         done;
  gint64         total;
} Report;

static gboolean
report_deliver (gpointer data)
{
  Report *self = data;

  /* Whoever was answered is not told any more: what belongs to the callback may be gone. */
  if (!g_task_get_completed (self->task))
    self->callback (self->done, self->total, self->user_data);

  return G_SOURCE_REMOVE;
}

static void
report_free (gpointer data)
{
  Report *self = data;

  g_object_unref (self->task);
  g_free (self);
}

/**
 * image_pool_progress:
 * @self: whom to tell; of this thread
 * @done: bytes
 * @total: bytes
 *
 * May be called as often as one likes: a few a second get through, and the last.
 */
void
image_pool_progress (ImagePoolProgress *self,
                     gint64             done,
                     gint64             total)
{
  gint64 now = g_get_monotonic_time ();
  Report *report;

  if (self->callback == NULL || (done < total && now - self->told_us < PROGRESS_US))
    return;

  self->told_us = now;
  report = g_new0 (Report, 1);
  report->task = g_object_ref (self->task);
  report->callback = self->callback;
  report->user_data = self->user_data;
  report->done = done;
  report->total = total;

  call_in_loop (self->task, report_deliver, report, report_free);
}
