/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a folder of images that a test can look into. */

#include "folder-fixture.h"

#include <glance/digest.h>

void
folder_setup (FolderFixture *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->folder = make_folder ();
  fixture->store = folder_store_new (fixture->folder, 1, &error);
  g_assert_no_error (error);
}

void
folder_teardown (FolderFixture *fixture,
                 gconstpointer  data)
{
  g_clear_object (&fixture->store);
  drop_folder (fixture->folder);
  g_free (fixture->folder);
}

char *
folder_file (FolderFixture *fixture,
             const char    *id,
             const char    *suffix)
{
  g_autofree char *name = g_strconcat (id, suffix, NULL);

  return g_build_filename (fixture->folder, name, NULL);
}

gboolean
folder_has (FolderFixture *fixture,
            const char    *suffix)
{
  g_autofree char *path = folder_file (fixture, FOLDER_ID, suffix);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

void
folder_put (FolderFixture *fixture,
            const char    *suffix,
            const char    *text)
{
  g_autofree char *path = folder_file (fixture, FOLDER_ID, suffix);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

guint
folder_count (FolderFixture *fixture)
{
  g_autoptr (GDir) dir = g_dir_open (fixture->folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;

  return n;
}

void
folder_create (FolderFixture *fixture,
               const char    *format)
{
  g_autoptr (ImageInfo) info = make_info (FOLDER_ID, format);
  g_autoptr (GError) error = NULL;

  g_assert_true (store_create (fixture->store, info, &error));
  g_assert_no_error (error);
}

void
folder_assert_status (FolderFixture *fixture,
                      const char    *status)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = store_get (fixture->store, FOLDER_ID, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (info->status, ==, status);
}

/* Uploads FOLDER_LENGTH bytes; the file holds them, and nothing else is in the folder. */
void
folder_assert_upload (FolderFixture *fixture,
                      const char    *suffix)
{
  g_autoptr (PatternSource) source = pattern_source_new (FOLDER_LENGTH);
  g_autoptr (GError) error = NULL;
  g_autoptr (ImageInfo) info = store_upload (fixture->store, FOLDER_ID, source, NULL, &error);
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  g_autofree char *path = folder_file (fixture, FOLDER_ID, suffix);
  g_autofree char *content = NULL;
  gsize size = 0;

  g_assert_no_error (error);
  g_assert_cmpstr (info->status, ==, "active");
  g_assert_cmpint (info->size, ==, FOLDER_LENGTH);
  folder_assert_status (fixture, "active");

  g_assert_true (g_file_get_contents (path, &content, &size, NULL));
  g_assert_cmpuint (size, ==, FOLDER_LENGTH);
  glance_digest_update (digest, content, size);
  g_assert_cmpstr (info->md5, ==, glance_digest_get_md5 (digest));
  g_assert_cmpstr (info->sha512, ==, glance_digest_get_sha512 (digest));
  g_assert_cmpuint (folder_count (fixture), ==, 2);
}
