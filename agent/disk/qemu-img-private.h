/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* One run of qemu-img, whatever it is asked: qemu-img-child.c. */

/* Gets what it writes to stdout, in pieces as they come; FALSE with @error ends it. */
typedef gboolean (*QemuImgOutput)   (const char *text, gsize length, gpointer user_data,
                                     GError **error);

/* @words: (not nullable): the arguments after the program's name. @output is called before the
 * callback only. The result's source object is none. */
G_GNUC_INTERNAL
void     qemu_img_child_run_async   (const char *const *words, guint stall_s,
                                     QemuImgOutput output, gpointer output_data,
                                     GCancellable *cancellable, GAsyncReadyCallback callback,
                                     gpointer user_data);
/* @written: (out) (optional): bytes, also after a failure */
G_GNUC_INTERNAL
gboolean qemu_img_child_run_finish  (GAsyncResult *result, gint64 *written,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
