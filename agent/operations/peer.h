/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <guest/guest.h>

G_BEGIN_DECLS

/* The very process that a plan was made for: a guest that was started anew is another one. */
typedef struct
{
  Guest  *guest;                /* (nullable) (unowned): not known (yet) after a restart */
  gint64  pid;
  gint64  start_time;           /* as guest_get_start_time() has it; 0: not known */
} Peer;

/* It has ended, and no other is attached: what is left to do needs the files alone. */
gboolean   peer_is_gone (const Peer *self);
/* The guest that is attached is that process. */
gboolean   peer_is_same (const Peer *self);
/* The link to it; AGENT_ERROR_UNAVAILABLE when another process, or none, is there by now. */
QmpClient *peer_client  (const Peer *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Ends QEMU's jobs @ids, those that there are: cancelled, waited for, dismissed. @step (transfer
 * full) is returned then. */
void       peer_end_jobs (GTask *step, const Peer *self, const char *const *ids);

G_END_DECLS
