/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how names of files are looked at, added and removed, what errno means there and what to do
 * about it. */

#include "files-private.h"

#include <core/error.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

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
                                  "fs.protected_hardlinks), the file must not be immutable, "
                                  "and the file system must have hard links" },
  { EACCES, AGENT_ERROR_CONFLICT, "the agent needs to read the file and to change its folder" },
  { EMLINK, AGENT_ERROR_CONFLICT, "the file has as many names as its file system allows: "
                                  "remove some of its hard links" },
  { EROFS,  AGENT_ERROR_CONFLICT, "the file system is mounted read-only: mount it writable" },
  { ELOOP,  AGENT_ERROR_CONFLICT, "it is a symbolic link: name the file that it points at" },
  { EEXIST, AGENT_ERROR_CONFLICT, "a file of that name is there already: "
                                  "move it away or remove it" },
  { ENOENT, AGENT_ERROR_CONFLICT, "the file or its folder is gone: "
                                  "put it back, then try again" },
  { ENOTDIR, AGENT_ERROR_CONFLICT, "a part of the path is no folder" },
  { ENAMETOOLONG, AGENT_ERROR_CONFLICT, "the name is too long: use a shorter one" },
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

/* 0 when the file system keeps none, or the name has come to mean another file. A block device's is
 * that of its node, which each start of the host makes anew. */
static gint64
find_birth (const struct stat *st,
            int                folder,
            const char        *name)
{
  struct statx found;

  if (!S_ISREG (st->st_mode) || statx (folder, name, 0, STATX_INO | STATX_BTIME, &found) != 0
      || (found.stx_mask & STATX_BTIME) == 0 || found.stx_ino != st->st_ino
      || makedev (found.stx_dev_major, found.stx_dev_minor) != st->st_dev)
    return 0;

  return found.stx_btime.tv_sec * G_GINT64_CONSTANT (1000000000) + found.stx_btime.tv_nsec;
}

/* @st is of @name in @folder. */
void
files_take_facts (FileFacts         *facts,
                  const struct stat *st,
                  int                folder,
                  const char        *name)
{
  facts->dev = st->st_dev;
  facts->ino = st->st_ino;
  facts->size = (guint64) st->st_size;
  facts->allocated = (guint64) st->st_blocks * 512;
  facts->mtime_ns = (gint64) st->st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000)
                    + st->st_mtim.tv_nsec;
  facts->born_ns = find_birth (st, folder, name);
  facts->block_device = S_ISBLK (st->st_mode);
}

int
files_hold (const char   *path,
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

gboolean
files_place_look (FilesPlace   *place,
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

gboolean
files_is (const struct stat *st,
          guint64            dev,
          guint64            ino)
{
  return S_ISREG (st->st_mode) && st->st_dev == dev && st->st_ino == ino;
}

void
files_set_other (GError            **error,
                 const char         *path,
                 guint64             dev,
                 guint64             ino,
                 const struct stat  *found)
{
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "somebody changed the folder meanwhile: compare ls -i with the guest's disks",
                   "%s: it is another file (%" G_GUINT64_FORMAT " on device %" G_GUINT64_FORMAT ") "
                   "than the one expected (%" G_GUINT64_FORMAT " on device %" G_GUINT64_FORMAT
                   ")", path,
                   (guint64) found->st_ino, (guint64) found->st_dev, ino, dev);
}

/**
 * file_facts_are:
 * @self: which file some path names
 * @dev: a device, as a plan has it
 * @ino: an inode on it; 0 for none
 *
 * Returns: whether it is that file
 */
gboolean
file_facts_are (const FileFacts *self,
                gint64           dev,
                gint64           ino)
{
  return ino != 0 && self->dev == (guint64) dev && self->ino == (guint64) ino;
}

/**
 * file_facts_agree:
 * @self: which file some path names
 * @other: which file another path, or the same at another time, names
 *
 * Returns: whether it is the same file
 */
gboolean
file_facts_agree (const FileFacts *self,
                  const FileFacts *other)
{
  return self->dev == other->dev && self->ino == other->ino;
}

/**
 * files_look:
 * @path: an absolute path; symbolic links are followed
 * @facts: (out caller-allocates): untouched when %FALSE
 * @error: where to put an error
 *
 * Tells which file @path names now. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when it is neither a file nor a block device or may not be looked
 * at, %AGENT_ERROR_INTERNAL.
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

  files_take_facts (facts, &st, AT_FDCWD, path);

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
 * Gives a file a second name, durably. When @to names the file already that is success, whatever
 * @from is by now. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when @from or @to is another file or a symbolic link, or the link
 * is not possible (other file system, not permitted, too many links); %AGENT_ERROR_NO_SPACE;
 * %AGENT_ERROR_INTERNAL.
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

  if (files_place_look (&place, to, &st, &local))
    {
      if (files_is (&st, dev, ino))
        return files_place_sync (&place, to, error);
      files_set_other (error, to, dev, ino, &st);
      return FALSE;
    }
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  fd = files_hold (from, &st, error);
  if (fd < 0)
    return FALSE;
  if (!files_is (&st, dev, ino))
    {
      files_set_other (error, from, dev, ino, &st);
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

/**
 * files_remove:
 * @path: an absolute path
 * @dev: device of the file meant
 * @ino: inode of the file meant
 * @error: where to put an error
 *
 * Removes one name of a file, and temporary names of it that a crash left beside. When @path is
 * gone already that is success. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when @path is another file or may not be removed,
 * %AGENT_ERROR_INTERNAL.
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
      if (access (folder, F_OK) != 0 && errno == ENOENT)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }

  if (files_place_look (&place, path, &st, &local))
    {
      if (!files_is (&st, dev, ino))
        {
          files_set_other (error, path, dev, ino, &st);
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

  files_place_tidy (&place, dev, ino);

  return files_place_sync (&place, path, error);
}

/**
 * files_settle:
 * @path: an absolute path of a file or block device
 * @error: where to put an error
 *
 * Writes out what the host's page cache holds of the file, so that a later flush is short.
 * Blocking, as long as there is data to write.
 *
 * Errors: %AGENT_ERROR_CONFLICT when it cannot be opened, %AGENT_ERROR_NO_SPACE,
 * %AGENT_ERROR_INTERNAL.
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
