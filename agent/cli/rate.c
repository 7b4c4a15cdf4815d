/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the speed of a transfer, and the time left, are told from what was done when. */

#include "rate.h"

#define MEMORY      5.0         /* seconds: what is older counts for less than what is newer */
#define SPEED_MIN   1.0         /* bytes per second: below, it stands still */
#define SECONDS_MAX (100 * 3600)

/**
 * rate_measure:
 * @before: the rate so far
 * @done: bytes that are done by now; fewer than before is another transfer
 * @now: monotonic time, in microseconds; not 0
 *
 * A pause counts: the rate falls while nothing moves.
 *
 * Returns: the rate from now on
 */
Rate
rate_measure (Rate   before,
              gint64 done,
              gint64 now)
{
  Rate after = { done, now, 0 };
  double seconds = (double) (now - before.time) / G_USEC_PER_SEC;
  double latest;

  if (before.time == 0 || done < before.done)
    return after;
  if (now <= before.time)
    return before;

  latest = (double) (done - before.done) / seconds;
  if (before.speed > 0)
    after.speed = before.speed + seconds / (seconds + MEMORY) * (latest - before.speed);
  else
    after.speed = latest;
  return after;
}

/**
 * rate_seconds_left:
 * @rate: a rate
 * @total: bytes, all in all
 *
 * Returns: seconds, rounded up; -1 when the rate is not known, or so low that it would tell nothing
 */
gint64
rate_seconds_left (Rate   rate,
                   gint64 total)
{
  gint64 left = MAX (total - rate.done, 0);

  if (rate.speed < SPEED_MIN || (double) left / rate.speed > SECONDS_MAX)
    return -1;
  return (gint64) ((double) left / rate.speed + 0.999);
}
