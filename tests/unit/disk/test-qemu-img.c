/* SPDX-License-Identifier: Apache-2.0 */

/* qemu-img as a child: its progress, its errors, its end; and what it says an image holds. */

#include "images.h"
#include "scratch.h"

#include <core/error.h>
#include <disk/qemu-img.h>

#include <glib/gstdio.h>
#include <string.h>

#define KIB 1024

typedef struct
{
  GMainLoop     *loop;
  GAsyncResult  *result;
  GPtrArray     *told;          /* of permille */
  GCancellable  *cancellable;
  guint          cancel_at;     /* permille; 0: never */
} Fixture;

static void
fixture_set_up (Fixture       *fixture,
                gconstpointer  data)
{
  fixture->loop = g_main_loop_new (NULL, FALSE);
  fixture->told = g_ptr_array_new ();
  fixture->cancellable = g_cancellable_new ();
}

static void
fixture_tear_down (Fixture       *fixture,
                   gconstpointer  data)
{
  g_main_loop_unref (fixture->loop);
  g_clear_object (&fixture->result);
  g_ptr_array_unref (fixture->told);
  g_object_unref (fixture->cancellable);
}

static void
on_result (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Fixture *fixture = user_data;

  g_set_object (&fixture->result, result);
  g_main_loop_quit (fixture->loop);
}

static void
on_progress (guint    permille,
             gpointer user_data)
{
  Fixture *fixture = user_data;

  g_ptr_array_add (fixture->told, GUINT_TO_POINTER (permille));
  if (fixture->cancel_at != 0 && permille >= fixture->cancel_at)
    g_cancellable_cancel (fixture->cancellable);
}

static gboolean
run (Fixture            *fixture,
     const char *const  *arguments,
     guint               stall_s,
     GError            **error)
{
  qemu_img_run_async (arguments, stall_s, on_progress, fixture, fixture->cancellable, on_result,
                      fixture);
  g_main_loop_run (fixture->loop);

  return qemu_img_run_finish (fixture->result, error);
}

