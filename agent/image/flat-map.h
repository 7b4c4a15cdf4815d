/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Which clusters of a disk have data, in guest order. A table stands for the clusters of one qcow2
 * L2 table. It costs 24 bytes if any of its clusters has data, and another kibibyte (a bit for each
 * cluster) unless all have: what is empty or full costs next to nothing, and 16 TiB that are
 * fragmented as badly as can be cost 33 MiB. */

#define FLAT_CLUSTER_BITS   16
#define FLAT_CLUSTER_SIZE   (G_GUINT64_CONSTANT (1) << FLAT_CLUSTER_BITS)
#define FLAT_TABLE_CLUSTERS (FLAT_CLUSTER_SIZE / 8)
#define FLAT_TABLE_WORDS    (FLAT_TABLE_CLUSTERS / 64)

typedef struct _FlatMap FlatMap;

typedef struct
{
  guint32  index;               /* clusters index * FLAT_TABLE_CLUSTERS and on */
  guint32  count;               /* how many of them have data, never 0 */
  guint64  before;              /* how many clusters of the tables before this one have data */
  guint64 *words;               /* FLAT_TABLE_WORDS, the lowest bit first; NULL: all have data */
} FlatTable;

FlatMap         *flat_map_new          (guint64 size);
void             flat_map_free         (FlatMap *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FlatMap, flat_map_free)

void             flat_map_add          (FlatMap *self, guint64 offset, guint64 length);

guint64          flat_map_get_size     (const FlatMap *self);   /* of the disk, in bytes */
guint64          flat_map_get_clusters (const FlatMap *self);   /* those with data */
guint64          flat_map_get_bytes    (const FlatMap *self);   /* of the disk, in these */
gboolean         flat_map_next         (const FlatMap *self, guint64 *cluster, guint64 *count);

/* The tables that have data, by ascending index. */
guint            flat_map_get_tables   (const FlatMap *self);
const FlatTable *flat_map_get_table    (const FlatMap *self, guint position);
guint            flat_map_find_table   (const FlatMap *self, guint64 index);

static inline guint64
flat_table_get_word (const FlatTable *self,
                     guint            word)
{
  return self->words != NULL ? self->words[word] : G_MAXUINT64;
}

G_END_DECLS
