/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "nova-state.h"

#include <operations/operations.h>

G_BEGIN_DECLS

/* A guest, seen as a server of Nova's. */

typedef struct
{
  char       *base;             /* how the client calls us: "http://HOST:PORT" */
  const char *project;          /* (nullable): whose servers they are, where that is known */
  guint       minor;            /* the version 2.N that is spoken */
} NovaView;

void        nova_view_clear     (NovaView *view);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (NovaView, nova_view_clear)

/* (transfer full): the guest's UUID, or one made of its id. */
char       *nova_server_id      (Guest *guest);
/* (transfer full): of guests, by the ids of their servers. */
GHashTable *nova_server_all     (Operations *operations);
/* (transfer none): AGENT_ERROR_NOT_FOUND, also for a guest's name. */
Guest      *nova_server_find    (Operations *operations, const char *id,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
NovaState   nova_server_state   (Operations *operations, Guest *guest);

/* (transfer full): in short, as GET /servers has it; or all of it. */
JsonObject *nova_server_to_link (Guest *guest, const NovaView *view) G_GNUC_WARN_UNUSED_RESULT;
JsonObject *nova_server_to_json (Operations *operations, Guest *guest,
                                 const NovaView *view) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
