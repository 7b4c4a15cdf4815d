/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the tree of a guest's disks is looked at. */

#include <operations/disks.h>

#include "image-records.h"
#include "points-json.h"
#include "tree-json.h"

typedef struct
{
  Guest     *guest;
  ChainLook *look;
  LayerTree *tree;
} Tree;

static void
tree_free (Tree *self)
{
  g_object_unref (self->guest);
  g_clear_pointer (&self->look, chain_look_free);
  g_clear_pointer (&self->tree, layer_tree_free);
  g_free (self);
}

/* The records of the images that hold layers of the tree. */
static JsonArray *
tell_images (Operations *self, const Tree *tree, GError **error)
{
  const char *store = image_store_get_name (operations_get_store (self));
  g_autoptr (JsonArray) images = json_array_new ();

  for (guint i = 0; i < tree->look->inspection->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (tree->look->inspection->disks, i);
      g_autoptr (GPtrArray) files = tree_has_disk (disk)
        ? tree_files (tree->look, disk, tree->tree) : NULL;

      for (guint j = 0; files != NULL && j < files->len; j++)
        {
          const TreeFile *file = g_ptr_array_index (files, j);

          if (file->known && !image_records_tell (operations_get_journal (self), store, file->path,
                                                  &file->facts, images, error))
            return NULL;
        }
    }
  return g_steal_pointer (&images);
}

static void
on_looked_at_files (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Operations *self = g_task_get_source_object (task);
  Tree *tree = g_task_get_task_data (task);
  GError *error = NULL;
  JsonArray *images = tell_images (self, tree, &error);

  if (images == NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task,
                           tree_to_json (tree->look, guest_get_id (tree->guest), tree->tree,
                                         images),
                           (GDestroyNotify) json_node_unref);
}

static void
look_in_thread (GTask *looking, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Tree *tree = task_data;

  points_look (tree->look->points, tree->tree);
  g_task_return_boolean (looking, TRUE);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GTask) looking = NULL;
  Tree *tree = g_task_get_task_data (task);
  GError *error = NULL;

  tree->look = chain_look_finish (result, &error);
  if (tree->look == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  tree->tree = layer_tree_new ();
  for (guint i = 0; i < tree->look->inspection->disks->len; i++)
    layer_tree_add_disk (tree->tree, g_ptr_array_index (tree->look->inspection->disks, i));
  layer_tree_add_links (tree->tree, tree->look->links);
  looking = g_task_new (NULL, NULL, on_looked_at_files, g_object_ref (task));
  g_task_set_task_data (looking, tree, NULL);
  g_task_run_in_thread (looking, look_in_thread);
}

/**
 * operations_tree_async:
 * @self: the operations
 * @guest: the guest
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Looks at all layers of the guest's disks, at the branches beside their chains too.
 */
void
operations_tree_async (Operations *self, Guest *guest, GCancellable *cancellable,
                       GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  Tree *tree = g_new0 (Tree, 1);

  tree->guest = g_object_ref (guest);
  g_task_set_task_data (task, tree, (GDestroyNotify) tree_free);
  chain_look_async (self, guest, cancellable, on_looked, task);
}

/**
 * operations_tree_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT, GUEST, CONFLICT
 *
 * Returns: (transfer full): an object: "guest", "disks", "points", "images"
 */
JsonNode *
operations_tree_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
