/* SPDX-License-Identifier: Apache-2.0 */

/* Which files go once they have left a chain, and which are kept for whom. */

#include "chain-model.h"

#include <core/error.h>
#include <glib/gstdio.h>
#include <string.h>

#include "chain/leftovers.h"

/* a <- b <- c in a folder, of which b and c have left the chain. */
typedef struct
{
  ChainModel  model;
  char       *folder;
  char       *a;
  char       *b;
  char       *c;
} Left;

static void
set_up (Left *self, gconstpointer data)
{
  chain_model_set_up (&self->model, data);
  self->folder = model_folder ();
  self->a = model_image (self->folder, "a", NULL);
  self->b = model_image (self->folder, "b", "a");
  self->c = model_image (self->folder, "c", "b");
}

static void
tear_down (Left *self, gconstpointer data)
{
  model_remove_folder (self->folder);
  g_free (self->folder);
  g_free (self->a);
  g_free (self->b);
  g_free (self->c);
  chain_model_tear_down (&self->model, data);
}

static ChainFile *
file_of (const char *path)
{
  const FileFacts facts = model_look (path);
  ChainFile *file = g_new0 (ChainFile, 1);

  file->path = g_strdup (path);
  file->format = g_strdup ("qcow2");
  file->dev = (gint64) facts.dev;
  file->ino = (gint64) facts.ino;
  return file;
}

static Leftovers *
leftovers_of (Left *self, const Inspection *inspection)
{
  const char *paths[] = { self->b, self->c };
  g_autoptr (GError) error = NULL;
  Leftovers *leftovers = leftovers_new (self->model.operations, "vm", inspection, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autoptr (ChainFile) file = file_of (paths[i]);

      leftovers_add (leftovers, file);
    }
  return leftovers;
}

static void
on_result (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

static void
remove_all (Leftovers *leftovers)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  leftovers_remove_async (leftovers, on_result, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (leftovers_remove_finish (result, &error));
  g_assert_no_error (error);
}

/* @there: the letters of the files that are left. */
static void
assert_there (Left *self, const char *there)
{
  const char *paths[] = { self->a, self->b, self->c };

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    g_assert_cmpint (g_file_test (paths[i], G_FILE_TEST_EXISTS), ==,
                     strchr (there, "abc"[i]) != NULL);
}

static void
assert_left (const Leftovers *leftovers, guint index, const char *path, const char *words)
{
  const char *text = g_ptr_array_index (leftovers->left, index);

  g_assert_true (g_str_has_prefix (text, path));
  g_assert_nonnull (strstr (text, words));
}

/* c stands on b: it goes first, whatever the order they are told in. */
static void
test_all_go (Left *self, gconstpointer data)
{
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);

  remove_all (leftovers);
  assert_there (self, "a");
  g_assert_cmpuint (leftovers->removed->len, ==, 2);
  g_assert_cmpuint (leftovers->left->len, ==, 0);
}

static void
test_other_order (Left *self, gconstpointer data)
{
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);
  gpointer first = leftovers->files->pdata[0];

  leftovers->files->pdata[0] = leftovers->files->pdata[1];
  leftovers->files->pdata[1] = first;
  remove_all (leftovers);
  assert_there (self, "a");
}

static void
test_image_above (Left *self, gconstpointer data)
{
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);
  g_autofree char *other = model_image (self->folder, "other", "b");

  remove_all (leftovers);
  assert_there (self, "ab");
  g_assert_cmpuint (leftovers->left->len, ==, 1);
  assert_left (leftovers, 0, self->b, "other stands on it");
}

/* In a folder of the configuration. */
static void
test_image_elsewhere (Left *self, gconstpointer data)
{
  g_autofree char *other = model_image (self->model.folder, "other", self->c);
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);

  g_strfreev (leftovers->scan_folders);
  leftovers->scan_folders = g_new0 (char *, 2);
  leftovers->scan_folders[0] = g_strdup (self->model.folder);
  remove_all (leftovers);
  assert_there (self, "abc");
  assert_left (leftovers, 0, self->c, "other stands on it");
  assert_left (leftovers, 1, self->b, "c stands on it");
}

/* The process that the guest goes to has them open, and no lock yet. */
static void
test_migrating (Left *self, gconstpointer data)
{
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);

  leftovers->migrating = TRUE;
  remove_all (leftovers);
  assert_there (self, "abc");
  g_assert_cmpuint (leftovers->left->len, ==, 2);
  assert_left (leftovers, 0, self->b, "is being migrated");
}

