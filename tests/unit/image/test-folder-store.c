/* SPDX-License-Identifier: Apache-2.0 */

/* The folder of images: what each verb does, and what it refuses. */

#include <core/error.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder-fixture.h"

#define ID     FOLDER_ID
#define OTHER  "7b4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a69"
#define LENGTH FOLDER_LENGTH

static void
test_round_trip (FolderFixture *fixture,
                 gconstpointer  data)
{
  g_autoptr (GPtrArray) images = NULL;
  g_autoptr (ImageInfo) info = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (image_store_get_name (fixture->store), ==, "folder");
  folder_create (fixture, "qcow2");
  folder_assert_status (fixture, "queued");
  folder_assert_upload (fixture, ".qcow2");

  info = store_get (fixture->store, ID, &error);
  g_assert_cmpstr (info->name, ==, "vm-1 disk");
  g_assert_cmpstr (g_hash_table_lookup (info->properties, "kind"), ==, "layer");
  g_assert_cmpint (info->created_us, >, 0);

  images = store_list (fixture->store, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (images->len, ==, 1);

  g_assert_true (store_remove (fixture->store, ID, &error));
  g_assert_true (store_remove (fixture->store, ID, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (folder_count (fixture), ==, 0);

  g_assert_null (store_get (fixture->store, ID, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND);
}

static void
test_repeats (FolderFixture *fixture,
              gconstpointer  data)
{
  g_autoptr (ImageInfo) other = make_info (ID, "raw");
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH - 1);
  g_autoptr (GError) error = NULL;

  folder_create (fixture, "raw");
  folder_create (fixture, "raw");
  folder_assert_upload (fixture, ".raw");
  folder_create (fixture, "raw");
  folder_assert_upload (fixture, ".raw");

  image_info_set (other, "kind", "disk");
  g_assert_false (store_create (fixture->store, other, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_clear_error (&error);

  g_assert_null (store_upload (fixture->store, ID, source, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  folder_assert_status (fixture, "active");
}

static void
test_nonsense (FolderFixture *fixture,
               gconstpointer  data)
{
  static const char *const ids[] = { "", "../" ID, "x", ID "/",
                                    "6a4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a6" };
  g_autoptr (PatternSource) empty = pattern_source_new (0);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      g_autoptr (ImageInfo) info = make_info (ids[i], "raw");

      g_assert_false (store_create (fixture->store, info, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_clear_error (&error);
      g_assert_false (store_remove (fixture->store, ids[i], &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_clear_error (&error);
      g_assert_null (store_get (fixture->store, ids[i], &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
      g_clear_error (&error);
    }

  {
    g_autoptr (ImageInfo) info = make_info (ID, "../../etc/passwd");

    g_assert_false (store_create (fixture->store, info, &error));
    g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
    g_clear_error (&error);
  }

  folder_create (fixture, "raw");
  g_assert_null (store_upload (fixture->store, ID, empty, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_INVALID);
  g_clear_error (&error);

  g_assert_null (store_upload (fixture->store, OTHER, empty, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND);
}

static void
test_foreign_files (FolderFixture *fixture,
                    gconstpointer  data)
{
  g_autofree char *deep = g_strnfill (100000, '[');
  g_autofree char *folder = folder_file (fixture, OTHER, ".json");
  const char *const broken[] = { "", "{", "[]", "{\"id\": \"" ID "\"}", "\xff", deep,
                                 "{\"id\": \"" OTHER "\", \"status\": \"queued\", "
                                 "\"disk_format\": \"raw\"}",
                                 "{\"id\": \"" ID "\", \"status\": \"queued\", "
                                 "\"disk_format\": \"../x\"}" };
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);

  for (gsize i = 0; i < G_N_ELEMENTS (broken); i++)
    {
      g_autoptr (ImageInfo) info = make_info (ID, "raw");
      g_autoptr (GPtrArray) images = NULL;

      folder_put (fixture, ".json", broken[i]);
      folder_put (fixture, ".txt", "notes");
      folder_put (fixture, "", "notes");
      images = store_list (fixture->store, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (images->len, ==, 0);

      g_assert_null (store_get (fixture->store, ID, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_STORE);
      g_clear_error (&error);
      g_assert_false (store_create (fixture->store, info, &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_STORE);
      g_clear_error (&error);
    }

  g_assert_true (store_remove (fixture->store, ID, &error));
  folder_create (fixture, "raw");
}

static void
test_folder_gone (FolderFixture *fixture,
                  gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  drop_folder (fixture->folder);
  g_assert_null (store_list (fixture->store, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
}

/* What a crash may leave: each is seen as it is, removable, and nothing half-written looks
 * active. */
static void
test_leftovers (FolderFixture *fixture,
                gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *data_path = NULL;

  /* While the bytes were written. */
  folder_create (fixture, "qcow2");
  folder_put (fixture, ".qcow2.part", "half");
  folder_assert_status (fixture, "queued");
  folder_assert_upload (fixture, ".qcow2");
  g_assert_true (store_remove (fixture->store, ID, &error));

  /* After the bytes, before the record. */
  folder_create (fixture, "qcow2");
  folder_put (fixture, ".qcow2", "all of it");
  folder_put (fixture, ".json.part", "{");
  folder_assert_status (fixture, "queued");
  folder_assert_upload (fixture, ".qcow2");
  g_assert_true (store_remove (fixture->store, ID, &error));

  /* Before the record was ever there. */
  folder_put (fixture, ".json.part", "{");
  folder_put (fixture, ".raw.part", "x");
  folder_create (fixture, "qcow2");
  g_assert_cmpuint (folder_count (fixture), ==, 1);
  folder_put (fixture, ".qcow2.part", "half");
  folder_put (fixture, ".json.part", "{");
  g_assert_true (store_remove (fixture->store, ID, &error));
  g_assert_cmpuint (folder_count (fixture), ==, 0);

  /* The bytes went away, or are fewer, under an active record. */
  folder_create (fixture, "qcow2");
  folder_assert_upload (fixture, ".qcow2");
  data_path = folder_file (fixture, ID, ".qcow2");
  g_assert_cmpint (truncate (data_path, LENGTH - 1), ==, 0);
  folder_assert_status (fixture, "killed");
  g_assert_cmpint (g_unlink (data_path), ==, 0);
  folder_assert_status (fixture, "killed");
  g_assert_true (store_remove (fixture->store, ID, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (folder_count (fixture), ==, 0);
}

static guint64
resident_kib (void)
{
  g_autofree char *text = NULL;
  const char *at;

  g_assert_true (g_file_get_contents ("/proc/self/status", &text, NULL, NULL));
  at = strstr (text, "VmRSS:");
  g_assert_nonnull (at);

  return g_ascii_strtoull (at + strlen ("VmRSS:"), NULL, 10);
}

/* A sparse disk stays one, and costs no memory. */
static void
test_sparse (FolderFixture *fixture,
             gconstpointer  data)
{
  const gint64 size = 192 * 1024 * 1024;
  g_autofree char *from = folder_file (fixture, "from", "");
  g_autofree char *to = folder_file (fixture, ID, ".raw");
  g_autoptr (ImageSource) source = NULL;
  g_autoptr (ImageInfo) info = NULL;
  g_autoptr (GError) error = NULL;
  struct stat before;
  struct stat after;
  guint64 resident;
  int fd = open (from, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, size), ==, 0);
  g_assert_cmpint (pwrite (fd, "begin", 5, 0), ==, 5);
  g_assert_cmpint (pwrite (fd, "middle", 6, size / 2 - 3), ==, 6);
  g_assert_cmpint (pwrite (fd, "end", 3, size - 70000), ==, 3);
  g_assert_cmpint (fstat (fd, &before), ==, 0);
  g_assert_true (g_close (fd, NULL));

  source = layer_source_open (from, before.st_dev, before.st_ino, "raw", FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (image_source_get_allocated (source), <, 1024 * 1024);

  folder_create (fixture, "raw");
  resident = resident_kib ();
  info = store_upload (fixture->store, ID, source, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (info->size, ==, size);
  g_assert_cmpuint (resident_kib (), <, resident + 16 * 1024);

  g_assert_cmpint (stat (to, &after), ==, 0);
  g_assert_cmpint (after.st_size, ==, size);
  g_assert_cmpint (after.st_blocks * 512, <, 1024 * 1024);

  {
    char middle[6];

    fd = open (to, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint (pread (fd, middle, 6, size / 2 - 3), ==, 6);
    g_assert_cmpmem (middle, 6, "middle", 6);
    g_assert_true (g_close (fd, NULL));
  }
}

static void
test_no_room (FolderFixture *fixture,
              gconstpointer  data)
{
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  g_autoptr (GError) error = NULL;

  folder_create (fixture, "raw");
  source->allocated = G_MAXINT64;
  g_assert_null (store_upload (fixture->store, ID, source, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
  g_assert_nonnull (agent_error_get_hint (error));
  g_assert_cmpint (source->pattern.position, ==, 0);
  g_assert_cmpuint (folder_count (fixture), ==, 1);
}

/* The file system fills up on the way, though there was room at the beginning. */
static void
test_room_runs_out (FolderFixture *fixture,
                    gconstpointer  data)
{
  g_autoptr (PatternSource) source = pattern_source_new (LENGTH);
  g_autoptr (GError) error = NULL;

  if (mount ("tmpfs", fixture->folder, "tmpfs", 0, "size=2m") < 0)
    {
      g_test_skip ("a file system of 2 MiB cannot be mounted: not root");
      return;
    }

  folder_create (fixture, "raw");
  source->allocated = 4096;
  g_assert_null (store_upload (fixture->store, ID, source, NULL, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
  g_assert_cmpuint (folder_count (fixture), ==, 1);
  folder_assert_status (fixture, "queued");

  g_assert_cmpint (umount2 (fixture->folder, MNT_DETACH), ==, 0);
}

static void
test_no_folder (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (folder_store_new ("/proc/images", 1, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_STORE);
}

static void
add (const char *name,
     void      (*test) (FolderFixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/image/folder-store/", name, NULL);

  g_test_add (path, FolderFixture, NULL, folder_setup, test, folder_teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("round-trip", test_round_trip);
  add ("repeats", test_repeats);
  add ("nonsense", test_nonsense);
  add ("foreign-files", test_foreign_files);
  add ("folder-gone", test_folder_gone);
  add ("leftovers", test_leftovers);
  add ("sparse", test_sparse);
  add ("no-room", test_no_room);
  add ("room-runs-out", test_room_runs_out);
  g_test_add_func ("/image/folder-store/no-folder", test_no_folder);

  return g_test_run ();
}
