/* SPDX-License-Identifier: Apache-2.0 */

/* Chains of all kinds come out as QEMU itself shows them, in one standalone image. */

#include <glib/gstdio.h>

#include "flat-fixture.h"

#define KIB G_GUINT64_CONSTANT (1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

typedef struct
{
  const char *name;
  guint64     size;
  const char *layers;           /* top first */
  const char *commands;
} Chain;

static const Chain chains[] = {
  { "one", 10 * MIB, "a:qcow2",
    "img create -q -f qcow2 a 10M;io -f qcow2 -c 'write -P 1 70k 200k' a" },
  { "empty", 10 * MIB, "a:qcow2", "img create -q -f qcow2 a 10M" },
  { "no-bytes", 0, "a:qcow2", "img create -q -f qcow2 a 0" },
  { "one-sector", 512, "a:qcow2",
    "img create -q -f qcow2 a 512;io -f qcow2 -c 'write -P 1 0 512' a" },
  { "unaligned", 3 * MIB + 512, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 a 3146240;io -f qcow2 -c 'write -P 1 0 3146240' a;"
    "img create -q -f qcow2 -b a -F qcow2 b;io -f qcow2 -c 'write -P 2 3145728 512' b" },
  { "table-border", 512 * MIB + 512, "a:qcow2",
    "img create -q -f qcow2 a 536871424;"
    "io -f qcow2 -c 'write -P 1 536805376 66048' -c 'write -P 2 0 1k' a" },
  { "raw-base", 2 * MIB, "b:qcow2 a:raw",
    "img create -q -f raw a 2M;io -f raw -c 'write -P 1 1M 300k' a;"
    "img create -q -f qcow2 -b a -F raw b;io -f qcow2 -c 'write -P 2 1100k 3k' b" },
  { "raw-alone", 2 * MIB + 512, "a:raw",
    "img create -q -f raw a 2097664;io -f raw -c 'write -P 1 1M 1049088' a" },
  { "raw-odd-bytes", 2 * MIB + 512, "a:raw",
    "img create -q -f raw a 2097664;io -f raw -c 'write -P 1 1M 1049088' a;truncate -s -412 a" },
  { "grown", 8 * MIB, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 a 3146240;io -f qcow2 -c 'write -P 1 1M 2097664' a;"
    "img create -q -f qcow2 -b a -F qcow2 b 8M;io -f qcow2 -c 'write -P 2 6M 100k' b" },
  { "grown-raw-base", 8 * MIB, "b:qcow2 a:raw",
    "img create -q -f raw a 1049088;io -f raw -c 'write -P 1 0 1049088' a;"
    "img create -q -f qcow2 -b a -F raw b 8M;io -f qcow2 -c 'write -P 2 6M 100k' b" },
  { "shrunk", 1 * MIB + 512, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 a 8M;io -f qcow2 -c 'write -P 1 0 8M' a;"
    "img create -q -f qcow2 -b a -F qcow2 b 1049088;io -f qcow2 -c 'write -P 2 64k 100k' b" },
  { "shrunk-and-grown", 6 * MIB, "c:qcow2 b:qcow2 a:qcow2",
    "img create -q -f qcow2 a 8M;io -f qcow2 -c 'write -P 1 0 8M' a;"
    "img create -q -f qcow2 -b a -F qcow2 b 1049088;io -f qcow2 -c 'write -P 2 64k 100k' b;"
    "img create -q -f qcow2 -b b -F qcow2 c 6M;io -f qcow2 -c 'write -P 3 5M 512' c" },
  { "compressed", 4 * MIB, "a:qcow2",
    "img create -q -f qcow2 a 4M;"
    "io -f qcow2 -c 'write -c -P 1 0 128k' -c 'write -c -P 2 1M 64k' -c 'write -P 3 2M 5k' a" },
  { "zstd", 4 * MIB, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 -o compression_type=zstd a 4M;"
    "io -f qcow2 -c 'write -c -P 1 0 128k' -c 'write -c -P 2 1M 64k' -c 'write -P 3 2M 5k' a;"
    "img create -q -f qcow2 -b a -F qcow2 b;io -f qcow2 -c 'write -P 4 1030k 5k' b" },
  { "version-2", 4 * MIB, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 -o compat=0.10 a 4M;io -f qcow2 -c 'write -P 1 100k 1M' a;"
    "img create -q -f qcow2 -o compat=0.10 -b a -F qcow2 b;io -f qcow2 -c 'write -P 2 3M 1k' b" },
  { "subclusters", 4 * MIB, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 a 4M;io -f qcow2 -c 'write -P 1 0 3M' a;"
    "img create -q -f qcow2 -o extended_l2=on,cluster_size=128k -b a -F qcow2 b;"
    "io -f qcow2 -c 'write -P 2 132k 4k' -c 'write -z 1M 8k' -c 'write -P 3 3500k 1k' b" },
  { "zeros-over-data", 4 * MIB, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 a 4M;io -f qcow2 -c 'write -P 1 0 4M' a;"
    "img create -q -f qcow2 -b a -F qcow2 b;io -f qcow2 -c 'write -z 1M 1M' b" },
  { "discarded", 4 * MIB, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 a 4M;io -f qcow2 -c 'write -P 1 0 4M' a;"
    "img create -q -f qcow2 -b a -F qcow2 b;"
    "io -f qcow2 -d unmap -c 'write -P 2 1M 1M' -c 'discard 1M 512k' b" },
  { "clusters-of-4k", 4 * MIB, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 -o cluster_size=4k a 4M;io -f qcow2 -c 'write -P 1 4k 1M' a;"
    "img create -q -f qcow2 -o cluster_size=4k -b a -F qcow2 b;"
    "io -f qcow2 -c 'write -P 2 2000k 4k' -c 'write -P 3 2012k 4k' b" },
  { "clusters-of-512", 1 * MIB + 512, "a:qcow2",
    "img create -q -f qcow2 -o cluster_size=512 a 1049088;"
    "io -f qcow2 -c 'write -P 1 512 512' -c 'write -P 2 1M 512' a" },
  { "clusters-of-2m", 9 * MIB, "b:qcow2 a:qcow2",
    "img create -q -f qcow2 -o cluster_size=2M a 9M;io -f qcow2 -c 'write -P 1 4000k 1M' a;"
    "img create -q -f qcow2 -o cluster_size=2M -b a -F qcow2 b;"
    "io -f qcow2 -c 'write -P 2 8M 1k' b" },
};

