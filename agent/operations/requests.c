/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what can be asked of a guest's disks; what is asked is done by the files beside it. */

#include <operations/disks.h>
#include <operations/operations.h>

#include "known-disks.h"
#include "prepare-check.h"
#include "snapshot.h"

/**
 * operations_snapshot_async:
 * @self: the operations
 * @guest: the guest
 * @request: the request's body
 * @idempotency_key: (nullable): a repeat with the same key gives the same operation
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Takes a point of the guest's disks, and uploads the frozen layers when that is asked for.
 */
void
operations_snapshot_async (Operations *self, Guest *guest, JsonObject *request,
                           const char *idempotency_key, GCancellable *cancellable,
                           GAsyncReadyCallback callback, gpointer user_data)
{
  snapshot_prepare_async (self, guest, REQUEST_SNAPSHOT, request, idempotency_key, cancellable,
                          callback, user_data);
}

/**
 * operations_snapshot_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR INVALID, NOT_FOUND, CONFLICT, UNAVAILABLE, TIMEOUT, GUEST or
 *   STORE;
 *   nothing has been touched then
 *
 * Returns: (transfer full): the operation, running
 */
Operation *
operations_snapshot_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return snapshot_prepare_finish (result, error);
}

/**
 * operations_image_async:
 * @self: the operations
 * @guest: the guest
 * @request: the request's body
 * @idempotency_key: (nullable): a repeat with the same key gives the same operation
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Takes a full image: of the guest's first disk, or of those that the request names.
 */
void
operations_image_async (Operations *self, Guest *guest, JsonObject *request,
                        const char *idempotency_key, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  snapshot_prepare_async (self, guest, REQUEST_IMAGE, request, idempotency_key, cancellable,
                          callback, user_data);
}

/**
 * operations_image_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: as operations_snapshot_finish()
 *
 * Returns: (transfer full): the operation, running
 */
Operation *
operations_image_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return snapshot_prepare_finish (result, error);
}

static void
on_disks (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (Inspection) inspection = NULL;
  JsonArray *list;
  JsonNode *node;
  GError *error = NULL;

  inspection = known_disks_inspect_finish (result, &error);
  if (inspection == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  list = json_array_new ();
  for (guint i = 0; i < inspection->disks->len; i++)
    json_array_add_element (list, disk_to_json (g_ptr_array_index (inspection->disks, i)));
  node = json_node_new (JSON_NODE_ARRAY);
  json_node_take_array (node, list);
  g_task_return_pointer (task, node, (GDestroyNotify) json_node_unref);
}

/**
 * operations_disks_async:
 * @self: the operations
 * @guest: the guest
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Looks at the guest's disks as they are now.
 */
void
operations_disks_async (Operations *self, Guest *guest, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  known_disks_inspect_async (self, guest, cancellable, on_disks,
                             g_task_new (self, cancellable, callback, user_data));
}

/**
 * operations_disks_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT or GUEST
 *
 * Returns: (transfer full): a list of disks, each with its layers, top first
 */
JsonNode *
operations_disks_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * operations_detach:
 * @self: the operations
 * @guest: a guest
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether the guest is let go of
 */
gboolean
operations_detach (Operations *self, Guest *guest, GError **error)
{
  return prepare_check_idle (self, guest, error)
         && guest_registry_detach (operations_get_guests (self), guest, error);
}
