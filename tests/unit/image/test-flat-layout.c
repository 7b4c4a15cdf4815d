/* SPDX-License-Identifier: Apache-2.0 */

/* Properties of the layout, over random disks: an independent reader finds each cluster of the file
 * used once, and each of the disk where its data is. `--seed`, as printed, repeats a run. */

#include <core/error.h>
#include <flat-layout.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>

#include "flat-fixture.h"

#define CLUSTER 65536
#define GIB     (G_GUINT64_CONSTANT (1) << 30)
#define TIB     (G_GUINT64_CONSTANT (1) << 40)

#define ROUNDS      3000
#define IMAGES      10

typedef struct
{
  FlatMap   *map;
  GArray    *expected;          /* of guint64: the clusters that have data, ascending */
  FlatLayout layout;
} Disk;

/* --- random disks --- */

static guint64
random_below (guint64 limit)
{
  return (((guint64) (guint32) g_test_rand_int () << 32) | (guint32) g_test_rand_int ()) % limit;
}

/* Small numbers as often as large ones. */
static guint64
random_scaled (guint64 limit)
{
  guint64 scaled = limit >> random_below (g_bit_storage (limit));

  return 1 + random_below (MAX (1, scaled));
}

static void
expect (Disk    *disk,
        guint64  offset,
        guint64  length)
{
  for (guint64 at = offset / CLUSTER; at * CLUSTER < offset + length; at++)
    {
      if (disk->expected->len == 0
          || g_array_index (disk->expected, guint64, disk->expected->len - 1) < at)
        g_array_append_val (disk->expected, at);
    }
}

/* At most some 30000 clusters of data on at most @limit bytes. */
static void
disk_init (Disk    *disk,
           guint64  limit)
{
  guint64 size = (random_below (2) ? random_scaled (limit / 512) : limit / 512) * 512;
  guint64 at = 0;

  disk->map = flat_map_new (size);
  disk->expected = g_array_new (FALSE, FALSE, sizeof (guint64));
  for (guint i = (guint) random_below (300); i > 0 && disk->expected->len < 20000; i--)
    {
      guint64 length;

      at += random_scaled (size / 32 + 1) - 1;
      if (at >= size)
        break;
      length = random_scaled (CLUSTER * G_GUINT64_CONSTANT (10000));
      length = MIN (length, size - at);
      flat_map_add (disk->map, at, length);
      expect (disk, at, length);
      at += length;
    }
}

static void
disk_clear (Disk *disk)
{
  flat_map_free (disk->map);
  g_array_unref (disk->expected);
}

/* --- the independent reader --- */

static guint64
get (const guint8 *bytes,
     guint64       at,
     guint         width)
{
  guint64 value = 0;

  for (guint i = 0; i < width; i++)
    value = value << 8 | bytes[at + i];

  return value;
}

static void
use (guint8  *used,
     guint64  n_clusters,
     guint64  entry)
{
  guint64 offset = entry & G_GUINT64_CONSTANT (0x00fffffffffffe00);

  g_assert_cmpuint (entry & ~offset, ==, G_GUINT64_CONSTANT (1) << 63);
  g_assert_cmpuint (offset % CLUSTER, ==, 0);
  g_assert_cmpuint (offset / CLUSTER, <, n_clusters);
  g_assert_cmpuint (used[offset / CLUSTER]++, ==, 0);
}

static void
use_run (guint8  *used,
         guint64  offset,
         guint64  n)
{
  for (guint64 i = 0; i < n; i++)
    used[offset / CLUSTER + i]++;
}

static void
check_refcounts (const guint8 *bytes,
                 guint8       *used,
                 guint64       n_clusters)
{
  guint64 table = get (bytes, 48, 8);
  guint64 table_clusters = get (bytes, 56, 4);

  use_run (used, table, table_clusters);
  for (guint64 i = 0; i < table_clusters * CLUSTER / 8; i++)
    {
      guint64 block = get (bytes, table + i * 8, 8);

      if (i * (CLUSTER / 2) >= n_clusters)
        {
          g_assert_cmpuint (block, ==, 0);
          continue;
        }
      use (used, n_clusters, block | G_GUINT64_CONSTANT (1) << 63);
      for (guint64 j = 0; j < CLUSTER / 2; j++)
        g_assert_cmpuint (get (bytes, block + j * 2, 2), ==, i * (CLUSTER / 2) + j < n_clusters);
    }
}

