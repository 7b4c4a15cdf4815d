/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <guest/guest.h>

G_BEGIN_DECLS

/* Whether an attached guest is on its way to another process, which has its disks open as they were
 * when it was started, or has arrived there. */
void     migration_ask_async  (Guest *guest, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);
gboolean migration_ask_finish (GAsyncResult *result, gboolean *migrating,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
