/* SPDX-License-Identifier: Apache-2.0 */

/* A layer's bytes are those of its file, but for the backing name. */

#include <core/error.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define SIZE (2 * 1024 * 1024 + 33)

typedef struct
{
  char   *folder;
  char   *path;
  guint8 *bytes;                /* those of the file */
  guint64 dev;
  guint64 ino;
} Fixture;

static void
write_file (Fixture *fixture)
{
  struct stat st;

  g_assert_true (g_file_set_contents_full (fixture->path, (char *) fixture->bytes, SIZE,
                                           G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  g_assert_cmpint (stat (fixture->path, &st), ==, 0);
  fixture->dev = st.st_dev;
  fixture->ino = st.st_ino;
}

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  static const guint8 header[] = { 'Q', 'F', 'I', 0xfb, 0, 0, 0, 3 };

  fixture->folder = make_folder ();
  fixture->path = g_build_filename (fixture->folder, "disk.0", NULL);
  fixture->bytes = g_malloc (SIZE);
  for (gsize i = 0; i < SIZE; i++)
    fixture->bytes[i] = (guint8) (i % 251 + 1);         /* never 0 */
  memcpy (fixture->bytes, header, sizeof header);
  write_file (fixture);
}

static void
teardown (Fixture       *fixture,
          gconstpointer  data)
{
  drop_folder (fixture->folder);
  g_free (fixture->folder);
  g_free (fixture->path);
  g_free (fixture->bytes);
}

static ImageSource *
open_layer (Fixture     *fixture,
            const char  *format,
            gboolean     blank,
            GError     **error)
{
  return layer_source_open (fixture->path, fixture->dev, fixture->ino, format, blank, error);
}

/* Reads all in pieces of @step; checks that they are the file's, bytes 8 to 19 zero if @blanked. */
static void
assert_bytes (Fixture     *fixture,
              ImageSource *source,
              gsize        step,
              gboolean     blanked)
{
  g_autofree guint8 *buffer = g_malloc (step);
  g_autoptr (GError) error = NULL;
  gsize at = 0;
  gssize n;

  while ((n = image_source_read (source, buffer, step, &error)) > 0)
    {
      for (gssize i = 0; i < n; i++, at++)
        g_assert_cmpuint (buffer[i], ==, blanked && at >= 8 && at < 20 ? 0 : fixture->bytes[at]);
    }

  g_assert_no_error (error);
  g_assert_cmpint (n, ==, 0);
  g_assert_cmpuint (at, ==, SIZE);
}

static void
test_as_it_is (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = open_layer (fixture, "qcow2", FALSE, &error);

  g_assert_no_error (error);
  g_assert_cmpint (image_source_get_length (source), ==, SIZE);
  g_assert_cmpint (image_source_get_allocated (source), >, 0);
  g_assert_cmpint (image_source_get_allocated (source), <=, SIZE);
  assert_bytes (fixture, source, 1024 * 1024, FALSE);
}

static void
test_blanked (Fixture       *fixture,
              gconstpointer  data)
{
  static const gsize steps[] = { 1, 3, 8, 9, 19, 20, 21, 512, 1024 * 1024, SIZE + 1 };

  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (ImageSource) source = open_layer (fixture, "qcow2", TRUE, &error);

      g_assert_no_error (error);
      assert_bytes (fixture, source, steps[i], TRUE);
      g_assert_true (image_source_rewind (source, &error));
      assert_bytes (fixture, source, 65536, TRUE);
    }
}

/* A raw disk may begin with anything, also with what looks like a header. */
static void
test_raw_passes (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = open_layer (fixture, "raw", TRUE, &error);

  g_assert_no_error (error);
  assert_bytes (fixture, source, 1024 * 1024, FALSE);
}

static void
test_growing (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = open_layer (fixture, "qcow2", TRUE, &error);

  g_assert_cmpint (truncate (fixture->path, 2 * SIZE), ==, 0);
  assert_bytes (fixture, source, 1024 * 1024, TRUE);
}

static void
test_shrinking (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = open_layer (fixture, "qcow2", TRUE, &error);
  g_autofree char *buffer = g_malloc (SIZE);

  g_assert_cmpint (truncate (fixture->path, 1000), ==, 0);
  g_assert_cmpint (image_source_read (source, buffer, SIZE, &error), ==, 1000);
  g_assert_cmpint (image_source_read (source, buffer, SIZE, &error), ==, -1);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "shorter"));
}

/* What is open is what was checked, whatever happens to the name. */
static void
test_replaced_later (Fixture       *fixture,
                     gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageSource) source = open_layer (fixture, "qcow2", TRUE, &error);

  g_assert_no_error (error);
  g_assert_cmpint (g_unlink (fixture->path), ==, 0);
  g_assert_true (g_file_set_contents (fixture->path, "other", -1, NULL));
  assert_bytes (fixture, source, 1024 * 1024, TRUE);
}

static void
test_replaced_before (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autofree char *kept = g_strconcat (fixture->path, ".kept", NULL);
  g_autoptr (GError) error = NULL;

  /* The old inode stays in use, so the new file has another. */
  g_assert_cmpint (g_rename (fixture->path, kept), ==, 0);
  g_assert_null (open_layer (fixture, "qcow2", TRUE, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);

  g_assert_true (g_file_set_contents (fixture->path, "other", -1, NULL));
  g_assert_null (open_layer (fixture, "qcow2", TRUE, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (agent_error_get_hint (error));
}

static void
test_no_qcow2 (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->bytes[7] = 4;
  write_file (fixture);
  g_assert_null (open_layer (fixture, "qcow2", TRUE, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
  g_clear_error (&error);

  fixture->bytes[0] = 'q';
  write_file (fixture);
  g_assert_null (open_layer (fixture, "qcow2", TRUE, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
  g_clear_error (&error);

  g_assert_cmpint (truncate (fixture->path, 19), ==, 0);
  g_assert_null (open_layer (fixture, "qcow2", TRUE, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
}

static void
test_no_file (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  struct stat st;

  g_assert_cmpint (g_unlink (fixture->path), ==, 0);
  g_assert_cmpint (mkfifo (fixture->path, 0600), ==, 0);
  g_assert_cmpint (stat (fixture->path, &st), ==, 0);
  g_assert_null (layer_source_open (fixture->path, st.st_dev, st.st_ino, "raw", FALSE, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
}

static void
add (const char *name,
     void      (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/image/layer-source/", name, NULL);

  g_test_add (path, Fixture, NULL, setup, test, teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("as-it-is", test_as_it_is);
  add ("blanked", test_blanked);
  add ("raw-passes", test_raw_passes);
  add ("growing", test_growing);
  add ("shrinking", test_shrinking);
  add ("replaced-later", test_replaced_later);
  add ("replaced-before", test_replaced_before);
  add ("no-qcow2", test_no_qcow2);
  add ("no-file", test_no_file);

  return g_test_run ();
}
