/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "move.h"

G_BEGIN_DECLS

/* What "delete" and "shorten" leave alone, and how they turn the planner's choice into moves: pure
 * functions. */

/* What @point is of @disk; NULL: nothing. (transfer none) */
PointDisk *keep_point_disk   (const Point *point, Disk *disk);
/* Whether @path is named as a layer of @disk. Others may have been there before us, and nobody can
 * tell who else starts from them: they are neither removed nor, unasked, written to. */
gboolean   keep_is_layer_of  (Disk *disk, const char *path);

/* Those of the @planned moves of @layers that can be done; streams where a commit cannot be.
 * @reason: why one of them cannot. (transfer full): of PlannedMove */
GPtrArray *keep_possible     (const ChainAsk *ask, Disk *disk, GPtrArray *layers,
                              GPtrArray *planned, GError **reason);

G_END_DECLS
