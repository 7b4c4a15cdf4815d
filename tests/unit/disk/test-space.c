/* SPDX-License-Identifier: Apache-2.0 */
#include <core/error.h>
#include <disk/space.h>

#include "scratch.h"

#define MIB ((gint64) 1 << 20)

static GPtrArray *
needs_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) space_need_free);
}

/* One file system that has @left bytes, of which @need are needed. */
static GPtrArray *
needs_of (gint64 need,
          gint64 left)
{
  GPtrArray *needs = needs_new ();
  SpaceNeed *one = g_new0 (SpaceNeed, 1);

  one->folder = g_strdup ("/srv/web");
  one->need = need;
  one->left = left;
  g_ptr_array_add (needs, one);

  return needs;
}

static void
test_check (void)
{
  const struct { gint64 need, left, reserve; gboolean fits; } rows[] = {
    { MIB, MIB, 0, TRUE },
    { MIB + 1, MIB, 0, FALSE },
    { MIB, 3 * MIB, 2 * MIB, TRUE },
    { MIB + 1, 3 * MIB, 2 * MIB, FALSE },
    { 0, 0, 2 * MIB, TRUE },
    { G_MAXINT64, G_MAXINT64 - 1, G_MAXINT64, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GPtrArray) needs = needs_of (rows[i].need, rows[i].left);
      g_autoptr (GError) error = NULL;

      g_test_message ("row %" G_GSIZE_FORMAT, i);
      g_assert_cmpint (space_check (needs, rows[i].reserve, &error), ==, rows[i].fits);
      if (!rows[i].fits)
        g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
      else
        g_assert_no_error (error);
    }
}

static void
test_words (void)
{
  g_autoptr (GPtrArray) needs = needs_of (5 * MIB / 2, 9 * MIB - 1);
  g_autoptr (GError) error = NULL;

  g_assert_false (space_check (needs, 8 * MIB, &error));
  g_assert_cmpstr (error->message, ==, "the file system of /srv/web has 8 MiB left; 3 MiB are "
                                       "needed, and 8 MiB are to stay free");
  g_assert_nonnull (g_strstr_len (agent_error_get_hint (error), -1, "[daemon] reserve"));
}

/* What is on one file system is added up, whether it is there already or not. */
static void
test_add (void)
{
  char *folder = scratch_new ();
  g_autofree char *there = scratch_write (folder, "there", "x");
  g_autofree char *new = g_build_filename (folder, "new", NULL);
  g_autoptr (GPtrArray) needs = needs_new ();
  g_autoptr (GError) error = NULL;
  const SpaceNeed *need;

  g_assert_true (space_add (needs, there, MIB, &error));
  g_assert_true (space_add (needs, new, 2 * MIB, &error));
  g_assert_true (space_add (needs, folder, 0, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (needs->len, ==, 1);
  need = g_ptr_array_index (needs, 0);
  g_assert_cmpint (need->need, ==, 3 * MIB);
  g_assert_cmpint (need->left, >, 0);
  g_assert_cmpstr (need->folder, ==, folder);

  g_assert_true (space_add (needs, "/proc/version", G_MAXINT64, &error));
  g_assert_cmpuint (needs->len, ==, 2);
  need = g_ptr_array_index (needs, 1);
  g_assert_true (space_add (needs, "/proc/version", G_MAXINT64, &error));
  g_assert_cmpint (need->need, ==, G_MAXINT64);
  g_assert_cmpint (need->left, ==, 0);
  g_assert_false (space_check (needs, 0, NULL));

  scratch_remove (folder);
}

static void
test_nowhere (void)
{
  g_autoptr (GPtrArray) needs = needs_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (space_add (needs, "/there is no such folder/x", MIB, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND);
  g_assert_cmpuint (needs->len, ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/space/check", test_check);
  g_test_add_func ("/space/words", test_words);
  g_test_add_func ("/space/add", test_add);
  g_test_add_func ("/space/nowhere", test_nowhere);

  return g_test_run ();
}
