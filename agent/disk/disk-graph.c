/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how QEMU's block graph becomes chains of layers, and what people call them. Nothing is
 * touched: pure. */

#include "disk-private.h"

#include <string.h>

#define MAX_LAYERS       1024u                  /* QEMU itself grows unusable at a few hundred */
#define PERIPHERAL       "/machine/peripheral/" /* below it a device's id is its name */
#define OUR_NODES        "qsnap-"               /* nodes of ours: another one at every point */
#define FIRMWARE         "/machine/system.flash"

/* @node: the format node, or the protocol node where there is none. */
static Layer *
layer_new (QmpNode    *node,
           const char *folder)
{
  Layer *layer = g_new0 (Layer, 1);
  QmpNode *file = qmp_node_skip_filters (node->file);
  QmpNode *protocol;

  layer->path = disk_find_path (node, folder, &protocol);
  layer->driver = g_strdup (protocol->driver);
  layer->format = g_strdup (node->file != NULL ? node->driver : "raw");
  layer->node = g_strdup (node->name);
  layer->file_node = g_strdup (file != NULL ? file->name : node->name);
  layer->auto_named = node->auto_named;
  layer->read_only = node->read_only;
  layer->encrypted = node->encrypted || g_strcmp0 (node->driver, "luks") == 0
                     || g_strcmp0 (protocol->driver, "luks") == 0;
  layer->extended_l2 = node->extended_l2;
  layer->has_data_file = node->has_data_file;
  layer->virtual_size = node->virtual_size;
  layer->allocated = node->actual_size;
  layer->detect_zeroes = g_strdup (node->detect_zeroes);
  layer->cache_direct = node->cache_direct;
  layer->cache_no_flush = node->cache_no_flush;

  return layer;
}

/* From the active layer down, past filters. */
static void
walk_chain (Disk       *disk,
            QmpNode    *root,
            const char *folder)
{
  QmpNode *node = qmp_node_skip_filters (root);

  while (node != NULL && disk->layers->len < MAX_LAYERS)
    {
      g_ptr_array_add (disk->layers, layer_new (node, folder));
      node = qmp_node_skip_filters (node->backing);
    }
}

/* "disk0" of "/machine/peripheral/disk0/virtio-backend"; NULL for a device without an id. */
static char *
find_device_id (const char *qdev)
{
  const char *id;

  if (qdev == NULL || qdev[0] == '\0')
    return NULL;
  if (qdev[0] != '/')
    return g_strdup (qdev);
  if (!g_str_has_prefix (qdev, PERIPHERAL))
    return NULL;

  id = qdev + strlen (PERIPHERAL);

  return id[0] != '\0' && id[0] != '/' ? g_strndup (id, strcspn (id, "/")) : NULL;
}

static gboolean
is_given_name (QmpNode *node)
{
  return !node->auto_named && !g_str_has_prefix (node->name, OUR_NODES);
}

/* The topmost node that somebody gave a name: it stays with the disk when layers of ours go on top.
 * */
static const char *
find_given_name (QmpNode *root)
{
  QmpNode *node = root;

  for (guint i = 0; node != NULL && i < MAX_LAYERS; i++)
    {
      if (is_given_name (node))
        return node->name;
      node = node->is_filter ? node->file : node->backing;
    }

  return NULL;
}

static void
add_node_alias (Disk    *disk,
                QmpNode *node)
{
  if (node != NULL && !node->auto_named)
    disk_add_alias (disk, node->name);
}

static void
add_aliases (Disk       *disk,
             const char *drive,
             const char *qdev,
             QmpNode    *root)
{
  g_autofree char *id = find_device_id (qdev);

  disk_add_alias (disk, drive);
  disk_add_alias (disk, id);
  disk_add_alias (disk, qdev);
  if (root != NULL)
    {
      disk_add_alias (disk, find_given_name (root));
      add_node_alias (disk, root);
      add_node_alias (disk, qmp_node_skip_filters (root));
    }
  disk_add_alias (disk, disk->published);
}

static gboolean
has_name (GPtrArray  *disks,
          const char *name)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      if (g_str_equal (disk->name, name))
        return TRUE;
    }

  return FALSE;
}

