/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <qmp/graph.h>

#include <disk/files.h>

G_BEGIN_DECLS

/* A guest's disk as a chain of layers, made from QEMU's block graph. Plain data, top first. */

typedef struct
{
  char      *path;              /* (nullable): absolute; NULL: no local file, or a part of one */
  char      *driver;            /* of the protocol node: "file", "host_device", ... */
  char      *format;            /* "qcow2", "raw", ... */
  char      *node;              /* the format node, or where there is none the protocol node */
  char      *file_node;
  gboolean   auto_named;        /* the format node's name is QEMU's own */
  gboolean   read_only;
  gboolean   encrypted;
  gboolean   extended_l2;
  gboolean   has_data_file;
  gint64     virtual_size;      /* bytes */
  gint64     allocated;         /* bytes, as QEMU says; -1 unknown */
  char      *detect_zeroes;
  gboolean   cache_direct;
  gboolean   cache_no_flush;
  gboolean   linked;            /* QEMU opened it by a symbolic link, which @path is not */
  gboolean   known;             /* @facts hold */
  FileFacts  facts;
} Layer;

/* How long a name stays: a file's until the guest moves to another one, a node's until the layer is
 * merged into another one, a device's for good. */
typedef enum
{
  DISK_NAMED_BY_FILE,
  DISK_NAMED_BY_NODE,
  DISK_NAMED_BY_DEVICE,
} DiskNaming;

typedef struct
{
  char      *name;              /* what people call it: id of drive or device, node, file */
  DiskNaming named_by;
  GPtrArray *aliases;           /* of char *: all that name it */
  char      *root;              /* the node the device is on: a filter, or the active layer's */
  char      *published;         /* (nullable): the path to start the guest from */
  char      *skipped;           /* (nullable): why no snapshot concerns it: empty, read-only, ... */
  GPtrArray *layers;            /* of Layer: [0] the active one; empty without a medium */
  char      *io_status;         /* (nullable) */
} Disk;

/* Both are empty, for who knows a disk from elsewhere than a graph. disk_add_layer() puts it under
 * those that are there. (transfer none) */
Disk      *disk_new             (void) G_GNUC_WARN_UNUSED_RESULT;
Layer     *disk_add_layer       (Disk *disk);
void       disk_free            (Disk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Disk, disk_free)

/* The disks of a graph. @folder: QEMU's working folder, for relative names (nullable: they are then
 * no local files). @exports: for a storage daemon: the node names that it exports (nullable). Pure;
 * FileFacts are not filled. */
GPtrArray *disks_from_graph     (QmpGraph *graph, const char *folder, const char *const *exports);

/* Fills in FileFacts and the published names. Blocking. */
gboolean   disks_look_at_files  (GPtrArray *disks, GError **error) G_GNUC_WARN_UNUSED_RESULT;

Disk      *disks_find           (GPtrArray *disks, const char *alias);          /* (nullable) */
Layer     *disk_get_active      (Disk *disk);                                   /* (nullable) */
/* The layer of that number, counted from the base. */
Layer     *disk_layer_from_base (Disk *disk, guint index);
/* Whether the file or block device itself has the layer's data, which we can read and write. */
gboolean   layer_is_plain       (const Layer *layer);
JsonNode  *disk_to_json         (Disk *disk) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