/* A folder that cannot be read may hold anything. */
static void
test_unknown (Left *self, gconstpointer data)
{
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);

  g_strfreev (leftovers->scan_folders);
  leftovers->scan_folders = g_new0 (char *, 2);
  leftovers->scan_folders[0] = g_strdup ("/nowhere/at/all");
  remove_all (leftovers);
  assert_there (self, "abc");
  g_assert_cmpuint (leftovers->left->len, ==, 2);
  assert_left (leftovers, 0, self->b, "is not known");
}

static void
test_point (Left *self, gconstpointer data)
{
  const FileFacts facts = model_look (self->b);
  g_autoptr (Point) point = point_new ();
  g_autoptr (Leftovers) leftovers = NULL;
  g_autoptr (GError) error = NULL;
  PointDisk *disk = point_add_disk (point);

  point->id = g_uuid_string_random ();
  point->name = g_strdup ("monday");
  point->operation = g_uuid_string_random ();
  disk->disk = g_strdup ("disk");
  disk->path = g_strdup (self->b);
  disk->format = g_strdup ("qcow2");
  disk->dev = facts.dev;
  disk->ino = facts.ino;
  g_assert_true (points_add (self->model.journal, "vm", point, &error));
  g_assert_no_error (error);
  leftovers = leftovers_of (self, NULL);
  remove_all (leftovers);
  assert_there (self, "ab");
  assert_left (leftovers, 0, self->b, "the point \"monday\" lives in it");
}

static void
test_open (Left *self, gconstpointer data)
{
  Disk *disk = model_disk ("disk");
  Layer *layer = model_add_layer (disk, self->c, "qcow2", 1);
  g_autoptr (Leftovers) leftovers = NULL;

  layer->facts = model_look (self->c);
  g_ptr_array_add (self->model.look->inspection->disks, disk);
  leftovers = leftovers_of (self, self->model.look->inspection);
  remove_all (leftovers);
  assert_there (self, "abc");
  assert_left (leftovers, 0, self->c, "the guest has it in a chain");
}

/* Writes to the header, in place. */
static void
patch (const char *path, long at, const char *bytes, gsize length)
{
  FILE *file = fopen (path, "r+");

  g_assert_nonnull (file);
  g_assert_no_errno (fseek (file, at, SEEK_SET));
  g_assert_cmpuint (fwrite (bytes, 1, length, file), ==, length);
  g_assert_no_errno (fclose (file));
}

#define NAME_AT      8          /* where the backing name stands, and how long it is */
#define SNAPSHOTS_AT 60
#define FREE_AT      1024       /* room for a name */

static void
test_internal_snapshots (Left *self, gconstpointer data)
{
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);

  patch (self->b, SNAPSHOTS_AT, "\0\0\0\1", 4);
  remove_all (leftovers);
  assert_there (self, "ab");
  assert_left (leftovers, 0, self->b, "it holds internal snapshots");
}

/* A header that only QEMU can follow. */
static void
test_obscure_image (Left *self, gconstpointer data)
{
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);
  g_autofree char *name = g_strdup_printf ("json:{\"file\":{\"filename\":\"%s\"}}", self->b);
  g_autofree char *other = model_image (self->folder, "other", "b");
  const char where[] = { 0, 0, 0, 0, 0, 0, FREE_AT >> 8, 0, 0, 0, 0, (char) strlen (name) };

  patch (other, FREE_AT, name, strlen (name));
  patch (other, NAME_AT, where, sizeof where);
  remove_all (leftovers);
  assert_there (self, "ab");
  assert_left (leftovers, 0, self->b, "other stands on it");
}

/* A name that has come to mean another file is left alone; a file that is gone is as good. */
static void
test_others (Left *self, gconstpointer data)
{
  g_autoptr (Leftovers) leftovers = leftovers_of (self, NULL);
  g_autofree char *other = model_image (self->folder, "other", NULL);

  g_assert_cmpint (g_unlink (self->b), ==, 0);
  g_assert_cmpint (g_rename (other, self->c), ==, 0);
  remove_all (leftovers);
  assert_there (self, "ac");
  g_assert_cmpuint (leftovers->removed->len, ==, 0);
  g_assert_cmpuint (leftovers->left->len, ==, 0);
}

static void
add (const char *path, void (*func) (Left *, gconstpointer))
{
  g_test_add (path, Left, NULL, set_up, func, tear_down);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add ("/leftovers/all-go", test_all_go);
  add ("/leftovers/other-order", test_other_order);
  add ("/leftovers/image-above", test_image_above);
  add ("/leftovers/image-elsewhere", test_image_elsewhere);
  add ("/leftovers/migrating", test_migrating);
  add ("/leftovers/unknown", test_unknown);
  add ("/leftovers/point", test_point);
  add ("/leftovers/open", test_open);
  add ("/leftovers/others", test_others);
  add ("/leftovers/internal-snapshots", test_internal_snapshots);
  add ("/leftovers/obscure-image", test_obscure_image);
  return g_test_run ();
}
