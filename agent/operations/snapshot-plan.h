/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/disk.h>
#include <disk/names.h>

#include "disk-plan.h"
#include "snapshot-request.h"

G_BEGIN_DECLS

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
