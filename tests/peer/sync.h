/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/client.h>
#include <qmp/listener.h>

#include "peer.h"

G_BEGIN_DECLS

/* Waiting for asynchronous calls: pass sync_done with the address of a GAsyncResult * that is NULL,
 * then wait for it. Fatal after 20 seconds. */
void          sync_done    (GObject        *source,
                            GAsyncResult   *result,
                            gpointer        user_data);
void          sync_wait    (GAsyncResult  **result);
/* Runs the main loop until @flag is TRUE. */
void          sync_until   (const gboolean *flag);
/* Runs the main loop until it has nothing to do. */
void          sync_settle  (void);

/* A client of a peer whose script greets; and of one that is a guest agent. */
QmpClient    *sync_open    (Peer           *peer,
                            QmpDialect      dialect);
JsonNode     *sync_execute (QmpClient      *client,
                            const char     *command,
                            JsonNode       *arguments,
                            GError        **error);
QmpEvent     *sync_next    (QmpListener    *listener,
                            guint           deadline_ms,
                            GError        **error);

G_END_DECLS
