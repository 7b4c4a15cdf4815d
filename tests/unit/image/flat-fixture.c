/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how tests make chains, flatten them, and ask QEMU what it thinks of the result. */

#include "flat-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *
find (const char *variable,
      const char *otherwise)
{
  const char *named = g_getenv (variable);

  return g_find_program_in_path (named != NULL && named[0] != '\0' ? named : otherwise);
}

static const FlatPrograms *
find_programs (guint *n)
{
  static FlatPrograms programs[2];
  const char *root = g_getenv ("QSNAP_QEMU10");

  *n = root != NULL && root[0] != '\0' ? 2 : 1;
  if (programs[0].name != NULL)
    return programs;

  programs[0].name = "installed";
  programs[0].daemon = find ("QSD", "qemu-storage-daemon");
  programs[0].img = find ("QEMU_IMG", "qemu-img");
  programs[0].io = find ("QEMU_IO", "qemu-io");
  if (*n == 2)
    {
      programs[1].name = "unpacked";
      programs[1].root = g_strdup (root);
      programs[1].daemon = g_build_filename (root, "usr/bin/qemu-storage-daemon", NULL);
      programs[1].img = g_build_filename (root, "usr/bin/qemu-img", NULL);
      programs[1].io = g_build_filename (root, "usr/bin/qemu-io", NULL);
    }

  return programs;
}

static char *
libraries_of (const FlatPrograms *programs)
{
  return g_strdup_printf ("%s/usr/lib/x86_64-linux-gnu:%s/lib/x86_64-linux-gnu",
                          programs->root, programs->root);
}

/* An unpacked program finds its libraries by a script. */
static char *
make_daemon (FlatFixture *fixture)
{
  g_autofree char *libraries = NULL;
  g_autofree char *text = NULL;
  char *path;

  if (fixture->programs->root == NULL)
    return g_strdup (fixture->programs->daemon);

  libraries = libraries_of (fixture->programs);
  text = g_strdup_printf ("#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s \"$@\"\n", libraries,
                          fixture->programs->daemon);
  path = flat_path (fixture, "daemon");
  g_assert_true (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_NONE, 0700, NULL));

  return path;
}

static void
setup (FlatFixture   *fixture,
       gconstpointer  data)
{
  fixture->programs = data;
  fixture->folder = make_folder ();
  fixture->layers = g_ptr_array_new_with_free_func ((GDestroyNotify) image_layer_free);
  fixture->daemon = make_daemon (fixture);
}

static void
teardown (FlatFixture   *fixture,
          gconstpointer  data)
{
  drop_folder (fixture->folder);
  g_free (fixture->folder);
  g_free (fixture->daemon);
  g_ptr_array_unref (fixture->layers);
}

static void
skip (gconstpointer data)
{
  g_test_skip ("qemu-storage-daemon, qemu-img or qemu-io is not installed");
}

void
flat_add_test (const char *name,
               void      (*test) (FlatFixture *fixture, gconstpointer data))
{
  guint n;
  const FlatPrograms *programs = find_programs (&n);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *path = g_strdup_printf ("/image/flat/%s/%s", name, programs[i].name);

      if (programs[i].daemon == NULL || programs[i].img == NULL || programs[i].io == NULL)
        g_test_add_data_func (path, NULL, skip);
      else
        g_test_add (path, FlatFixture, &programs[i], setup, test, teardown);
    }
}

/* Nothing here has to survive a crash: qemu-io need not wait for the storage. */
static char *
with_tool (const FlatPrograms *programs,
           const char         *command)
{
  if (g_str_has_prefix (command, "img "))
    return g_strconcat (programs->img, command + strlen ("img"), NULL);
  if (g_str_has_prefix (command, "io "))
    return g_strconcat (programs->io, " -t unsafe", command + strlen ("io"), NULL);

  return g_strdup (command);
}

