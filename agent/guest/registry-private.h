/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <guest/registry.h>

#include "guest-private.h"
#include "watch.h"

G_BEGIN_DECLS

struct _GuestRegistry
{
  GObject          parent_instance;

  Journal         *journal;
  QmpFeatureCache *cache;
  GPtrArray       *guests;
  GPtrArray       *attaching;   /* of GTask: requests that wait for their guest */
  GPtrArray       *watches;
  GHashTable      *ignored;     /* paths where we watch, but want nothing of what is there */

  /* What the configuration says, and whether something of it has to wait. */
  GPtrArray       *wanted;      /* of GuestConfig, with normal addresses */
  gboolean         unsettled;
  gboolean         tells;       /* what has to wait is news */
  guint            settle_id;
  GuestBusyFunc    busy;        /* (nullable) */
  gpointer         busy_data;
};

/* Each guest once (registry-check.c). */
Guest       *registry_find_by_monitor (GuestRegistry *self, const char *monitor);
gboolean     registry_is_agent_socket (GuestRegistry *self, const char *path);
gboolean     registry_check_config    (GuestRegistry *self, const GuestConfig *config,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
GError      *registry_check_attached  (GuestRegistry *self, Guest *guest) G_GNUC_WARN_UNUSED_RESULT;
GuestConfig *registry_dup_normal      (const GuestConfig *config);

/* Coming and going (registry.c). */
void         registry_add             (GuestRegistry *self, Guest *guest);
void         registry_remove          (GuestRegistry *self, Guest *guest);
void         registry_tell            (GuestRegistry *self, Guest *guest);
SocketWatch *registry_make_watch      (GuestRegistry *self, const char *pattern);
void         registry_end_watch       (GuestRegistry *self, SocketWatch *watch);

/* By request (registry-attach.c). */
Guest       *registry_get_attaching   (GuestRegistry *self, guint index);
void         registry_fail_attaching  (GuestRegistry *self);

G_END_DECLS
