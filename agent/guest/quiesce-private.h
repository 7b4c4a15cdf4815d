/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <guest/quiesce.h>

#include "backoff.h"

G_BEGIN_DECLS

/*   unknown -> opening -> freezing -> frozen -> thawing -> thawed -> opening ...
 *       |         |           \----------------->/
 *       |         \-> thawed (nothing was sent)
 *       \-> thawing (of what an earlier run has left) */
typedef enum
{
  QUIESCE_UNKNOWN,
  QUIESCE_OPENING,
  QUIESCE_FREEZING,
  QUIESCE_FROZEN,
  QUIESCE_THAWING,
  QUIESCE_THAWED,
} QuiesceState;

struct _Quiesce
{
  GObject        parent_instance;

  Guest         *guest;
  guint          freeze_timeout_ms;
  guint          thaw_after_ms;

  QuiesceState   state;
  gboolean       held;          /* nobody but our caller has thawed */
  gboolean       late;          /* a freeze may still happen */
  int            filesystems;
  GPid           pid;           /* whose filesystems */
  guint64        start_time;

  QmpGuestAgent *agent;         /* (nullable): a link that is in step */
  gint64         deadline_us;   /* the freeze's */
  guint          timer;         /* holds a reference */

  GTask         *freezing;      /* (nullable) (unowned): the freeze under way */
  GPtrArray     *waiting;       /* of GTask: for the thaw */
  Backoff        backoff;
  GError        *error;         /* of the last try */
};

/* Freezing, the timer, and what both sides need (quiesce.c). */
void                quiesce_arm_timer        (Quiesce *self);
void                quiesce_close_agent      (Quiesce *self);
GSocketConnectable *quiesce_agent_address    (Quiesce *self,
                                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
GError             *quiesce_adopt            (Quiesce *self, GError *error);
void                quiesce_remember_process (Quiesce *self);
gboolean            quiesce_guest_is_dead    (Quiesce *self);

/* Thawing (quiesce-thaw.c). */
void                quiesce_thaw_begin       (Quiesce *self);

G_END_DECLS
