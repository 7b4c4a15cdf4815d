/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when it is worth asking a service again, and how long to wait before. */

#include "retry.h"

#include "error-private.h"

/**
 * retry_is_worth_it:
 * @answer: (nullable): what the service said
 * @error: (nullable): why it said nothing
 *
 * Returns: whether it may say something else when it is asked again
 */
gboolean
retry_is_worth_it (const HttpAnswer *answer,
                   const GError     *error)
{
  if (answer != NULL)
    return answer->status == 429 || (answer->status >= 500 && answer->status <= 504);

  return g_error_matches (error, GLANCE_ERROR, GLANCE_ERROR_UNAVAILABLE)
         || g_error_matches (error, GLANCE_ERROR, GLANCE_ERROR_TIMEOUT);
}

/**
 * retry_back_off:
 * @backoff_ms: before the first repetition
 * @n: 1 before the first repetition, 2 before the second, ...
 * @cancellable: (nullable): ends the waiting at once
 * @error: G_IO_ERROR_CANCELLED
 *
 * Waits twice as long each time, and between half and one and a half times that, so that many
 * clients of a service that came back do not come back together.
 *
 * Returns: %FALSE when cancelled
 */
gboolean
retry_back_off (guint          backoff_ms,
                guint          n,
                GCancellable  *cancellable,
                GError       **error)
{
  guint base = MIN (backoff_ms << MIN (n - 1, 10), RETRY_BACKOFF_MAX);
  gint64 wait_us = (gint64) (base * g_random_double_range (0.5, 1.5) * 1000);
  gint64 until = g_get_monotonic_time () + wait_us;
  GPollFD poll_fd = { .fd = -1 };
  gboolean can_wake = g_cancellable_make_pollfd (cancellable, &poll_fd);
  gint64 left;

  while ((left = until - g_get_monotonic_time ()) > 0 && !g_cancellable_is_cancelled (cancellable))
    g_poll (&poll_fd, can_wake ? 1 : 0, (int) (left / 1000 + 1));

  if (can_wake)
    g_cancellable_release_fd (cancellable);

  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}
