/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>
#include <disk/disk.h>

#include "snapshot-request.h"

/* Disks, requests and files for tests. */

/* A disk called @name on the virtio-blk device @name, published at "/d/NAME"; it has no layers
 * yet. */
Disk            *model_disk       (const char *name);
/* Puts a layer under those that @disk has; its inode is @ino on device 1. */
Layer           *model_add_layer  (Disk *disk, const char *path, const char *format, guint64 ino);
/* A request for a point from JSON text, with the defaults of the configuration. */
SnapshotRequest *model_request           (const char *json);
SnapshotRequest *model_try_request       (const char *json, GError **error);
/* The same for a full image. */
SnapshotRequest *model_try_image_request (const char *json, GError **error);

/* A folder of the test's own, and its end with all that is in it. */
char            *model_folder            (void);
void             model_remove_folder     (const char *folder);
/* An empty qcow2 image of 64 MiB, NAME in @folder, over @backing (nullable). Returns its path. */
char            *model_image             (const char *folder, const char *name,
                                          const char *backing);
FileFacts        model_look              (const char *path);
