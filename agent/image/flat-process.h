/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* A qemu-storage-daemon of ours that reads a chain and exports what it shows by NBD, read-only,
 * under the name FLAT_EXPORT. It ends with us, whatever happens. */

#define FLAT_EXPORT "disk"

#define TYPE_FLAT_PROCESS (flat_process_get_type ())
G_DECLARE_FINAL_TYPE (FlatProcess, flat_process, AGENT, FLAT_PROCESS, GObject)

/* @layers: of FlatLayer. In the main loop's thread. */
void         flat_process_start_async  (const char *program, GPtrArray *layers, const char *socket,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
FlatProcess *flat_process_start_finish (GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* From any thread. */
void         flat_process_kill         (FlatProcess *self);
char        *flat_process_take_words   (FlatProcess *self);

/* Kills it, and waits until it has gone. */
void         flat_process_end_async    (FlatProcess *self, GAsyncReadyCallback callback,
                                        gpointer user_data);
void         flat_process_end_finish   (FlatProcess *self, GAsyncResult *result);

G_END_DECLS
