/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a file's names are changed so that after a crash either the old or the new state is there. */

#include "files-private.h"

#include <core/error.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEMPORARY_SUFFIX ".tmp"
#define TEMPORARY_DIGITS 8u
#define MAX_STEM         200                    /* a temporary name must stay below NAME_MAX */
#define MAX_TRIES        100

/* What errno means here, and what to do about it. */
static const struct
{
  int         number;
  AgentError  code;
  const char *hint;
} meanings[] = {
  { ENOSPC, AGENT_ERROR_NO_SPACE, "make room on the file system, then try again" },
  { EDQUOT, AGENT_ERROR_NO_SPACE, "the quota is used up: raise it or make room, then try again" },
  { EXDEV,  AGENT_ERROR_CONFLICT, "a disk and its layers must be in one folder of one file system: "
                                  "hard links do not reach across mounts" },
  { EPERM,  AGENT_ERROR_CONFLICT, "the agent must be root or own the file (the kernel's "
                                  "fs.protected_hardlinks), the file must not be immutable, and the file "
                                  "system must have hard links" },
  { EACCES, AGENT_ERROR_CONFLICT, "the agent needs to read the file and to change its folder" },
  { EMLINK, AGENT_ERROR_CONFLICT, "the file has as many names as its file system allows: "
                                  "remove some of its hard links" },
  { EROFS,  AGENT_ERROR_CONFLICT, "the file system is mounted read-only: mount it writable" },
  { ELOOP,  AGENT_ERROR_CONFLICT, "it is a symbolic link: name the file that it points at" },
  { EEXIST, AGENT_ERROR_CONFLICT, "a file of that name is there already: move it away or remove it" },
  { ENOENT, AGENT_ERROR_CONFLICT, "the file or its folder is gone: put it back, then try again" },
  { ENOTDIR, AGENT_ERROR_CONFLICT, "a part of the path is no folder" },
  { ENAMETOOLONG, AGENT_ERROR_CONFLICT, "the name is too long for the file system: use a shorter one" },
};

void
files_set_error (GError     **error,
                 int          saved_errno,
                 const char  *path,
                 const char  *what)
{
  AgentError code = AGENT_ERROR_INTERNAL;
  const char *hint = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (meanings); i++)
    {
      if (meanings[i].number == saved_errno)
        {
          code = meanings[i].code;
          hint = meanings[i].hint;
        }
    }

  agent_set_error (error, code, hint, "%s: %s: %s", path, what, g_strerror (saved_errno));
}

gboolean
files_place_open (FilesPlace  *place,
                  const char  *path,
                  GError     **error)
{
  g_autofree char *folder = g_path_get_dirname (path);

  place->folder = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (place->folder < 0)
    {
      files_set_error (error, errno, folder, "the folder cannot be opened");
      return FALSE;
    }
  place->name = g_path_get_basename (path);

  return TRUE;
}

void
files_place_close (FilesPlace *place)
{
  if (place->folder >= 0)
    close (place->folder);
  place->folder = -1;
  g_clear_pointer (&place->name, g_free);
}

gboolean
files_place_sync (FilesPlace  *place,
                  const char  *path,
                  GError     **error)
{
  /* Some network file systems have no fsync of a folder: their changes are durable at once. */
  if (fsync (place->folder) != 0 && errno != EINVAL)
    {
      files_set_error (error, errno, path, "its folder cannot be written out");
      return FALSE;
    }

  return TRUE;
}

gboolean
files_place_link (FilesPlace *place,
                  const char *name,
                  int         fd)
{
  g_autofree char *source = g_strdup_printf ("/proc/self/fd/%d", fd);

  return linkat (AT_FDCWD, source, place->folder, name, AT_SYMLINK_FOLLOW) == 0;
}

void
files_take_facts (FileFacts         *facts,
                  const struct stat *st)
{
  facts->dev = st->st_dev;
  facts->ino = st->st_ino;
  facts->size = (guint64) st->st_size;
  facts->allocated = (guint64) st->st_blocks * 512;
  facts->mtime_ns = (gint64) st->st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000)
                    + st->st_mtim.tv_nsec;
  facts->block_device = S_ISBLK (st->st_mode);
}

