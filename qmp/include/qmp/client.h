/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/**
 * QmpDialect:
 * @QMP_DIALECT_MONITOR: a QEMU or qemu-storage-daemon monitor: greeting, capabilities, ids, events
 * @QMP_DIALECT_GUEST_AGENT: a QEMU guest agent: no greeting, no ids, replies in order
 */
typedef enum
{
  QMP_DIALECT_MONITOR,
  QMP_DIALECT_GUEST_AGENT,
} QmpDialect;

#define QMP_TYPE_CLIENT (qmp_client_get_type ())
G_DECLARE_FINAL_TYPE (QmpClient, qmp_client, QMP, CLIENT, GObject)

/* Signal "closed" (QmpClient *self, const GError *reason): once, when the link has dropped and
 * every pending call has failed.
 *
 * Throughout libqmp: @arguments are an object or NULL and (transfer full), so that a call reads
 * qmp_client_execute_async (client, "job-dismiss", qmp_args ("id", "s", id, NULL), ...); deadlines
 * are in milliseconds from now, 0 for none; callbacks run in the main context that was the thread's
 * default, never before the call that takes them has returned. */

void        qmp_client_connect_async   (GSocketConnectable  *address,
                                        QmpDialect           dialect,
                                        guint                deadline_ms,
                                        GCancellable        *cancellable,
                                        GAsyncReadyCallback  callback,
                                        gpointer             user_data);
void        qmp_client_adopt_async     (GIOStream           *stream,
                                        QmpDialect           dialect,
                                        guint                deadline_ms,
                                        GCancellable        *cancellable,
                                        GAsyncReadyCallback  callback,
                                        gpointer             user_data);
QmpClient  *qmp_client_open_finish     (GAsyncResult        *result,
                                        GError             **error) G_GNUC_WARN_UNUSED_RESULT;

void        qmp_client_execute_async   (QmpClient           *self,
                                        const char          *command,
                                        JsonNode            *arguments,
                                        guint                deadline_ms,
                                        GCancellable        *cancellable,
                                        GAsyncReadyCallback  callback,
                                        gpointer             user_data);
void        qmp_client_execute_oob_async (QmpClient           *self,
                                        const char          *command,
                                        JsonNode            *arguments,
                                        guint                deadline_ms,
                                        GCancellable        *cancellable,
                                        GAsyncReadyCallback  callback,
                                        gpointer             user_data);
JsonNode   *qmp_client_execute_finish  (QmpClient           *self,
                                        GAsyncResult        *result,
                                        GError             **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean    qmp_client_is_open         (QmpClient           *self);
gboolean    qmp_client_has_oob         (QmpClient           *self);
GPid        qmp_client_get_peer_pid    (QmpClient           *self);
const char *qmp_client_get_version     (QmpClient           *self);
void        qmp_client_close           (QmpClient           *self);

G_END_DECLS