/* The data, in guest order, without a gap up to the end of the file. */
static void
check_tables (Disk         *disk,
              const guint8 *bytes,
              guint8       *used,
              guint64       n_clusters)
{
  guint64 l1 = get (bytes, 40, 8);
  guint64 n_l1 = get (bytes, 36, 4);
  guint64 data = n_clusters - disk->expected->len;
  guint found = 0;

  use_run (used, l1, (n_l1 * 8 + CLUSTER - 1) / CLUSTER);
  for (guint64 i = 0; i < n_l1; i++)
    {
      guint64 l2 = get (bytes, l1 + i * 8, 8);
      guint before = found;

      if (l2 == 0)
        continue;
      use (used, n_clusters, l2);
      l2 &= G_MAXINT64;
      for (guint64 j = 0; j < CLUSTER / 8; j++)
        {
          guint64 entry = get (bytes, l2 + j * 8, 8);

          if (entry == 0)
            continue;
          use (used, n_clusters, entry);
          g_assert_cmpuint (found, <, disk->expected->len);
          g_assert_cmpuint (i * (CLUSTER / 8) + j, ==,
                            g_array_index (disk->expected, guint64, found));
          g_assert_cmpuint ((entry & G_MAXINT64) / CLUSTER, ==, data + found);
          found++;
        }
      g_assert_cmpuint (found, >, before);
    }
  g_assert_cmpuint (found, ==, disk->expected->len);
}

static void
check_header (Disk         *disk,
              const guint8 *bytes)
{
  g_assert_cmpuint (get (bytes, 0, 4), ==, 0x514649fb);
  g_assert_cmpuint (get (bytes, 4, 4), ==, 3);
  g_assert_cmpuint (get (bytes, 8, 8), ==, 0);          /* no backing file */
  g_assert_cmpuint (get (bytes, 20, 4), ==, 16);
  g_assert_cmpuint (get (bytes, 24, 8), ==, flat_map_get_size (disk->map));
  g_assert_cmpuint (get (bytes, 36, 4) * (CLUSTER / 8) * CLUSTER, >=,
                    flat_map_get_size (disk->map));
  g_assert_cmpuint (get (bytes, 60, 4), ==, 0);         /* no snapshots */
  g_assert_cmpuint (get (bytes, 72, 8), ==, 0);         /* no features */
  g_assert_cmpuint (get (bytes, 80, 8), ==, 0);
  g_assert_cmpuint (get (bytes, 88, 8), ==, 0);
  g_assert_cmpuint (get (bytes, 96, 4), ==, 4);
  g_assert_cmpuint (get (bytes, 100, 4), ==, 104);
  g_assert_cmpuint (get (bytes, 104, 8), ==, 0);        /* no extensions */
}

/* Whatever way it is read in, it is the same. */
static void
check_pieces (Disk         *disk,
              const guint8 *bytes,
              guint64       length)
{
  for (guint i = 0; i < 20; i++)
    {
      guint64 at = random_below (length);
      guint64 wanted = random_scaled (3 * CLUSTER);
      gsize size = (gsize) MIN (wanted, length - at);
      g_autofree guint8 *piece = g_malloc (size);

      flat_layout_read (&disk->layout, at, piece, size);
      g_assert_cmpmem (piece, size, bytes + at, size);
    }
}

static void
check_disk (Disk *disk)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *bytes = NULL;
  g_autofree guint8 *used = NULL;
  guint64 metadata;
  guint64 n;

  g_assert_true (flat_layout_init (&disk->layout, disk->map, &error));
  g_assert_no_error (error);
  metadata = flat_layout_get_metadata (&disk->layout);
  n = flat_layout_get_length (&disk->layout) / CLUSTER;
  g_assert_cmpuint (flat_layout_get_length (&disk->layout) % CLUSTER, ==, 0);
  g_assert_cmpuint (flat_map_get_clusters (disk->map), ==, disk->expected->len);
  g_assert_cmpuint (metadata / CLUSTER + disk->expected->len, ==, n);

  bytes = g_malloc (metadata);
  flat_layout_read (&disk->layout, 0, bytes, metadata);
  check_header (disk, bytes);

  used = g_malloc0 (n);
  use_run (used, 0, 1);
  check_refcounts (bytes, used, n);
  check_tables (disk, bytes, used, n);
  for (guint64 i = 0; i < n; i++)
    g_assert_cmpuint (used[i], ==, 1);

  check_pieces (disk, bytes, metadata);
}

static void
test_properties (void)
{
  for (guint i = 0; i < ROUNDS; i++)
    {
      Disk disk;

      disk_init (&disk, i % 10 == 0 ? 4 * TIB : 2 * GIB);
      check_disk (&disk);
      disk_clear (&disk);
    }
}