/* Calls the disk what people call it, and no other of @disks. */
static void
choose_name (GPtrArray  *disks,
             Disk       *disk,
             const char *drive,
             const char *qdev,
             QmpNode    *root)
{
  g_autofree char *id = find_device_id (qdev);
  g_autofree char *file = disk->published != NULL ? g_path_get_basename (disk->published) : NULL;
  const struct { const char *name; DiskNaming by; } candidates[] = {
    { drive, DISK_NAMED_BY_DEVICE },
    { id, DISK_NAMED_BY_DEVICE },
    { root != NULL ? find_given_name (root) : NULL, DISK_NAMED_BY_NODE },
    { file, DISK_NAMED_BY_FILE },
  };
  const char *best = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (candidates); i++)
    {
      const char *name = candidates[i].name;
      gboolean is_free;

      if (name == NULL || name[0] == '\0')
        continue;
      is_free = !has_name (disks, name);
      if (best == NULL || is_free)
        disk->named_by = candidates[i].by;
      if (is_free)
        {
          disk->name = g_strdup (name);
          return;
        }
      if (best == NULL)
        best = name;
    }
  if (best == NULL)
    best = "disk";

  for (guint i = 1; disk->name == NULL; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup (best) : g_strdup_printf ("%s-%u", best, i);

      if (!has_name (disks, name))
        disk->name = g_steal_pointer (&name);
    }
}

/* Why no snapshot concerns the disk; NULL when it does. */
static const char *
find_reason (const char *qdev,
             QmpNode    *root)
{
  QmpNode *active = qmp_node_skip_filters (root);

  if (active == NULL)
    return "no medium";
  if (root->read_only || active->read_only)
    return "read-only";
  if (qdev != NULL && g_str_has_prefix (qdev, FIRMWARE))
    return "firmware";

  return NULL;
}

/* Two devices may share what they write to (multipath): that is one disk with more names. */
static Disk *
find_same (GPtrArray *disks,
           QmpNode   *root)
{
  QmpNode *node = qmp_node_skip_filters (root);

  for (guint i = 0; i < disks->len && node != NULL; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      Layer *active = disk_get_active (disk);

      if (active != NULL && g_str_equal (active->node, node->name))
        return disk;
    }

  return NULL;
}

static void
add_disk (GPtrArray  *disks,
          const char *drive,
          const char *qdev,
          const char *io_status,
          QmpNode    *root,
          const char *folder)
{
  g_autoptr (Disk) disk = NULL;
  Disk *same = find_same (disks, root);

  if (same != NULL)
    {
      add_aliases (same, drive, qdev, root);
      return;
    }

  disk = disk_new ();
  disk->skipped = g_strdup (find_reason (qdev, root));
  disk->io_status = g_strdup (io_status);
  if (root != NULL)
    {
      disk->root = g_strdup (root->name);
      walk_chain (disk, root, folder);
      if (disk->layers->len > 0)
        disk->published = g_strdup (disk_get_active (disk)->path);
    }
  choose_name (disks, disk, drive, qdev, root);
  add_aliases (disk, drive, qdev, root);
  g_ptr_array_add (disks, g_steal_pointer (&disk));
}

/* Format nodes that nobody uses yet: a storage daemon's disks before they are exported. */
static gboolean
is_top_level (QmpNode *node)
{
  return node->parents->len == 0 && !node->read_only && node->file != NULL;
}

static void
add_exported (GPtrArray          *disks,
              QmpGraph           *graph,
              const char         *folder,
              const char *const  *exports)
{
  GPtrArray *nodes = qmp_graph_get_nodes (graph);

  for (guint i = 0; exports[i] != NULL; i++)
    {
      QmpNode *node = qmp_graph_find_node (graph, exports[i]);

      if (node != NULL)
        add_disk (disks, NULL, NULL, NULL, node, folder);
    }
  if (exports[0] != NULL)
    return;

  for (guint i = 0; i < nodes->len; i++)
    {
      QmpNode *node = g_ptr_array_index (nodes, i);

      if (is_top_level (node))
        add_disk (disks, NULL, NULL, NULL, node, folder);
    }
}

/**
 * disks_from_graph:
 * @graph: the block graph
 * @folder: (nullable): QEMU's working folder, for relative file names; %NULL: these are then no
 *   local files
 * @exports: (nullable): %NULL for a guest; for a storage daemon the names of the nodes that it
 *   exports; when it exports none, its writable format nodes that nothing lies on are its disks
 *
 * Finds the disks, each as a chain of layers from the active one down. Every drive is listed; those
 * that no snapshot concerns say why in `skipped`. Names are unique among the disks and stay the
 * same while layers of ours come and go. Devices that share one active layer are one disk. Facts of
 * files are not filled in. Pure.
 *
 * Returns: (transfer full) (element-type Disk): the disks, in QEMU's order
 */
GPtrArray *
disks_from_graph (QmpGraph           *graph,
                  const char         *folder,
                  const char *const  *exports)
{
  GPtrArray *disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  GPtrArray *devices = qmp_graph_get_devices (graph);

  if (exports != NULL)
    {
      add_exported (disks, graph, folder, exports);
      return disks;
    }

  for (guint i = 0; i < devices->len; i++)
    {
      QmpDevice *device = g_ptr_array_index (devices, i);

      add_disk (disks, device->name, device->qdev, device->io_status, device->root, folder);
    }

  return disks;
}
