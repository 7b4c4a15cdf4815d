/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to find out which layers need not be sent again. */

#include "known-images.h"

#include <core/error.h>

#include "image-records.h"

/* An image that might hold a layer, or that a disk came from; asked after in the store. */
typedef struct
{
  char       *layer_key;        /* (nullable): NULL for an image_ref */
  char       *disk;             /* of an image_ref */
  gboolean    is_parent;        /* an image_ref that must be there */
  KnownImage *image;
} Candidate;

typedef struct
{
  Operations *operations;
  GPtrArray  *candidates;       /* of Candidate, newest first */
  guint       next;
  KnownImages *known;
} Search;

/**
 * known_images_free:
 * @self: (nullable): what a store has
 */
void
known_images_free (KnownImages *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->layers);
  g_hash_table_unref (self->bases);
  g_free (self);
}

static KnownImages *
known_images_new (void)
{
  KnownImages *self = g_new0 (KnownImages, 1);

  self->layers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                        (GDestroyNotify) known_image_free);
  self->bases = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                       (GDestroyNotify) image_info_free);
  return self;
}

static void
candidate_free (Candidate *self)
{
  g_free (self->layer_key);
  g_free (self->disk);
  known_image_free (self->image);
  g_free (self);
}

static void
search_free (Search *self)
{
  g_object_unref (self->operations);
  g_ptr_array_unref (self->candidates);
  known_images_free (self->known);
  g_free (self);
}

static void
add_layer (Search *self, const char *layer_key, const KnownImage *image)
{
  Candidate *candidate = g_new0 (Candidate, 1);

  candidate->layer_key = g_strdup (layer_key);
  candidate->image = known_image_new (image->image_id, image->parent_image);
  g_ptr_array_add (self->candidates, candidate);
}

static void
add_reference (Search *self, Disk *disk, const SnapshotRequest *request)
{
  const char *reference = snapshot_request_image_ref (request, disk->name);
  Candidate *candidate;

  if (reference == NULL)
    return;
  candidate = g_new0 (Candidate, 1);
  candidate->disk = g_strdup (disk->name);
  candidate->is_parent = request->image == IMAGE_LAYER && disk->layers->len > 1;
  candidate->image = known_image_new (reference, NULL);
  g_ptr_array_add (self->candidates, candidate);
}

static gboolean
collect_layers (Search *self, Disk *disk, GError **error)
{
  const char *store = image_store_get_name (operations_get_store (self->operations));

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
        add_layer (self, key, g_ptr_array_index (images, j));
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
  if (candidate->is_parent && !is_there)
    {
      g_task_return_error (task, agent_error_new (AGENT_ERROR_CONFLICT,
                                                  "name an image that is there and active",
                                                  "image_ref: the store has no image %s",
                                                  candidate->image->image_id));
      return;
    }
  if (candidate->layer_key == NULL && is_there)
    g_hash_table_insert (self->known->bases, g_strdup (candidate->disk), g_steal_pointer (&info));
  else if (is_there && !g_hash_table_contains (self->known->layers, candidate->layer_key))
    g_hash_table_insert (self->known->layers, g_strdup (candidate->layer_key),
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
                             (GDestroyNotify) known_images_free);
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
  self->known = known_images_new ();
  g_task_set_task_data (task, self, (GDestroyNotify) search_free);

  for (guint i = 0; request->image != IMAGE_NONE && i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      add_reference (self, disk, request);
      if (request->image == IMAGE_LAYER && !collect_layers (self, disk, &error))
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
 * @error: return location: AGENT_ERROR_CONFLICT for a parent that is not in the store; what the
 *   store
 *   says
 *
 * Returns: (transfer full): what the store has
 */
KnownImages *
known_images_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