static void
test_chains (FlatFixture   *fixture,
             gconstpointer  data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (chains); i++)
    {
      g_test_message ("%s", chains[i].name);
      flat_run (fixture, chains[i].commands);
      flat_set_layers (fixture, chains[i].layers);
      flat_assert_image (fixture, "qcow2", chains[i].size);
      flat_assert_image (fixture, "raw", chains[i].size);
    }
}

/* Cost follows data: 3 clusters of header and refcounts, 4 of L1, 3 L2 tables, and the data. */
static void
test_sparse (FlatFixture   *fixture,
             gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = NULL;

  flat_run (fixture, "img create -q -f qcow2 a 16T;"
            "io -f qcow2 -c 'write -P 1 0 1M' -c 'write -P 2 8T 1M'"
            " -c 'write -P 3 17592185978880 64k' a;"
            "img create -q -f qcow2 -b a -F qcow2 b;io -f qcow2 -c 'write -P 4 8T 64k' b");
  flat_set_layers (fixture, "b:qcow2 a:qcow2");

  source = flat_open (fixture, "qcow2", &error);
  g_assert_no_error (error);
  g_assert_cmpuint ((guint64) image_source_get_length (source), ==,
                    (3 + 4 + 3 + 16 + 16 + 1) * 64 * KIB);
  g_assert_cmpint (image_source_get_allocated (source), ==, image_source_get_length (source));
  flat_save (fixture, source, "image", 100000, &error);
  g_assert_no_error (error);
  flat_close (source);
  flat_assert_same (fixture, "image", "qcow2", 16 * TIB);
}

