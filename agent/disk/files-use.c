/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to tell whether anybody uses a file: QEMU's locks on it, and its bytes. */

#include "files-private.h"

#include <core/error.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* QEMU holds a lock on one byte for each permission that it has or grants: at 100 and at 200 (its
 * block/file-posix.c, docs/system/qemu-block-drivers.rst). */
#define LOCKS_START  100
#define LOCKS_LENGTH 200

#define COMPARE_BYTES 65536

/* @fd is closed. It may be -1, with errno. */
static gboolean
see_locks (int          fd,
           const char  *path,
           gboolean    *in_use,
           GError     **error)
{
  struct flock lock = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCKS_START, .l_len = LOCKS_LENGTH,
  };
  int result = fd >= 0 ? fcntl (fd, F_OFD_GETLK, &lock) : -1;
  int saved_errno = errno;

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
  struct stat st;
  int fd = files_hold (path, &st, error);

  if (fd < 0)
    return FALSE;
  close (fd);

  return see_locks (open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), path, in_use, error);
}

/**
 * files_device_in_use:
 * @path: a block device; symbolic links are followed
 * @in_use: (out): whether it is mounted, a part of another device, or some QEMU has it open
 * @error: return location
 *
 * Errors: %AGENT_ERROR_CONFLICT when it cannot be opened; %AGENT_ERROR_INTERNAL.
 *
 * Returns: whether it could be found out
 */
gboolean
files_device_in_use (const char  *path,
                     gboolean    *in_use,
                     GError     **error)
{
  /* The kernel gives a device to one alone of those who want it for themselves. */
  int fd = open (path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);

  if (fd < 0 && errno == EBUSY)
    {
      *in_use = TRUE;
      return TRUE;
    }

  return see_locks (fd, path, in_use, error);
}

/* Until @fd is closed. */
static gboolean
take_locks (int          fd,
            const char  *path,
            GError     **error)
{
  struct flock lock = {
    .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCKS_START, .l_len = LOCKS_LENGTH,
  };

  if (fcntl (fd, F_OFD_SETLK, &lock) == 0)
    return TRUE;

  if (errno == EAGAIN || errno == EACCES)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "see who has it, then try again",
                     "%s: somebody has it open", path);
  else
    files_set_error (error, errno, path, "cannot be locked");

  return FALSE;
}

/* @type: S_IFREG or S_IFBLK */
static int
claim (const char  *path,
       int          flags,
       mode_t       type,
       guint64      dev,
       guint64      ino,
       GError     **error)
{
  struct stat st;
  int fd = open (path, O_RDWR | O_CLOEXEC | O_NONBLOCK | flags);

  if (fd < 0 || fstat (fd, &st) != 0)
    files_set_error (error, errno, path, "cannot be opened");
  else if ((st.st_mode & S_IFMT) != type || st.st_dev != dev || st.st_ino != ino)
    files_set_other (error, path, dev, ino, &st);
  else if (take_locks (fd, path, error))
    return fd;

  if (fd >= 0)
    close (fd);

  return -1;
}

/**
 * files_claim_device:
 * @path: a block device; symbolic links are followed
 * @dev: device of the device node meant
 * @ino: inode of the device node meant
 * @error: return location
 *
 * As files_claim(), and against everybody else who wants it for himself. Blocking, but it does not
 * wait for them.
 *
 * Errors: %AGENT_ERROR_CONFLICT when somebody has it open, or it is another one;
 * %AGENT_ERROR_INTERNAL.
 *
 * Returns: a descriptor to write with; -1 with @error
 */
int
files_claim_device (const char  *path,
                    guint64      dev,
                    guint64      ino,
                    GError     **error)
{
  return claim (path, O_EXCL, S_IFBLK, dev, ino, error);
}

/**
 * files_claim:
 * @path: a regular file
 * @dev: device of the file meant
 * @ino: inode of the file meant
 * @error: return location
 *
 * Holds the locks that whoever opens an image asks for. Blocking, but it does not wait for them.
 *
 * Errors: %AGENT_ERROR_CONFLICT when somebody has it open, or it is another file;
 * %AGENT_ERROR_INTERNAL.
 *
 * Returns: a descriptor that keeps QEMU and its tools out until it is closed; -1 with @error
 */
int
files_claim (const char  *path,
             guint64      dev,
             guint64      ino,
             GError     **error)
{
  return claim (path, O_NOFOLLOW, S_IFREG, dev, ino, error);
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
