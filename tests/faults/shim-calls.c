/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that can fail, as the daemon and its libraries make them: each is asked about, made as
 * a plain system call, and told. */

#undef _FILE_OFFSET_BITS

#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__ ((visibility ("default")))

/* The same under another name. */
#define ALSO(name, of) extern __typeof (of) name EXPORT __attribute__ ((alias (#of)))

/* Opening */

static int
open_at (int         folder,
         const char *path,
         int         flags,
         mode_t      mode)
{
  ShimCall call;
  long result = -1;

  shim_begin_path (&call, (flags & O_CREAT) != 0 ? SHIM_CREATE : SHIM_OPEN, folder, path);
  if (!call.fails)
    result = syscall (SYS_openat, folder, path, flags, mode);
  return (int) shim_end (&call, result);
}

static mode_t
mode_of (int     flags,
         va_list rest)
{
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg (rest, mode_t) : 0;
}

EXPORT int
open (const char *path,
      int         flags,
      ...)
{
  va_list rest;
  mode_t mode;

  va_start (rest, flags);
  mode = mode_of (flags, rest);
  va_end (rest);
  return open_at (AT_FDCWD, path, flags, mode);
}

EXPORT int
openat (int         folder,
        const char *path,
        int         flags,
        ...)
{
  va_list rest;
  mode_t mode;

  va_start (rest, flags);
  mode = mode_of (flags, rest);
  va_end (rest);
  return open_at (folder, path, flags, mode);
}

