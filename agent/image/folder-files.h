/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/digest.h>

#include "pool.h"

G_BEGIN_DECLS

/* The files of a folder of images: ID.json is an image's record and ID.FORMAT its bytes. A name
 * that ends in ".part" is a file that somebody is writing, or was. */

int        folder_open         (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* AGENT_ERROR with what errno says of @action, e.g. "write the record of image X". */
void       folder_set_errno    (GError **error, int code, const char *action);

/* AGENT_ERROR_NOT_FOUND when there is none. */
ImageInfo *folder_read_record  (int folder, const char *id,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Whole and on the disk, or not at all. */
gboolean   folder_write_record (int folder, const ImageInfo *info, GError **error)
                                G_GNUC_WARN_UNUSED_RESULT;

/* The bytes, whole and on the disk under their name, or not at all. */
gboolean   folder_write_data   (int folder, const ImageInfo *info, ImageSource *source,
                                GlanceDigest *digest, ImagePoolProgress *progress,
                                GCancellable *cancellable,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The bytes of @info into the new file @fd, compared with its size and hashes; durable. */
gboolean   folder_read_data    (int folder, const ImageInfo *info, int fd,
                                ImagePoolProgress *progress, GCancellable *cancellable,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What a crash left behind; AGENT_ERROR_CONFLICT when somebody writes there now. */
gboolean   folder_drop_parts   (int folder, const char *id,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* All files of an image. */
gboolean   folder_drop_image   (int folder, const char *id,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean   folder_knows_format (const char *format);

G_END_DECLS
