/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how one name moves from one file to another without a moment at which it names neither. */

#include "files-private.h"

#include <core/error.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEMPORARY_SUFFIX ".tmp"
#define TEMPORARY_DIGITS 8u
#define MAX_STEM         200                    /* a temporary name must stay below NAME_MAX */
#define MAX_TRIES        100

/* ".disk.0a1b2c3d.tmp": only ever a second name of a layer, for a moment. */
static char *
make_temporary_name (const char *name)
{
  return g_strdup_printf (".%.*s.%08x" TEMPORARY_SUFFIX, MAX_STEM, name, g_random_int ());
}

static gboolean
is_temporary_name (const char *name)
{
  gsize length = strlen (name);
  gsize tail = 1 + TEMPORARY_DIGITS + strlen (TEMPORARY_SUFFIX);

  if (name[0] != '.' || length <= 1 + tail || !g_str_has_suffix (name, TEMPORARY_SUFFIX)
      || name[length - tail] != '.')
    return FALSE;

  for (gsize i = 0; i < TEMPORARY_DIGITS; i++)
    {
      if (!g_ascii_isxdigit (name[length - tail + 1 + i]))
        return FALSE;
    }

  return TRUE;
}

void
files_place_tidy (FilesPlace *place,
                  guint64     dev,
                  guint64     ino)
{
  int fd = openat (place->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *item;

  if (dir == NULL)
    {
      if (fd >= 0)
        close (fd);
      return;
    }

  while ((item = readdir (dir)) != NULL)
    {
      struct stat st;

      if (is_temporary_name (item->d_name)
          && fstatat (place->folder, item->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0
          && files_is (&st, dev, ino))
        unlinkat (place->folder, item->d_name, 0);
    }

  closedir (dir);
}

/* @published must be what the caller last saw there, or the layer already (*@done). */
static gboolean
check_published (FilesPlace         *place,
                 const char         *published,
                 guint64             old_ino,
                 const struct stat  *layer,
                 gboolean           *done,
                 GError            **error)
{
  g_autoptr (GError) local = NULL;
  struct stat st;

  *done = FALSE;
  if (!files_place_look (place, published, &st, &local))
    {
      if (local != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      if (old_ino != 0)
        {
          files_set_error (error, ENOENT, published, "it should name the disk's last layer");
          return FALSE;
        }
      return TRUE;
    }

  if (S_ISLNK (st.st_mode))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "publish the file that the link points at",
                       "%s: it is a symbolic link", published);
      return FALSE;
    }
  if (files_is (&st, layer->st_dev, layer->st_ino))
    {
      *done = TRUE;
      return TRUE;
    }
  if (old_ino == 0)
    {
      files_set_error (error, EEXIST, published, "nothing should be there");
      return FALSE;
    }
  if (!files_is (&st, layer->st_dev, old_ino))
    {
      files_set_other (error, published, layer->st_dev, old_ino, &st);
      return FALSE;
    }

  return TRUE;
}

/* Gives @fd a name that nobody uses and moves that over the published one. */
static gboolean
replace_name (FilesPlace  *place,
              int          fd,
              const char  *published,
              GError     **error)
{
  g_autofree char *temporary = NULL;
  int saved = EEXIST;

  for (guint i = 0; i < MAX_TRIES && saved == EEXIST; i++)
    {
      g_free (temporary);
      temporary = make_temporary_name (place->name);
      saved = files_place_link (place, temporary, fd) ? 0 : errno;
    }
  if (saved != 0)
    {
      files_set_error (error, saved, published, "the layer cannot get a second name beside it");
      return FALSE;
    }

  saved = renameat (place->folder, temporary, place->folder, place->name) == 0 ? 0 : errno;
  /* Still there after a failure, and when both names were the same file: then a rename does
   * nothing. */
  unlinkat (place->folder, temporary, 0);
  if (saved != 0)
    {
      files_set_error (error, saved, published, "cannot be replaced");
      return FALSE;
    }

  return TRUE;
}

/**
 * files_publish:
 * @layer: the layer's name for life, absolute
 * @published: what people call the disk, absolute, in the same folder or at least file system
 * @old_ino: inode that @published names until now; 0 when nothing must be there
 * @error: where to put an error
 *
 * Makes @published one more name of @layer. At every instant @published is there and is the old or
 * the new file, also after a crash. When it names @layer already that is success. Blocking, but it
 * waits for the folder only, never for data.
 *
 * Errors: %AGENT_ERROR_CONFLICT when @published is something else, or either is a symbolic link, or
 * the link is not possible; %AGENT_ERROR_NO_SPACE; %AGENT_ERROR_INTERNAL.
 *
 * Returns: %TRUE when @published names @layer
 */
gboolean
files_publish (const char  *layer,
               const char  *published,
               guint64      old_ino,
               GError     **error)
{
  g_auto (FilesPlace) place = FILES_PLACE_NONE;
  struct stat st;
  gboolean done, ok;
  int fd;

  if (!files_place_open (&place, published, error))
    return FALSE;
  fd = files_hold (layer, &st, error);
  if (fd < 0)
    return FALSE;

  files_place_tidy (&place, st.st_dev, st.st_ino);
  ok = check_published (&place, published, old_ino, &st, &done, error)
       && (done || replace_name (&place, fd, published, error));
  close (fd);

  return ok && files_place_sync (&place, published, error);
}
