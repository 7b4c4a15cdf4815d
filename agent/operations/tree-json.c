/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what belongs to the tree of a guest's disks, and how it looks in JSON: pure functions. */

#include "tree-json.h"

#include <disk/names.h>
#include <string.h>

#include "document.h"
#include "points-json.h"

static void
tree_file_free (TreeFile *self)
{
  g_free (self->path);
  g_free (self->format);
  g_free (self->backing);
  g_free (self);
}

/* --- what belongs to it --- */

static TreeFile *
find_file (GPtrArray *files, guint64 dev, guint64 ino)
{
  for (guint i = 0; i < files->len; i++)
    {
      TreeFile *file = g_ptr_array_index (files, i);

      if (file->known && file_facts_are (&file->facts, (gint64) dev, (gint64) ino))
        return file;
    }
  return NULL;
}

static void
add_layer (GPtrArray *files, Disk *disk, guint index)
{
  const Layer *layer = g_ptr_array_index (disk->layers, index);
  const Layer *below = index + 1 < disk->layers->len
    ? g_ptr_array_index (disk->layers, index + 1) : NULL;
  TreeFile *file = g_new0 (TreeFile, 1);

  g_ptr_array_add (files, file);
  file->path = g_strdup (layer->path);
  file->format = g_strdup (layer->format);
  file->virtual_size = layer->virtual_size;
  file->allocated = layer->known ? (gint64) layer->facts.allocated : layer->allocated;
  file->backing = below != NULL ? g_strdup (below->path) : NULL;
  file->known = layer->known;
  file->facts = layer->facts;
  file->in_chain = TRUE;
  file->active = index == 0;
}

static void
add_link (GPtrArray *files, const ImageLink *link)
{
  TreeFile *file;

  if (find_file (files, link->facts.dev, link->facts.ino) != NULL)
    return;
  file = g_new0 (TreeFile, 1);
  g_ptr_array_add (files, file);
  file->path = g_strdup (link->path);
  file->format = g_strdup (link->format);
  file->virtual_size = link->virtual_size;
  file->allocated = (gint64) link->facts.allocated;
  file->backing = g_strdup (link->backing);
  file->known = TRUE;
  file->facts = link->facts;
}

static gboolean
has_point (const ChainLook *look, const char *disk, const char *path, const FileFacts *facts)
{
  for (guint i = 0; i < look->points->len; i++)
    {
      const Point *point = g_ptr_array_index (look->points, i);

      for (guint j = 0; j < point->disks->len; j++)
        {
          const PointDisk *own = g_ptr_array_index (point->disks, j);

          if (strcmp (own->disk, disk) == 0 && point_disk_is_in (own, path, facts))
            return TRUE;
        }
    }
  return FALSE;
}

static gboolean
is_named_after (const ImageLink *link, const Disk *disk)
{
  g_autofree char *published = NULL;

  return names_split_layer (link->path, &published, NULL)
         && g_strcmp0 (published, disk->published) == 0;
}

static gint
compare_paths (gconstpointer a, gconstpointer b)
{
  const TreeFile *left = *(TreeFile *const *) a, *right = *(TreeFile *const *) b;

  if (left->in_chain || right->in_chain)
    return (gint) right->in_chain - (gint) left->in_chain;
  return strcmp (left->path, right->path);
}

/* Whoever stands on a file that others have too may be anybody's; a file below one of ours is
 * ours. */
static void
add_below (GPtrArray *files, const ChainLook *look, LayerTree *tree)
{
  for (guint i = 0; i < files->len; i++)
    {
      const TreeFile *file = g_ptr_array_index (files, i);
      guint64 dev, ino;
      ImageLink *link;

      if (!file->known || layer_tree_get_below (tree, file->facts.dev, file->facts.ino, &dev, &ino)
                            != LAYER_BELOW_FILE)
        continue;
      link = links_find (look->links, dev, ino);
      if (link != NULL)
        add_link (files, link);
    }
}

/**
 * tree_has_disk:
 * @disk: a disk
 *
 * Returns: whether it can have points: not without a medium, nor one that no snapshot concerns
 */
gboolean
tree_has_disk (const Disk *disk)
{
  return disk->skipped == NULL && disk->layers->len > 0;
}

/**
 * tree_files:
 * @look: what was seen
 * @disk: a disk of it
 * @tree: which file stands on which
 *
 * Returns: (transfer full) (element-type TreeFile): the files of the disk's tree
 */
GPtrArray *
tree_files (const ChainLook *look, Disk *disk, LayerTree *tree)
{
  GPtrArray *files = g_ptr_array_new_with_free_func ((GDestroyNotify) tree_file_free);

  for (guint i = 0; i < disk->layers->len; i++)
    add_layer (files, disk, i);
  for (guint i = 0; i < look->links->len; i++)
    {
      const ImageLink *link = g_ptr_array_index (look->links, i);

      if (is_named_after (link, disk) || has_point (look, disk->name, link->path, &link->facts))
        add_link (files, link);
    }
  add_below (files, look, tree);
  if (files->len > disk->layers->len)
    qsort (files->pdata + disk->layers->len, files->len - disk->layers->len, sizeof (gpointer),
           compare_paths);
  return files;
}

