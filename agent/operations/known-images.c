/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to find out which layers need not be sent again. */

#include "known-images.h"

#include <core/error.h>

#include "image-records.h"
#include "image-removal.h"

/* An image that might hold a layer. */
typedef struct
{
  char  *layer_key;
  char  *image_id;
  char **parents;               /* ids, nearest first */
} Candidate;

/* An image that a disk came from, by the caller's word. */
typedef struct
{
  char *disk;
  char *image_id;
} Reference;

typedef struct
{
  Operations *operations;
  GPtrArray  *candidates;       /* of Candidate, newest first */
  GPtrArray  *references;       /* of Reference */
  GPtrArray  *spent;            /* of char *: layers that need no image */
  GPtrArray  *questions;        /* of char *: ids to ask the store for, each once */
  guint       next;
  GHashTable *answers;          /* id -> ImageInfo: those that are there and active */
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
  g_free (self->image_id);
  g_strfreev (self->parents);
  g_free (self);
}

static void
reference_free (Reference *self)
{
  g_free (self->disk);
  g_free (self->image_id);
  g_free (self);
}

static void
search_free (Search *self)
{
  g_object_unref (self->operations);
  g_ptr_array_unref (self->candidates);
  g_ptr_array_unref (self->references);
  g_ptr_array_unref (self->spent);
  g_ptr_array_unref (self->questions);
  g_hash_table_unref (self->answers);
  g_free (self);
}

static void
add_question (Search *self, const char *id)
{
  if (!g_ptr_array_find_with_equal_func (self->questions, id, g_str_equal, NULL))
    g_ptr_array_add (self->questions, g_strdup (id));
}

static gboolean
add_candidate (Search *self, const char *layer_key, const char *image_id, GError **error)
{
  Candidate *candidate = g_new0 (Candidate, 1);

  g_ptr_array_add (self->candidates, candidate);
  candidate->layer_key = g_strdup (layer_key);
  candidate->image_id = g_strdup (image_id);
  candidate->parents = image_records_parents (operations_get_journal (self->operations), image_id,
                                              error);
  add_question (self, image_id);
  for (guint i = 0; candidate->parents != NULL && candidate->parents[i] != NULL; i++)
    add_question (self, candidate->parents[i]);
  return candidate->parents != NULL;
}

static void
add_reference (Search *self, Disk *disk, const SnapshotRequest *request)
{
  const char *id = snapshot_request_image_ref (request, disk->name);
  Reference *reference;

  if (id == NULL)
    return;
  reference = g_new0 (Reference, 1);
  reference->disk = g_strdup (disk->name);
  reference->image_id = g_strdup (id);
  g_ptr_array_add (self->references, reference);
  add_question (self, id);
}

/* What a guest writes to is what no image holds; of a file that shows. */
static gboolean
forget_active (Search *self, Disk *disk, GError **error)
{
  const Layer *active = disk_get_active (disk);

  return active == NULL || !active->known || !active->facts.block_device
         || image_records_forget_layer (operations_get_journal (self->operations),
                                        (gint64) active->facts.dev, (gint64) active->facts.ino,
                                        error);
}

static gboolean
collect_layers (Search *self, Disk *disk, GError **error)
{
  const char *store = image_store_get_name (operations_get_store (self->operations));

  for (guint i = 1; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      g_autofree char *key = upload_layer_key (layer->facts.dev, layer->facts.ino);
      g_auto (GStrv) ids = NULL;
      gboolean spent;

      if (!layer->known)
        continue;
      if (!image_records_is_spent (operations_get_journal (self->operations), store,
                                   &layer->facts, &spent, error))
        return FALSE;
      if (spent)
        g_ptr_array_add (self->spent, g_strdup (key));
      ids = image_records_of_layer (operations_get_journal (self->operations), store,
                                    &layer->facts, error);
      if (ids == NULL)
        return FALSE;
      for (guint j = 0; ids[j] != NULL; j++)
        {
          if (!add_candidate (self, key, ids[j], error))
            return FALSE;
        }
    }
  return TRUE;
}

