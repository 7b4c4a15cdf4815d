/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which clusters of a disk have data. */

#include "flat-map.h"

struct _FlatMap
{
  guint64 size;
  guint64 clusters;
  GArray *tables;               /* of FlatTable */
};

static void
table_clear (gpointer data)
{
  FlatTable *table = data;

  g_free (table->words);
}

/**
 * flat_map_new:
 * @size: of the disk, in bytes
 *
 * Returns: (transfer full): the map of a disk without data
 */
FlatMap *
flat_map_new (guint64 size)
{
  FlatMap *self = g_new0 (FlatMap, 1);

  self->size = size;
  self->tables = g_array_new (FALSE, FALSE, sizeof (FlatTable));
  g_array_set_clear_func (self->tables, table_clear);

  return self;
}

/**
 * flat_map_free:
 * @self: (transfer full) (nullable): a map
 */
void
flat_map_free (FlatMap *self)
{
  if (self == NULL)
    return;

  g_array_unref (self->tables);
  g_free (self);
}

static FlatTable *
last_table (FlatMap *self)
{
  return self->tables->len > 0 ? &g_array_index (self->tables, FlatTable, self->tables->len - 1)
                               : NULL;
}

/* The bits of a word from @begin up to, not including, @end; both may lie outside of it. */
static guint64
word_mask (guint word,
           guint begin,
           guint end)
{
  guint low = word * 64;
  guint64 mask = G_MAXUINT64;

  if (begin > low)
    mask &= G_MAXUINT64 << (begin - low);
  if (end < low + 64)
    mask &= G_MAXUINT64 >> (low + 64 - end);

  return mask;
}

/* Adds the clusters from @begin up to, not including, @end of one table. */
static void
add_to_table (FlatMap *self,
              guint32  index,
              guint    begin,
              guint    end)
{
  FlatTable *table = last_table (self);
  guint32 had;

  if (table == NULL || table->index != index)
    {
      FlatTable new_table = { .index = index, .before = self->clusters };

      g_array_append_val (self->tables, new_table);
      table = last_table (self);
    }
  if (table->count == FLAT_TABLE_CLUSTERS)
    return;

  had = table->count;
  if (begin == 0 && end == FLAT_TABLE_CLUSTERS)
    table->count = FLAT_TABLE_CLUSTERS;
  else
    {
      if (table->words == NULL)
        table->words = g_new0 (guint64, FLAT_TABLE_WORDS);
      for (guint word = begin / 64; word * 64 < end; word++)
        {
          guint64 added = word_mask (word, begin, end) & ~table->words[word];

          table->words[word] |= added;
          table->count += (guint32) __builtin_popcountll (added);
        }
    }

  self->clusters += table->count - had;
  if (table->count == FLAT_TABLE_CLUSTERS)
    g_clear_pointer (&table->words, g_free);
}

/**
 * flat_map_add:
 * @self: a map
 * @offset: where data begins, in bytes; not before the table that was added to last
 * @length: of the data, in bytes; all within the disk
 *
 * Adds the clusters that the data touches; they may have been added before.
 */
void
flat_map_add (FlatMap *self,
              guint64  offset,
              guint64  length)
{
  guint64 cluster = offset >> FLAT_CLUSTER_BITS;
  guint64 end;

  g_return_if_fail (offset <= self->size && length <= self->size - offset);
  g_return_if_fail (self->tables->len == 0
                    || cluster / FLAT_TABLE_CLUSTERS >= last_table (self)->index);
  if (length == 0)
    return;

  end = ((offset + length - 1) >> FLAT_CLUSTER_BITS) + 1;
  while (cluster < end)
    {
      guint64 table = cluster / FLAT_TABLE_CLUSTERS;
      guint64 table_end = MIN (end, (table + 1) * FLAT_TABLE_CLUSTERS);

      add_to_table (self, (guint32) table, (guint) (cluster % FLAT_TABLE_CLUSTERS),
                    (guint) (table_end - table * FLAT_TABLE_CLUSTERS));
      cluster = table_end;
    }
}

