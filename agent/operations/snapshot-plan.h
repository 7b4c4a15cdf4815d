/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/disk.h>
#include <disk/names.h>

#include "snapshot-request.h"

G_BEGIN_DECLS

/* How a disk's name is kept right while a point is taken (see the README beside this file). */
typedef enum
{
  /* QEMU knows the active layer by its name for life: the new overlay is published before the
   * point. */
  NAMING_LATER,
  /* QEMU knows it as `disk`, but its node has a name of its own: it is opened again by its name
   * for life first. */
  NAMING_ADOPT,
  /* QEMU knows it as `disk` and made the node's name up: publish while the guest is stopped. */
  NAMING_STOP,
  /* The same where blockdev-reopen would kill QEMU: the device is moved onto the overlay by a
   * mirror of nothing. */
  NAMING_SWAP,
} Naming;

/* The published name changes while the guest is stopped. */
gboolean   naming_needs_stop   (Naming naming);

/* What will be done with one disk. All of it is in the journal before the first of it is done. */
typedef struct
{
  char    *disk;
  Naming   naming;
  char    *published;           /* what the guest is started from, afterwards as before */
  char    *device_path;         /* (nullable): the block device that was the disk so far */

  char    *root_node;           /* what the device is on: the active node, or a filter above it */
  char    *active_path;         /* as QEMU has it open now */
  char    *active_node;
  char    *active_file_node;
  char    *active_format;
  char    *below_node;          /* (nullable): the node under the active one */
  gint64   virtual_size;        /* bytes */
  char    *detect_zeroes;
  gboolean cache_direct;
  gboolean cache_no_flush;

  char    *layer;               /* the active layer's name for life */
  gboolean link_layer;          /* it has to be given */
  gboolean layer_linked;        /* and was given by us */
  gint64   layer_dev;
  gint64   layer_ino;
  gint64   layer_mtime_ns;      /* at the point, when it is to be folded back */

  char    *overlay;
  char    *backing_name;        /* as the overlay's header says it */
  gint64   overlay_dev;         /* 0 until it is made */
  gint64   overlay_ino;

  gboolean folded;              /* it is done, and the overlay is gone */
  gboolean is_no_point;         /* the layer holds what came after the point too */

  char    *overlay_node;        /* our nodes, named after the operation */
  char    *overlay_file_node;
  char    *layer_node;
  char    *layer_file_node;
  char    *unlocked_file_node;
} DiskPlan;

void       disk_plan_free      (DiskPlan *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DiskPlan, disk_plan_free)

JsonNode  *disk_plan_to_json   (const DiskPlan *self) G_GNUC_WARN_UNUSED_RESULT;
DiskPlan  *disk_plan_from_json (JsonNode *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What this QEMU cannot bear, or cannot do. */
typedef struct
{
  gboolean reopen_kills;        /* see inspect.h */
  gboolean cannot_stop;         /* a storage daemon has no CPUs; its clients write on */
} PeerLimits;

/* The disks of @disks that @request names, or all writable ones; each must be fit for a point.
 * Pure. */
GPtrArray *snapshot_select     (GPtrArray *disks, const SnapshotRequest *request,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* @entries: what names_list() says of the disk's published name. Pure. AGENT_ERROR_CONFLICT when
 * this QEMU offers no way to keep the name right. */
DiskPlan  *snapshot_plan_disk  (Disk *disk, guint index, GPtrArray *entries,
                                const SnapshotRequest *request, const char *guest,
                                const char *operation, const PeerLimits *limits,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Where the disk's layers are named: its published path, or for a block device one in the
 * overlay folder. */
char      *snapshot_plan_published (Disk *disk, const SnapshotRequest *request, const char *guest);

/* Whether its device leaves its iothread while the guest is stopped. Pure. */
gboolean   disk_leaves_iothread (Disk *disk);

/* The job that moves a device in NAMING_SWAP. */
char      *snapshot_swap_job   (const char *operation, guint index);

/* "qsnap-<12 digits of the operation's id>-<disk><suffix>": QEMU takes 31 bytes. */
char      *snapshot_node_name  (const char *operation, guint index, const char *suffix);

G_END_DECLS
