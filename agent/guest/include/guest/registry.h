/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>
#include <guest/guest.h>

G_BEGIN_DECLS

/* All guests: those of the configuration, those that were attached by request (kept in the
 * journal), and those whose sockets came up where we watch. */

#define TYPE_GUEST_REGISTRY (guest_registry_get_type ())
G_DECLARE_FINAL_TYPE (GuestRegistry, guest_registry, AGENT, GUEST_REGISTRY, GObject)

/* Signal "guest-changed" (GuestRegistry *self, Guest *guest): attached, gone, refused or removed; a
 * removed one is no more in guest_registry_list(). */

/* Whether somebody works on @guest: it must stay then. */
typedef gboolean (*GuestBusyFunc) (Guest *guest, gpointer user_data);

GuestRegistry *guest_registry_new     (Journal *journal);
/* Attaches what @config and the journal name, and begins to watch. Later: goes over to another
 * @config; guests that it does not have are let go of as soon as nobody works on them. */
gboolean       guest_registry_check   (const Config *config, GError **error)
                                       G_GNUC_WARN_UNUSED_RESULT;
gboolean       guest_registry_start   (GuestRegistry *self, const Config *config,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* To be called when somebody has ended his work on a guest. */
void           guest_registry_settle  (GuestRegistry *self);
void           guest_registry_set_busy_func (GuestRegistry *self, GuestBusyFunc busy,
                                       gpointer user_data);
void           guest_registry_stop    (GuestRegistry *self);

/* Attaches by request: waits until the guest is attached, or for its error; the latter leaves
 * nothing behind. AGENT_ERROR: INVALID, CONFLICT (its id or socket is taken), UNAVAILABLE, TIMEOUT,
 * GUEST. */
void           guest_registry_attach_async  (GuestRegistry *self, const GuestConfig *config,
                                             GCancellable *cancellable,
                                             GAsyncReadyCallback callback, gpointer user_data);
Guest         *guest_registry_attach_finish (GuestRegistry *self, GAsyncResult *result,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* AGENT_ERROR_CONFLICT for one of the configuration: it would come back. */
gboolean       guest_registry_detach  (GuestRegistry *self, Guest *guest,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* By id, UUID or name. AGENT_ERROR: NOT_FOUND; CONFLICT when a name is several guests'.
 * (transfer none) */
Guest         *guest_registry_find    (GuestRegistry *self, const char *name,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Array of Guest (transfer full). */
GPtrArray     *guest_registry_list    (GuestRegistry *self);

G_END_DECLS
