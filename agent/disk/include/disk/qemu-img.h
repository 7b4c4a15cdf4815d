/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

#include <disk/extents.h>

G_BEGIN_DECLS

/* qemu-img as a child that dies with us, with explicit formats, a deadline for its progress, and
 * its words in the error. Errors: AGENT_ERROR CONFLICT (an image is in use), NO_SPACE, TIMEOUT,
 * CANCELLED, UNAVAILABLE (it is not installed), INTERNAL. To be called from the main loop. */

/* @permille: 0 to 1000 */
typedef void (*QemuImgProgress)  (guint permille, gpointer user_data);

/* @arguments: after "qemu-img"; commands that tell their progress get their -p here. It fails when
 * @stall_s seconds go by without any progress (0: without an end). @cancellable ends the child. */
void     qemu_img_run_async      (const char *const *arguments, guint stall_s,
                                  QemuImgProgress progress, gpointer progress_data,
                                  GCancellable *cancellable, GAsyncReadyCallback callback,
                                  gpointer user_data);
gboolean qemu_img_run_finish     (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* How many bytes it has written, headers and tables among them; 0 where nobody counts. Also after
 * a failure. */
gint64   qemu_img_run_get_written (GAsyncResult *result);

/* What the image at @path itself holds, whatever is below it; also while a guest writes to it. */
void     qemu_img_map_async      (const char *path, const char *format, GCancellable *cancellable,
                                  GAsyncReadyCallback callback, gpointer user_data);
Extents *qemu_img_map_finish     (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
