/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what becomes of commands that were sent: each ends exactly once, with its answer, at its
 * deadline, by cancellation, or with the link. */

#include "pending.h"

#include <qmp/error.h>

struct _QmpPending
{
  GObject           *owner;     /* whose calls these are; not owned */
  QmpPendingGivenUp  given_up;
  GHashTable        *calls;     /* of QmpCall, by id */
  GMainContext      *context;
  GSource           *timer;     /* at the next expiry, or before it */
};

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
call_clear (QmpCall *call)
{
  clear_source (&call->cancelled);
  g_clear_object (&call->task);
  g_clear_pointer (&call->command, g_free);
  g_clear_pointer (&call->arguments, json_node_unref);
}

void
qmp_call_free (QmpCall *call)
{
  call_clear (call);
  g_free (call);
}

/* The call stays, as its answer is not to be taken for an answer to nothing. */
static void
give_up (QmpPending *self,
         QmpCall    *call,
         GError     *error)
{
  g_autoptr (GTask) task = g_steal_pointer (&call->task);

  self->given_up (call, self->owner);
  call_clear (call);
  g_task_return_error (task, error);
}

/* --- deadlines and cancellation --- */

static gboolean
dispatch_timer (GSource     *source,
                GSourceFunc  callback,
                gpointer     user_data)
{
  return callback (user_data);
}

static GSourceFuncs timer_funcs = { NULL, NULL, dispatch_timer, NULL, NULL, NULL };

/* One timer serves all calls, so that a command costs none of its own. It is not put off when a
 * call is answered, and may then find nothing due. */
static void
expect_expiry (QmpPending *self,
               gint64      expiry)
{
  gint64 ready = g_source_get_ready_time (self->timer);

  if (ready < 0 || expiry < ready)
    g_source_set_ready_time (self->timer, expiry);
}

static GArray *
collect_due (QmpPending *self,
             gint64      now)
{
  GArray *due = g_array_new (FALSE, FALSE, sizeof (guint64));
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->calls);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      QmpCall *call = value;

      if (call->task == NULL || call->expiry == 0)
        continue;
      if (call->expiry <= now)
        g_array_append_val (due, call->id);
      else
        expect_expiry (self, call->expiry);
    }
  return due;
}

static gboolean
on_timer (gpointer user_data)
{
  QmpPending *self = user_data;
  g_autoptr (GObject) hold = g_object_ref (self->owner);
  g_autoptr (GArray) due = NULL;

  g_source_set_ready_time (self->timer, -1);
  due = collect_due (self, g_get_monotonic_time ());

  for (guint i = 0; i < due->len; i++)
    {
      /* A callback of one may have ended another. */
      QmpCall *call = qmp_pending_find (self, g_array_index (due, guint64, i));

      if (call != NULL && call->task != NULL)
        give_up (self, call,
                 g_error_new (QMP_ERROR, QMP_ERROR_TIMEOUT,
                              "%s: no answer within %u ms; it may still take effect",
                              call->command, call->deadline_ms));
    }
  return G_SOURCE_CONTINUE;
}

typedef struct
{
  QmpPending *pending;
  QmpCall    *call;
} Cancellation;

static gboolean
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  Cancellation *cancellation = user_data;
  QmpCall *call = cancellation->call;
  g_autoptr (GObject) hold = g_object_ref (cancellation->pending->owner);

  give_up (cancellation->pending, call,
           g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                        "%s: cancelled; it may still take effect", call->command));
  return G_SOURCE_REMOVE;
}

static void
watch_cancellable (QmpPending   *self,
                   QmpCall      *call,
                   GCancellable *cancellable)
{
  Cancellation *cancellation = g_new (Cancellation, 1);

  cancellation->pending = self;
  cancellation->call = call;
  call->cancelled = g_cancellable_source_new (cancellable);
  g_source_set_callback (call->cancelled, G_SOURCE_FUNC (on_cancelled), cancellation, g_free);
  g_source_attach (call->cancelled, self->context);
}

/* --- what the client calls --- */

/**
 * qmp_pending_new:
 * @owner: the object that owns what is returned, and that all tasks belong to
 * @given_up: called for each call that ends at its deadline or by cancellation
 *
 * Returns: (transfer full): no calls yet; its callbacks come from the thread's default main context
 */