/* Holds the regular file that @path is, not what it may point at. */
static int
hold_file (const char   *path,
           struct stat  *st,
           GError      **error)
{
  int fd = open (path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

  if (fd < 0)
    {
      files_set_error (error, errno, path, "cannot be opened");
      return -1;
    }
  if (fstat (fd, st) != 0)
    {
      files_set_error (error, errno, path, "cannot be looked at");
      close (fd);
      return -1;
    }
  if (!S_ISREG (st->st_mode))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "name the file itself",
                       S_ISLNK (st->st_mode) ? "%s: it is a symbolic link"
                                             : "%s: it is no regular file", path);
      close (fd);
      return -1;
    }

  return fd;
}

/* What @name of @place is, not what it may point at. FALSE without error when nothing is there. */
static gboolean
look_at (FilesPlace   *place,
         const char   *path,
         struct stat  *st,
         GError      **error)
{
  if (fstatat (place->folder, place->name, st, AT_SYMLINK_NOFOLLOW) == 0)
    return TRUE;

  if (errno != ENOENT)
    files_set_error (error, errno, path, "cannot be looked at");

  return FALSE;
}

static gboolean
is_file (const struct stat *st,
         guint64            dev,
         guint64            ino)
{
  return S_ISREG (st->st_mode) && st->st_dev == dev && st->st_ino == ino;
}

static void
set_other_file (GError     **error,
                const char  *path,
                guint64      ino,
                guint64      found)
{
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "somebody changed the folder meanwhile: compare ls -i with the guest's disks",
                   "%s: it is another file (inode %" G_GUINT64_FORMAT ") than the one expected "
                   "(inode %" G_GUINT64_FORMAT ")", path, found, ino);
}

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

/* Removes temporary names of a file that a crash left behind. What cannot be removed does no harm. */
static void
drop_leftovers (FilesPlace *place,
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
          && is_file (&st, dev, ino))
        unlinkat (place->folder, item->d_name, 0);
    }

  closedir (dir);
}

/**
 * files_look:
 * @path: an absolute path; symbolic links are followed
 * @facts: (out caller-allocates): untouched when %FALSE
 * @error: where to put an error
 *
 * Tells which file @path names now. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when it is neither a file nor a block device or may not be looked at,
 * %AGENT_ERROR_INTERNAL.
 *
 * Returns: %FALSE with @error, or %FALSE without when nothing is there
 */
gboolean
files_look (const char  *path,
            FileFacts   *facts,
            GError     **error)
{
  struct stat st;

  if (stat (path, &st) != 0)
    {
      if (errno != ENOENT && errno != ENOTDIR)
        files_set_error (error, errno, path, "cannot be looked at");
      return FALSE;
    }
  if (!S_ISREG (st.st_mode) && !S_ISBLK (st.st_mode))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "name an image file or a block device",
                       "%s: it is neither a file nor a block device", path);
      return FALSE;
    }
  if (S_ISBLK (st.st_mode))
    {
      int fd = open (path, O_RDONLY | O_CLOEXEC);
      off_t size = fd >= 0 ? lseek (fd, 0, SEEK_END) : -1;
      int saved = errno;

      if (fd >= 0)
        close (fd);
      if (size < 0)
        {
          files_set_error (error, saved, path, "its size cannot be read");
          return FALSE;
        }
      st.st_size = size;
    }

  files_take_facts (facts, &st);

  return TRUE;
}

/**
 * files_link:
 * @from: an absolute path
 * @to: the name to be given, absolute, on the same file system
 * @dev: device of the file meant
 * @ino: inode of the file meant
 * @error: where to put an error
 *
 * Gives a file a second name, durably. When @to names the file already that is success, whatever @from
 * is by now. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when @from or @to is another file or a symbolic link, or the link is not
 * possible (other file system, not permitted, too many links); %AGENT_ERROR_NO_SPACE; %AGENT_ERROR_INTERNAL.
 *
 * Returns: %TRUE when @to names the file
 */
