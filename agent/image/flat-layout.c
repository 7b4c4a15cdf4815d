/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a qcow2 file is laid out (docs/interop/qcow2.txt of QEMU): version 3, clusters of
 * 64 KiB, refcounts of 16 bits, no backing file, nothing that an old reader would not know. */

#include "flat-layout.h"

#include <string.h>

#include <core/error.h>

#define COPIED          (G_GUINT64_CONSTANT (1) << 63)  /* refcount is 1 */
#define TABLE_ENTRIES   FLAT_TABLE_CLUSTERS             /* of 8 bytes in a cluster */
#define BLOCK_ENTRIES   (FLAT_CLUSTER_SIZE / 2)         /* refcounts in a cluster */
#define HEADER_LENGTH   104
#define REFCOUNT_ORDER  4

/* What QEMU opens, in clusters: 32 MiB of L1 table, 8 MiB of refcount table. */
#define MAX_L1_CLUSTERS             (32 * 1024 * 1024 / FLAT_CLUSTER_SIZE)
#define MAX_REFCOUNT_TABLE_CLUSTERS (8 * 1024 * 1024 / FLAT_CLUSTER_SIZE)

/* Metadata is made in pieces that lie in one part of the file each. */
#define PAGE_SIZE    4096
#define PAGE_ENTRIES (PAGE_SIZE / 8)

static guint64
divide_up (guint64 value,
           guint64 by)
{
  return value / by + (value % by != 0);
}

static gboolean
too_large (const FlatMap *map,
           GError       **error)
{
  agent_set_error (error, AGENT_ERROR_INVALID, "Ask for a raw image.",
                   "a disk of %" G_GUINT64_FORMAT " bytes is too large for a qcow2 image with "
                   "clusters of 64 KiB", flat_map_get_size (map));
  return FALSE;
}

/**
 * flat_layout_init:
 * @self: a layout
 * @map: which data it is for; @self refers to it
 * @error: AGENT_ERROR_INVALID for a disk that no such file can hold
 *
 * Returns: whether there is such a layout
 */
gboolean
flat_layout_init (FlatLayout    *self,
                  const FlatMap *map,
                  GError       **error)
{
  guint64 size = flat_map_get_size (map);
  guint64 l1_clusters;
  guint64 others;
  guint64 blocks = 0;
  guint64 tables = 0;

  if (size % 512 != 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "a disk of %" G_GUINT64_FORMAT " bytes does not consist of sectors", size);
      return FALSE;
    }

  /* An empty disk has a table, too: readers expect one where the header points. */
  self->map = map;
  self->l1_entries = MAX (1, divide_up (size, TABLE_ENTRIES * FLAT_CLUSTER_SIZE));
  l1_clusters = divide_up (self->l1_entries, TABLE_ENTRIES);
  if (l1_clusters > MAX_L1_CLUSTERS)
    return too_large (map, error);

  /* The refcounts count themselves: they grow until they are enough. */
  others = 1 + l1_clusters + flat_map_get_tables (map) + flat_map_get_clusters (map);
  do
    {
      self->clusters = others + blocks + tables;
      blocks = divide_up (self->clusters, BLOCK_ENTRIES);
      tables = divide_up (blocks, TABLE_ENTRIES);
    }
  while (self->clusters != others + blocks + tables);
  if (tables > MAX_REFCOUNT_TABLE_CLUSTERS)
    return too_large (map, error);

  self->refcount_table = 1;
  self->refcount_blocks = self->refcount_table + tables;
  self->l1_table = self->refcount_blocks + blocks;
  self->l2_tables = self->l1_table + l1_clusters;
  self->data = self->l2_tables + flat_map_get_tables (map);

  return TRUE;
}

/**
 * flat_layout_get_length:
 * @self: a layout
 *
 * Returns: the length of the file, in bytes
 */
guint64
flat_layout_get_length (const FlatLayout *self)
{
  return self->clusters * FLAT_CLUSTER_SIZE;
}

/**
 * flat_layout_get_metadata:
 * @self: a layout
 *
 * Returns: at which byte of the file the data begins
 */
guint64
flat_layout_get_metadata (const FlatLayout *self)
{
  return self->data * FLAT_CLUSTER_SIZE;
}

static guint64
offset_of (guint64 cluster)
{
  return cluster * FLAT_CLUSTER_SIZE;
}

static void
put32 (guint8 *page,
       gsize   at,
       guint32 value)
{
  value = GUINT32_TO_BE (value);
  memcpy (page + at, &value, sizeof value);
}

static void
put64 (guint8 *page,
       gsize   at,
       guint64 value)
{
  value = GUINT64_TO_BE (value);
  memcpy (page + at, &value, sizeof value);
}

