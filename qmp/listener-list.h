/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/listener.h>

#include "message.h"

G_BEGIN_DECLS

typedef struct _QmpListenerList QmpListenerList;

G_GNUC_INTERNAL
QmpListenerList *qmp_listener_list_new       (void);
G_GNUC_INTERNAL
void             qmp_listener_list_free      (QmpListenerList   *self);
G_GNUC_INTERNAL
void             qmp_listener_list_add       (QmpListenerList   *self,
                                              QmpListener       *listener);
G_GNUC_INTERNAL
void             qmp_listener_list_remove    (QmpListenerList   *self,
                                              QmpListener       *listener);
G_GNUC_INTERNAL
void             qmp_listener_list_deliver   (QmpListenerList   *self,
                                              const QmpMessage  *message);
G_GNUC_INTERNAL
void             qmp_listener_list_tell_drop (QmpListenerList   *self);

/* --- what it needs of a listener --- */

/* @event: made by the first listener that wants it, for all. */
G_GNUC_INTERNAL
void             qmp_listener_deliver        (QmpListener       *self,
                                              const QmpMessage  *message,
                                              QmpEvent         **event);
G_GNUC_INTERNAL
void             qmp_listener_link_dropped   (QmpListener       *self);

G_END_DECLS