gboolean
files_link (const char  *from,
            const char  *to,
            guint64      dev,
            guint64      ino,
            GError     **error)
{
  g_auto (FilesPlace) place = FILES_PLACE_NONE;
  g_autoptr (GError) local = NULL;
  struct stat st;
  gboolean linked;
  int fd, saved;

  if (!files_place_open (&place, to, error))
    return FALSE;

  if (look_at (&place, to, &st, &local))
    {
      if (is_file (&st, dev, ino))
        return files_place_sync (&place, to, error);
      set_other_file (error, to, ino, st.st_ino);
      return FALSE;
    }
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  fd = hold_file (from, &st, error);
  if (fd < 0)
    return FALSE;
  if (!is_file (&st, dev, ino))
    {
      set_other_file (error, from, ino, st.st_ino);
      close (fd);
      return FALSE;
    }

  linked = files_place_link (&place, place.name, fd);
  saved = errno;
  close (fd);
  if (!linked)
    {
      g_autofree char *what = g_strdup_printf ("cannot become a second name of %s", from);

      files_set_error (error, saved, to, what);
      return FALSE;
    }

  return files_place_sync (&place, to, error);
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
  if (!look_at (place, published, &st, &local))
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
  if (is_file (&st, layer->st_dev, layer->st_ino))
    {
      *done = TRUE;
      return TRUE;
    }
  if (!S_ISREG (st.st_mode) || old_ino == 0 || st.st_ino != old_ino)
    {
      set_other_file (error, published, old_ino, st.st_ino);
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
  /* Still there after a failure, and when both names were the same file: then a rename does nothing. */
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
 * Makes @published one more name of @layer. At every instant @published is there and is the old or the new
 * file, also after a crash. When it names @layer already that is success. Blocking, but it waits for the
 * folder only, never for data.
 *
 * Errors: %AGENT_ERROR_CONFLICT when @published is something else, or either is a symbolic link, or the
 * link is not possible; %AGENT_ERROR_NO_SPACE; %AGENT_ERROR_INTERNAL.
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
  fd = hold_file (layer, &st, error);
  if (fd < 0)
    return FALSE;

  drop_leftovers (&place, st.st_dev, st.st_ino);
  ok = check_published (&place, published, old_ino, &st, &done, error)
       && (done || replace_name (&place, fd, published, error));
  close (fd);

  return ok && files_place_sync (&place, published, error);
}

/**
 * files_remove:
 * @path: an absolute path
 * @dev: device of the file meant
 * @ino: inode of the file meant
 * @error: where to put an error
 *
 * Removes one name of a file, and temporary names of it that a crash left beside. When @path is gone already that
 * is success. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when @path is another file or may not be removed, %AGENT_ERROR_INTERNAL.
 *
 * Returns: %TRUE when @path is gone
 */
gboolean
files_remove (const char  *path,
              guint64      dev,
              guint64      ino,
              GError     **error)
{
  g_auto (FilesPlace) place = FILES_PLACE_NONE;
  g_autoptr (GError) local = NULL;
  struct stat st;

  if (!files_place_open (&place, path, &local))
    {
      g_autofree char *folder = g_path_get_dirname (path);

      /* The folder is gone, and with it the file. */
      if (!g_file_test (folder, G_FILE_TEST_EXISTS) && errno == ENOENT)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  if (look_at (&place, path, &st, &local))
    {
      if (!is_file (&st, dev, ino))
        {
          set_other_file (error, path, ino, st.st_ino);
          return FALSE;
        }
      if (unlinkat (place.folder, place.name, 0) != 0 && errno != ENOENT)
        {
          files_set_error (error, errno, path, "cannot be removed");
          return FALSE;
        }
    }
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  drop_leftovers (&place, dev, ino);

  return files_place_sync (&place, path, error);
}

/**
 * files_settle:
 * @path: an absolute path of a file or block device
 * @error: where to put an error
 *
 * Writes out what the host's page cache holds of the file, so that a later flush is short. Blocking, as long as
 * there is data to write.
 *
 * Errors: %AGENT_ERROR_CONFLICT when it cannot be opened, %AGENT_ERROR_NO_SPACE, %AGENT_ERROR_INTERNAL.
 *
 * Returns: %TRUE when it is written
 */
gboolean
files_settle (const char  *path,
              GError     **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  int saved;

  if (fd < 0)
    {
      files_set_error (error, errno, path, "cannot be opened");
      return FALSE;
    }

  saved = fdatasync (fd) == 0 ? 0 : errno;
  close (fd);
  if (saved != 0)
    {
      files_set_error (error, saved, path, "cannot be written out");
      return FALSE;
    }

  return TRUE;
}