static void
test_long_chain (FlatFixture   *fixture,
                 gconstpointer  data)
{
  g_autoptr (GString) layers = g_string_new ("0:qcow2");
  g_autofree char *create = g_strdup_printf (
    "sh -e -c 'for i in `seq 199`\ndo\n"
    "%s create -q -f qcow2 -u -b $((i - 1)) -F qcow2 $i 64M\ndone'", fixture->programs->img);

  flat_run (fixture, "img create -q -f qcow2 0 64M;io -f qcow2 -c 'write -P 255 0 64M' 0");
  flat_run (fixture, create);
  for (guint i = 1; i < 200; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u:qcow2 ", i);

      g_string_prepend (layers, name);
    }

  /* Not through the chain: opening it takes its time. */
  for (guint i = 5; i < 200; i += 5)
    {
      g_autofree char *write = g_strdup_printf (
        "io -c 'write -P %u %uk 100k' 'json:{\"driver\":\"qcow2\",\"backing\":null,"
        "\"file\":{\"driver\":\"file\",\"filename\":\"%u\"}}'", i, i * 320, i);

      flat_run (fixture, write);
    }
  flat_set_layers (fixture, layers->str);
  flat_assert_image (fixture, "qcow2", 64 * MIB);
}

/* What a raw image may need in a folder is its data. */
static void
test_allocated (FlatFixture   *fixture,
                gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = NULL;

  flat_run (fixture, "img create -q -f qcow2 a 1049088;"
            "io -f qcow2 -c 'write -P 1 100k 1k' -c 'write -P 2 1M 512' a");
  flat_set_layers (fixture, "a:qcow2");
  source = flat_open (fixture, "raw", &error);
  g_assert_no_error (error);
  g_assert_cmpint (image_source_get_length (source), ==, 1049088);
  g_assert_cmpint (image_source_get_allocated (source), ==, 65536 + 512);
  flat_close (source);
}

/* Nothing of what was in a buffer before gets behind the end of the disk. */
static void
test_padding (FlatFixture   *fixture,
              gconstpointer  data)
{
  g_autofree char *path = flat_path (fixture, "image.qcow2");
  g_autofree char *text = NULL;
  gsize length;

  flat_run (fixture, "img create -q -f qcow2 a 10486272;io -f qcow2 -c 'write -P 1 0 10486272' a");
  flat_set_layers (fixture, "a:qcow2");
  flat_assert_image (fixture, "qcow2", 10 * MIB + 512);
  g_assert_true (g_file_get_contents (path, &text, &length, NULL));
  for (gsize i = 0; i < 65536; i++)
    g_assert_cmpint (text[length - 65536 + i], ==, i < 512 ? 1 : 0);
}

static void
assert_length (FlatFixture *fixture,
               const char  *layers,
               guint        clusters)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = NULL;

  flat_set_layers (fixture, layers);
  source = flat_open (fixture, "qcow2", &error);
  g_assert_no_error (error);
  g_assert_cmpuint ((guint64) image_source_get_length (source), ==, clusters * 64 * KIB);
  flat_close (source);
}

/* Of 64 clusters of data, half are zeros by now, in one way or another; 5 are metadata. */
static void
test_zeros (FlatFixture   *fixture,
            gconstpointer  data)
{
  flat_run (fixture, "img create -q -f qcow2 a 4M;io -f qcow2 -c 'write -P 1 0 4M' a;"
            "img create -q -f qcow2 -b a -F qcow2 b;io -f qcow2 -c 'write -z 1M 2M' b;"
            "img create -q -f qcow2 -b a -F qcow2 c;io -f qcow2 -c 'write -z -u 1M 2M' c;"
            "img create -q -f qcow2 -b a -F qcow2 d;io -f qcow2 -d unmap -c 'discard 1M 2M' d;"
            "img create -q -f raw r 4M;io -f raw -c 'write -P 1 0 2M' r");

  assert_length (fixture, "a:qcow2", 5 + 64);
  assert_length (fixture, "b:qcow2 a:qcow2", 5 + 32);
  assert_length (fixture, "c:qcow2 a:qcow2", 5 + 32);
  assert_length (fixture, "d:qcow2 a:qcow2", 5 + 32);
  assert_length (fixture, "r:raw", 5 + 32);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  flat_add_test ("chains", test_chains);
  flat_add_test ("sparse", test_sparse);
  flat_add_test ("long-chain", test_long_chain);
  flat_add_test ("allocated", test_allocated);
  flat_add_test ("padding", test_padding);
  flat_add_test ("zeros", test_zeros);

  return g_test_run ();
}
