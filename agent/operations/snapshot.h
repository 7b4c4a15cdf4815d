/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

#include "snapshot-request.h"

G_BEGIN_DECLS

/* From a request for a point to a running operation: everything that can be refused is refused
 * here, before anything is touched. See operations_snapshot_async(). */
void       snapshot_prepare_async  (Operations *operations, Guest *guest, RequestKind kind,
                                    JsonObject *request,
                                    const char *idempotency_key, GCancellable *cancellable,
                                    GAsyncReadyCallback callback, gpointer user_data);
Operation *snapshot_prepare_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
