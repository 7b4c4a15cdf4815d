/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Waits that double from one failure to the next, from @first_ms to @last_ms. */
typedef struct
{
  guint first_ms;
  guint last_ms;
  guint next_ms;                /* 0 before the first failure */
} Backoff;

guint backoff_next  (Backoff *self);
void  backoff_reset (Backoff *self);

G_END_DECLS
