/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/client.h>

G_BEGIN_DECLS

/* An event as QEMU sent it. */
typedef struct
{
  char       *name;
  JsonObject *data;             /* never NULL; empty when QEMU sent none */
  gint64      timestamp_us;     /* QEMU's clock, microseconds since the epoch */
} QmpEvent;

void     qmp_event_free (QmpEvent *event);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpEvent, qmp_event_free)

/* Returns TRUE for the events that a listener wants. */
typedef gboolean (*QmpEventFilter) (const QmpEvent *event,
                                    gpointer        user_data);

#define QMP_TYPE_LISTENER (qmp_listener_get_type ())
G_DECLARE_FINAL_TYPE (QmpListener, qmp_listener, QMP, LISTENER, GObject)

QmpListener *qmp_listener_new         (QmpClient           *client,
                                       const char *const   *names,
                                       QmpEventFilter       filter,
                                       gpointer             user_data,
                                       GDestroyNotify       destroy);
void         qmp_listener_next_async  (QmpListener         *self,
                                       guint                deadline_ms,
                                       GCancellable        *cancellable,
                                       GAsyncReadyCallback  callback,
                                       gpointer             user_data);
QmpEvent    *qmp_listener_next_finish (QmpListener         *self,
                                       GAsyncResult        *result,
                                       GError             **error) G_GNUC_WARN_UNUSED_RESULT;
guint        qmp_listener_get_lost    (QmpListener         *self);
void         qmp_listener_close       (QmpListener         *self);

/* Signal "event" (QmpListener *self, const QmpEvent *event): for those who rather react than wait;
 * a listener with a handler connected keeps no queue. */

G_END_DECLS
