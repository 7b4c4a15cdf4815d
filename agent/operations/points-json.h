/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "layer-tree.h"
#include "points.h"

G_BEGIN_DECLS

/* Points as people see them: with the point that each came from, and with what their layers are
 * now. */

typedef enum
{
  PARENT_BY_LAYERS,             /* the files say which */
  PARENT_BY_TIME,               /* the files cannot be read: the one before it */
} ParentBy;

/* The nearest point below those layers that the point at @index has; NULL: none. Pure. (transfer
 * none) */
const Point *points_find_parent (GPtrArray *points, guint index, LayerTree *tree, ParentBy *by);

/* Brings @points up to their files: what a layer has allocated by now, the number that its device
 * has by now; reads into @tree what it does not know yet. Blocking. */
void         points_look        (GPtrArray *points, LayerTree *tree);

/* The list that REST shows, oldest first. Pure. */
JsonNode    *points_to_json     (GPtrArray *points, LayerTree *tree) G_GNUC_WARN_UNUSED_RESULT;
/* A point that another host has shown. The layers' files are not looked at. AGENT_ERROR_INVALID */
Point       *point_from_json    (JsonNode *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
