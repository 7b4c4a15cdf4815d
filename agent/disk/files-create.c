/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to make a file that is whole when it gets its name, and that may be used by whoever may
 * use another. */

#include "files-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define BLOCK 4096u                             /* zeros of this length become holes */

static const char *const attributes[] = {
  "security.selinux",
  "system.posix_acl_access",
};

/* Writes @contents, holes where there are only zeros. */
static gboolean
write_all (int      fd,
           GBytes  *contents)
{
  static const guint8 zeros[BLOCK];
  gsize length;
  const guint8 *bytes = g_bytes_get_data (contents, &length);
  gsize at = 0;

  if (ftruncate (fd, (off_t) length) != 0)
    return FALSE;

  while (at < length)
    {
      gsize n = MIN (BLOCK - at % BLOCK, length - at);
      ssize_t written;

      if (memcmp (bytes + at, zeros, n) == 0)
        {
          at += n;
          continue;
        }
      written = pwrite (fd, bytes + at, n, (off_t) at);
      if (written < 0 && errno == EINTR)
        continue;
      if (written < 0)
        return FALSE;
      at += (gsize) written;
    }

  return TRUE;
}

static gboolean
is_absent (int number)
{
  return number == ENODATA || number == EOPNOTSUPP || number == ENOSYS;
}

/* Gives @fd the attribute that @like has; takes one away that it got from its folder. */
static gboolean
copy_attribute (int          fd,
                const char  *path,
                const char  *like,
                const char  *attribute,
                GError     **error)
{
  g_autofree char *what = g_strdup_printf ("cannot be given the %s of %s", attribute, like);
  g_autofree guint8 *value = NULL;
  ssize_t length = getxattr (like, attribute, NULL, 0);
  gboolean absent = length < 0 && is_absent (errno);

  if (length >= 0)
    {
      value = g_malloc ((gsize) length + 1);
      length = getxattr (like, attribute, value, (gsize) length);
    }

  if ((length < 0 && !absent)
      || (length >= 0 && fsetxattr (fd, attribute, value, (gsize) length, 0) != 0
          && errno != EOPNOTSUPP)
      /* A label that the system gives by itself cannot be taken away. */
      || (absent && fremovexattr (fd, attribute) != 0 && !is_absent (errno)
          && !g_str_has_prefix (attribute, "security.")))
    {
      files_set_error (error, errno, path, what);
      return FALSE;
    }

  return TRUE;
}

/* Who may use @like may use @fd. */
static gboolean
copy_permissions (int          fd,
                  const char  *path,
                  const char  *like,
                  GError     **error)
{
  struct stat st;

  if (stat (like, &st) != 0)
    {
      files_set_error (error, errno, like, "its owner and mode cannot be read");
      return FALSE;
    }
  if (fchown (fd, st.st_uid, st.st_gid) != 0)
    {
      g_autofree char *what = g_strdup_printf ("cannot be given to user %u, group %u, as %s is",
                                               st.st_uid, st.st_gid, like);

      files_set_error (error, errno, path, what);
      return FALSE;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (attributes); i++)
    {
      if (!copy_attribute (fd, path, like, attributes[i], error))
        return FALSE;
    }
  if (fchmod (fd, st.st_mode & 0777) != 0)
    {
      files_set_error (error, errno, path, "cannot be given its mode");
      return FALSE;
    }

  return TRUE;
}

/* Everything that a new file needs, in the order that makes it whole when it is seen by others. */
static gboolean
fill (int          fd,
      const char  *path,
      GBytes      *contents,
      const char  *like,
      GError     **error)
{
  if (!write_all (fd, contents))
    {
      files_set_error (error, errno, path, "cannot be written");
      return FALSE;
    }
  if (!copy_permissions (fd, path, like, error))
    return FALSE;
  if (fsync (fd) != 0)
    {
      files_set_error (error, errno, path, "cannot be written out");
      return FALSE;
    }

  return TRUE;
}

/* Makes the file without a name and gives it one when it is whole. */
static gboolean
create_unnamed (FilesPlace  *place,
                int          fd,
                const char  *path,
                GBytes      *contents,
                const char  *like,
                GError     **error)
{
  if (!fill (fd, path, contents, like, error))
    return FALSE;
  if (!files_place_link (place, place->name, fd))
    {
      files_set_error (error, errno, path, "cannot be created");
      return FALSE;
    }

  return TRUE;
}

/* A file that we have made goes again; or, when it cannot, is told to whoever can try once more. */
static void
take_back (FilesPlace *place,
           FileFacts  *left)
{
  struct stat st;

  if (unlinkat (place->folder, place->name, 0) != 0
      && fstatat (place->folder, place->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    files_take_facts (left, &st, place->folder, place->name);
}

/* For file systems that have no files without a name. */
static gboolean
create_named (FilesPlace  *place,
              const char  *path,
              GBytes      *contents,
              const char  *like,
              FileFacts   *left,
              GError     **error)
{
  int fd = openat (place->folder, place->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  gboolean ok;

  if (fd < 0)
    {
      files_set_error (error, errno, path, "cannot be created");
      return FALSE;
    }

  ok = fill (fd, path, contents, like, error);
  if (!ok)
    take_back (place, left);
  close (fd);

  return ok;
}

static gboolean
create (FilesPlace  *place,
        const char  *path,
        GBytes      *contents,
        const char  *like,
        FileFacts   *left,
        GError     **error)
{
  int fd = openat (place->folder, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
  gboolean ok;

  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT))
    return create_named (place, path, contents, like, left, error);
  if (fd < 0)
    {
      files_set_error (error, errno, path, "cannot be created");
      return FALSE;
    }

  ok = create_unnamed (place, fd, path, contents, like, error);
  close (fd);

  return ok;
}

/**
 * files_create:
 * @path: the new file's absolute path
 * @contents: what it shall hold; long runs of zeros become holes
 * @like: an absolute path: owner, mode, security label and access list are taken from there
 * @facts: (out caller-allocates) (optional): which file it became; on failure untouched, unless
 *   a file was made that could not be removed again: then that one
 * @error: where to put an error
 *
 * Makes a new file, durably; never touches one that is there, whatever it holds: it may be somebody
 * else's. On most file systems it gets its name only when it is whole, so that not even a crash
 * leaves a half one. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when another file is there or permissions do not suffice,
 * %AGENT_ERROR_NO_SPACE, %AGENT_ERROR_INTERNAL.
 *
 * Returns: %TRUE when the file is there
 */
gboolean
files_create (const char  *path,
              GBytes      *contents,
              const char  *like,
              FileFacts   *facts,
              GError     **error)
{
  g_auto (FilesPlace) place = FILES_PLACE_NONE;
  FileFacts unasked;
  struct stat st;

  if (!files_place_open (&place, path, error))
    return FALSE;
  if (facts == NULL)
    facts = &unasked;

  if (fstatat (place.folder, place.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    {
      files_set_error (error, EEXIST, path, "cannot be created");
      return FALSE;
    }
  if (!create (&place, path, contents, like, facts, error))
    return FALSE;

  if (!files_place_sync (&place, path, error))
    {
      take_back (&place, facts);
      return FALSE;
    }
  if (fstatat (place.folder, place.name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    {
      files_set_error (error, errno, path, "cannot be looked at");
      take_back (&place, facts);
      return FALSE;
    }
  files_take_facts (facts, &st, place.folder, place.name);

  return TRUE;
}