QmpPending *
qmp_pending_new (gpointer          owner,
                 QmpPendingGivenUp given_up)
{
  QmpPending *self = g_new0 (QmpPending, 1);

  self->owner = owner;
  self->given_up = given_up;
  self->calls = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL,
                                       (GDestroyNotify) qmp_call_free);
  self->context = g_main_context_ref_thread_default ();
  self->timer = g_source_new (&timer_funcs, sizeof (GSource));
  g_source_set_callback (self->timer, on_timer, self, NULL);
  g_source_attach (self->timer, self->context);

  return self;
}

/**
 * qmp_pending_free:
 * @self: pending calls, none of them awaited
 */
void
qmp_pending_free (QmpPending *self)
{
  clear_source (&self->timer);
  g_hash_table_unref (self->calls);
  g_main_context_unref (self->context);
  g_free (self);
}

/**
 * qmp_pending_add:
 * @self: pending calls
 * @call: (transfer full): a call that was sent
 *
 * Lets its deadline run from now.
 */
void
qmp_pending_add (QmpPending *self,
                 QmpCall    *call)
{
  GCancellable *cancellable = g_task_get_cancellable (call->task);

  g_hash_table_add (self->calls, call);
  if (call->deadline_ms > 0)
    {
      call->expiry = g_get_monotonic_time () + (gint64) call->deadline_ms * 1000;
      expect_expiry (self, call->expiry);
    }
  if (cancellable != NULL)
    watch_cancellable (self, call, cancellable);
}

/**
 * qmp_pending_find:
 * @self: pending calls
 * @id: an id
 *
 * Returns: (nullable) (transfer none): the call that has not been answered yet; its task is %NULL
 *   when nobody waits for it any more
 */
QmpCall *
qmp_pending_find (QmpPending *self,
                  guint64     id)
{
  return g_hash_table_lookup (self->calls, &id);
}

/**
 * qmp_pending_forget:
 * @self: pending calls
 * @call: a call without a task, whose answer has come
 */
void
qmp_pending_forget (QmpPending *self,
                    QmpCall    *call)
{
  g_assert (call->task == NULL);
  g_hash_table_remove (self->calls, call);
}

/**
 * qmp_pending_finish:
 * @self: pending calls
 * @call: the call that was answered
 * @value: (nullable) (transfer full): what was returned
 * @error: (nullable) (transfer full): the refusal; exactly one of the two
 */
void
qmp_pending_finish (QmpPending *self,
                    QmpCall    *call,
                    JsonNode   *value,
                    GError     *error)
{
  g_autoptr (GTask) task = g_steal_pointer (&call->task);

  qmp_pending_forget (self, call);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, value, (GDestroyNotify) json_node_unref);
}

static gint
compare_ids (gconstpointer a,
             gconstpointer b)
{
  const QmpCall *first = *(QmpCall *const *) a;
  const QmpCall *second = *(QmpCall *const *) b;

  return first->id < second->id ? -1 : first->id > second->id;
}

/**
 * qmp_pending_fail_all:
 * @self: pending calls
 * @reason: why the link has dropped
 *
 * Ends all calls, in the order in which they were sent.
 */
void
qmp_pending_fail_all (QmpPending   *self,
                      const GError *reason)
{
  g_autoptr (GPtrArray) calls =
    g_ptr_array_new_with_free_func ((GDestroyNotify) qmp_call_free);
  GHashTableIter iter;
  gpointer call;

  g_hash_table_iter_init (&iter, self->calls);
  while (g_hash_table_iter_next (&iter, NULL, &call))
    {
      g_hash_table_iter_steal (&iter);
      g_ptr_array_add (calls, call);
    }
  g_ptr_array_sort (calls, compare_ids);

  for (guint i = 0; i < calls->len; i++)
    {
      QmpCall *each = calls->pdata[i];

      if (each->task != NULL)
        g_task_return_new_error (each->task, QMP_ERROR, QMP_ERROR_LINK,
                                 "%s: the link dropped before the answer: %s", each->command,
                                 reason->message);
    }
}
