/* SPDX-License-Identifier: Apache-2.0 */

#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/types.h>

static struct
{
  const char *name;
  guint       left;             /* calls until the fault; 0: none is armed */
  int         number;
  const char *met;
  gboolean    lasting;
  gboolean    no_unnamed;
} fault;

void
faults_arm (const char *name,
            guint       nth,
            int         number)
{
  fault.name = name;
  fault.left = nth;
  fault.number = number;
  fault.met = NULL;
}

const char *
faults_disarm (void)
{
  fault.left = 0;

  return fault.met;
}

void
faults_set_lasting (gboolean lasting)
{
  fault.lasting = lasting;
}

void
faults_set_no_unnamed (gboolean no_unnamed)
{
  fault.no_unnamed = no_unnamed;
}

static gboolean
fails (const char *name)
{
  if (fault.left == 0 || (fault.name != NULL && strcmp (fault.name, name) != 0) || --fault.left > 0)
    return FALSE;

  fault.left = fault.lasting ? 1 : 0;
  fault.met = name;
  errno = fault.number;

  return TRUE;
}

#define WRAP(type, call, parameters, arguments) \
  type __real_##call parameters; \
  type __wrap_##call parameters; \
  type \
  __wrap_##call parameters \
  { \
    return fails (#call) ? (type) -1 : __real_##call arguments; \
  }

WRAP (int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP (int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
WRAP (int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags),
      (fd, name, value, size, flags))
WRAP (int, fsync, (int fd), (fd))
WRAP (int, ftruncate64, (int fd, off_t length), (fd, length))
WRAP (int, linkat, (int from, const char *old, int to, const char *new, int flags),
      (from, old, to, new, flags))
WRAP (ssize_t, pwrite64, (int fd, const void *bytes, size_t length, off_t at),
      (fd, bytes, length, at))
WRAP (int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new))
WRAP (int, unlinkat, (int folder, const char *name, int flags), (folder, name, flags))

int __real_open64 (const char *path, int flags, ...);
int __wrap_open64 (const char *path, int flags, ...);
int __real_openat64 (int folder, const char *path, int flags, ...);
int __wrap_openat64 (int folder, const char *path, int flags, ...);

int
__wrap_open64 (const char *path,
               int         flags,
               ...)
{
  va_list args;
  mode_t mode;

  va_start (args, flags);
  mode = va_arg (args, mode_t);
  va_end (args);

  return fails ("open64") ? -1 : __real_open64 (path, flags, mode);
}

int
__wrap_openat64 (int         folder,
                 const char *path,
                 int         flags,
                 ...)
{
  va_list args;
  mode_t mode;

  va_start (args, flags);
  mode = va_arg (args, mode_t);
  va_end (args);

  if (fault.no_unnamed && (flags & O_TMPFILE) == O_TMPFILE)
    {
      errno = EOPNOTSUPP;
      return -1;
    }

  return fails ("openat64") ? -1 : __real_openat64 (folder, path, flags, mode);
}
