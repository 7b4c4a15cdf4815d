/* SPDX-License-Identifier: Apache-2.0 */

/* What QEMU thinks of our empty overlays: clean, the same as its own, and a guest can write into
 * them at once. */

#include "scratch.h"

#include <disk/qcow2.h>

#include <glib/gstdio.h>
#include <string.h>

#define KIB G_GUINT64_CONSTANT (1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define TIB (GIB * 1024)

/* Around every border that there is: sectors, clusters, L2 tables (512 MiB), L1 clusters (4 TiB),
 * the largest. */
static const guint64 sizes[] = {
  512, 1024, 4096 + 512, 64 * KIB - 512, 64 * KIB, 64 * KIB + 512, MIB + 1536,
  512 * MIB - 512, 512 * MIB, 512 * MIB + 512, 3 * GIB + 512, 10 * GIB, TIB,
  4 * TIB - 512, 4 * TIB, 4 * TIB + 512, 16 * TIB, 64 * TIB, 64 * TIB + 512, 2048 * TIB,
};

typedef struct
{
  char *img;
  char *io;
  char *libraries;              /* (nullable): where it looks for them */
} Qemu;

static void
qemu_free (Qemu *qemu)
{
  g_free (qemu->img);
  g_free (qemu->io);
  g_free (qemu->libraries);
  g_free (qemu);
}

static void
add_qemu (GPtrArray  *qemus,
          const char *img,
          const char *root)
{
  g_autofree char *folder = g_path_get_dirname (img);
  Qemu *qemu;

  if (!g_file_test (img, G_FILE_TEST_IS_EXECUTABLE))
    return;

  qemu = g_new0 (Qemu, 1);
  qemu->img = g_strdup (img);
  qemu->io = g_build_filename (folder, "qemu-io", NULL);
  if (root != NULL)
    qemu->libraries = g_strdup_printf ("%s/usr/lib/x86_64-linux-gnu:%s/lib/x86_64-linux-gnu",
                                       root, root);
  g_ptr_array_add (qemus, qemu);
}

/* The installed one, or the one that QEMU_IMG names, and the one unpacked below QSNAP_QEMU10. */
static GPtrArray *
find_qemus (void)
{
  GPtrArray *qemus = g_ptr_array_new_with_free_func ((GDestroyNotify) qemu_free);
  const char *named = g_getenv ("QEMU_IMG");
  const char *root = g_getenv ("QSNAP_QEMU10");
  g_autofree char *installed = g_find_program_in_path (named != NULL ? named : "qemu-img");

  if (installed != NULL)
    add_qemu (qemus, installed, NULL);
  if (root != NULL)
    {
      g_autofree char *img = g_build_filename (root, "usr/bin/qemu-img", NULL);

      add_qemu (qemus, img, root);
    }

  return qemus;
}