/* --- JSON --- */

static JsonArray *
points_of (const ChainLook *look, const char *disk, const TreeFile *file)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; file->known && i < look->points->len; i++)
    {
      const Point *point = g_ptr_array_index (look->points, i);

      for (guint j = 0; j < point->disks->len; j++)
        {
          const PointDisk *own = g_ptr_array_index (point->disks, j);

          if (strcmp (own->disk, disk) == 0 && point_disk_is_in (own, file->path, &file->facts))
            json_array_add_string_element (list, point->id);
        }
    }
  return list;
}

static JsonArray *
users_of (const ChainLook *look, const TreeFile *file)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; file->known && i < look->users->len; i++)
    {
      const LayerUser *user = g_ptr_array_index (look->users, i);

      if (file_facts_are (&file->facts, (gint64) user->dev, (gint64) user->ino))
        json_array_add_string_element (list, user->who);
    }
  return list;
}

static void
add_once (JsonArray *list, const char *text)
{
  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      if (strcmp (json_array_get_string_element (list, i), text) == 0)
        return;
    }
  json_array_add_string_element (list, text);
}

/* All images that stand on it, also those that are nobody's whom we know. */
static JsonArray *
children_of (const ChainLook *look, GPtrArray *files, guint index)
{
  const TreeFile *file = g_ptr_array_index (files, index);
  const TreeFile *above = index > 0 ? g_ptr_array_index (files, index - 1) : NULL;
  JsonArray *list = json_array_new ();
  g_autoptr (GPtrArray) on = NULL;

  if (file->in_chain && above != NULL && above->path != NULL)
    add_once (list, above->path);
  if (!file->known)
    return list;
  on = links_on (look->links, file->facts.dev, file->facts.ino);
  for (guint i = 0; i < on->len; i++)
    {
      const ImageLink *link = g_ptr_array_index (on, i);
      const TreeFile *ours = find_file (files, link->facts.dev, link->facts.ino);

      add_once (list, ours != NULL && ours->path != NULL ? ours->path : link->path);
    }
  return list;
}

static JsonObject *
file_to_object (const ChainLook *look, Disk *disk, LayerTree *tree, GPtrArray *files, guint index)
{
  const TreeFile *file = g_ptr_array_index (files, index);
  JsonObject *object = json_object_new ();
  const TreeFile *below = NULL;
  guint64 dev, ino;

  if (file->known && layer_tree_get_below (tree, file->facts.dev, file->facts.ino, &dev, &ino)
                       == LAYER_BELOW_FILE)
    below = find_file (files, dev, ino);
  document_set_text (object, "path", file->path);
  document_set_text (object, "format", file->format);
  json_object_set_int_member (object, "virtual_size", file->virtual_size);
  if (file->allocated >= 0)
    json_object_set_int_member (object, "allocated", file->allocated);
  else
    json_object_set_null_member (object, "allocated");
  document_set_text (object, "backing", below != NULL ? below->path : file->backing);
  /* By these the file is known to show what it shows now; a block device has no such thing. */
  if (file->known && !file->facts.block_device)
    {
      json_object_set_int_member (object, "size", (gint64) file->facts.size);
      document_set_time (object, "changed", file->facts.mtime_ns / 1000);
    }
  json_object_set_boolean_member (object, "in_chain", file->in_chain);
  json_object_set_boolean_member (object, "active", file->active);
  json_object_set_array_member (object, "points", points_of (look, disk->name, file));
  json_object_set_array_member (object, "users", users_of (look, file));
  json_object_set_array_member (object, "children", children_of (look, files, index));
  return object;
}

static JsonObject *
disk_to_object (const ChainLook *look, Disk *disk, LayerTree *tree)
{
  g_autoptr (GPtrArray) files = tree_files (look, disk, tree);
  const Layer *active = disk_get_active (disk);
  JsonObject *object = json_object_new ();
  JsonArray *layers = json_array_new ();

  document_set_text (object, "disk", disk->name);
  document_set_text (object, "published", disk->published);
  document_set_text (object, "active", active->path);
  for (guint i = 0; i < files->len; i++)
    json_array_add_object_element (layers, file_to_object (look, disk, tree, files, i));
  json_object_set_array_member (object, "layers", layers);
  return object;
}

/**
 * tree_to_json:
 * @look: what was seen
 * @guest: the guest's id
 * @tree: which file stands on which
 * @images: (transfer full): the records of images that go with the layers
 *
 * Returns: (transfer full): the tree of the guest's disks that can have points
 */
JsonNode *
tree_to_json (const ChainLook *look, const char *guest, LayerTree *tree, JsonArray *images)
{
  JsonObject *object = json_object_new ();
  JsonArray *disks = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_object_set_string_member (object, "guest", guest);
  for (guint i = 0; i < look->inspection->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (look->inspection->disks, i);

      if (tree_has_disk (disk))
        json_array_add_object_element (disks, disk_to_object (look, disk, tree));
    }
  json_object_set_array_member (object, "disks", disks);
  json_object_set_member (object, "points", points_to_json (look->points, tree));
  json_object_set_array_member (object, "images", images);
  json_node_take_object (node, object);
  return node;
}
