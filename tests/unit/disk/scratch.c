/* SPDX-License-Identifier: Apache-2.0 */

#include "scratch.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

char *
scratch_new (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("disk-XXXXXX", &error);

  g_assert_no_error (error);

  return folder;
}

void
scratch_remove (char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);

      g_remove (path);
    }

  g_assert_no_errno (g_rmdir (folder));
  g_free (folder);
}

char *
scratch_write (const char *folder,
               const char *name,
               const char *text)
{
  g_autoptr (GError) error = NULL;
  char *path = g_build_filename (folder, name, NULL);

  g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_NONE, 0644, &error);
  g_assert_no_error (error);

  return path;
}

FileFacts
scratch_look (const char *path)
{
  FileFacts facts = { 0 };
  struct stat st;

  if (lstat (path, &st) == 0)
    {
      facts.dev = st.st_dev;
      facts.ino = st.st_ino;
      facts.size = (guint64) st.st_size;
    }

  return facts;
}

guint
scratch_count (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir) != NULL)
    n++;

  return n;
}
