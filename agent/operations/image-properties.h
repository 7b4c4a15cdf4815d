/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <image/info.h>

#include "upload-plan.h"

G_BEGIN_DECLS

/* What an image says of itself: pure functions. Each over the one before: what it has inherited,
 * what Nova writes on a snapshot, the caller's metadata (@metadata: (nullable), strings), and
 * our own names (qsnapd_*), by which a layer is restored. */

/* @guest_uuid: (nullable). */
ImageInfo *image_properties_describe (const UploadPlan *upload, const char *operation,
                                      const char *guest, const char *guest_uuid,
                                      JsonObject *metadata) G_GNUC_WARN_UNUSED_RESULT;

/* AGENT_ERROR_INVALID when they would be more than a store takes. */
gboolean   image_properties_check    (const UploadPlan *upload, JsonObject *metadata,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