/* Runs a program; its output, stderr included. */
static char *
run (const Qemu *qemu,
     int        *status,
     const char *program,
     ...)
{
  g_autoptr (GSubprocessLauncher) launcher =
    g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  g_autoptr (GSubprocess) child = NULL;
  g_autoptr (GError) error = NULL;
  char *output = NULL;
  const char *word;
  va_list args;

  g_ptr_array_add (words, (gpointer) program);
  va_start (args, program);
  while ((word = va_arg (args, const char *)) != NULL)
    g_ptr_array_add (words, (gpointer) word);
  va_end (args);
  g_ptr_array_add (words, NULL);

  if (qemu->libraries != NULL)
    g_subprocess_launcher_setenv (launcher, "LD_LIBRARY_PATH", qemu->libraries, TRUE);
  child = g_subprocess_launcher_spawnv (launcher, (const char *const *) words->pdata, &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (child, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  *status = g_subprocess_get_if_exited (child) ? g_subprocess_get_exit_status (child) : -1;

  return output;
}

static void
make (const char *path,
      guint64     size,
      const char *backing,
      const char *format,
      const char *like)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = qcow2_empty_overlay (size, backing, format, &error);

  g_assert_no_error (error);
  g_assert_true (files_create (path, bytes, like, NULL, &error));
  g_assert_no_error (error);
}

static void
assert_clean (const Qemu *qemu,
              const char *path)
{
  int status;
  g_autofree char *output = run (qemu, &status, qemu->img, "check", "-f", "qcow2", path, NULL);

  if (status != 0)
    g_error ("qemu-img check of %s: %s", path, output);
  g_assert_nonnull (strstr (output, "No errors were found"));
}

/* What "info" says, but for the names of the files and how much room they take. */
static char *
describe (const Qemu *qemu,
          const char *path)
{
  int status;
  g_autofree char *output = run (qemu, &status, qemu->img, "info", "-f", "qcow2", path, NULL);
  g_auto (GStrv) lines = g_strsplit (output, "\n", -1);
  g_autoptr (GString) kept = g_string_new (NULL);

  g_assert_cmpint (status, ==, 0);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      if (!g_str_has_prefix (lines[i], "image:") && strstr (lines[i], "disk size:") == NULL
          && strstr (lines[i], "filename:") == NULL && strstr (lines[i], "file length:") == NULL)
        g_string_append_printf (kept, "%s\n", lines[i]);
    }

  return g_string_free (g_steal_pointer (&kept), FALSE);
}

static void
check_size (const Qemu *qemu,
            const char *folder,
            guint64     size)
{
  g_autofree char *base = scratch_write (folder, "disk.0", "");
  g_autofree char *ours = g_build_filename (folder, "disk.1", NULL);
  g_autofree char *theirs = g_build_filename (folder, "theirs", NULL);
  g_autofree char *bytes = g_strdup_printf ("%" G_GUINT64_FORMAT, size);
  g_autofree char *our_info = NULL;
  g_autofree char *their_info = NULL;
  g_autofree char *output = NULL;
  g_autofree char *first = NULL;
  g_autofree char *last = NULL;
  int status;

  g_free (run (qemu, &status, qemu->img, "create", "-q", "-f", "qcow2", "-b", "disk.0",
               "-F", "raw", theirs, bytes, NULL));
  g_assert_cmpint (status, ==, 0);
  make (ours, size, "disk.0", "raw", base);

  assert_clean (qemu, ours);
  our_info = describe (qemu, ours);
  their_info = describe (qemu, theirs);
  g_assert_cmpstr (our_info, ==, their_info);
  g_assert_nonnull (strstr (our_info, "extended l2: false"));

  /* What a guest does first: a write at each end. */
  first = g_strdup ("write -P 1 0 512");
  last = g_strdup_printf ("write -P 2 %" G_GUINT64_FORMAT " 512", size - 512);
  output = run (qemu, &status, qemu->io, "-f", "qcow2", "-c", first, "-c", last, "-c", "flush",
                ours, NULL);
  if (status != 0 || strstr (output, "rror") != NULL)
    g_error ("qemu-io on %" G_GUINT64_FORMAT " bytes: %s", size, output);
  assert_clean (qemu, ours);

  g_assert_cmpint (g_unlink (base), ==, 0);
  g_assert_cmpint (g_unlink (ours), ==, 0);
  g_assert_cmpint (g_unlink (theirs), ==, 0);
}

static void
test_sizes (void)
{
  g_autoptr (GPtrArray) qemus = find_qemus ();
  char *folder;

  if (qemus->len == 0)
    {
      g_test_skip ("no qemu-img: install qemu-utils, or name one in QEMU_IMG");
      return;
    }

  folder = scratch_new ();
  for (guint i = 0; i < qemus->len; i++)
    {
      for (gsize n = 0; n < G_N_ELEMENTS (sizes); n++)
        check_size (g_ptr_array_index (qemus, i), folder, sizes[n]);
    }
  scratch_remove (folder);
}

