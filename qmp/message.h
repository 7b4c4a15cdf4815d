/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "strict-json.h"

G_BEGIN_DECLS

typedef enum
{
  QMP_MESSAGE_GREETING,
  QMP_MESSAGE_RETURN,
  QMP_MESSAGE_ERROR,
  QMP_MESSAGE_EVENT,
} QmpMessageKind;

/* One line that a peer sent. The spans point into that line and are checked JSON. */
typedef struct
{
  QmpMessageKind kind;
  QmpSpan        line;
  QmpSpan        body;          /* of "QMP", "return", "error" or "event" */
  QmpSpan        id;            /* may be missing */
  QmpSpan        data;          /* of an event; may be missing */
  QmpSpan        timestamp;     /* of an event; may be missing */
} QmpMessage;

G_GNUC_INTERNAL
gboolean  qmp_message_read          (QmpMessage       *message,
                                     QmpSpan           line,
                                     GError          **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
gboolean  qmp_message_get_id        (const QmpMessage *message,
                                     guint64          *id) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
gboolean  qmp_message_get_greeting  (const QmpMessage *message,
                                     char            **version,
                                     gboolean         *oob,
                                     GError          **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
GError   *qmp_message_get_refusal   (const QmpMessage *message,
                                     const char       *command,
                                     JsonNode         *arguments) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
gint64    qmp_message_get_timestamp (const QmpMessage *message);

/* @verb: "execute" or "exec-oob"; @id: 0 leaves it out. */
G_GNUC_INTERNAL
GString  *qmp_message_write         (const char       *verb,
                                     const char       *command,
                                     JsonNode         *arguments,
                                     guint64           id,
                                     GError          **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
