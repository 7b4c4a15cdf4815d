/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/client.h>

#include "listener-list.h"

G_BEGIN_DECLS

/* --- what client-open.c needs of the client --- */

/* Called once, with the greeting read. */
typedef void (*QmpClientGreeted) (gpointer user_data);

G_GNUC_INTERNAL
QmpClient    *qmp_client_begin           (GIOStream         *stream,
                                          QmpDialect         dialect,
                                          QmpClientGreeted   greeted,
                                          gpointer           user_data,
                                          GError           **error) G_GNUC_WARN_UNUSED_RESULT;
/* A quote of a message that has only begun; NULL when nothing came. */
G_GNUC_INTERNAL
char         *qmp_client_get_partial     (QmpClient         *self) G_GNUC_WARN_UNUSED_RESULT;

/* --- what listener.c needs of the client --- */

G_GNUC_INTERNAL
QmpListenerList *qmp_client_get_listeners (QmpClient        *self);
/* Why the link dropped; NULL while it is up. */
G_GNUC_INTERNAL
const GError *qmp_client_get_reason      (QmpClient         *self);

G_END_DECLS
