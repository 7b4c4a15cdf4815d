/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/disk.h>
#include <guest/guest.h>

G_BEGIN_DECLS

/* How a guest's disks stand at one moment: QEMU's block graph, its jobs, and the files. */
typedef struct
{
  GPtrArray *disks;             /* of Disk, with the facts of their files */
  GPtrArray *jobs;              /* of QmpJobInfo */
  QmpGraph  *graph;
  gboolean   reopen_kills;      /* blockdev-reopen of a node in an iothread ends this QEMU */
  gboolean   migrating;         /* somebody moves the guest away: its disks belong to two QEMUs */
} Inspection;

void        inspection_free   (Inspection *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Inspection, inspection_free)

/* AGENT_ERROR UNAVAILABLE when the guest is not attached; TIMEOUT, GUEST. */
void        inspect_async     (Guest *guest, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);
Inspection *inspect_finish    (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What a plan took a disk for. */
typedef struct
{
  const char *disk;
  const char *root_node;        /* (nullable): whatever is above the active node */
  const char *active_node;
  gint64      dev;              /* of the active layer's file */
  gint64      ino;
  gint64      virtual_size;     /* bytes */
} ExpectedDisk;

/* Nobody moves the guest away, and it has the disk still. AGENT_ERROR_CONFLICT. Pure. */
gboolean    inspection_check  (const Inspection *self, const ExpectedDisk *expected,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
