/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to tell whether anybody uses a file: QEMU's locks on it, and its bytes. */

#include "files-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* QEMU holds a lock on one byte for each permission that it has or grants: at 100 and at 200 (its
 * block/file-posix.c, docs/system/qemu-block-drivers.rst). */
#define LOCKS_START  100
#define LOCKS_LENGTH 200

#define COMPARE_BYTES 65536

/**
 * files_in_use:
 * @path: a file that exists
 * @in_use: (out): whether some QEMU, or a tool of its, has it open
 * @error: return location
 *
 * Sees those alone who lock their images, as all do unless they are told not to.
 *
 * Returns: whether it could be found out
 */
gboolean
files_in_use (const char  *path,
              gboolean    *in_use,
              GError     **error)
{
  struct flock lock = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCKS_START, .l_len = LOCKS_LENGTH,
  };
  struct stat st;
  int fd = files_hold (path, &st, error);
  int result, saved_errno;

  if (fd < 0)
    return FALSE;
  close (fd);

  fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  result = fd >= 0 ? fcntl (fd, F_OFD_GETLK, &lock) : -1;
  saved_errno = errno;
  if (fd >= 0)
    close (fd);

  if (result < 0)
    {
      files_set_error (error, saved_errno, path, "it cannot be seen whether it is in use");
      return FALSE;
    }

  *in_use = lock.l_type != F_UNLCK;
  return TRUE;
}

static gboolean
read_all (int     fd,
          char   *buffer,
          gsize   size)
{
  gsize done = 0;

  while (done < size)
    {
      gssize n = read (fd, buffer + done, size - done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return FALSE;
      done += (gsize) n;
    }

  return TRUE;
}

/**
 * files_contain:
 * @path: a path
 * @contents: bytes
 *
 * Returns: whether a regular file is there that holds just these bytes
 */
gboolean
files_contain (const char *path,
               GBytes     *contents)
{
  g_autofree char *buffer = g_malloc (COMPARE_BYTES);
  gsize size;
  const char *expected = g_bytes_get_data (contents, &size);
  struct stat st;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  gboolean same;

  if (fd < 0)
    return FALSE;

  same = fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && (guint64) st.st_size == size;
  for (gsize done = 0; same && done < size;)
    {
      gsize part = MIN (size - done, COMPARE_BYTES);

      same = read_all (fd, buffer, part) && memcmp (buffer, expected + done, part) == 0;
      done += part;
    }
  close (fd);

  return same;
}