/* The image with as many of its parents as the store has. One more over it might have too many to
 * be followed to their end: then it fits nowhere. */
static KnownImage *
know_image (Search *self, const Candidate *candidate)
{
  guint n = 0;
  g_auto (GStrv) there = NULL;
  gboolean whole;

  if (g_strv_length (candidate->parents) == IMAGE_PARENTS_MAX)
    return known_image_new (candidate->image_id, NULL, FALSE);
  there = g_strdupv (candidate->parents);
  while (there[n] != NULL && g_hash_table_contains (self->answers, there[n]))
    n++;
  whole = there[n] == NULL;
  for (guint i = n; there[i] != NULL; i++)
    g_clear_pointer (&there[i], g_free);
  return known_image_new (candidate->image_id, (const char *const *) there, whole);
}

static KnownImages *
conclude (Search *self)
{
  g_autoptr (KnownImages) known = known_images_new ();

  for (guint i = 0; i < self->questions->len; i++)
    {
      const char *id = g_ptr_array_index (self->questions, i);

      if (image_removal_has_begun (self->operations, id))
        g_hash_table_remove (self->answers, id);
    }
  for (guint i = 0; i < self->references->len; i++)
    {
      const Reference *reference = g_ptr_array_index (self->references, i);
      const ImageInfo *info = g_hash_table_lookup (self->answers, reference->image_id);

      if (info != NULL)
        g_hash_table_insert (known->bases, g_strdup (reference->disk), image_info_copy (info));
    }
  for (guint i = 0; i < self->candidates->len; i++)
    {
      const Candidate *candidate = g_ptr_array_index (self->candidates, i);

      if (g_hash_table_contains (self->answers, candidate->image_id)
          && !g_hash_table_contains (known->layers, candidate->layer_key))
        g_hash_table_insert (known->layers, g_strdup (candidate->layer_key),
                             know_image (self, candidate));
    }
  for (guint i = 0; i < self->spent->len; i++)
    {
      const char *key = g_ptr_array_index (self->spent, i);

      if (!g_hash_table_contains (known->layers, key))
        g_hash_table_insert (known->layers, g_strdup (key), known_image_new (NULL, NULL, FALSE));
    }
  return g_steal_pointer (&known);
}

static void ask_store (GTask *task);

static void
on_image (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Search *self = g_task_get_task_data (task);
  const char *id = g_ptr_array_index (self->questions, self->next);
  g_autoptr (ImageInfo) info = NULL;
  g_autoptr (GError) error = NULL;

  info = image_store_get_finish (AGENT_IMAGE_STORE (source), result, &error);
  if (info == NULL && !g_error_matches (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND))
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }
  if (info != NULL && g_strcmp0 (info->status, "active") == 0)
    g_hash_table_insert (self->answers, g_strdup (id), g_steal_pointer (&info));
  self->next++;
  ask_store (task);
}

static void
ask_store (GTask *task)
{
  Search *self = g_task_get_task_data (task);

  if (self->next < self->questions->len)
    image_store_get_async (operations_get_store (self->operations),
                           g_ptr_array_index (self->questions, self->next),
                           g_task_get_cancellable (task), on_image, g_object_ref (task));
  else
    g_task_return_pointer (task, conclude (self), (GDestroyNotify) known_images_free);
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
  self->references = g_ptr_array_new_with_free_func ((GDestroyNotify) reference_free);
  self->spent = g_ptr_array_new_with_free_func (g_free);
  self->questions = g_ptr_array_new_with_free_func (g_free);
  self->answers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify) image_info_free);
  g_task_set_task_data (task, self, (GDestroyNotify) search_free);

  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      if (request->image != IMAGE_NONE)
        add_reference (self, disk, request);
      if (!forget_active (self, disk, &error)
          || (request->image == IMAGE_LAYER && !collect_layers (self, disk, &error)))
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
 * @error: return location: what the store, or the journal, says
 *
 * Returns: (transfer full): what the store has
 */
KnownImages *
known_images_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