/* Sizes that nobody thought of; clean is what counts. */
static void
test_random_sizes (void)
{
  g_autoptr (GPtrArray) qemus = find_qemus ();
  g_autofree char *base = NULL;
  char *folder;

  if (qemus->len == 0)
    {
      g_test_skip ("no qemu-img: install qemu-utils, or name one in QEMU_IMG");
      return;
    }

  folder = scratch_new ();
  base = scratch_write (folder, "base", "");
  for (guint i = 0; i < 20; i++)
    {
      guint bits = (guint) g_test_rand_int_range (0, 38);
      guint64 high = (guint32) g_test_rand_int ();
      guint64 random = high << 32 | (guint32) g_test_rand_int ();
      guint64 size = ((random & ((G_GUINT64_CONSTANT (1) << bits) - 1)) + 1) * 512;
      g_autofree char *path = g_build_filename (folder, "disk.1", NULL);

      g_test_message ("%" G_GUINT64_FORMAT " bytes", size);
      make (path, size, "base", "raw", base);
      assert_clean (g_ptr_array_index (qemus, i % qemus->len), path);
      g_assert_cmpint (g_unlink (path), ==, 0);
    }
  scratch_remove (folder);
}

/* And the other way round: what QEMU writes is read. */
static void
test_theirs (void)
{
  static const char *const options[][3] = {
    { "compat=0.10", "2", "65536" },
    { "compat=1.1", "3", "65536" },
    { "cluster_size=512", "3", "512" },
    { "cluster_size=2M", "3", "2097152" },
    { "cluster_size=16k,extended_l2=on", "3", "16384" },
    { "compression_type=zstd,lazy_refcounts=on", "3", "65536" },
  };
  g_autoptr (GPtrArray) qemus = find_qemus ();
  char *folder;

  if (qemus->len == 0)
    {
      g_test_skip ("no qemu-img: install qemu-utils, or name one in QEMU_IMG");
      return;
    }

  folder = scratch_new ();
  for (guint i = 0; i < qemus->len * G_N_ELEMENTS (options); i++)
    {
      const Qemu *qemu = g_ptr_array_index (qemus, i / G_N_ELEMENTS (options));
      const char *const *row = options[i % G_N_ELEMENTS (options)];
      g_autofree char *path = g_build_filename (folder, "image", NULL);
      g_autofree char *contents = NULL;
      g_autoptr (GBytes) head = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (Qcow2Header) header = NULL;
      gsize length;
      int status;

      g_free (run (qemu, &status, qemu->img, "create", "-q", "-u", "-f", "qcow2", "-o", row[0],
                   "-b", "base", "-F", "raw", path, "1G", NULL));
      g_assert_cmpint (status, ==, 0);
      g_assert_true (g_file_get_contents (path, &contents, &length, NULL));
      head = g_bytes_new (contents, MIN (length, QCOW2_HEADER_BYTES));
      header = qcow2_header_parse (head, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (header->version, ==, g_ascii_strtoull (row[1], NULL, 10));
      g_assert_cmpuint (1u << header->cluster_bits, ==, g_ascii_strtoull (row[2], NULL, 10));
      g_assert_cmpuint (header->virtual_size, ==, GIB);
      g_assert_cmpstr (header->backing_name, ==, "base");
      g_assert_cmpstr (header->backing_format, ==, "raw");
      g_assert_cmpint (header->extended_l2, ==, strstr (row[0], "extended") != NULL);
    }
  scratch_remove (folder);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_assert_true (g_setenv ("LC_ALL", "C", TRUE));

  g_test_add_func ("/qcow2-qemu/sizes", test_sizes);
  g_test_add_func ("/qcow2-qemu/random-sizes", test_random_sizes);
  g_test_add_func ("/qcow2-qemu/theirs", test_theirs);

  return g_test_run ();
}
