/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a peer may say unasked within a time. A QEMU that works stays far below: it says a thousand
 * events a second where all disks fail at once. */
#define QMP_METER_SECONDS 5
#define QMP_METER_EVENTS  100000
#define QMP_METER_BYTES   (32 * 1024 * 1024)

typedef struct
{
  gint64 begun_us;              /* monotonic */
  guint  events;                /* since then */
  gsize  bytes;
} QmpMeter;

G_GNUC_INTERNAL
gboolean qmp_meter_count (QmpMeter  *self,
                          gsize      length,
                          GError   **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
