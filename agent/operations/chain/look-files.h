/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "look-others.h"

G_BEGIN_DECLS

/* Fills in what files tell: the disks of a guest that is shut off (@known, nullable: it runs), the
 * images in the folders, and whether what others were known to need is still there. Takes @others.
 * @look is a thread's until then. AGENT_ERROR CONFLICT, UNAVAILABLE, INTERNAL. */
void     chain_look_files_async  (ChainLook *look, GPtrArray *known, OtherUses *others,
                                  const Config *config, GAsyncReadyCallback callback,
                                  gpointer user_data);
gboolean chain_look_files_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Brings the points up to the files: point_disk_meet(). Blocking. */
void     chain_look_meet_points  (ChainLook *look);

G_END_DECLS
