/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>
#include <disk/disk.h>

#include "snapshot-request.h"

/* Disks and requests for the tests of pure functions. */

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
