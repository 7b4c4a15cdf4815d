/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "strict-json.h"

#include <gio/gio.h>

G_BEGIN_DECLS

/* Bytes of one line, and of all that a peer leaves unread. A node costs QEMU a thousand to tell. */
#define QMP_TRANSPORT_LINE_MAX  (16 * 1024 * 1024)
/* Lines without a word, one after the other. */
#define QMP_TRANSPORT_BLANK_MAX 10000

typedef struct _QmpTransport QmpTransport;

/* @line is valid during the call; @resynced says that byte 0xFF stood before it, and what came
 * before that is not in @line. May close the transport and release everything. */
typedef void (*QmpTransportLine)    (QmpSpan   line,
                                     gboolean  resynced,
                                     gpointer  user_data);
/* Called once, unless the transport was closed before. */
typedef void (*QmpTransportDropped) (GError   *reason,   /* (transfer full) */
                                     gpointer  user_data);

G_GNUC_INTERNAL
QmpTransport *qmp_transport_new    (GIOStream            *stream,
                                    gboolean              resync,
                                    QmpTransportLine      line,
                                    QmpTransportDropped   dropped,
                                    gpointer              user_data,
                                    GError              **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
gboolean      qmp_transport_send   (QmpTransport         *self,
                                    const GString        *line,
                                    GError              **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
char         *qmp_transport_get_partial (QmpTransport    *self) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
void          qmp_transport_free   (QmpTransport         *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpTransport, qmp_transport_free)

G_END_DECLS
