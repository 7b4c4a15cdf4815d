/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/client.h>

G_BEGIN_DECLS

/* The QEMU guest agent on its own socket. It never greets, and may be silent, slow or gone: every
 * call has a deadline, and a link is in step with it only after a sync. */

#define QMP_TYPE_GUEST_AGENT (qmp_guest_agent_get_type ())
G_DECLARE_FINAL_TYPE (QmpGuestAgent, qmp_guest_agent, QMP, GUEST_AGENT, GObject)

typedef enum
{
  QMP_FSFREEZE_THAWED,
  QMP_FSFREEZE_FROZEN,
} QmpFsfreeze;

/* Connects and syncs. */
void           qmp_guest_agent_open_async    (GSocketConnectable *address, guint deadline_ms,
                                              GCancellable *cancellable,
                                              GAsyncReadyCallback callback, gpointer user_data);
QmpGuestAgent *qmp_guest_agent_open_finish   (GAsyncResult *result, GError **error)
                                              G_GNUC_WARN_UNUSED_RESULT;

void           qmp_guest_agent_status_async  (QmpGuestAgent *self, guint deadline_ms,
                                              GCancellable *cancellable,
                                              GAsyncReadyCallback callback, gpointer user_data);
gboolean       qmp_guest_agent_status_finish (QmpGuestAgent *self, GAsyncResult *result,
                                              QmpFsfreeze *status, GError **error)
                                              G_GNUC_WARN_UNUSED_RESULT;

/* Both return the number of filesystems, or -1 with an error. */
void           qmp_guest_agent_freeze_async  (QmpGuestAgent *self, guint deadline_ms,
                                              GCancellable *cancellable,
                                              GAsyncReadyCallback callback, gpointer user_data);
int            qmp_guest_agent_freeze_finish (QmpGuestAgent *self, GAsyncResult *result,
                                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
void           qmp_guest_agent_thaw_async    (QmpGuestAgent *self, guint deadline_ms,
                                              GCancellable *cancellable,
                                              GAsyncReadyCallback callback, gpointer user_data);
int            qmp_guest_agent_thaw_finish   (QmpGuestAgent *self, GAsyncResult *result,
                                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean       qmp_guest_agent_is_open       (QmpGuestAgent *self);
void           qmp_guest_agent_close         (QmpGuestAgent *self);

G_END_DECLS