/* Runs cover the data, in order; from anywhere. */
static void
test_runs (void)
{
  for (guint i = 0; i < 500; i++)
    {
      guint64 cluster = 0;
      guint64 count = 0;
      guint64 bytes = 0;
      guint found = 0;
      Disk disk;

      disk_init (&disk, 4 * GIB);
      while (flat_map_next (disk.map, &cluster, &count))
        {
          for (guint64 j = 0; j < count; j++, found++)
            {
              g_assert_cmpuint (found, <, disk.expected->len);
              g_assert_cmpuint (cluster + j, ==, g_array_index (disk.expected, guint64, found));
              bytes += MIN (CLUSTER, flat_map_get_size (disk.map) - (cluster + j) * CLUSTER);
            }
          cluster += count;
        }
      g_assert_cmpuint (found, ==, disk.expected->len);
      g_assert_cmpuint (flat_map_get_bytes (disk.map), ==, bytes);

      if (found > 0)
        {
          guint which = (guint) random_below (found);
          guint64 wanted = g_array_index (disk.expected, guint64, which);
          guint64 before = which > 0 ? g_array_index (disk.expected, guint64, which - 1) + 1 : 0;

          cluster = before + random_below (wanted - before + 1);
          g_assert_true (flat_map_next (disk.map, &cluster, &count));
          g_assert_cmpuint (cluster, ==, wanted);
        }
      disk_clear (&disk);
    }
}

/* Adding in any ascending pieces, overlapping in clusters, is adding it all. */
static void
test_pieces_of_a_cluster (void)
{
  g_autoptr (FlatMap) map = flat_map_new (GIB);
  guint64 cluster = 0;
  guint64 count;

  flat_map_add (map, 10, 0);
  g_assert_false (flat_map_next (map, &cluster, &count));
  flat_map_add (map, 512, 512);
  flat_map_add (map, 4096, 65536);
  flat_map_add (map, 131071, 1);
  flat_map_add (map, 131072, GIB - 131072);
  flat_map_add (map, 536870912, 1);
  g_assert_cmpuint (flat_map_get_clusters (map), ==, GIB / CLUSTER);
  g_assert_cmpuint (flat_map_get_tables (map), ==, 2);
  g_assert_null (flat_map_get_table (map, 0)->words);
  g_assert_true (flat_map_next (map, &cluster, &count));
  g_assert_cmpuint (cluster, ==, 0);
  g_assert_cmpuint (count, ==, 8192);
}

/* --- large ones --- */

static guint64
read64 (const FlatLayout *layout,
        guint64           at)
{
  guint8 bytes[8];

  flat_layout_read (layout, at, bytes, sizeof bytes);
  return get (bytes, 0, 8);
}

/* Where the data of a cluster is in the file, by way of the tables; 0: it has none. */
static guint64
look_up (const FlatLayout *layout,
         guint64           cluster)
{
  guint64 l1 = read64 (layout, 40);
  guint64 l2 = read64 (layout, l1 + cluster / (CLUSTER / 8) * 8) & G_MAXINT64;

  return l2 != 0 ? read64 (layout, l2 + cluster % (CLUSTER / 8) * 8) & G_MAXINT64 : 0;
}

static void
test_full_16_tib (void)
{
  g_autoptr (FlatMap) map = flat_map_new (16 * TIB);
  g_autoptr (GError) error = NULL;
  guint64 n = 16 * TIB / CLUSTER;
  FlatLayout layout;
  guint64 data;

  flat_map_add (map, 0, 16 * TIB);
  g_assert_true (flat_layout_init (&layout, map, &error));
  g_assert_no_error (error);

  data = flat_layout_get_metadata (&layout);
  g_assert_cmpuint (flat_layout_get_length (&layout), ==, data + 16 * TIB);
  for (guint i = 0; i < 10000; i++)
    {
      guint64 cluster = random_below (n);

      g_assert_cmpuint (look_up (&layout, cluster), ==, data + cluster * CLUSTER);
    }
  g_assert_cmpuint (look_up (&layout, n - 1), ==, data + (n - 1) * CLUSTER);
}

