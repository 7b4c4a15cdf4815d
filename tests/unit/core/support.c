/* SPDX-License-Identifier: Apache-2.0 */

/* What the tests of the core share. */

#include "support.h"

#include <unistd.h>

#include <glib/gstdio.h>

#define DEADLINE_S 30
#define MEMORY     "/dev/shm"

/* Processes end in these tests, not machines: what is in memory survives, and is flushed in no
 * time. */
char *
folder_new (void)
{
  const char *parent = access (MEMORY, W_OK) == 0 ? MEMORY : g_get_tmp_dir ();
  char *folder = g_build_filename (parent, "qsnapd-core-XXXXXX", NULL);

  g_assert_nonnull (g_mkdtemp (folder));

  return folder;
}

void
folder_remove (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      g_assert_cmpint (g_unlink (path), ==, 0);
    }

  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

static gboolean
on_deadline (gpointer user_data)
{
  g_error ("the test waited for more than %d s", DEADLINE_S);

  return G_SOURCE_REMOVE;
}

void
loop_until (LoopCheck check,
            gpointer  user_data)
{
  guint deadline = g_timeout_add_seconds (DEADLINE_S, on_deadline, NULL);

  while (!check (user_data))
    g_main_context_iteration (NULL, TRUE);

  g_source_remove (deadline);
}
