/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "identity.h"
#include "link.h"
#include "retry.h"

G_BEGIN_DECLS

struct _Guest
{
  GObject          parent_instance;

  GuestConfig     *config;
  GuestOrigin      origin;
  QmpFeatureCache *cache;

  /* Who it is: kept while it is gone. */
  Identity        *identity;
  char            *id;

  GuestState       state;
  GError          *error;
  gboolean         started;

  Retry           *retry;
  GCancellable    *attempt;             /* during a try */
  GuestLink       *link;                /* while attached */
  gint64           attached_us;
  GPid             last_pid;            /* kept while it is gone */
  guint64          last_start_time;
};

/* What the registry and quiescing need of a guest, and nobody else. */

void        guest_set_origin    (Guest *self, GuestOrigin origin);

/* Whether its id is settled: given by the configuration, or told by QEMU once. */
gboolean    guest_has_id        (Guest *self);

/* Who it is; an earlier run's knowledge is put there before it is started. */
Identity   *guest_get_identity  (Guest *self);

/* Whether it was refused for being another guest than the one that was there. */
gboolean    guest_is_replaced   (Guest *self);

/* Lets an attached guest go, for a reason that only somebody else can see. */
void        guest_refuse        (Guest *self, GError *reason);

G_END_DECLS
