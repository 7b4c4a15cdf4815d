/* SPDX-License-Identifier: Apache-2.0 */

/* Sees to it that sockets are noticed when they come and go, in folders that come and go. */

#include "fake.h"
#include "support.h"
#include "watch.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct
{
  Folder      *folder;
  SocketWatch *watch;
  GString     *seen;            /* "+name " and "-name ", relative to the folder */
  const char  *wanted;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->folder = folder_new ();
  fixture->seen = g_string_new (NULL);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  g_clear_object (&fixture->watch);
  g_string_free (fixture->seen, TRUE);
  g_clear_pointer (&fixture->folder, folder_free);
}

static void
on_added (SocketWatch *watch,
          const char  *path,
          gpointer     user_data)
{
  Fixture *fixture = user_data;

  g_string_append_printf (fixture->seen, "+%s ", path + strlen (fixture->folder->path) + 1);
}

static void
on_removed (SocketWatch *watch,
            const char  *path,
            gpointer     user_data)
{
  Fixture *fixture = user_data;

  g_string_append_printf (fixture->seen, "-%s ", path + strlen (fixture->folder->path) + 1);
}

static void
watch (Fixture         *fixture,
       const char      *pattern,
       SocketWatchKind  kind)
{
  g_autofree char *full = folder_file (fixture->folder, pattern);

  fixture->watch = socket_watch_new (full, kind);
  g_signal_connect (fixture->watch, "added", G_CALLBACK (on_added), fixture);
  g_signal_connect (fixture->watch, "removed", G_CALLBACK (on_removed), fixture);
  socket_watch_start (fixture->watch);
}

static gboolean
has_seen (gpointer user_data)
{
  Fixture *fixture = user_data;

  return g_str_equal (fixture->seen->str, fixture->wanted);
}

/* Nothing else, and nothing after. The deadline is below the 4 s in which GIO looks after folders
 * that it has lost sight of: they are to be noticed by their events. */
static void
expect (Fixture    *fixture,
        const char *wanted)
{
  fixture->wanted = wanted;
  run_until (has_seen, fixture, 3000, wanted);
  run_for (50);
  g_assert_cmpstr (fixture->seen->str, ==, wanted);
  g_string_truncate (fixture->seen, 0);
}

static Fake *
listen_at (Fixture    *fixture,
           const char *name)
{
  g_autofree char *path = folder_file (fixture->folder, name);

  return fake_new_monitor (path);
}

static void
make_folder (Fixture    *fixture,
             const char *name)
{
  g_autofree char *path = folder_file (fixture->folder, name);

  g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
}

static void
test_pattern (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (Fake) early = listen_at (fixture, "early.qmp");
  g_autoptr (Fake) other = listen_at (fixture, "other.sock");
  g_autoptr (Fake) hidden = listen_at (fixture, ".hidden.qmp");
  g_autoptr (Fake) late = NULL;
  g_autofree char *file = folder_file (fixture->folder, "file.qmp");
  g_autofree char *link = folder_file (fixture->folder, "link.qmp");

  watch (fixture, "*.qmp", SOCKET_WATCH_PATTERN);
  expect (fixture, "+early.qmp ");

  late = listen_at (fixture, "late.qmp");
  expect (fixture, "+late.qmp ");

  /* Only sockets, and each once. */
  g_assert_true (g_file_set_contents (file, "x", 1, NULL));
  g_assert_cmpint (symlink ("late.qmp", link), ==, 0);
  run_for (200);
  g_assert_cmpstr (fixture->seen->str, ==, "");

  g_clear_pointer (&early, fake_free);
  expect (fixture, "-early.qmp ");
}

static void
test_made_anew (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (Fake) first = listen_at (fixture, "vm.qmp");
  g_autoptr (Fake) second = NULL;

  watch (fixture, "*.qmp", SOCKET_WATCH_PATTERN);
  expect (fixture, "+vm.qmp ");

  /* Another mode is no other socket. */
  g_assert_cmpint (g_chmod (first->path, 0600), ==, 0);
  run_for (200);
  g_assert_cmpstr (fixture->seen->str, ==, "");

  fake_die (first);
  second = listen_at (fixture, "vm.qmp");
  expect (fixture, "-vm.qmp +vm.qmp ");
}

