/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One deadline over several calls. As for a call, 0 milliseconds stand for no deadline. */

#include <glib.h>

/* The moment that is @ms milliseconds away; 0 for never. */
static inline gint64
qmp_deadline_begin (guint ms)
{
  return ms > 0 ? g_get_monotonic_time () + (gint64) ms * 1000 : 0;
}

/* Milliseconds left for the next call. A deadline that has just passed leaves one, so that the call
 * ends with the usual message. */
static inline guint
qmp_deadline_left (gint64 deadline)
{
  if (deadline == 0)
    return 0;

  return (guint) CLAMP ((deadline - g_get_monotonic_time ()) / 1000, 1, G_MAXUINT);
}