/**
 * flat_map_get_size:
 * @self: a map
 *
 * Returns: the size of the disk, in bytes
 */
guint64
flat_map_get_size (const FlatMap *self)
{
  return self->size;
}

/**
 * flat_map_get_clusters:
 * @self: a map
 *
 * Returns: how many clusters have data
 */
guint64
flat_map_get_clusters (const FlatMap *self)
{
  return self->clusters;
}

/**
 * flat_map_get_bytes:
 * @self: a map
 *
 * Returns: how many bytes of the disk are in clusters with data: the disk may end within the last
 */
guint64
flat_map_get_bytes (const FlatMap *self)
{
  guint64 bytes = self->clusters * FLAT_CLUSTER_SIZE;
  guint64 last = (self->size - 1) >> FLAT_CLUSTER_BITS;
  guint64 cluster = last;
  guint64 count;

  if (self->clusters > 0 && self->size % FLAT_CLUSTER_SIZE != 0
      && flat_map_next (self, &cluster, &count) && cluster == last)
    bytes -= FLAT_CLUSTER_SIZE - self->size % FLAT_CLUSTER_SIZE;

  return bytes;
}

/**
 * flat_map_get_tables:
 * @self: a map
 *
 * Returns: how many tables have data
 */
guint
flat_map_get_tables (const FlatMap *self)
{
  return self->tables->len;
}

/**
 * flat_map_get_table:
 * @self: a map
 * @position: of the table among those that have data
 *
 * Returns: (transfer none): the table
 */
const FlatTable *
flat_map_get_table (const FlatMap *self,
                    guint          position)
{
  return &g_array_index (self->tables, FlatTable, position);
}

/**
 * flat_map_find_table:
 * @self: a map
 * @index: of a table, whether it has data or not
 *
 * Returns: the position of the first table with data that has this index or a higher one; the
 *   number of tables when there is none
 */
guint
flat_map_find_table (const FlatMap *self,
                     guint64        index)
{
  guint low = 0;
  guint high = self->tables->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (flat_map_get_table (self, middle)->index < index)
        low = middle + 1;
      else
        high = middle;
    }

  return low;
}

/* The first cluster of @table at @from or behind it that has data, or, with @data FALSE, has none;
 * FLAT_TABLE_CLUSTERS when there is no such cluster. */
static guint
scan_table (const FlatTable *table,
            guint            from,
            gboolean         data)
{
  for (guint word = from / 64; word < FLAT_TABLE_WORDS; word++)
    {
      guint64 bits = flat_table_get_word (table, word);

      bits = (data ? bits : ~bits) & word_mask (word, from, FLAT_TABLE_CLUSTERS);
      if (bits != 0)
        return word * 64 + (guint) __builtin_ctzll (bits);
    }

  return FLAT_TABLE_CLUSTERS;
}

/**
 * flat_map_next:
 * @self: a map
 * @cluster: (inout): where to look from; then where the data begins
 * @count: (out): how many clusters with data follow each other there; what goes on in the next
 *   table is told by the next call
 *
 * Returns: whether there is any more data; if not, both stay as they are
 */
gboolean
flat_map_next (const FlatMap *self,
               guint64       *cluster,
               guint64       *count)
{
  guint64 index = *cluster / FLAT_TABLE_CLUSTERS;

  for (guint i = flat_map_find_table (self, index); i < self->tables->len; i++)
    {
      const FlatTable *table = flat_map_get_table (self, i);
      guint from = table->index == index ? (guint) (*cluster % FLAT_TABLE_CLUSTERS) : 0;
      guint begin = scan_table (table, from, TRUE);

      if (begin < FLAT_TABLE_CLUSTERS)
        {
          *count = scan_table (table, begin, FALSE) - begin;
          *cluster = table->index * FLAT_TABLE_CLUSTERS + begin;
          return TRUE;
        }
    }

  return FALSE;
}
