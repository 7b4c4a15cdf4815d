/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "flat-map.h"

G_BEGIN_DECLS

/* Where everything stands in a qcow2 file that holds the data of a map and nothing else: a pure
 * function of the map. In clusters:
 *
 *   | header | refcount table | refcount blocks | L1 | L2 tables with data | data in guest order |
 *   0        refcount_table   refcount_blocks   l1_table                   data           clusters
 *                                                    l2_tables
 *
 * The tables are made when they are asked for: in memory there is the map alone. */
typedef struct
{
  const FlatMap *map;
  guint64        l1_entries;
  guint64        refcount_table;
  guint64        refcount_blocks;
  guint64        l1_table;
  guint64        l2_tables;
  guint64        data;
  guint64        clusters;
} FlatLayout;

gboolean flat_layout_init         (FlatLayout *self, const FlatMap *map,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
guint64  flat_layout_get_length   (const FlatLayout *self);     /* of the file, in bytes */
guint64  flat_layout_get_metadata (const FlatLayout *self);     /* of what precedes the data */
void     flat_layout_read         (const FlatLayout *self, guint64 offset, void *buffer,
                                   gsize size);

G_END_DECLS
