/* SPDX-License-Identifier: Apache-2.0 */

/* What of the merged layers has no place in the file that took it. */

#include "chain/move-run.h"

#define CLUSTER 65536

/* Ranges in clusters: start, length; ended by a length of 0. */
static Extents *
make (const gint64 *ranges)
{
  Extents *self = extents_new ();

  for (; ranges[1] != 0; ranges += 2)
    extents_add (self, ranges[0] * CLUSTER, ranges[1] * CLUSTER);
  return self;
}

static void
assert_missing (const gint64 *merged, const gint64 *into, gint64 size, const gint64 *expected)
{
  g_autoptr (Extents) from = make (merged);
  g_autoptr (Extents) to = make (into);
  g_autoptr (Extents) wanted = make (expected);
  g_autoptr (Extents) missing = move_missing (from, to, size);

  g_assert_cmpuint (extents_count (missing), ==, extents_count (wanted));
  for (guint i = 0; i < extents_count (wanted); i++)
    {
      const Extent *found = extents_get (missing, i);
      const Extent *due = extents_get (wanted, i);

      g_assert_cmpint (found->start, ==, due->start);
      g_assert_cmpint (found->length, ==, due->length);
    }
}

#define NOTHING     ((const gint64[]) { 0, 0 })
#define RANGES(...) ((const gint64[]) { __VA_ARGS__, 0, 0 })

static void
test_all_there (void)
{
  assert_missing (NOTHING, NOTHING, 100 * CLUSTER, NOTHING);
  assert_missing (RANGES (3, 2, 9, 1), RANGES (3, 2, 9, 1), 100 * CLUSTER, NOTHING);
  /* It has held more, and its clusters may be larger. */
  assert_missing (RANGES (3, 2, 9, 1), RANGES (0, 16), 100 * CLUSTER, NOTHING);
}

static void
test_missing (void)
{
  assert_missing (RANGES (3, 2), NOTHING, 100 * CLUSTER, RANGES (3, 2));
  assert_missing (RANGES (3, 6), RANGES (0, 4, 6, 1), 100 * CLUSTER, RANGES (4, 2, 7, 2));
  assert_missing (RANGES (99, 1), RANGES (0, 99), 100 * CLUSTER, RANGES (99, 1));
}

static void
test_beyond_the_end (void)
{
  assert_missing (RANGES (3, 2, 20, 4), RANGES (3, 2), 10 * CLUSTER, NOTHING);
  assert_missing (RANGES (8, 4), NOTHING, 10 * CLUSTER, RANGES (8, 2));
  assert_missing (RANGES (0, 4), NOTHING, 0, NOTHING);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/move-proof/all-there", test_all_there);
  g_test_add_func ("/move-proof/missing", test_missing);
  g_test_add_func ("/move-proof/beyond-the-end", test_beyond_the_end);
  return g_test_run ();
}
