/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to find out which layers need not be sent again. */

#include "known-images.h"

#include <core/error.h>

#include "image-records.h"

/* An image that might hold a layer; asked after in the store. */
typedef struct
{
  char       *layer_key;        /* (nullable): NULL for an image_ref, which must be there */
  KnownImage *image;
} Candidate;

typedef struct
{
  Operations *operations;
  GPtrArray  *candidates;       /* of Candidate, newest first */
  guint       next;
  GHashTable *known;
} Search;

static void
candidate_free (Candidate *self)
{
  g_free (self->layer_key);
  known_image_free (self->image);
  g_free (self);
}

static void
search_free (Search *self)
{
  g_object_unref (self->operations);
  g_ptr_array_unref (self->candidates);
  g_clear_pointer (&self->known, g_hash_table_unref);
  g_free (self);
}

static void
add_candidate (Search *self, const char *layer_key, KnownImage *image)
{
  Candidate *candidate = g_new0 (Candidate, 1);

  candidate->layer_key = g_strdup (layer_key);
  candidate->image = image;
  g_ptr_array_add (self->candidates, candidate);
}

static gboolean
collect_candidates (Search *self, Disk *disk, const char *reference, GError **error)
{
  const char *store = image_store_get_name (operations_get_store (self->operations));

  if (reference != NULL && disk->layers->len > 1)
    add_candidate (self, NULL, known_image_new (reference, NULL));
  for (guint i = 1; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      g_autofree char *key = upload_layer_key (layer->facts.dev, layer->facts.ino);
      g_autoptr (GPtrArray) images = NULL;

      if (!layer->known)
        continue;
      images = image_records_of_layer (operations_get_journal (self->operations), store,
                                       &layer->facts, error);
      if (images == NULL)
        return FALSE;
      for (guint j = 0; j < images->len; j++)
        {
          const KnownImage *image = g_ptr_array_index (images, j);

          add_candidate (self, key, known_image_new (image->image_id, image->parent_image));
        }
    }
  return TRUE;
}

static void ask_store (GTask *task);

static void
on_image (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Search *self = g_task_get_task_data (task);
  Candidate *candidate = g_ptr_array_index (self->candidates, self->next);
  g_autoptr (ImageInfo) info = NULL;
  g_autoptr (GError) error = NULL;
  gboolean is_there;

  info = image_store_get_finish (AGENT_IMAGE_STORE (source), result, &error);
  if (info == NULL && !g_error_matches (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND))
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }
  is_there = info != NULL && g_strcmp0 (info->status, "active") == 0;
  if (candidate->layer_key == NULL && !is_there)
    {
      g_task_return_error (task, agent_error_new (AGENT_ERROR_CONFLICT,
                                                  "name an image that is there and active",
                                                  "image_ref: the store has no image %s",
                                                  candidate->image->image_id));
      return;
    }
  if (candidate->layer_key != NULL && is_there
      && !g_hash_table_contains (self->known, candidate->layer_key))
    g_hash_table_insert (self->known, g_strdup (candidate->layer_key),
                         g_steal_pointer (&candidate->image));
  self->next++;
  ask_store (task);
}

static void
ask_store (GTask *task)
{
  Search *self = g_task_get_task_data (task);
  Candidate *candidate;

  if (self->next == self->candidates->len)
    {
      g_task_return_pointer (task, g_steal_pointer (&self->known),
                             (GDestroyNotify) g_hash_table_unref);
      return;
    }
  candidate = g_ptr_array_index (self->candidates, self->next);
  image_store_get_async (operations_get_store (self->operations), candidate->image->image_id,
                         g_task_get_cancellable (task), on_image, g_object_ref (task));
}

/**
 * known_images_async:
 * @operations: the operations
 * @disks: (element-type Disk): the disks of a point to come
 * @request: the request for it
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 */
void
known_images_async (Operations *operations, GPtrArray *disks, const SnapshotRequest *request,
                    GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Search *self = g_new0 (Search, 1);
  GError *error = NULL;

  self->operations = g_object_ref (operations);
  self->candidates = g_ptr_array_new_with_free_func ((GDestroyNotify) candidate_free);
  self->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                       (GDestroyNotify) known_image_free);
  g_task_set_task_data (task, self, (GDestroyNotify) search_free);

  for (guint i = 0; request->upload && i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      if (!collect_candidates (self, disk, snapshot_request_image_ref (request, disk->name),
                               &error))
        {
          g_task_return_error (task, error);
          return;
        }
    }
  ask_store (task);
}

/**
 * known_images_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR_CONFLICT for an image_ref that is not in the store; what the
 *   store says
 *
 * Returns: (transfer full): what the store has
 */
GHashTable *
known_images_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
