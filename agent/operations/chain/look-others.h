/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "look.h"

G_BEGIN_DECLS

/* What other guests need, as far as QEMU and the journal tell it; some of it has to be checked with
 * the files still. */
typedef struct
{
  GPtrArray *users;             /* of LayerUser: layers of those that run */
  GPtrArray *points;            /* of LayerUser: where the journal says that their points live */
  GPtrArray *unseen;            /* of UnseenGuest: those that QEMU tells nothing of */
} OtherUses;

/* A guest that is known by what it was seen with. */
typedef struct
{
  char      *guest;
  gboolean   shut_off;          /* else it is attached, and does not answer */
  GPtrArray *disks;             /* of KnownDisk */
} UnseenGuest;

LayerUser *layer_user_new     (const char *path, guint64 dev, guint64 ino,
                               char *who) G_GNUC_WARN_UNUSED_RESULT;    /* takes @who */
void       layer_user_free    (LayerUser *self);

void       other_uses_free    (OtherUses *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OtherUses, other_uses_free)

/* Asks each other guest that is attached, all at once. One that does not answer soon, or is not
 * attached, counts as it was last seen. AGENT_ERROR_INTERNAL, CANCELLED. */
void       chain_look_others_async  (Operations *operations, Guest *guest,
                                     GCancellable *cancellable, GAsyncReadyCallback callback,
                                     gpointer user_data);
OtherUses *chain_look_others_finish (GAsyncResult *result,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Adds to the users of @look what @others need still, by their files. Blocking. */
void       chain_look_add_others    (ChainLook *look, const OtherUses *others);

G_END_DECLS
