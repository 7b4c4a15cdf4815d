/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <guest/guest.h>

G_BEGIN_DECLS

/* How long QEMU may take over one command: it answers in well under a second unless its own
 * storage hangs. */
#define GUEST_COMMAND_DEADLINE_MS 30000

/* What libqmp says, as people are told it, with the guest named. (transfer full) both ways. */
GError    *guest_error_name      (Guest *guest, GError *error);

/* The guest's link; AGENT_ERROR_UNAVAILABLE with the reason while there is none. (transfer none) */
QmpClient *guest_require_client  (Guest *guest, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* TRUE when QEMU itself said no: then, and only then, the command has not happened. */
gboolean   guest_error_is_refusal (const GError *error);

G_END_DECLS
