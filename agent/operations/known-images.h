/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

#include "snapshot-request.h"
#include "upload-plan.h"

G_BEGIN_DECLS

/* Which layers of @disks (of Disk) are in the store already: what the journal remembers, asked
 * after in the store. An image_ref of @request must be there. Both must outlive the call. */
void        known_images_async  (Operations *operations, GPtrArray *disks,
                                 const SnapshotRequest *request, GCancellable *cancellable,
                                 GAsyncReadyCallback callback, gpointer user_data);
/* (transfer full): upload_layer_key() -> KnownImage. AGENT_ERROR_CONFLICT for an image_ref that
 * is not there. */
GHashTable *known_images_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
