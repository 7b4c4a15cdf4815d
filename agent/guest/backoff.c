/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how long to wait after the n-th failure in a row. */

#include "backoff.h"

/**
 * backoff_next:
 * @self: the waits
 *
 * Steps on. A quarter of the wait is left to chance, so that many guests which went down together
 * do not come back in one instant.
 *
 * Returns: how many milliseconds to wait now
 */
guint
backoff_next (Backoff *self)
{
  guint wait_ms = CLAMP (self->next_ms, self->first_ms, self->last_ms);

  self->next_ms = MIN (wait_ms * 2, self->last_ms);

  return wait_ms - wait_ms / 4 + (guint) g_random_int_range (0, (gint32) (wait_ms / 4 + 1));
}

/**
 * backoff_reset:
 * @self: the waits
 *
 * Begins again with the shortest wait.
 */
void
backoff_reset (Backoff *self)
{
  self->next_ms = 0;
}