static void
run_command (FlatFixture *fixture,
             const char  *command)
{
  g_autoptr (GSubprocessLauncher) launcher =
    g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
  g_auto (GStrv) words = NULL;
  g_autoptr (GSubprocess) child = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *output = NULL;
  g_autofree char *line = with_tool (fixture->programs, command);

  g_shell_parse_argv (line, NULL, &words, &error);
  g_assert_no_error (error);
  g_subprocess_launcher_set_cwd (launcher, fixture->folder);
  if (fixture->programs->root != NULL)
    {
      g_autofree char *libraries = libraries_of (fixture->programs);

      g_subprocess_launcher_setenv (launcher, "LD_LIBRARY_PATH", libraries, TRUE);
    }
  child = g_subprocess_launcher_spawnv (launcher, (const char *const *) words, &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (child, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  if (!g_subprocess_get_successful (child) || strstr (output, "failed") != NULL)
    g_error ("%s: %s", command, output);
}

void
flat_run (FlatFixture *fixture,
          const char  *commands)
{
  g_auto (GStrv) each = g_strsplit (commands, ";", -1);

  for (guint i = 0; each[i] != NULL; i++)
    run_command (fixture, each[i]);
}

void
flat_set_layers (FlatFixture *fixture,
                 const char  *names)
{
  g_auto (GStrv) each = g_strsplit (names, " ", -1);

  g_ptr_array_set_size (fixture->layers, 0);
  for (guint i = 0; each[i] != NULL; i++)
    {
      char *colon = strrchr (each[i], ':');
      g_autofree char *name = g_strndup (each[i], (gsize) (colon - each[i]));
      g_autofree char *path = flat_path (fixture, name);
      struct stat st;

      g_assert_cmpint (stat (path, &st), ==, 0);
      g_ptr_array_add (fixture->layers, image_layer_new (path, st.st_dev, st.st_ino, colon + 1));
    }
}

char *
flat_path (FlatFixture *fixture,
           const char  *name)
{
  return name[0] == '/' ? g_strdup (name) : g_build_filename (fixture->folder, name, NULL);
}

ImageSource *
flat_open_full (FlatFixture   *fixture,
                const char    *format,
                const char    *program,
                const char    *folder,
                GCancellable  *cancellable,
                GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  flat_source_open_async (fixture->layers, format, program, folder, cancellable, keep_result,
                          &result);

  return flat_source_open_finish (await_result (&result), error);
}

ImageSource *
flat_open (FlatFixture  *fixture,
           const char   *format,
           GError      **error)
{
  return flat_open_full (fixture, format, fixture->daemon, fixture->folder, NULL, error);
}

void
flat_close (ImageSource *source)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_source_close_async (source, keep_result, &result);
  image_source_close_finish (source, await_result (&result));
}

gboolean
flat_save (FlatFixture  *fixture,
           ImageSource  *source,
           const char   *name,
           gsize         piece,
           GError      **error)
{
  g_autofree char *path = flat_path (fixture, name);
  g_autofree guint8 *buffer = g_malloc (piece);
  gint64 at = 0;
  gssize n;
  int fd;

  g_unlink (path);
  fd = g_open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  g_assert_cmpint (fd, >=, 0);
  while ((n = image_source_read (source, buffer, piece, error)) > 0)
    {
      /* Zeros stay holes. */
      if (buffer[0] != 0 || memcmp (buffer, buffer + 1, (gsize) n - 1) != 0)
        g_assert_cmpint (pwrite (fd, buffer, (gsize) n, at), ==, n);
      at += n;
    }
  g_assert_cmpint (ftruncate (fd, at), ==, 0);
  close (fd);
  if (n == 0)
    g_assert_cmpint (at, ==, image_source_get_length (source));

  return n == 0;
}

static guint64
size_of_image (const char *path,
               const char *format)
{
  struct stat st;
  guint64 size = 0;
  int fd = g_open (path, O_RDONLY | O_CLOEXEC, 0);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (fstat (fd, &st), ==, 0);
  if (g_str_equal (format, "raw"))
    size = (guint64) st.st_size;
  else
    {
      g_assert_cmpint (pread (fd, &size, sizeof size, 24), ==, sizeof size);
      size = GUINT64_FROM_BE (size);
    }
  close (fd);

  return size;
}

void
flat_assert_same (FlatFixture *fixture,
                  const char  *name,
                  const char  *format,
                  guint64      size)
{
  ImageLayer *top = fixture->layers->pdata[0];
  g_autofree char *path = flat_path (fixture, name);
  g_autofree char *compare = g_strdup_printf ("img compare -q -f %s -F %s %s %s", format,
                                              top->format, name, top->path);

  g_assert_cmpuint (size_of_image (path, format), ==, size);
  run_command (fixture, compare);
  if (g_str_equal (format, "qcow2"))
    {
      g_autofree char *check = g_strdup_printf ("img check -q -f qcow2 %s", name);

      run_command (fixture, check);
    }
}

static void
assert_tidy (FlatFixture *fixture)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    g_assert_false (g_str_has_prefix (name, "read-"));
}

void
flat_assert_image (FlatFixture *fixture,
                   const char  *format,
                   guint64      size)
{
  g_autofree char *name = g_strconcat ("image.", format, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = flat_open (fixture, format, &error);

  g_assert_no_error (error);
  assert_tidy (fixture);
  flat_save (fixture, source, name, 1024 * 1024, &error);
  g_assert_no_error (error);
  flat_close (source);
  flat_assert_same (fixture, name, format, size);
}
