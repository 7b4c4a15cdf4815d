/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when a client can be given the id of an image: not before the store has its record. */

#include <operations/operations.h>

#include <core/error.h>

typedef struct
{
  Operation *operation;
  gulong     changed;
  GSource   *cancelled;         /* (nullable) */
} Wait;

static void
wait_end (Wait *self)
{
  g_clear_signal_handler (&self->changed, self->operation);
  if (self->cancelled != NULL)
    g_source_destroy (self->cancelled);
  g_clear_pointer (&self->cancelled, g_source_unref);
}

static void
wait_free (Wait *self)
{
  wait_end (self);
  g_object_unref (self->operation);
  g_free (self);
}

/* The first image of a point whose record is there; NULL while there is none. */
static const char *
find_image (Operation *operation)
{
  JsonNode *node = json_object_get_member (operation_get_result (operation), "images");
  JsonArray *images = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node)
                                                                   : NULL;

  for (guint i = 0; images != NULL && i < json_array_get_length (images); i++)
    {
      JsonObject *image = json_array_get_object_element (images, i);

      if (json_object_get_boolean_member_with_default (image, "is_point", FALSE))
        return json_object_get_string_member (image, "id");
    }
  return NULL;
}

/* TRUE when the task was given its answer. */
static gboolean
answer (GTask *task)
{
  Wait *self = g_task_get_task_data (task);
  const GError *error = operation_get_error (self->operation);
  const char *image = find_image (self->operation);

  /* One that has failed is going to delete what it has made. */
  if (error != NULL)
    g_task_return_error (task, g_error_copy (error));
  else if (image != NULL)
    g_task_return_pointer (task, g_strdup (image), g_free);
  else if (operation_is_finished (self->operation))
    g_task_return_error (task, agent_error_new (AGENT_ERROR_INTERNAL, NULL,
                                                "the operation has made no image"));
  else
    return FALSE;
  return TRUE;
}

static void
on_changed (Operation *operation, gpointer user_data)
{
  GTask *task = user_data;

  if (!answer (task))
    return;
  wait_end (g_task_get_task_data (task));
  g_object_unref (task);
}

static gboolean
on_cancelled (GCancellable *cancellable, gpointer user_data)
{
  GTask *task = user_data;

  wait_end (g_task_get_task_data (task));
  g_task_return_error_if_cancelled (task);
  g_object_unref (task);
  return G_SOURCE_REMOVE;
}

/**
 * operations_await_image_async:
 * @self: the operations
 * @operation: a snapshot or a full image
 * @cancellable: (nullable): ends the wait, not the operation
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Waits until the store has the records of the operation's images.
 */
void
operations_await_image_async (Operations *self, Operation *operation, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  Wait *wait = g_new0 (Wait, 1);

  wait->operation = g_object_ref (operation);
  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, wait, (GDestroyNotify) wait_free);
  if (g_task_return_error_if_cancelled (task) || answer (task))
    {
      g_object_unref (task);
      return;
    }
  wait->changed = g_signal_connect (operation, "changed", G_CALLBACK (on_changed), task);
  if (cancellable == NULL)
    return;
  wait->cancelled = g_cancellable_source_new (cancellable);
  g_source_set_callback (wait->cancelled, G_SOURCE_FUNC (on_cancelled), task, NULL);
  g_source_attach (wait->cancelled, g_main_context_get_thread_default ());
}

/**
 * operations_await_image_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: what the operation failed with; %G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full): the id of the first disk's image
 */
char *
operations_await_image_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
