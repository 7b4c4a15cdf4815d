/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to wait for an operation's end. */

#include "operation-private.h"

typedef struct
{
  gulong   changed;
  GSource *timeout;
  GSource *cancelled;           /* (nullable) */
} Wait;

static void
drop_source (GSource **source)
{
  if (*source == NULL)
    return;

  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

/* Whatever ends the wait ends the other two; each of them holds the task. */
static void
end_wait (GTask  *task,
          GError *error)
{
  g_autoptr (GTask) held = g_object_ref (task);
  Wait *wait = g_task_get_task_data (task);

  g_signal_handler_disconnect (g_task_get_source_object (task), wait->changed);
  drop_source (&wait->timeout);
  drop_source (&wait->cancelled);

  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

static void
on_changed (Operation *self,
            gpointer   user_data)
{
  if (operation_is_finished (self))
    end_wait (user_data, NULL);
}

static gboolean
on_timeout (gpointer user_data)
{
  end_wait (user_data, NULL);

  return G_SOURCE_REMOVE;
}

static gboolean
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  end_wait (user_data, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                            "the wait was cancelled"));

  return G_SOURCE_REMOVE;
}

static void
unref_closure (gpointer  data,
               GClosure *closure)
{
  g_object_unref (data);
}

static GSource *
attach (GSource     *source,
        GSourceFunc  func,
        GTask       *task)
{
  g_source_set_callback (source, func, g_object_ref (task), g_object_unref);
  g_source_attach (source, g_task_get_context (task));

  return source;
}

/**
 * operation_wait_async:
 * @self: the operation
 * @seconds: how long at most; 0 does not wait at all
 * @cancellable: (nullable): ends the wait, not the operation
 * @callback: called when the operation has finished or the time is over, whichever is first
 * @user_data: handed to @callback
 */
void
operation_wait_async (Operation           *self,
                      guint                seconds,
                      GCancellable        *cancellable,
                      GAsyncReadyCallback  callback,
                      gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Wait *wait;

  if (g_task_return_error_if_cancelled (task))
    return;

  if (operation_is_finished (self) || seconds == 0)
    {
      g_task_return_boolean (task, TRUE);
      return;
    }

  wait = g_new0 (Wait, 1);
  g_task_set_task_data (task, wait, g_free);
  wait->changed = g_signal_connect_data (self, "changed", G_CALLBACK (on_changed),
                                         g_object_ref (task), unref_closure, 0);
  wait->timeout = attach (g_timeout_source_new_seconds (seconds), on_timeout, task);

  if (cancellable != NULL)
    wait->cancelled = attach (g_cancellable_source_new (cancellable),
                              G_SOURCE_FUNC (on_cancelled), task);
}

/**
 * operation_wait_finish:
 * @self: the operation
 * @result: what the callback was given
 * @error: return location
 *
 * Returns: %TRUE when the operation has finished or the time is over: operation_is_finished() tells
 *   which; %FALSE with G_IO_ERROR_CANCELLED
 */
gboolean
operation_wait_finish (Operation     *self,
                       GAsyncResult  *result,
                       GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
