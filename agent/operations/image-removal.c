/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when an image may be deleted: nobody that we know of needs it. */

#include <operations/operations.h>

#include <core/error.h>

#include "backup.h"
#include "chain/restore.h"
#include "image-records.h"
#include "image-removal.h"

/* On the operations: ids of images. One is never given to another image. */
#define REMOVED "qsnapd-removed-images"

typedef struct
{
  char    *id;
  gboolean force;
} Removal;

static void
removal_free (Removal *self)
{
  g_free (self->id);
  g_free (self);
}

/**
 * image_removal_begin:
 * @self: the operations
 * @id: an image that the store is about to be told to delete
 */
void
image_removal_begin (Operations *self, const char *id)
{
  GHashTable *removed = g_object_get_data (G_OBJECT (self), REMOVED);

  if (removed == NULL)
    {
      removed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
      g_object_set_data_full (G_OBJECT (self), REMOVED, removed,
                              (GDestroyNotify) g_hash_table_unref);
    }
  g_hash_table_add (removed, g_strdup (id));
}

/**
 * image_removal_end:
 * @self: the operations
 * @id: that image
 * @error: (nullable): what the store said
 *
 * Where no answer came it may be deleted yet.
 */
void
image_removal_end (Operations *self, const char *id, const GError *error)
{
  if (error != NULL && error->domain == AGENT_ERROR
      && error->code != AGENT_ERROR_UNAVAILABLE && error->code != AGENT_ERROR_TIMEOUT)
    g_hash_table_remove (g_object_get_data (G_OBJECT (self), REMOVED), id);
}

/**
 * image_removal_has_begun:
 * @self: the operations
 * @id: an image
 *
 * Returns: whether it is, or is being, deleted by us
 */
gboolean
image_removal_has_begun (Operations *self, const char *id)
{
  GHashTable *removed = g_object_get_data (G_OBJECT (self), REMOVED);

  return removed != NULL && g_hash_table_contains (removed, id);
}

static gboolean
uploads_need (JsonObject *plan, const char *id)
{
  g_autoptr (Backup) job = backup_new ();

  if (!backup_load_plan (job, plan, NULL))
    return FALSE;
  for (guint i = 0; i < job->uploads->len; i++)
    {
      const UploadPlan *upload = g_ptr_array_index (job->uploads, i);

      if (g_strcmp0 (upload->image_id, id) == 0 || g_strcmp0 (upload->parent_image, id) == 0)
        return TRUE;
    }
  return FALSE;
}

static gboolean
restore_needs (JsonObject *plan, const char *id)
{
  JsonNode *node = json_object_get_member (plan, "restore");
  g_autoptr (Restore) restore = node != NULL ? restore_from_json (node, NULL) : NULL;

  if (restore == NULL)
    return FALSE;
  for (guint i = 0; i < restore->images->len; i++)
    {
      const RestoreImage *image = g_ptr_array_index (restore->images, i);

      if (g_strcmp0 (image->image_id, id) == 0)
        return TRUE;
    }
  return g_strcmp0 (restore->image_id, id) == 0;
}

/**
 * image_removal_find_user:
 * @self: the operations
 * @id: an image's id
 *
 * Returns: (transfer none) (nullable): the open operation that writes the image, reads it, or
 *   counts on it
 */
Operation *
image_removal_find_user (Operations *self, const char *id)
{
  g_autoptr (GPtrArray) list = engine_list (operations_get_engine (self), NULL);

  for (guint i = 0; i < list->len; i++)
    {
      Operation *operation = g_ptr_array_index (list, i);
      JsonObject *plan = operation_get_plan (operation);

      if (!operation_is_finished (operation)
          && (uploads_need (plan, id) || restore_needs (plan, id)))
        return operation;
    }
  return NULL;
}

static gboolean
check_unneeded (Operations *self, const Removal *removal, GError **error)
{
  Operation *user = image_removal_find_user (self, removal->id);
  g_auto (GStrv) children = NULL;

  if (user != NULL)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "wait for it, or cancel it first",
                       "operation %s needs image %s", operation_get_id (user), removal->id);
      return FALSE;
    }
  children = image_records_children (operations_get_journal (self), removal->id, error);
  if (children == NULL)
    return FALSE;
  if (children[0] == NULL || removal->force)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "delete that one first, or force it",
                   "image %s cannot be restored without image %s", children[0], removal->id);
  return FALSE;
}

static void
on_image_removed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Operations *self = g_task_get_source_object (task);
  Removal *removal = g_task_get_task_data (task);
  GError *error = NULL;
  gboolean removed = image_store_remove_finish (AGENT_IMAGE_STORE (source), result, &error);

  image_removal_end (self, removal->id, error);
  if (removed
      && image_records_remove (operations_get_journal (self), removal->id, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_image_found (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Operations *self = g_task_get_source_object (task);
  Removal *removal = g_task_get_task_data (task);
  g_autoptr (ImageInfo) info = NULL;
  GError *error = NULL;

  info = image_store_get_finish (AGENT_IMAGE_STORE (source), result, &error);
  /* An operation may have come to need it while the store was asked. */
  if (info != NULL && check_unneeded (self, removal, &error))
    {
      image_removal_begin (self, removal->id);
      image_store_remove_async (operations_get_store (self), removal->id,
                                g_task_get_cancellable (task), on_image_removed,
                                g_object_ref (task));
      return;
    }
  /* What the store has lost is nothing to count on any more. */
  if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND))
    {
      g_autoptr (GError) unwritten = NULL;

      if (!image_records_remove (operations_get_journal (self), removal->id, &unwritten))
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
  Removal *removal = g_new0 (Removal, 1);
  GError *error = NULL;

  removal->id = g_strdup (id);
  removal->force = force;
  g_task_set_task_data (task, removal, (GDestroyNotify) removal_free);
  if (check_unneeded (self, removal, &error))
    image_store_get_async (operations_get_store (self), id, cancellable, on_image_found,
                           g_object_ref (task));
  else
    g_task_return_error (task, error);
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
