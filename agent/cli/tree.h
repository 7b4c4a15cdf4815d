/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* A guest's disk as GET .../tree has it, drawn with its branches: the newest layers on top, each
 * above the one that it stands on, the points below the layers that hold them; an empty line
 * between what has no layer in common. @points: those of the guest (nullable). @columns: of the
 * terminal; 0: lines are not cut. (transfer full) */
char *tree_draw (JsonObject *disk, JsonArray *points, guint columns, gboolean utf8);

G_END_DECLS
