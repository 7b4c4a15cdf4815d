/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "revert.h"

G_BEGIN_DECLS

/* Which disks can be taken back to which layers, and what that means for their chains. Pure. */

/* What is known of @disk before it is known where it goes. AGENT_ERROR_CONFLICT: not this disk, not
 * with this QEMU. @index: its place in the operation. */
RevertDisk  *revert_plan_disk    (const ChainAsk *ask, Disk *disk, guint index,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Where it goes: the layer (@dev, @ino). Fills in what of its chain is open already, what has to be
 * opened, and what leaves. AGENT_ERROR_CONFLICT when the file is not there, or a header below it
 * does not say what it stands on. */
gboolean     revert_plan_target  (RevertDisk *self, guint index, const char *operation,
                                  const ChainLook *look, Disk *disk, guint64 dev, guint64 ino,
                                  const char *format, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* All that the disk has leaves its chain. */
void         revert_plan_leave_all (RevertDisk *self, Disk *disk);
/* The parts of a request that both verbs have: "reset", "discard", "name". */
gboolean     revert_check_options (JsonObject *request, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* How it will go, as the summaries of both say it. */
void         revert_plan_tell_options (const Revert *self, JsonObject *summary);
/* What the overlays need, noted in @plan. */
void         revert_plan_room    (const Revert *self, JsonObject *plan);
Revert      *revert_plan_begin   (const ChainAsk *ask, const char *what) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