static void
test_folder (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (Fake) first = NULL;
  g_autoptr (Fake) second = NULL;
  g_autofree char *path = folder_file (fixture->folder, "sockets");

  watch (fixture, "sockets/", SOCKET_WATCH_PATTERN);
  run_for (50);

  /* The folder comes later, goes, and comes again. */
  make_folder (fixture, "sockets");
  first = listen_at (fixture, "sockets/a");
  expect (fixture, "+sockets/a ");

  g_clear_pointer (&first, fake_free);
  g_assert_cmpint (g_rmdir (path), ==, 0);
  expect (fixture, "-sockets/a ");

  make_folder (fixture, "sockets");
  run_for (50);
  second = listen_at (fixture, "sockets/b");
  expect (fixture, "+sockets/b ");

  /* Gone and back before anybody looks. */
  g_clear_pointer (&second, fake_free);
  g_assert_cmpint (g_rmdir (path), ==, 0);
  make_folder (fixture, "sockets");
  expect (fixture, "-sockets/b ");
  first = listen_at (fixture, "sockets/c");
  expect (fixture, "+sockets/c ");
}

static void
test_folders_by_pattern (Fixture       *fixture,
                         gconstpointer  data)
{
  g_autoptr (Fake) first = NULL;
  g_autoptr (Fake) second = NULL;
  g_autoptr (Fake) third = NULL;
  g_autofree char *from = folder_file (fixture->folder, "vm-1");
  g_autofree char *to = folder_file (fixture->folder, "vm-9");

  make_folder (fixture, "vm-1");
  first = listen_at (fixture, "vm-1/qmp.sock");
  watch (fixture, "vm-*/qmp.sock", SOCKET_WATCH_PATTERN);
  expect (fixture, "+vm-1/qmp.sock ");

  make_folder (fixture, "vm-2");
  make_folder (fixture, "other");
  run_for (50);
  second = listen_at (fixture, "vm-2/qmp.sock");
  third = listen_at (fixture, "other/qmp.sock");
  expect (fixture, "+vm-2/qmp.sock ");

  g_assert_cmpint (g_rename (from, to), ==, 0);
  expect (fixture, "-vm-1/qmp.sock +vm-9/qmp.sock ");
  g_assert_cmpint (g_rename (to, from), ==, 0);
  expect (fixture, "-vm-9/qmp.sock +vm-1/qmp.sock ");
}

static void
test_path (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (Fake) wild = listen_at (fixture, "x.qmp");
  g_autoptr (Fake) exact = NULL;

  watch (fixture, "*.qmp", SOCKET_WATCH_PATH);
  run_for (50);
  g_assert_cmpstr (fixture->seen->str, ==, "");

  exact = listen_at (fixture, "*.qmp");
  expect (fixture, "+*.qmp ");
}

static void
test_many (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GPtrArray) fakes = g_ptr_array_new_with_free_func ((GDestroyNotify) fake_free);
  g_autoptr (GString) wanted = g_string_new (NULL);

  watch (fixture, "", SOCKET_WATCH_PATTERN);
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *name = g_strdup_printf ("vm-%u", i);

      g_ptr_array_add (fakes, listen_at (fixture, name));
      g_string_printf (wanted, "+%s ", name);
      expect (fixture, wanted->str);
    }
}

static void
test_stop (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (Fake) fake = NULL;

  watch (fixture, "*.qmp", SOCKET_WATCH_PATTERN);
  fake = listen_at (fixture, "vm.qmp");
  socket_watch_stop (fixture->watch);
  run_for (200);
  g_assert_cmpstr (fixture->seen->str, ==, "");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)
  ADD ("/guest/watch/pattern", test_pattern);
  ADD ("/guest/watch/made-anew", test_made_anew);
  ADD ("/guest/watch/folder", test_folder);
  ADD ("/guest/watch/folders-by-pattern", test_folders_by_pattern);
  ADD ("/guest/watch/path", test_path);
  ADD ("/guest/watch/many", test_many);
  ADD ("/guest/watch/stop", test_stop);
#undef ADD

  return g_test_run ();
}
