/* SPDX-License-Identifier: Apache-2.0 */

/* What is taken for a point, and what is not: each doubt alone is enough. */

#include "rebuild-judge.h"

#define S G_GINT64_CONSTANT (1000000)     /* one second, in microseconds */

/* In seconds. */
static FileFacts
file (gint64 born, gint64 changed)
{
  return (FileFacts) { .dev = 1, .ino = 1, .size = 1, .born_ns = born * S * 1000,
                       .mtime_ns = changed * S * 1000 };
}

static GArray *
files_of (guint n, const FileFacts *facts)
{
  GArray *files = g_array_new (FALSE, FALSE, sizeof (FileFacts));

  g_array_append_vals (files, facts, n);
  return files;
}

static gboolean
is_point (const RebuildEvidence *evidence, guint n, const FileFacts *facts)
{
  g_autoptr (GArray) files = files_of (n, facts);

  return rebuild_judge_point (evidence, files) == NULL;
}

static gboolean
is_found (FileFacts above, guint n, const FileFacts *facts)
{
  g_autoptr (GArray) files = files_of (n, facts);
  gboolean found = rebuild_judge_layer (&above, files, 1) == NULL;

  /* Times from before a start of the host tell nothing. */
  g_assert_nonnull (rebuild_judge_layer (&above, files, above.born_ns / 1000 + 1));
  return found;
}

static void
test_point (void)
{
  const RebuildEvidence taken = { .taken_us = 100 * S };
  const RebuildEvidence frozen = { .taken_us = 100 * S, .frozen_ns = 101 * S * 1000 };
  const RebuildEvidence image = { .taken_us = 100 * S, .image_ns = 101 * S * 1000 };

  g_assert_true (is_point (&taken, 1, (FileFacts[]) { file (10, 99) }));
  g_assert_true (is_point (&taken, 1, (FileFacts[]) { file (10, 100) }));
  g_assert_true (is_point (&taken, 3, (FileFacts[]) { file (50, 99), file (10, 50), file (5, 9) }));
  g_assert_false (is_point (&taken, 0, NULL));

  /* Written to since, by whoever. */
  g_assert_false (is_point (&taken, 1, (FileFacts[]) { file (10, 101) }));
  g_assert_true (is_point (&frozen, 1, (FileFacts[]) { file (10, 101) }));
  g_assert_true (is_point (&image, 1, (FileFacts[]) { file (10, 101) }));
  g_assert_false (is_point (&frozen, 1, (FileFacts[]) { file (10, 102) }));
  g_assert_false (is_point (&image, 1, (FileFacts[]) { file (10, 102) }));

  /* What it stands on is seen through it. */
  g_assert_false (is_point (&taken, 2, (FileFacts[]) { file (50, 99), file (10, 101) }));
  g_assert_false (is_point (&frozen, 2, (FileFacts[]) { file (50, 101), file (10, 101) }));
}

static void
test_start_of_host (void)
{
  RebuildEvidence evidence = { .taken_us = 100 * S, .frozen_ns = 99 * S * 1000, .boot_us = 50 * S };
  const FileFacts layer = file (10, 99);

  g_assert_true (is_point (&evidence, 1, &layer));
  evidence.boot_us = 101 * S;
  g_assert_false (is_point (&evidence, 1, &layer));
}

static void
test_unknown_times (void)
{
  const RebuildEvidence taken = { .taken_us = 100 * S };
  FileFacts device = file (10, 50);
  FileFacts timeless = file (10, 0);

  device.block_device = TRUE;
  g_assert_false (is_point (&taken, 1, &device));
  g_assert_false (is_point (&taken, 2, (FileFacts[]) { file (50, 99), device }));
  g_assert_false (is_point (&taken, 1, &timeless));
  g_assert_false (is_found (file (100, 200), 1, &device));
  g_assert_false (is_found (file (100, 200), 1, &timeless));
}

static void
test_spans (void)
{
  const RebuildSpan span = { 200 * S, 210 * S };
  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (RebuildSpan));
  const RebuildEvidence evidence = { .taken_us = 100 * S, .spans = spans };

  g_array_append_val (spans, span);
  g_assert_true (is_point (&evidence, 1, (FileFacts[]) { file (10, 205) }));
  g_assert_true (is_point (&evidence, 2, (FileFacts[]) { file (50, 99), file (10, 205) }));
  g_assert_false (is_point (&evidence, 1, (FileFacts[]) { file (10, 199) }));
  g_assert_false (is_point (&evidence, 1, (FileFacts[]) { file (10, 211) }));
  g_assert_false (is_point (&evidence, 2, (FileFacts[]) { file (50, 205), file (10, 211) }));
}

static void
test_layer (void)
{
  g_assert_true (is_found (file (100, 200), 1, (FileFacts[]) { file (10, 99) }));
  g_assert_true (is_found (file (100, 200), 2, (FileFacts[]) { file (50, 100), file (10, 49) }));
  g_assert_false (is_found (file (100, 200), 0, NULL));

  /* A commit into it, or into one below it, that nobody knows of. */
  g_assert_false (is_found (file (100, 200), 1, (FileFacts[]) { file (10, 101) }));
  g_assert_false (is_found (file (100, 200), 2, (FileFacts[]) { file (50, 99), file (10, 150) }));

  /* Copies keep their times of change, and are born anew. */
  g_assert_false (is_found (file (300, 200), 1, (FileFacts[]) { file (10, 150) }));
  g_assert_false (is_found (file (300, 400), 1, (FileFacts[]) { file (299, 150) }));
  g_assert_false (is_found (file (0, 200), 1, (FileFacts[]) { file (10, 99) }));
  g_assert_false (is_found (file (100, 200), 1, (FileFacts[]) { file (0, 99) }));
}

static void
test_strays (void)
{
  for (guint n_moved = 0; n_moved < 3; n_moved++)
    {
      g_assert_cmpint (rebuild_judge_stray (FALSE, TRUE, TRUE, 1, n_moved), ==, STRAY_DISMISS);
      g_assert_cmpint (rebuild_judge_stray (FALSE, FALSE, TRUE, 1, n_moved), ==, STRAY_CANCEL);
      /* A stream, or a commit of layers in the middle, has no name to move. */
      g_assert_cmpint (rebuild_judge_stray (TRUE, FALSE, FALSE, 0, n_moved), ==, STRAY_CANCEL);
    }
  g_assert_cmpint (rebuild_judge_stray (TRUE, FALSE, TRUE, 1, 0), ==, STRAY_CANCEL);
  g_assert_cmpint (rebuild_judge_stray (TRUE, FALSE, TRUE, 1, 1), ==, STRAY_FINALIZE);
  g_assert_cmpint (rebuild_judge_stray (TRUE, FALSE, TRUE, 2, 2), ==, STRAY_FINALIZE);
  g_assert_cmpint (rebuild_judge_stray (TRUE, FALSE, TRUE, 2, 0), ==, STRAY_CANCEL);
  g_assert_cmpint (rebuild_judge_stray (TRUE, FALSE, TRUE, 2, 1), ==, STRAY_LEAVE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/rebuild/point", test_point);
  g_test_add_func ("/rebuild/start-of-host", test_start_of_host);
  g_test_add_func ("/rebuild/unknown-times", test_unknown_times);
  g_test_add_func ("/rebuild/spans", test_spans);
  g_test_add_func ("/rebuild/layer", test_layer);
  g_test_add_func ("/rebuild/strays", test_strays);
  return g_test_run ();
}
