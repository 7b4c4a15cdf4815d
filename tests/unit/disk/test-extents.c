/* SPDX-License-Identifier: Apache-2.0 */

/* Ranges of bytes, beside an array with one flag for each byte. */

#include <disk/extents.h>

#define SPACE 64
#define ROUNDS 5000

typedef gboolean Flags[SPACE];

/* What @self holds is what is flagged, in as few ranges as it takes. */
static void
assert_same (const Extents  *self,
             const gboolean *flags)
{
  Flags found = { FALSE };
  gint64 total = 0;
  gint64 end = -1;

  for (guint i = 0; i < extents_count (self); i++)
    {
      const Extent *extent = extents_get (self, i);

      g_assert_cmpint (extent->length, >, 0);
      g_assert_cmpint (extent->start, >, end);
      end = extent->start + extent->length;
      g_assert_cmpint (end, <=, SPACE);
      total += extent->length;

      for (gint64 at = extent->start; at < end; at++)
        found[at] = TRUE;
    }

  g_assert_cmpmem (found, sizeof found, flags, sizeof found);
  g_assert_cmpint (extents_total (self), ==, total);
}

static Extents *
make (gboolean *flags)
{
  Extents *self = extents_new ();
  guint n = (guint) g_test_rand_int_range (0, 12);

  for (guint i = 0; i < n; i++)
    {
      gint start = g_test_rand_int_range (0, SPACE);
      gint length = g_test_rand_int_range (0, MIN (9, SPACE - start + 1));

      extents_add (self, start, length);
      for (gint at = start; at < start + length; at++)
        flags[at] = TRUE;
      assert_same (self, flags);
    }

  return self;
}

static void
test_any_order (void)
{
  for (guint i = 0; i < ROUNDS; i++)
    {
      Flags flags = { FALSE };
      g_autoptr (Extents) self = make (flags);
      g_autoptr (Extents) copy = extents_copy (self);

      extents_add (self, 0, SPACE);
      assert_same (copy, flags);
      g_assert_cmpuint (extents_count (self), ==, 1);
    }
}

static void
test_sets (void)
{
  for (guint i = 0; i < ROUNDS; i++)
    {
      Flags flags = { FALSE };
      Flags other_flags = { FALSE };
      Flags both = { FALSE };
      Flags rest = { FALSE };
      g_autoptr (Extents) self = make (flags);
      g_autoptr (Extents) other = make (other_flags);
      g_autoptr (Extents) united = extents_copy (self);

      for (guint at = 0; at < SPACE; at++)
        {
          both[at] = flags[at] || other_flags[at];
          rest[at] = flags[at] && !other_flags[at];
        }

      extents_unite (united, other);
      extents_subtract (self, other);
      assert_same (united, both);
      assert_same (self, rest);
      assert_same (other, other_flags);
    }
}

static void
test_far_end (void)
{
  g_autoptr (Extents) self = extents_new ();

  extents_add (self, G_MAXINT64 - 10, 10);
  extents_add (self, G_MAXINT64 - 20, 10);
  g_assert_cmpuint (extents_count (self), ==, 1);
  g_assert_cmpint (extents_get (self, 0)->start, ==, G_MAXINT64 - 20);
  g_assert_cmpint (extents_total (self), ==, 20);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/disk/extents/any-order", test_any_order);
  g_test_add_func ("/disk/extents/sets", test_sets);
  g_test_add_func ("/disk/extents/far-end", test_far_end);

  return g_test_run ();
}
