/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* That no other daemon of this host works on the same guest. */
typedef struct _GuestHold GuestHold;

/* Of the monitor at @monitor, and of the process behind it. When another daemon has it,
 * AGENT_ERROR_CONFLICT names that one, and @holder becomes readable when it lets go. */
GuestHold *guest_hold_monitor (const char *guest, const char *monitor, GSocket **holder,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
GuestHold *guest_hold_process (const char *guest, GPid pid, guint64 start_time, GSocket **holder,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
void       guest_hold_free    (GuestHold *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GuestHold, guest_hold_free)

G_END_DECLS
