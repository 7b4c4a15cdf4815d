/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* A command that was sent. */
typedef struct
{
  guint64    id;                /* stands first: it is the key of a hash table */
  GTask     *task;              /* NULL: nobody waits any more, but the answer may still come */
  char      *command;
  JsonNode  *arguments;         /* (nullable) */
  guint      deadline_ms;
  gint64     expiry;            /* monotonic microseconds; 0 for never */
  GSource   *cancelled;         /* (nullable) */
} QmpCall;

G_GNUC_INTERNAL
void        qmp_call_free        (QmpCall      *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpCall, qmp_call_free)

/* A call ends without an answer; called before its task returns. */
typedef void (*QmpPendingGivenUp) (const QmpCall *call,
                                   gpointer       owner);

typedef struct _QmpPending QmpPending;

G_GNUC_INTERNAL
QmpPending *qmp_pending_new      (gpointer           owner,
                                  QmpPendingGivenUp  given_up);
G_GNUC_INTERNAL
void        qmp_pending_free     (QmpPending        *self);
G_GNUC_INTERNAL
void        qmp_pending_add      (QmpPending        *self,
                                  QmpCall           *call);
G_GNUC_INTERNAL
QmpCall    *qmp_pending_find     (QmpPending        *self,
                                  guint64            id);
G_GNUC_INTERNAL
void        qmp_pending_forget   (QmpPending        *self,
                                  QmpCall           *call);
G_GNUC_INTERNAL
void        qmp_pending_finish   (QmpPending        *self,
                                  QmpCall           *call,
                                  JsonNode          *value,
                                  GError            *error);
G_GNUC_INTERNAL
void        qmp_pending_fail_all (QmpPending        *self,
                                  const GError      *reason);

G_END_DECLS
