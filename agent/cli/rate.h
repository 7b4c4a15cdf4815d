/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* How fast a transfer is, smoothed over some seconds. All zero: nothing was measured yet. Plain
 * data. */
typedef struct
{
  gint64 done;                  /* bytes, when measured last */
  gint64 time;                  /* monotonic microseconds of then */
  double speed;                 /* bytes per second; 0: not known */
} Rate;

/* What @before becomes with @done bytes at @now. */
Rate   rate_measure      (Rate before, gint64 done, gint64 now);

/* Until @total bytes are done; -1 when that cannot be told. */
gint64 rate_seconds_left (Rate rate, gint64 total);

G_END_DECLS
