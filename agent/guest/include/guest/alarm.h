/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <guest/guest.h>

G_BEGIN_DECLS

/* What keeps a guest from running: QEMU has stopped it at an error of a disk, and tries the same
 * once more when it is told to go on. */

typedef struct
{
  gboolean  no_space;           /* else any other error */
  char     *disk;               /* (nullable): by the id of its drive, else of its device */
  char     *node;               /* (nullable) */
  char     *path;               /* (nullable): the file, as QEMU has it open */
  gint64    since_us;           /* since 1970 */
} GuestAlarm;

void       guest_alarm_free     (GuestAlarm *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GuestAlarm, guest_alarm_free)

/* What @blocks, the answer to query-block, says of a guest that stands because of an error: one at
 * least. Pure. (transfer full): of GuestAlarm */
GPtrArray *guest_alarms_read    (JsonNode *blocks, gint64 now_us) G_GNUC_WARN_UNUSED_RESULT;
/* For people: {"kind", "disk", "node", "path", "since", "message", "hint"} each. */
JsonNode  *guest_alarms_to_json (GPtrArray *alarms) G_GNUC_WARN_UNUSED_RESULT;

/* Those of a guest, until it runs again; empty while there are none. Its signal "alarms-changed"
 * tells when that moves. (transfer none) */
GPtrArray *guest_get_alarms     (Guest *self);
/* Whether QEMU has stopped it at an error. */
gboolean   guest_is_at_error    (Guest *self);

G_END_DECLS
