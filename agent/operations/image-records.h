/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>
#include <disk/files.h>
#include <image/info.h>

#include "upload-plan.h"

G_BEGIN_DECLS

/* Which image holds which layer: rows of the journal. A layer that has changed since is another
 * one. */

/* The images of @store that hold the file as it is now, newest first. */
GPtrArray *image_records_of_layer (Journal *journal, const char *store, const FileFacts *facts,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;  /* of KnownImage */
gboolean   image_records_add      (Journal *journal, const char *store, const char *guest,
                                   const UploadPlan *upload, const FileFacts *facts,
                                   const ImageInfo *info, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   image_records_remove   (Journal *journal, const char *image_id,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   image_records_size     (Journal *journal, const char *image_id, gint64 *size,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The ids of the images that need @image_id as their parent. */
char     **image_records_children (Journal *journal, const char *image_id,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
