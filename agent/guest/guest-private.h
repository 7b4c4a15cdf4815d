/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "hold.h"
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
  GuestHold       *monitor_hold;        /* during a try, and while attached */
  GuestHold       *process_hold;        /* while attached */
  GSource         *holder;              /* comes when another daemon has let go */
  gint64           attached_us;
  GPid             last_pid;            /* kept while it is gone */
  guint64          last_start_time;
  GPtrArray       *alarms;              /* of GuestAlarm: see alarm.c */
};

/* What the registry and quiescing need of a guest, and nobody else. */

void        guest_set_origin    (Guest *self, GuestOrigin origin);

/* Whether its id is settled: given by the configuration, or told by QEMU once. */
gboolean    guest_has_id        (Guest *self);

/* Who it is; an earlier run's knowledge is put there before it is started. */
Identity   *guest_get_identity  (Guest *self);

/* Whether it was refused for being another guest than the one that was there. */
gboolean    guest_is_replaced   (Guest *self);

/* Its run state has changed, or its link. */
void        guest_update_alarms (Guest *self);
void        guest_add_text (JsonBuilder *builder, const char *member, const char *text);

/* Has a guest with the same monitor and UUID go on with other settings. */
void        guest_set_config    (Guest *self, const GuestConfig *config);

/* Lets an attached guest go, for a reason that only somebody else can see. */
void        guest_refuse        (Guest *self, GError *reason);

G_END_DECLS
