/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what can be asked for; what is asked is done by the files beside it. */

#include <operations/operations.h>

#include <core/error.h>

#include "image-records.h"
#include "inspect.h"
#include "points.h"
#include "quick-backup.h"
#include "snapshot.h"

struct _Operations
{
  GObject        parent;

  const Config  *config;
  Journal       *journal;
  Engine        *engine;
  GuestRegistry *guests;
  ImageStore    *store;
  GHashTable    *preparing;     /* see operations_get_preparing() */
};

G_DEFINE_FINAL_TYPE (Operations, operations, G_TYPE_OBJECT)

static void
operations_dispose (GObject *object)
{
  Operations *self = AGENT_OPERATIONS (object);

  g_clear_object (&self->journal);
  g_clear_object (&self->engine);
  g_clear_object (&self->guests);
  g_clear_object (&self->store);
  g_clear_pointer (&self->preparing, g_hash_table_unref);
  G_OBJECT_CLASS (operations_parent_class)->dispose (object);
}

static void
operations_class_init (OperationsClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = operations_dispose;
}

static void
operations_init (Operations *self)
{
  self->preparing = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify) g_ptr_array_unref);
}

/**
 * operations_new:
 * @config: the configuration, which must outlive the result
 * @journal: the journal
 * @engine: the engine, which learns all workflows
 * @guests: the guests
 * @store: where images go
 *
 * Returns: (transfer full): the operations
 */
Operations *
operations_new (const Config *config, Journal *journal, Engine *engine, GuestRegistry *guests,
                ImageStore *store)
{
  Operations *self = g_object_new (TYPE_OPERATIONS, NULL);

  self->config = config;
  self->journal = g_object_ref (journal);
  self->engine = g_object_ref (engine);
  self->guests = g_object_ref (guests);
  self->store = g_object_ref (store);
  engine_register (engine, &quick_backup_workflow, self);
  return self;
}

const Config *
operations_get_config (Operations *self)
{
  return self->config;
}

Journal *
operations_get_journal (Operations *self)
{
  return self->journal;
}

Engine *
operations_get_engine (Operations *self)
{
  return self->engine;
}

GuestRegistry *
operations_get_guests (Operations *self)
{
  return self->guests;
}

ImageStore *
operations_get_store (Operations *self)
{
  return self->store;
}

/* The idempotency keys of requests that are being prepared, and the tasks of those who repeat them meanwhile. */
GHashTable *
operations_get_preparing (Operations *self)
{
  return self->preparing;
}

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
  snapshot_prepare_async (self, guest, request, idempotency_key, cancellable, callback, user_data);
}

/**
 * operations_snapshot_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR INVALID, NOT_FOUND, CONFLICT, UNAVAILABLE, TIMEOUT, GUEST or STORE;
 *   nothing has been touched then
 *
 * Returns: (transfer full): the operation, running
 */
Operation *
operations_snapshot_finish (Operations *self, GAsyncResult *result, GError **error)
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

  inspection = inspect_finish (result, &error);
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
  inspect_async (guest, cancellable, on_disks, g_task_new (self, cancellable, callback, user_data));
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
 * operations_points:
 * @self: the operations
 * @guest: the guest
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): a list of the guest's points, oldest first
 */
JsonNode *
operations_points (Operations *self, Guest *guest, GError **error)
{
  return points_to_json (self->journal, guest_get_id (guest), error);
}

static void
on_image_removed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Operations *self = g_task_get_source_object (task);
  GError *error = NULL;

  if (image_store_remove_finish (AGENT_IMAGE_STORE (source), result, &error)
      && image_records_remove (self->journal, g_task_get_task_data (task), &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* The running operation that plans to write the image; NULL when there is none. */
static Operation *
find_writer (Operations *self, const char *id)
{
  g_autoptr (GPtrArray) list = engine_list (self->engine, NULL);

  for (guint i = 0; i < list->len; i++)
    {
      Operation *operation = g_ptr_array_index (list, i);
      g_autoptr (QuickBackup) job = quick_backup_new ();

      if (operation_is_finished (operation)
          || !quick_backup_load_plan (job, operation_get_plan (operation), NULL))
        continue;
      for (guint j = 0; j < job->uploads->len; j++)
        {
          const UploadPlan *upload = g_ptr_array_index (job->uploads, j);

          if (g_strcmp0 (upload->image_id, id) == 0 || g_strcmp0 (upload->parent_image, id) == 0)
            return operation;
        }
    }
  return NULL;
}

static void
on_image_found (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Operations *self = g_task_get_source_object (task);
  const char *id = g_task_get_task_data (task);
  g_autoptr (ImageInfo) info = NULL;
  GError *error = NULL;

  info = image_store_get_finish (AGENT_IMAGE_STORE (source), result, &error);
  if (info != NULL)
    {
      image_store_remove_async (self->store, id, g_task_get_cancellable (task), on_image_removed,
                                g_object_ref (task));
      return;
    }
  /* What the store has lost is nothing to count on any more. */
  if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND))
    {
      g_autoptr (GError) unwritten = NULL;

      if (!image_records_remove (self->journal, id, &unwritten))
        g_prefix_error (&error, "%s; ", unwritten->message);
    }
  g_task_return_error (task, error);
}

/**
 * operations_remove_image_async:
 * @self: the operations
 * @id: the image's id
 * @force: although layers need it as their parent
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Deletes an image, unless a running operation or an image that we know of needs it.
 */
void
operations_remove_image_async (Operations *self, const char *id, gboolean force,
                               GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_auto (GStrv) children = NULL;
  GError *error = NULL;
  Operation *writer = find_writer (self, id);

  g_task_set_task_data (task, g_strdup (id), g_free);
  if (writer != NULL)
    {
      g_task_return_error (task, agent_error_new (AGENT_ERROR_CONFLICT,
                                                  "wait for it, or cancel it first",
                                                  "operation %s needs image %s",
                                                  operation_get_id (writer), id));
      return;
    }
  children = image_records_children (self->journal, id, &error);
  if (children == NULL)
    g_task_return_error (task, error);
  else if (children[0] != NULL && !force)
    g_task_return_error (task, agent_error_new (AGENT_ERROR_CONFLICT,
                                                "delete that one first, or force it",
                                                "image %s cannot be restored without image %s",
                                                children[0], id));
  else
    image_store_get_async (self->store, id, cancellable, on_image_found, g_object_ref (task));
}

/**
 * operations_remove_image_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR NOT_FOUND, CONFLICT, or what the store says
 *
 * Returns: whether the image is gone
 */
gboolean
operations_remove_image_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
