/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>
#include <disk/files.h>
#include <image/info.h>

#include "upload-plan.h"

G_BEGIN_DECLS

/* Which image holds which layer: rows of the journal. A layer that has changed since is another
 * one. An image holds, with its parents, what the guest sees in the layer; layers that are merged
 * later take only one image with them, whose parents then have no layers any more. */

/* How many parents of an image are followed. A layer whose image has more is sent anew. */
#define IMAGE_PARENTS_MAX 200

/* The ids of the images of @store that hold the file as it is now, newest first. */
char     **image_records_of_layer (Journal *journal, const char *store, const FileFacts *facts,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The layer that shows what the image holds, as it was when that was written down: *@path is NULL
 * when none is known. */
gboolean   image_records_find_layer (Journal *journal, const char *store, const char *image_id,
                                   char **path, FileFacts *facts,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The ids of the image's parents, nearest first. */
char     **image_records_parents  (Journal *journal, const char *image_id,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   image_records_add      (Journal *journal, const char *store, const char *guest,
                                   const UploadPlan *upload, const FileFacts *facts,
                                   const ImageInfo *info, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What was seen in the file @from, as it was before, is seen in the file @path, as it is now. */
gboolean   image_records_move_layer (Journal *journal, const FileFacts *from, const char *path,
                                   const FileFacts *to, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The file @from, as it was before, shows nothing any more that an image holds, but what stands on
 * it does: a move into it was called off. */
gboolean   image_records_spend_layer (Journal *journal, const FileFacts *from, const FileFacts *to,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A block device, which may be written to: it holds nothing any more that is known. */
gboolean   image_records_forget_layer (Journal *journal, gint64 dev, gint64 ino,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   image_records_is_spent (Journal *journal, const char *store, const FileFacts *facts,
                                   gboolean *spent, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   image_records_remove   (Journal *journal, const char *image_id,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   image_records_size     (Journal *journal, const char *image_id, gint64 *size,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The ids of the images that need @image_id as their parent. */
char     **image_records_children (Journal *journal, const char *image_id,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* As a guest's tree tells them, parents included. (of JsonObject) */
gboolean   image_records_tell     (Journal *journal, const char *store, const char *path,
                                   const FileFacts *facts, JsonArray *list,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   image_record_check     (JsonObject *record, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   image_records_take     (Journal *journal, const char *guest, JsonObject *record,
                                   const char *path, const FileFacts *facts,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
