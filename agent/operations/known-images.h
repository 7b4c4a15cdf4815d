/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

#include "snapshot-request.h"
#include "upload-plan.h"

G_BEGIN_DECLS

/* What the store has already of the disks of a point to come. */
typedef struct
{
  GHashTable *layers;           /* upload_layer_key() -> KnownImage */
  GHashTable *bases;            /* disk name -> ImageInfo: the images that the disks came from */
} KnownImages;

void         known_images_free   (KnownImages *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (KnownImages, known_images_free)

/* What the journal remembers of the layers of @disks (of Disk), asked after in the store, and those
 * images there that @request refers to. Both must outlive the call. */
void         known_images_async  (Operations *operations, GPtrArray *disks,
                                  const SnapshotRequest *request, GCancellable *cancellable,
                                  GAsyncReadyCallback callback, gpointer user_data);
/* What the store says when it cannot be asked. */
KnownImages *known_images_finish (GAsyncResult *result,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