EXPORT int
creat (const char *path,
       mode_t      mode)
{
  return open_at (AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* What programs that were built with _FORTIFY_SOURCE call. */
EXPORT int __open_2 (const char *path, int flags);
EXPORT int __openat_2 (int folder, const char *path, int flags);

EXPORT int
__open_2 (const char *path,
          int         flags)
{
  return open_at (AT_FDCWD, path, flags, 0);
}

EXPORT int
__openat_2 (int         folder,
            const char *path,
            int         flags)
{
  return open_at (folder, path, flags, 0);
}

ALSO (open64, open);
ALSO (openat64, openat);
ALSO (creat64, creat);
ALSO (__open64_2, __open_2);
ALSO (__openat64_2, __openat_2);

/* Reading and writing */

EXPORT ssize_t
read (int    fd,
      void  *data,
      size_t length)
{
  ShimCall call;
  long result = -1;

  shim_begin_fd (&call, SHIM_READ, fd);
  if (!call.fails)
    result = syscall (SYS_read, fd, data, length);
  return shim_end (&call, result);
}

EXPORT ssize_t
pread (int    fd,
       void  *data,
       size_t length,
       off_t  offset)
{
  ShimCall call;
  long result = -1;

  shim_begin_fd (&call, SHIM_READ, fd);
  if (!call.fails)
    result = syscall (SYS_pread64, fd, data, length, offset);
  return shim_end (&call, result);
}

static size_t
length_of (const ShimCall *call,
           size_t          length)
{
  return call->halved && length > 1 ? length / 2 : length;
}

EXPORT ssize_t
write (int         fd,
       const void *data,
       size_t      length)
{
  ShimCall call;
  long result = -1;

  shim_begin_fd (&call, SHIM_WRITE, fd);
  if (!call.fails)
    result = syscall (SYS_write, fd, data, length_of (&call, length));
  return shim_end_data (&call, result, data, -1);
}

EXPORT ssize_t
pwrite (int         fd,
        const void *data,
        size_t      length,
        off_t       offset)
{
  ShimCall call;
  long result = -1;

  shim_begin_fd (&call, SHIM_WRITE, fd);
  if (!call.fails)
    result = syscall (SYS_pwrite64, fd, data, length_of (&call, length), offset);
  return shim_end_data (&call, result, data, offset);
}

ALSO (pread64, pread);
ALSO (pwrite64, pwrite);

/* Files as a whole */

static int
about_fd (ShimCallName name,
          long         number,
          int          fd)
{
  ShimCall call;
  long result = -1;

  shim_begin_fd (&call, name, fd);
  if (!call.fails)
    result = syscall (number, fd);
  return (int) shim_end (&call, result);
}

EXPORT int
fsync (int fd)
{
  return about_fd (SHIM_SYNC, SYS_fsync, fd);
}

EXPORT int
fdatasync (int fd)
{
  return about_fd (SHIM_SYNC, SYS_fdatasync, fd);
}

EXPORT int
syncfs (int fd)
{
  return about_fd (SHIM_SYNC, SYS_syncfs, fd);
}

EXPORT int
ftruncate (int   fd,
           off_t length)
{
  ShimCall call;
  long result = -1;

  shim_begin_fd (&call, SHIM_TRUNCATE, fd);
  if (!call.fails)
    result = syscall (SYS_ftruncate, fd, length);
  return (int) shim_end_data (&call, result, NULL, length);
}

EXPORT int
fallocate (int   fd,
           int   mode,
           off_t offset,
           off_t length)
{
  ShimCall call;
  long result = -1;

  shim_begin_fd (&call, SHIM_ALLOCATE, fd);
  if (!call.fails)
    result = syscall (SYS_fallocate, fd, mode, offset, length);
  return (int) shim_end (&call, result);
}

EXPORT int
posix_fallocate (int   fd,
                 off_t offset,
                 off_t length)
{
  return fallocate (fd, 0, offset, length) == 0 ? 0 : errno;
}

ALSO (ftruncate64, ftruncate);
ALSO (fallocate64, fallocate);
ALSO (posix_fallocate64, posix_fallocate);

/* Names */

EXPORT int
linkat (int         folder,
        const char *path,
        int         other_folder,
        const char *other,
        int         flags)
{
  ShimCall call;
  long result = -1;

  shim_begin_names (&call, SHIM_LINK, folder, path, other_folder, other);
  if (!call.fails)
    result = syscall (SYS_linkat, folder, path, other_folder, other, flags);
  return (int) shim_end (&call, result);
}

EXPORT int
link (const char *path,
      const char *other)
{
  return linkat (AT_FDCWD, path, AT_FDCWD, other, 0);
}

EXPORT int
symlinkat (const char *text,
           int         folder,
           const char *path)
{
  ShimCall call;
  long result = -1;

  shim_begin_path (&call, SHIM_LINK, folder, path);
  if (!call.fails)
    result = syscall (SYS_symlinkat, text, folder, path);
  return (int) shim_end (&call, result);
}

EXPORT int
symlink (const char *text,
         const char *path)
{
  return symlinkat (text, AT_FDCWD, path);
}

EXPORT int
renameat2 (int          folder,
           const char  *path,
           int          other_folder,
           const char  *other,
           unsigned int flags)
{
  ShimCall call;
  long result = -1;

  shim_begin_names (&call, SHIM_RENAME, folder, path, other_folder, other);
  if (!call.fails)
    result = syscall (SYS_renameat2, folder, path, other_folder, other, flags);
  return (int) shim_end (&call, result);
}

EXPORT int
renameat (int         folder,
          const char *path,
          int         other_folder,
          const char *other)
{
  return renameat2 (folder, path, other_folder, other, 0);
}

EXPORT int
rename (const char *path,
        const char *other)
{
  return renameat2 (AT_FDCWD, path, AT_FDCWD, other, 0);
}

EXPORT int
unlinkat (int         folder,
          const char *path,
          int         flags)
{
  ShimCall call;
  long result = -1;

  shim_begin_path (&call, SHIM_UNLINK, folder, path);
  if (!call.fails)
    result = syscall (SYS_unlinkat, folder, path, flags);
  return (int) shim_end (&call, result);
}

EXPORT int
unlink (const char *path)
{
  return unlinkat (AT_FDCWD, path, 0);
}

EXPORT int
mkdirat (int         folder,
         const char *path,
         mode_t      mode)
{
  ShimCall call;
  long result = -1;

  shim_begin_path (&call, SHIM_MKDIR, folder, path);
  if (!call.fails)
    result = syscall (SYS_mkdirat, folder, path, mode);
  return (int) shim_end (&call, result);
}

EXPORT int
mkdir (const char *path,
       mode_t      mode)
{
  return mkdirat (AT_FDCWD, path, mode);
}

/* The system's own answer has another shape: these are passed on. */

EXPORT int
statvfs (const char     *path,
         struct statvfs *fs)
{
  int (*next) (const char *, struct statvfs *) = NULL;
  ShimCall call;
  long result = -1;

  *(void **) &next = dlsym (RTLD_NEXT, "statvfs");
  shim_begin_path (&call, SHIM_SPACE, AT_FDCWD, path);
  if (!call.fails)
    result = next (path, fs);
  return (int) shim_end (&call, result);
}

EXPORT int
fstatvfs (int             fd,
          struct statvfs *fs)
{
  int (*next) (int, struct statvfs *) = NULL;
  ShimCall call;
  long result = -1;

  *(void **) &next = dlsym (RTLD_NEXT, "fstatvfs");
  shim_begin_fd (&call, SHIM_SPACE, fd);
  if (!call.fails)
    result = next (fd, fs);
  return (int) shim_end (&call, result);
}

EXPORT int
statvfs64 (const char       *path,
           struct statvfs64 *fs)
{
  return statvfs (path, (struct statvfs *) fs);
}

EXPORT int
fstatvfs64 (int               fd,
            struct statvfs64 *fs)
{
  return fstatvfs (fd, (struct statvfs *) fs);
}

/* Sockets */

EXPORT int
connect (int                    fd,
         __CONST_SOCKADDR_ARG   address,
         socklen_t              length)
{
  ShimCall call;
  long result = -1;

  shim_begin_socket (&call, SHIM_CONNECT, fd, address.__sockaddr__, length);
  if (!call.fails)
    result = syscall (SYS_connect, fd, address.__sockaddr__, length);
  return (int) shim_end (&call, result);
}

EXPORT ssize_t
send (int         fd,
      const void *data,
      size_t      length,
      int         flags)
{
  ShimCall call;
  long result = -1;

  shim_begin_socket (&call, SHIM_SEND, fd, NULL, 0);
  if (!call.fails)
    result = syscall (SYS_sendto, fd, data, length, flags, NULL, 0);
  return shim_end_data (&call, result, data, -1);
}

EXPORT ssize_t
sendmsg (int                  fd,
         const struct msghdr *message,
         int                  flags)
{
  const void *data = message->msg_iovlen == 1 ? message->msg_iov[0].iov_base : NULL;
  ShimCall call;
  long result = -1;

  shim_begin_socket (&call, SHIM_SEND, fd, NULL, 0);
  if (!call.fails)
    result = syscall (SYS_sendmsg, fd, message, flags);
  return shim_end_data (&call, result, data, -1);
}

EXPORT ssize_t
recv (int    fd,
      void  *data,
      size_t length,
      int    flags)
{
  ShimCall call;
  long result = -1;

  shim_begin_socket (&call, SHIM_RECEIVE, fd, NULL, 0);
  if (!call.fails)
    result = syscall (SYS_recvfrom, fd, data, length, flags, NULL, NULL);
  return shim_end (&call, result);
}

EXPORT ssize_t
recvmsg (int            fd,
         struct msghdr *message,
         int            flags)
{
  ShimCall call;
  long result = -1;

  shim_begin_socket (&call, SHIM_RECEIVE, fd, NULL, 0);
  if (!call.fails)
    result = syscall (SYS_recvmsg, fd, message, flags);
  return shim_end (&call, result);
}

/* Processes */

EXPORT int
execve (const char *path,
        char *const arguments[],
        char *const environment[])
{
  ShimCall call;

  shim_begin_path (&call, SHIM_EXECUTE, AT_FDCWD, path);
  if (call.fails)
    return (int) shim_end (&call, -1);
  /* Nobody comes back to tell how it went, if it went well. */
  shim_end (&call, 0);
  return (int) syscall (SYS_execve, path, arguments, environment);
}

typedef int (*Spawn) (pid_t *, const char *, const posix_spawn_file_actions_t *,
                      const posix_spawnattr_t *, char *const[], char *const[]);

static int
spawn (const char                       *function,
       pid_t                            *pid,
       const char                       *path,
       const posix_spawn_file_actions_t *actions,
       const posix_spawnattr_t          *attributes,
       char *const                       arguments[],
       char *const                       environment[])
{
  Spawn next = NULL;
  ShimCall call;
  int status;

  *(void **) &next = dlsym (RTLD_NEXT, function);
  shim_begin_path (&call, SHIM_EXECUTE, AT_FDCWD, path);
  if (call.fails)
    {
      shim_end (&call, -1);
      return call.error;
    }
  status = next (pid, path, actions, attributes, arguments, environment);
  shim_end (&call, status == 0 ? 0 : -1);
  return status;
}

EXPORT int
posix_spawn (pid_t                            *pid,
             const char                       *path,
             const posix_spawn_file_actions_t *actions,
             const posix_spawnattr_t          *attributes,
             char *const                       arguments[],
             char *const                       environment[])
{
  return spawn ("posix_spawn", pid, path, actions, attributes, arguments, environment);
}

EXPORT int
posix_spawnp (pid_t                            *pid,
              const char                       *path,
              const posix_spawn_file_actions_t *actions,
              const posix_spawnattr_t          *attributes,
              char *const                       arguments[],
              char *const                       environment[])
{
  return spawn ("posix_spawnp", pid, path, actions, attributes, arguments, environment);
}
