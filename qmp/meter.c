/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when a peer says too much that nobody has asked for. */

#include "meter.h"

#include <qmp/error.h>

/**
 * qmp_meter_count:
 * @self: what was counted so far; all zero at first
 * @length: bytes of one more event
 * @error: return location
 *
 * Returns: whether that is bearable; else %QMP_ERROR_FLOOD
 */
gboolean
qmp_meter_count (QmpMeter  *self,
                 gsize      length,
                 GError   **error)
{
  gint64 now_us = g_get_monotonic_time ();

  if (now_us - self->begun_us > QMP_METER_SECONDS * G_TIME_SPAN_SECOND)
    *self = (QmpMeter) { now_us, 0, 0 };
  self->events++;
  self->bytes += length;
  if (self->events <= QMP_METER_EVENTS && self->bytes <= QMP_METER_BYTES)
    return TRUE;

  g_set_error (error, QMP_ERROR, QMP_ERROR_FLOOD,
               "a flood: %u events, %" G_GSIZE_FORMAT " bytes of them, within %" G_GINT64_FORMAT
               " ms", self->events, self->bytes, (now_us - self->begun_us) / 1000);
  return FALSE;
}