/* As many pieces as there can be. */
static void
test_fragmented (void)
{
  g_autoptr (FlatMap) map = flat_map_new (TIB);
  g_autoptr (GError) error = NULL;
  guint64 n = TIB / CLUSTER;
  FlatLayout layout;
  guint64 data;

  for (guint64 i = 1; i < n; i += 2)
    flat_map_add (map, i * CLUSTER, CLUSTER);
  g_assert_cmpuint (flat_map_get_clusters (map), ==, n / 2);
  g_assert_true (flat_layout_init (&layout, map, &error));
  g_assert_no_error (error);

  data = flat_layout_get_metadata (&layout);
  for (guint i = 0; i < 10000; i++)
    {
      guint64 cluster = random_below (n);

      g_assert_cmpuint (look_up (&layout, cluster), ==,
                        cluster % 2 == 1 ? data + cluster / 2 * CLUSTER : 0);
    }
}

static void
test_limits (void)
{
  static const struct
  {
    guint64  size;
    guint64  data;
    gboolean good;
  } cases[] = {
    { 0, 0, TRUE },
    { 512, 512, TRUE },
    { 511, 0, FALSE },
    { 2048 * TIB, 0, TRUE },
    { 2048 * TIB, 2000 * TIB, TRUE },
    { 2048 * TIB + 512, 0, FALSE },
    { 2048 * TIB, 2048 * TIB, FALSE },          /* more refcounts than can be */
    { G_MAXINT64 - 511, 0, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (FlatMap) map = flat_map_new (cases[i].size);
      g_autoptr (GError) error = NULL;
      FlatLayout layout;

      flat_map_add (map, 0, cases[i].data);
      g_assert_cmpint (flat_layout_init (&layout, map, &error), ==, cases[i].good);
      if (cases[i].good)
        g_assert_no_error (error);
      else
        g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
    }
}

/* --- what QEMU thinks --- */

/* Writes the disk as qcow2 and as raw; each cluster begins with its number. */
static void
save_disk (Disk       *disk,
           const char *image_path,
           const char *raw_path)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *metadata = NULL;
  FILE *image = fopen (image_path, "we");
  FILE *raw = fopen (raw_path, "we");
  gsize length;

  g_assert_nonnull (image);
  g_assert_nonnull (raw);
  g_assert_true (flat_layout_init (&disk->layout, disk->map, &error));
  length = flat_layout_get_metadata (&disk->layout);
  metadata = g_malloc (length);
  flat_layout_read (&disk->layout, 0, metadata, length);
  g_assert_cmpuint (fwrite (metadata, 1, length, image), ==, length);

  for (guint i = 0; i < disk->expected->len; i++)
    {
      guint64 cluster = g_array_index (disk->expected, guint64, i);
      guint64 mark = cluster + 1;

      g_assert_cmpint (fseeko (image, (off_t) (length + i * (gsize) CLUSTER), SEEK_SET), ==, 0);
      g_assert_cmpuint (fwrite (&mark, sizeof mark, 1, image), ==, 1);
      g_assert_cmpint (fseeko (raw, (off_t) (cluster * CLUSTER), SEEK_SET), ==, 0);
      g_assert_cmpuint (fwrite (&mark, sizeof mark, 1, raw), ==, 1);
    }
  g_assert_cmpint (fflush (image), ==, 0);
  g_assert_cmpint (fflush (raw), ==, 0);
  g_assert_cmpint (ftruncate (fileno (image),
                              (off_t) flat_layout_get_length (&disk->layout)), ==, 0);
  g_assert_cmpint (ftruncate (fileno (raw), (off_t) flat_map_get_size (disk->map)), ==, 0);
  fclose (image);
  fclose (raw);
}

static void
test_qemu_agrees (FlatFixture   *fixture,
                  gconstpointer  data)
{
  g_autofree char *image = flat_path (fixture, "image");
  g_autofree char *raw = flat_path (fixture, "raw");

  for (guint i = 0; i < IMAGES; i++)
    {
      Disk disk;

      disk_init (&disk, i % 5 == 0 ? GIB : GIB / 16);
      g_unlink (image);
      g_unlink (raw);
      save_disk (&disk, image, raw);
      flat_set_layers (fixture, "raw:raw");
      flat_assert_same (fixture, "image", "qcow2", flat_map_get_size (disk.map));
      disk_clear (&disk);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/image/flat/layout/properties", test_properties);
  g_test_add_func ("/image/flat/layout/runs", test_runs);
  g_test_add_func ("/image/flat/layout/pieces-of-a-cluster", test_pieces_of_a_cluster);
  g_test_add_func ("/image/flat/layout/full-16-tib", test_full_16_tib);
  g_test_add_func ("/image/flat/layout/fragmented", test_fragmented);
  g_test_add_func ("/image/flat/layout/limits", test_limits);
  flat_add_test ("layout/qemu-agrees", test_qemu_agrees);

  return g_test_run ();
}
