/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <image/info.h>

#include "revert-steps.h"

G_BEGIN_DECLS

/* The steps that a restore has besides those of a revert. */
void     restore_find_image   (GTask *step, gpointer job);     /* restore-find.c */
void     restore_fetch        (GTask *step, gpointer job);     /* restore-fetch.c */
void     restore_find_target  (GTask *step, gpointer job);     /* restore-target.c */
void     restore_record_image (GTask *step, gpointer job);

/* Pure. */
Recovery restore_decide       (gpointer job, const char *last_step, gboolean ended);
/* Whether the record is of an image that can become a layer; its parent (nullable) (transfer none).
 * AGENT_ERROR_CONFLICT. Pure. */
gboolean restore_check_image  (const ImageInfo *info, const char **parent,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Whether an image of @size bytes can be in the place of a running guest's disk. Pure. */
gboolean restore_check_size   (const char *image, gint64 size, const RevertDisk *disk,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The layer that shows what the image holds, if nobody has written to it since; else *@path is
 * NULL. */
gboolean restore_find_proven  (Operations *operations, const char *image_id, char **path,
                               FileFacts *facts, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- restore-files.c; all of it blocks --- */

/* A new file beside the layer to be, as @like may be used; what was left there goes. Returns a
 * descriptor, or -1. */
int      restore_open_part    (const RestoreImage *image, const char *like,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The file must be what the record says, and no more: a header without a backing file (or with
 * @backing, once that is written into it), without a data file, not encrypted; a size that a disk
 * can have. */
gboolean restore_check_file   (RestoreImage *image, const char *path, const char *backing,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Makes the file durable and gives it its name for life; @image knows it then. */
gboolean restore_keep_part    (RestoreImage *image, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Whether the layer is there, whole, from a life before; @image knows it then. */
gboolean restore_find_whole   (RestoreImage *image, const char *backing, gboolean *whole,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
