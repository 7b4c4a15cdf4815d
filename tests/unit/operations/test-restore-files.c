/* SPDX-License-Identifier: Apache-2.0 */

/* What an image may say of itself, and when its file gets a name. */

#include "model.h"

#include <core/error.h>
#include <disk/qcow2.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "chain/restore-steps.h"

#define MIB (1 << 20)

typedef struct
{
  char         *folder;
  char         *like;
  RestoreImage *image;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->folder = model_folder ();
  self->like = model_image (self->folder, "disk", NULL);
  self->image = restore_image_new ("i");
  self->image->format = g_strdup ("qcow2");
  self->image->path = g_build_filename (self->folder, "disk.1", NULL);
  self->image->part = g_build_filename (self->folder, "disk.1.part", NULL);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  restore_image_free (self->image);
  g_free (self->like);
  model_remove_folder (self->folder);
  g_free (self->folder);
}

/* What came of a store: an image of 1 MiB, its byte @at changed to @value. */
static void
fetch (Fixture *self, const char *backing, gsize at, guint8 value)
{
  g_autoptr (GBytes) bytes = qcow2_empty_overlay (MIB, backing != NULL ? backing : "x", "qcow2",
                                                  NULL);
  gsize size;
  g_autofree guint8 *copy = g_bytes_unref_to_data (g_steal_pointer (&bytes), &size);
  g_autoptr (GError) error = NULL;
  int fd = restore_open_part (self->image, self->like, &error);

  g_assert_no_error (error);
  if (backing == NULL)
    memset (copy + 8, 0, 12);
  copy[at] = value;
  g_assert_cmpint (write (fd, copy, size), ==, (gssize) size);
  close (fd);
}

static void
assert_check (Fixture *self, const char *backing, const char *problem)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = restore_check_file (self->image, self->image->part, backing, &error);

  if (problem == NULL)
    {
      g_assert_no_error (error);
      g_assert_true (ok);
      return;
    }
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, problem));
}

static void
test_headers (Fixture *self, gconstpointer data)
{
  fetch (self, NULL, 0, 'Q');
  assert_check (self, NULL, NULL);
  g_assert_cmpint (self->image->virtual_size, ==, MIB);
  assert_check (self, "disk.0", "parent");
  fetch (self, "/etc/passwd", 0, 'Q');
  assert_check (self, NULL, "own choice");
  assert_check (self, "disk.0", "own choice");
  assert_check (self, "/etc/passwd", NULL);
  fetch (self, NULL, 35, 2);            /* crypt_method */
  assert_check (self, NULL, "encrypted");
  fetch (self, NULL, 79, 2);            /* incompatible: corrupt */
  assert_check (self, NULL, "corrupt");
  fetch (self, NULL, 79, 4);            /* incompatible: external data file */
  assert_check (self, NULL, "another file");
  fetch (self, NULL, 31, 1);            /* the size */
  assert_check (self, NULL, "size");
}

static void
test_raw (Fixture *self, gconstpointer data)
{
  int fd;

  g_free (self->image->format);
  self->image->format = g_strdup ("raw");
  fetch (self, "/etc/passwd", 0, 'Q');
  assert_check (self, NULL, NULL);      /* its bytes mean nothing */
  g_assert_cmpint (self->image->virtual_size, >, 0);
  fd = restore_open_part (self->image, self->like, NULL);
  g_assert_cmpint (ftruncate (fd, 513), ==, 0);
  close (fd);
  assert_check (self, NULL, "sectors");
}

static void
assert_only (Fixture *self, const char *const *names)
{
  g_autoptr (GDir) dir = g_dir_open (self->folder, 0, NULL);
  const char *name;
  guint n = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_assert_true (g_strv_contains (names, name));
      n++;
    }
  g_assert_cmpuint (n, ==, g_strv_length ((char **) names));
}

static void
test_name (Fixture *self, gconstpointer data)
{
  static const char *const before[] = { "disk", NULL };
  static const char *const after[] = { "disk", "disk.1", NULL };
  g_autoptr (GError) error = NULL;
  gboolean whole = TRUE;

  /* What a life before has left is not gone on with. */
  fetch (self, NULL, 0, 'Q');
  fetch (self, NULL, 0, 'Q');
  g_assert_true (restore_drop_part (self->image, NULL));
  g_assert_true (restore_drop_part (self->image, NULL));
  assert_only (self, before);
  g_assert_true (restore_find_whole (self->image, NULL, &whole, NULL));
  g_assert_false (whole);

  fetch (self, NULL, 0, 'Q');
  g_assert_true (restore_keep_part (self->image, NULL));
  assert_only (self, after);
  g_assert_cmpint (self->image->ino, ==, (gint64) model_look (self->image->path).ino);
  self->image->ino = 0;
  g_assert_true (restore_find_whole (self->image, NULL, &whole, NULL));
  g_assert_true (whole && self->image->ino != 0);
  g_assert_false (restore_find_whole (self->image, "disk.0", &whole, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);

  /* Never over somebody else's. */
  fetch (self, NULL, 0, 'Q');
  g_assert_false (restore_keep_part (self->image, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/operations/restore/headers", Fixture, NULL, set_up, test_headers, tear_down);
  g_test_add ("/operations/restore/raw", Fixture, NULL, set_up, test_raw, tear_down);
  g_test_add ("/operations/restore/name", Fixture, NULL, set_up, test_name, tear_down);
  return g_test_run ();
}
