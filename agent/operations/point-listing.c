/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a guest's points are listed, also of a guest that is gone: what QEMU shows of its disks
 * comes first, then what the headers of the files say. */

#include <operations/disks.h>

#include "inspect.h"
#include "known-disks.h"
#include "points-json.h"

typedef struct
{
  GPtrArray *points;            /* of Point */
  GPtrArray *remembered;        /* of KnownDisk: as the guest was last seen */
  LayerTree *tree;
} Listing;

static void
listing_free (Listing *self)
{
  g_clear_pointer (&self->points, g_ptr_array_unref);
  g_clear_pointer (&self->remembered, g_ptr_array_unref);
  layer_tree_free (self->tree);
  g_free (self);
}

static void
look_in_thread (GTask *look, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Listing *self = task_data;

  for (guint i = 0; !layer_tree_knows_use (self->tree) && i < self->remembered->len; i++)
    {
      const KnownDisk *disk = g_ptr_array_index (self->remembered, i);

      layer_tree_read (self->tree, disk->published, disk->format);
    }
  points_look (self->points, self->tree);
  for (guint i = 0; i < self->remembered->len; i++)
    {
      const KnownDisk *disk = g_ptr_array_index (self->remembered, i);
      FileFacts facts = { 0 };

      if (files_look (disk->published, &facts, NULL))
        layer_tree_use (self->tree, facts.dev, facts.ino);
    }
  g_task_return_boolean (look, TRUE);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Listing *self = g_task_get_task_data (task);

  g_task_return_pointer (task, points_to_json (self->points, self->tree),
                         (GDestroyNotify) json_node_unref);
}

static void
look_at_files (GTask *task)
{
  g_autoptr (GTask) look = g_task_new (NULL, NULL, on_looked, g_object_ref (task));

  g_task_set_task_data (look, g_task_get_task_data (task), NULL);
  g_task_run_in_thread (look, look_in_thread);
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Listing *self = g_task_get_task_data (task);
  g_autoptr (Inspection) inspection = inspect_finish (result, NULL);

  /* A guest that does not answer has its points nevertheless. */
  for (guint i = 0; inspection != NULL && i < inspection->disks->len; i++)
    layer_tree_add_disk (self->tree, g_ptr_array_index (inspection->disks, i));
  if (inspection != NULL)
    g_ptr_array_set_size (self->remembered, 0);
  look_at_files (task);
}

/**
 * operations_points_async:
 * @self: the operations
 * @guest: the guest
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Lists the guest's points, with what their layers are now.
 */
void
operations_points_async (Operations *self, Guest *guest, GCancellable *cancellable,
                         GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Journal *journal = operations_get_journal (self);
  Listing *listing = g_new0 (Listing, 1);
  GError *error = NULL;

  listing->tree = layer_tree_new ();
  g_task_set_task_data (task, listing, (GDestroyNotify) listing_free);
  listing->points = points_list (journal, guest_get_id (guest), &error);
  if (listing->points != NULL)
    listing->remembered = known_disks_load (journal, guest_get_id (guest), &error);
  if (listing->points == NULL || listing->remembered == NULL)
    g_task_return_error (task, error);
  else if (listing->points->len == 0)
    g_task_return_pointer (task, points_to_json (listing->points, listing->tree),
                           (GDestroyNotify) json_node_unref);
  else if (guest_get_client (guest) != NULL)
    inspect_async (guest, cancellable, on_inspected, g_object_ref (task));
  else
    look_at_files (task);
}

/**
 * operations_points_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): a list of the guest's points, oldest first
 */
JsonNode *
operations_points_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
