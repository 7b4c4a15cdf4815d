/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which image file stands on which. */

#include "layer-tree.h"

typedef struct
{
  guint64 dev;
  guint64 ino;
} FileKey;

typedef struct
{
  FileKey  key;
  gint64   born_ns;
  gboolean told;                /* @has_below holds */
  gboolean has_below;
  FileKey  below;
  gboolean used;
} File;

struct _LayerTree
{
  GHashTable *files;            /* FileKey (in its File) -> File */
  gboolean    knows_use;
};

static guint
key_hash (gconstpointer data)
{
  const FileKey *key = data;

  return g_int64_hash (&key->ino) ^ (g_int64_hash (&key->dev) << 1);
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  const FileKey *left = a, *right = b;

  return left->dev == right->dev && left->ino == right->ino;
}

/**
 * layer_tree_new:
 *
 * Returns: (transfer full): a tree that knows nothing yet
 */
LayerTree *
layer_tree_new (void)
{
  LayerTree *self = g_new0 (LayerTree, 1);

  self->files = g_hash_table_new_full (key_hash, key_equal, NULL, g_free);
  return self;
}

/**
 * layer_tree_free:
 * @self: (nullable): a tree
 */
void
layer_tree_free (LayerTree *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->files);
  g_free (self);
}

static File *
find_file (LayerTree *self, guint64 dev, guint64 ino)
{
  FileKey key = { dev, ino };

  return g_hash_table_lookup (self->files, &key);
}

static File *
ensure_file (LayerTree *self, guint64 dev, guint64 ino)
{
  File *file = find_file (self, dev, ino);

  if (file != NULL)
    return file;
  file = g_new0 (File, 1);
  file->key = (FileKey) { dev, ino };
  g_hash_table_insert (self->files, &file->key, file);
  return file;
}

static File *
meet_file (LayerTree *self, const FileFacts *facts)
{
  File *file = ensure_file (self, facts->dev, facts->ino);

  file->born_ns = facts->born_ns;
  return file;
}

static void
tell_base (LayerTree *self, const FileFacts *facts)
{
  meet_file (self, facts)->told = TRUE;
}

static void
tell_below (LayerTree *self, const FileFacts *facts, guint64 below_dev, guint64 below_ino)
{
  File *file = meet_file (self, facts);

  if (file->told)
    return;
  file->told = file->has_below = TRUE;
  file->below = (FileKey) { below_dev, below_ino };
}

/**
 * layer_tree_add_disk:
 * @self: a tree
 * @disk: a disk with the facts of its files
 */
void
layer_tree_add_disk (LayerTree *self, Disk *disk)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      const Layer *below = i + 1 < disk->layers->len ? g_ptr_array_index (disk->layers, i + 1)
                                                     : NULL;

      if (!layer->known)
        continue;
      if (below == NULL)
        tell_base (self, &layer->facts);
      else if (below->known)
        tell_below (self, &layer->facts, below->facts.dev, below->facts.ino);
      meet_file (self, &layer->facts)->used = TRUE;
    }
  self->knows_use = TRUE;
}

static void
tell_link (LayerTree *self, const ImageLink *link)
{
  if (link->backing_known)
    tell_below (self, &link->facts, link->backing_dev, link->backing_ino);
  else if (link->backing == NULL)
    tell_base (self, &link->facts);
}

/**
 * layer_tree_add_links:
 * @self: a tree
 * @links: (element-type ImageLink): what headers say
 */
void
layer_tree_add_links (LayerTree *self, GPtrArray *links)
{
  for (guint i = 0; i < links->len; i++)
    tell_link (self, g_ptr_array_index (links, i));
}

/**
 * layer_tree_read:
 * @self: a tree
 * @path: an image file
 * @format: (nullable): its format; without it nothing is read: a format is never guessed, as a
 *   guest can write any header into a raw disk
 */
void
layer_tree_read (LayerTree *self, const char *path, const char *format)
{
  g_autofree char *at = g_strdup (path);
  g_autofree char *as = g_strdup (format);

  for (guint depth = 0; as != NULL && depth < LAYER_TREE_DEPTH_MAX; depth++)
    {
      g_autoptr (ImageLink) link = image_link_read (at, as, NULL);
      File *file = link != NULL ? ensure_file (self, link->facts.dev, link->facts.ino) : NULL;

      if (file == NULL || file->told)
        return;
      tell_link (self, link);
      if (!link->backing_known)
        return;
      g_free (at);
      g_free (as);
      at = g_steal_pointer (&link->backing);
      as = g_steal_pointer (&link->backing_format);
    }
}

/**
 * layer_tree_use:
 * @self: a tree
 * @dev: device of a guest's active layer
 * @ino: its inode
 */
void
layer_tree_use (LayerTree *self, guint64 dev, guint64 ino)
{
  File *file = ensure_file (self, dev, ino);

  self->knows_use = TRUE;
  while (!file->used)
    {
      file->used = TRUE;
      if (file->told && file->has_below)
        file = ensure_file (self, file->below.dev, file->below.ino);
    }
}

/**
 * layer_tree_get_below:
 * @self: a tree
 * @dev: a file's device
 * @ino: its inode
 * @below_dev: (out): device of what it stands on
 * @below_ino: (out): its inode
 *
 * Returns: what is known of it; with LAYER_BELOW_FILE the file is told
 */
LayerBelow
layer_tree_get_below (LayerTree *self, guint64 dev, guint64 ino, guint64 *below_dev,
                      guint64 *below_ino)
{
  const File *file = find_file (self, dev, ino);

  if (file == NULL || !file->told)
    return LAYER_BELOW_UNKNOWN;
  if (!file->has_below)
    return LAYER_BELOW_NONE;
  *below_dev = file->below.dev;
  *below_ino = file->below.ino;
  return LAYER_BELOW_FILE;
}

/**
 * layer_tree_get_born:
 * @self: a tree
 * @dev: a file's device
 * @ino: its inode
 *
 * Returns: when it was born, since 1970; 0 when that is not known
 */
gint64
layer_tree_get_born (LayerTree *self, guint64 dev, guint64 ino)
{
  const File *file = find_file (self, dev, ino);

  return file != NULL ? file->born_ns : 0;
}

/**
 * layer_tree_knows_use:
 * @self: a tree
 *
 * Returns: whether it knows what the guest uses
 */
gboolean
layer_tree_knows_use (LayerTree *self)
{
  return self->knows_use;
}

/**
 * layer_tree_is_used:
 * @self: a tree
 * @dev: a file's device
 * @ino: its inode
 *
 * Returns: whether a guest is known to use it
 */
gboolean
layer_tree_is_used (LayerTree *self, guint64 dev, guint64 ino)
{
  const File *file = find_file (self, dev, ino);

  return file != NULL && file->used;
}
