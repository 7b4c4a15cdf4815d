/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "../known-disks.h"

G_BEGIN_DECLS

/* The disk of a guest that is shut off, from the headers of its images, the published one first.
 * AGENT_ERROR CONFLICT: a file is missing, a format is not known, there is a loop; UNAVAILABLE: it
 * is another disk than the one that was seen. Blocking. */
Disk    *chain_look_known_disk   (const KnownDisk *known,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* AGENT_ERROR_UNAVAILABLE when somebody has its topmost image open. Blocking. */
gboolean chain_look_check_unused (Disk *disk, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
