/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a disk is made of, and which files its layers are. */

#include "disk-private.h"

#include <disk/names.h>

#include <stdlib.h>

static void
layer_free (Layer *layer)
{
  g_free (layer->path);
  g_free (layer->driver);
  g_free (layer->format);
  g_free (layer->node);
  g_free (layer->file_node);
  g_free (layer->detect_zeroes);
  g_free (layer);
}

/**
 * disk_new:
 *
 * Returns: (transfer full): a disk without a name and without layers
 */
Disk *
disk_new (void)
{
  Disk *disk = g_new0 (Disk, 1);

  disk->aliases = g_ptr_array_new_with_free_func (g_free);
  disk->layers = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);

  return disk;
}

/**
 * disk_add_layer:
 * @disk: a disk
 *
 * Returns: (transfer none): an empty layer, the lowest of the disk
 */
Layer *
disk_add_layer (Disk *disk)
{
  Layer *layer = g_new0 (Layer, 1);

  g_ptr_array_add (disk->layers, layer);

  return layer;
}

/**
 * disk_free:
 * @disk: (transfer full) (nullable): a disk
 */
void
disk_free (Disk *disk)
{
  if (disk == NULL)
    return;

  g_free (disk->name);
  g_ptr_array_unref (disk->aliases);
  g_free (disk->root);
  g_free (disk->published);
  g_free (disk->skipped);
  g_ptr_array_unref (disk->layers);
  g_free (disk->io_status);
  g_free (disk);
}

void
disk_add_alias (Disk       *disk,
                const char *alias)
{
  if (alias != NULL && alias[0] != '\0'
      && !g_ptr_array_find_with_equal_func (disk->aliases, alias, g_str_equal, NULL))
    g_ptr_array_add (disk->aliases, g_strdup (alias));
}

/**
 * disk_get_active:
 * @disk: a disk
 *
 * Returns: (transfer none) (nullable): the layer that the guest writes to
 */
Layer *
disk_get_active (Disk *disk)
{
  return disk->layers->len > 0 ? g_ptr_array_index (disk->layers, 0) : NULL;
}

/**
 * disk_layer_from_base:
 * @disk: a disk
 * @index: below the number of its layers; 0 is the base
 *
 * Returns: (transfer none): the layer
 */
Layer *
disk_layer_from_base (Disk  *disk,
                      guint  index)
{
  return g_ptr_array_index (disk->layers, disk->layers->len - 1 - index);
}

/**
 * layer_is_plain:
 * @layer: a layer
 *
 * Returns: whether it is a qcow2 or raw file, or block device, with nothing beside it that its data
 *   is in or is encrypted by
 */
gboolean
layer_is_plain (const Layer *layer)
{
  return layer->path != NULL && layer->known && !layer->encrypted && !layer->has_data_file
         && (g_strcmp0 (layer->format, "qcow2") == 0 || g_strcmp0 (layer->format, "raw") == 0);
}

/**
 * disks_find:
 * @disks: (element-type Disk): a guest's disks
 * @alias: what somebody calls one of them
 *
 * A disk's name goes before everybody's aliases.
 *
 * Returns: (transfer none) (nullable): the disk; %NULL also when two disks have this alias
 */
Disk *
disks_find (GPtrArray  *disks,
            const char *alias)
{
  Disk *found = NULL;

  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      if (g_str_equal (disk->name, alias))
        return disk;
    }

  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      if (!g_ptr_array_find_with_equal_func (disk->aliases, alias, g_str_equal, NULL))
        continue;
      if (found != NULL)
        return NULL;
      found = disk;
    }

  return found;
}

/* A block device keeps the name it was opened by: what it resolves to (/dev/dm-3) differs at each
 * boot. */
static gboolean
look_at_layer (Layer   *layer,
               GError **error)
{
  g_autoptr (GError) local = NULL;
  char *real;

  layer->known = FALSE;
  if (layer->path == NULL)
    return TRUE;

  if (!files_look (layer->path, &layer->facts, &local))
    {
      if (local == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  layer->known = TRUE;

  layer->linked = !layer->facts.block_device
                  && g_file_test (layer->path, G_FILE_TEST_IS_SYMLINK);
  real = layer->facts.block_device ? NULL : realpath (layer->path, NULL);
  if (real != NULL)
    {
      g_free (layer->path);
      layer->path = g_strdup (real);
      free (real);
    }

  return TRUE;
}

static gboolean
find_published (Disk    *disk,
                GError **error)
{
  Layer *active = disk_get_active (disk);
  g_autoptr (GPtrArray) entries = NULL;

  g_free (disk->published);
  disk->published = g_strdup (active->path);
  if (!active->known || active->facts.block_device)
    return TRUE;

  entries = names_list (active->path, error);
  if (entries == NULL)
    return FALSE;

  g_free (disk->published);
  disk->published = names_published (active->path, active->facts.dev, active->facts.ino, entries);

  return TRUE;
}

/**
 * disks_look_at_files:
 * @disks: (element-type Disk): a guest's disks
 * @error: where to put an error
 *
 * Looks at the files of all layers: follows symbolic links, fills in the facts, finds the name that
 * each disk is started from. A file that is not there (it may be seen by QEMU alone) stays unknown.
 * For a disk that is skipped nothing of this is an error. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT, %AGENT_ERROR_INTERNAL, with the disk's name.
 *
 * Returns: %TRUE when all was looked at
 */
gboolean
disks_look_at_files (GPtrArray  *disks,
                     GError    **error)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      g_autoptr (GError) local = NULL;

      for (guint n = 0; n < disk->layers->len && local == NULL; n++)
        {
          if (!look_at_layer (g_ptr_array_index (disk->layers, n), &local))
            break;
        }
      if (local == NULL && disk->layers->len > 0 && find_published (disk, &local))
        disk_add_alias (disk, disk->published);

      if (local != NULL && disk->skipped == NULL)
        {
          g_propagate_prefixed_error (error, g_steal_pointer (&local), "disk %s: ", disk->name);
          return FALSE;
        }
    }

  return TRUE;
}