/* Features, snapshots and the backing file are 0; so is the end mark of the header's extensions. */
static void
make_header (const FlatLayout *self,
             guint8           *page)
{
  memcpy (page, "QFI\xfb", 4);
  put32 (page, 4, 3);
  put32 (page, 20, FLAT_CLUSTER_BITS);
  put64 (page, 24, flat_map_get_size (self->map));
  put32 (page, 36, (guint32) self->l1_entries);
  put64 (page, 40, offset_of (self->l1_table));
  put64 (page, 48, offset_of (self->refcount_table));
  put32 (page, 56, (guint32) (self->refcount_blocks - self->refcount_table));
  put32 (page, 96, REFCOUNT_ORDER);
  put32 (page, 100, HEADER_LENGTH);
}

/* @first: which refcount block the page's first entry is about. */
static void
make_refcount_table (const FlatLayout *self,
                     guint64           first,
                     guint8           *page)
{
  guint64 blocks = self->l1_table - self->refcount_blocks;

  for (gsize i = 0; i < PAGE_ENTRIES && first + i < blocks; i++)
    put64 (page, i * 8, offset_of (self->refcount_blocks + first + i));
}

/* @first: which cluster of the file the page's first refcount is about. */
static void
make_refcounts (const FlatLayout *self,
                guint64           first,
                guint8           *page)
{
  for (gsize i = 0; i < PAGE_SIZE / 2 && first + i < self->clusters; i++)
    page[i * 2 + 1] = 1;
}

/* @first: which L2 table of the disk the page's first entry is about. */
static void
make_l1 (const FlatLayout *self,
         guint64           first,
         guint8           *page)
{
  for (guint i = flat_map_find_table (self->map, first); i < flat_map_get_tables (self->map); i++)
    {
      const FlatTable *table = flat_map_get_table (self->map, i);

      if (table->index >= first + PAGE_ENTRIES)
        break;
      put64 (page, (table->index - first) * 8, offset_of (self->l2_tables + i) | COPIED);
    }
}

/* @first: which entry of the table is the page's first. */
static void
make_l2 (const FlatLayout *self,
         const FlatTable  *table,
         guint             first,
         guint8           *page)
{
  guint64 cluster = self->data + table->before;

  for (guint word = 0; word < first / 64; word++)
    cluster += (guint64) __builtin_popcountll (flat_table_get_word (table, word));

  for (guint i = 0; i < PAGE_ENTRIES; i++)
    {
      if ((flat_table_get_word (table, (first + i) / 64) >> ((first + i) % 64)) & 1)
        put64 (page, i * 8, offset_of (cluster++) | COPIED);
    }
}

static void
make_page (const FlatLayout *self,
           guint64           number,
           guint8           *page)
{
  guint64 cluster = number * PAGE_SIZE / FLAT_CLUSTER_SIZE;
  guint64 in_cluster = number % (FLAT_CLUSTER_SIZE / PAGE_SIZE);        /* in pages */

  memset (page, 0, PAGE_SIZE);
  if (number == 0)
    make_header (self, page);
  else if (cluster >= self->l2_tables)
    make_l2 (self, flat_map_get_table (self->map, (guint) (cluster - self->l2_tables)),
             (guint) (in_cluster * PAGE_ENTRIES), page);
  else if (cluster >= self->l1_table)
    make_l1 (self, (cluster - self->l1_table) * TABLE_ENTRIES + in_cluster * PAGE_ENTRIES, page);
  else if (cluster >= self->refcount_blocks)
    make_refcounts (self, (cluster - self->refcount_blocks) * BLOCK_ENTRIES
                          + in_cluster * (PAGE_SIZE / 2), page);
  else if (cluster >= self->refcount_table)
    make_refcount_table (self, (cluster - self->refcount_table) * TABLE_ENTRIES
                               + in_cluster * PAGE_ENTRIES, page);
}

/**
 * flat_layout_read:
 * @self: a layout
 * @offset: of the first byte, in the file
 * @buffer: where to put the bytes
 * @size: how many; all of them precede the data
 *
 * Makes any part of the file's metadata.
 */
void
flat_layout_read (const FlatLayout *self,
                  guint64           offset,
                  void             *buffer,
                  gsize             size)
{
  guint8 *to = buffer;

  g_return_if_fail (offset + size <= flat_layout_get_metadata (self));

  while (size > 0)
    {
      guint8 page[PAGE_SIZE];
      gsize skip = (gsize) (offset % PAGE_SIZE);
      gsize n = MIN (size, PAGE_SIZE - skip);

      make_page (self, offset / PAGE_SIZE, page);
      memcpy (to, page + skip, n);
      to += n;
      offset += n;
      size -= n;
    }
}