static void
test_progress (Fixture       *fixture,
               gconstpointer  data)
{
  g_autofree char *source = NULL;
  g_autofree char *target = NULL;
  g_autoptr (GError) error = NULL;
  char *folder;

  if (!images_available ())
    return;

  folder = scratch_new ();
  source = images_create (folder, "source", "32M", NULL, NULL);
  target = g_build_filename (folder, "target", NULL);
  images_write (source, "qcow2", "write -P 1 0 32M", NULL);

  g_assert_true (run (fixture, (const char *[]) { "convert", "-f", "qcow2", "-O", "raw", source,
                                                  target, NULL }, 60, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (fixture->told->len, >, 2);
  for (guint i = 1; i < fixture->told->len; i++)
    g_assert_cmpuint (GPOINTER_TO_UINT (fixture->told->pdata[i - 1]), <,
                      GPOINTER_TO_UINT (fixture->told->pdata[i]));
  g_assert_cmpuint (GPOINTER_TO_UINT (fixture->told->pdata[fixture->told->len - 1]), ==, 1000);
  g_assert_cmpint (qemu_img_run_get_written (fixture->result), >=, 16 << 20);
  g_assert_true (images_equal (source, "qcow2", target, "raw"));

  scratch_remove (folder);
}

static void
test_cancel (Fixture       *fixture,
             gconstpointer  data)
{
  g_autofree char *base = NULL;
  g_autofree char *top = NULL;
  g_autoptr (GError) error = NULL;
  char *folder;

  if (!images_available ())
    return;

  folder = scratch_new ();
  base = images_create (folder, "base", "64M", NULL, NULL);
  top = images_create (folder, "top", "64M", "base", "qcow2");
  images_write (top, "qcow2", "write -P 1 0 48M", NULL);
  fixture->cancel_at = 100;

  /* It would take a minute: that it is over soon is what is tested. */
  g_assert_false (run (fixture, (const char *[]) { "commit", "-d", "-f", "qcow2", "-b", base, "-r",
                                                   "800K", top, NULL }, 0, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);

  /* It is gone: nobody holds a lock. */
  images_write (top, "qcow2", "write -P 2 0 1M", NULL);
  images_check (top);

  scratch_remove (folder);
}

static void
test_cancelled_before (Fixture       *fixture,
                       gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (fixture->cancellable);
  g_assert_false (run (fixture, (const char *[]) { "--version", NULL }, 0, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CANCELLED);
}

static void
test_words (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  if (!images_available ())
    return;

  g_assert_false (run (fixture, (const char *[]) { "info", "-f", "qcow2", "/does/not/exist", NULL },
                       0, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL);
  g_assert_nonnull (strstr (error->message, "/does/not/exist"));
}

/* Somebody has it open: a qemu-io that waits for more to do. */
static void
test_locked (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GSubprocess) holder = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  char *folder;
  gboolean in_use = FALSE;

  if (!images_available ())
    return;

  folder = scratch_new ();
  path = images_create (folder, "image", "1M", NULL, NULL);
  holder = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE,
                             &error, "qemu-io", "-f", "qcow2", path, NULL);
  g_assert_no_error (error);
  while (!in_use)
    {
      g_assert_true (files_in_use (path, &in_use, &error));
      g_usleep (1000);
    }

  g_assert_false (run (fixture, (const char *[]) { "resize", "-f", "qcow2", path, "2M", NULL }, 0,
                       &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (agent_error_get_hint (error));

  g_subprocess_force_exit (holder);
  g_subprocess_wait (holder, NULL, NULL);
  scratch_remove (folder);
}

/* At a byte a second there is next to nothing to be seen. */
static void
test_stall (Fixture       *fixture,
            gconstpointer  data)
{
  g_autofree char *path = NULL;
  g_autofree char *target = NULL;
  g_autoptr (GError) error = NULL;
  char *folder;

  if (!images_available ())
    return;

  folder = scratch_new ();
  path = images_create (folder, "image", "64M", NULL, NULL);
  target = g_build_filename (folder, "target", NULL);
  images_write (path, "qcow2", "write 0 64M", NULL);

  g_assert_false (run (fixture, (const char *[]) { "convert", "-f", "qcow2", "-O", "raw", "-r", "1",
                                                   path, target, NULL }, 1, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_TIMEOUT);

  scratch_remove (folder);
}

/* --- what an image holds --- */

static Extents *
map (Fixture     *fixture,
     const char  *path,
     const char  *format,
     GError     **error)
{
  qemu_img_map_async (path, format, NULL, on_result, fixture);
  g_main_loop_run (fixture->loop);

  return qemu_img_map_finish (fixture->result, error);
}

static void
assert_extent (const Extents *extents,
               guint          index,
               gint64         start,
               gint64         length)
{
  g_assert_cmpint (extents_get (extents, index)->start, ==, start);
  g_assert_cmpint (extents_get (extents, index)->length, ==, length);
}

static void
test_map_layer (Fixture       *fixture,
                gconstpointer  data)
{
  g_autofree char *base = NULL;
  g_autofree char *top = NULL;
  g_autoptr (Extents) extents = NULL;
  g_autoptr (GError) error = NULL;
  char *folder;

  if (!images_available ())
    return;

  folder = scratch_new ();
  base = images_create (folder, "base", "64M", NULL, NULL);
  images_write (base, "qcow2", "write -P 1 0 4M", NULL);
  top = images_create (folder, "a:b, \"c\"", "64M", "base", "qcow2");
  images_write (top, "qcow2", "write -P 2 512k 1M", "write -z 8M 64k", "write -P 0 16M 64k", NULL);

  /* Its own clusters, zeros among them, and nothing of the base's, which need not even be there. */
  g_assert_no_errno (g_remove (base));
  extents = map (fixture, top, "qcow2", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (extents_count (extents), ==, 3);
  assert_extent (extents, 0, 512 * KIB, 1024 * KIB);
  assert_extent (extents, 1, 8192 * KIB, 64 * KIB);
  assert_extent (extents, 2, 16384 * KIB, 64 * KIB);

  scratch_remove (folder);
}

static void
test_map_raw (Fixture       *fixture,
              gconstpointer  data)
{
  g_autofree char *path = NULL;
  g_autoptr (Extents) extents = NULL;
  g_autoptr (GError) error = NULL;
  char *folder;

  if (!images_available ())
    return;

  folder = scratch_new ();
  path = g_build_filename (folder, "raw", NULL);
  images_do ("qemu-img", "create", "-q", "-f", "raw", path, "64M", NULL);
  images_write (path, "raw", "write -P 7 1M 1M", NULL);

  extents = map (fixture, path, "raw", &error);
  g_assert_no_error (error);
  g_assert_cmpint (extents_total (extents), >=, 1024 * KIB);
  g_assert_cmpint (extents_total (extents), <=, 2048 * KIB);
  for (guint i = 0; i < extents_count (extents); i++)
    g_assert_cmpint (extents_get (extents, i)->start, <, 2048 * KIB);

  scratch_remove (folder);
}

static void
test_map_nothing (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr (Extents) extents = NULL;
  g_autoptr (GError) error = NULL;

  if (!images_available ())
    return;

  extents = map (fixture, "/does/not/exist", "qcow2", &error);
  g_assert_null (extents);
  g_assert_nonnull (error);
  g_assert_true (error->domain == AGENT_ERROR);
}

/* More entries than come in one piece. */
static void
test_map_many (Fixture       *fixture,
               gconstpointer  data)
{
  g_autofree char *path = NULL;
  g_autofree char *input = NULL;
  g_autoptr (GString) commands = g_string_new (NULL);
  g_autoptr (GSubprocess) writer = NULL;
  g_autoptr (Extents) extents = NULL;
  g_autoptr (GError) error = NULL;
  char *folder;

  if (!images_available ())
    return;

  folder = scratch_new ();
  path = images_create (folder, "image", "512M", NULL, NULL);
  for (guint i = 0; i < 3000; i++)
    g_string_append_printf (commands, "write -z %uk 64k\n", i * 128);
  writer = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE,
                             &error, "qemu-io", "-f", "qcow2", path, NULL);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (writer, commands->str, NULL, NULL, NULL, &error);
  g_assert_no_error (error);

  extents = map (fixture, path, "qcow2", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (extents_count (extents), ==, 3000);
  g_assert_cmpint (extents_total (extents), ==, 3000 * 64 * KIB);

  scratch_remove (folder);
}

static void
add (const char *path,
     void      (*test) (Fixture *, gconstpointer))
{
  g_test_add (path, Fixture, NULL, fixture_set_up, test, fixture_tear_down);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("/qemu-img/progress", test_progress);
  add ("/qemu-img/cancel", test_cancel);
  add ("/qemu-img/cancelled-before", test_cancelled_before);
  add ("/qemu-img/words", test_words);
  add ("/qemu-img/locked", test_locked);
  add ("/qemu-img/stall", test_stall);
  add ("/qemu-img/map/layer", test_map_layer);
  add ("/qemu-img/map/raw", test_map_raw);
  add ("/qemu-img/map/nothing", test_map_nothing);
  add ("/qemu-img/map/many", test_map_many);

  return g_test_run ();
}
