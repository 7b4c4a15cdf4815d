/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <guest/guest.h>

G_BEGIN_DECLS

/* Freezing a guest's filesystems around a point, and thawing them on every path. Freezing arms a
 * timer that thaws whatever the caller does; a thaw that fails is tried again until the agent says
 * thawed. */

#define TYPE_QUIESCE (quiesce_get_type ())
G_DECLARE_FINAL_TYPE (Quiesce, quiesce, AGENT, QUIESCE, GObject)

Quiesce  *quiesce_new           (Guest *guest, guint freeze_timeout_ms, guint thaw_after_ms);

/* Errors: AGENT_ERROR GUEST, TIMEOUT, CANCELLED or UNAVAILABLE (no agent socket): nothing is frozen
 * then, or is being thawed. Returns the number of filesystems, or -1. */
void      quiesce_freeze_async  (Quiesce *self, GCancellable *cancellable,
                                 GAsyncReadyCallback callback, gpointer user_data);
int       quiesce_freeze_finish (Quiesce *self, GAsyncResult *result,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Success when nothing is frozen. After 15 s TIMEOUT; thawing goes on. */
void      quiesce_thaw_async    (Quiesce *self, GAsyncReadyCallback callback, gpointer user_data);
gboolean  quiesce_thaw_finish   (Quiesce *self, GAsyncResult *result,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* FALSE when the timer, or the guest itself, has thawed since the freeze: the point was then not
 * consistent. Knows best when it is asked after the thaw. */
gboolean  quiesce_still_frozen  (Quiesce *self);

G_END_DECLS
