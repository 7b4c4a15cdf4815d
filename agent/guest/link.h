/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "probe.h"

G_BEGIN_DECLS

/* The link to an attached guest, and what holds as long as it does. */

#define TYPE_GUEST_LINK (guest_link_get_type ())
G_DECLARE_FINAL_TYPE (GuestLink, guest_link, AGENT, GUEST_LINK, GObject)

/* Signals: "closed" (GuestLink *self, const GError *reason), not after guest_link_close();
 *          "run-state-changed" (GuestLink *self);
 *          "event" (GuestLink *self, const QmpEvent *event). */

GuestLink   *guest_link_new            (GuestProbe *probe);
void         guest_link_close          (GuestLink *self);

QmpClient   *guest_link_get_client     (GuestLink *self);
QmpFeatures *guest_link_get_features   (GuestLink *self);
const char  *guest_link_get_run_state  (GuestLink *self);
GPid         guest_link_get_pid        (GuestLink *self);
guint64      guest_link_get_start_time (GuestLink *self);

G_END_DECLS
