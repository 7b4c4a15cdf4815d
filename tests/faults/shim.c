/* SPDX-License-Identifier: Apache-2.0 */
/* Decides which call of the daemon fails, and writes down all of them. It is preloaded into the
 * daemon and takes itself out of the environment: what the daemon starts knows nothing of it.
 *
 * QSNAP_SHIM_CONTROL   a ShimControl, which the test changes while the daemon runs
 * QSNAP_SHIM_LOG       a line for each call; with `.data` behind it: what files and sockets got
 * QSNAP_SHIM_FOLDER    the test's folder: files elsewhere are let alone
 * QSNAP_SHIM_STATE     the daemon's state folder
 *
 * A line, separated by tabs: seconds; class; name of the call; result, or `-` and an errno;
 * `fault` if it was made to fail; offset; length; where its data is, or -1; path; other path. */

#undef _FILE_OFFSET_BITS

#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *const classes[] = { "journal", "file", "qmp", "http", "spawn" };

static const char *const names[SHIM_CALLS] =
{
  "open", "create", "read", "write", "sync", "link", "rename", "unlink", "truncate", "allocate",
  "mkdir", "space", "connect", "send", "receive", "execute",
};

/* Set once, before main() runs; a call before that is let alone. */
static ShimControl *control;
static int log_fd = -1, data_fd = -1;
static char log_path[SHIM_PATH];
static char test_folder[SHIM_PATH], state_folder[SHIM_PATH];
static pid_t daemon_pid;

static void
read_folder (const char *variable,
             char       *folder)
{
  const char *value = getenv (variable);

  if (value != NULL)
    snprintf (folder, SHIM_PATH, "%s", value);
}

static int
open_log (const char *path,
          const char *suffix,
          int         flags)
{
  char name[SHIM_PATH];

  snprintf (name, sizeof name, "%s%s", path, suffix);
  return (int) syscall (SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_CLOEXEC | flags,
                        0600);
}

__attribute__ ((constructor)) static void
shim_start (void)
{
  static const char *const variables[] = { "LD_PRELOAD", "QSNAP_SHIM_CONTROL", "QSNAP_SHIM_LOG",
                                           "QSNAP_SHIM_FOLDER", "QSNAP_SHIM_STATE" };
  const char *path = getenv ("QSNAP_SHIM_CONTROL"), *log = getenv ("QSNAP_SHIM_LOG");
  ShimControl *shared;
  int fd;

  if (path == NULL || log == NULL)
    return;
  daemon_pid = getpid ();
  read_folder ("QSNAP_SHIM_FOLDER", test_folder);
  read_folder ("QSNAP_SHIM_STATE", state_folder);
  snprintf (log_path, sizeof log_path, "%s", log);
  log_fd = open_log (log, "", O_APPEND);
  data_fd = open_log (log, ".data", 0);
  fd = (int) syscall (SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || log_fd < 0 || data_fd < 0 || shared == MAP_FAILED)
    {
      fprintf (stderr, "shim: %s or %s cannot be used\n", path, log);
      _exit (127);
    }
  syscall (SYS_close, fd);
  for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
    unsetenv (variables[i]);
  control = shared;
}

/* What a call is about */

static bool
is_below (const char *path,
          const char *folder)
{
  size_t length = strlen (folder);

  return length != 0 && strncmp (path, folder, length) == 0
         && (path[length] == '/' || path[length] == '\0');
}

static ShimClass
class_of_path (const char *path)
{
  if (is_below (path, state_folder))
    return SHIM_JOURNAL;
  return is_below (path, test_folder) ? SHIM_FILE : SHIM_NOTHING;
}

static void
name_fd (int   fd,
         char *path)
{
  char link[64];
  ssize_t length;

  snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  length = syscall (SYS_readlinkat, AT_FDCWD, link, path, (size_t) SHIM_PATH - 1);
  path[length > 0 ? length : 0] = '\0';
}

static void
name_path (int         folder,
           const char *path,
           char       *name)
{
  char below[SHIM_PATH];

  if (path == NULL)
    path = "";
  if (path[0] == '/' || folder == AT_FDCWD)
    {
      /* A file that is told by its descriptor: linkat() of what has no name yet. */
      if (strncmp (path, "/proc/self/fd/", 14) == 0)
        name_fd (atoi (path + 14), name);
      else
        snprintf (name, SHIM_PATH, "%s", path);
      return;
    }
  name_fd (folder, below);
  if (path[0] == '\0')
    snprintf (name, SHIM_PATH, "%s", below);
  else if (snprintf (name, SHIM_PATH, "%s/%s", below, path) >= SHIM_PATH)
    name[0] = '\0';
}

/* Whose end of a connection it is tells a monitor from a client: clients have no name. */
static ShimClass
class_of_address (const struct sockaddr_storage *address,
                  char                          *path)
{
  const struct sockaddr_un *local = (const struct sockaddr_un *) address;

  switch (address->ss_family)
    {
    case AF_UNIX:
      snprintf (path, SHIM_PATH, "%.*s", (int) sizeof local->sun_path, local->sun_path);
      return is_below (path, test_folder) ? SHIM_QMP : SHIM_NOTHING;
    case AF_INET:
      snprintf (path, SHIM_PATH, "port %u",
                ntohs (((const struct sockaddr_in *) address)->sin_port));
      return SHIM_HTTP;
    default:
      return SHIM_NOTHING;
    }
}

/* What is to become of it */

static void
die (ShimCall *call)
{
  __atomic_add_fetch (&control->struck, 1, __ATOMIC_SEQ_CST);
  call->error = 0;
  syscall (SYS_kill, daemon_pid, SIGKILL);
  /* A child that was to become a program is no daemon, and must not become one. */
  syscall (SYS_exit_group, 127);
}

static void
write_line (const ShimCall *call,
            const char     *result,
            long            offset,
            long            length,
            long            data)
{
  char line[3 * SHIM_PATH];
  struct timespec now;
  bool faulty = call->error != 0 || call->halved || call->kills;
  int fd = log_fd, size;

  clock_gettime (CLOCK_MONOTONIC, &now);
  size = snprintf (line, sizeof line, "%ld.%09ld\t%s\t%s\t%s\t%s\t%ld\t%ld\t%ld\t%s\t%s\n",
                   (long) now.tv_sec, now.tv_nsec, classes[call->class], names[call->name],
                   result, faulty ? "fault" : "", offset, length, data,
                   call->path, call->other);
  /* A child may have something else in this place, for the program that it becomes. */
  if (syscall (SYS_getpid) != daemon_pid)
    fd = open_log (log_path, "", O_APPEND);
  syscall (SYS_write, fd, line, (size_t) size);
  if (fd != log_fd)
    syscall (SYS_close, fd);
}

static void
decide (ShimCall *call)
{
  uint32_t mask, calls, seen;

  call->fails = call->halved = call->kills = false;
  call->error = 0;
  if (control == NULL || call->class == SHIM_NOTHING)
    {
      call->class = SHIM_NOTHING;
      return;
    }
  mask = __atomic_load_n (&control->classes, __ATOMIC_SEQ_CST);
  calls = __atomic_load_n (&control->calls, __ATOMIC_SEQ_CST);
  if ((mask & (1U << call->class)) == 0 || (calls & (1U << call->name)) == 0)
    return;
  seen = __atomic_add_fetch (&control->seen, 1, __ATOMIC_SEQ_CST);
  if (seen < control->at || (control->repeat != 0 && seen - control->at >= control->repeat))
    return;

  switch (control->fault)
    {
    case SHIM_KILL_BEFORE:
      call->error = ECANCELED;
      write_line (call, "killed", 0, 0, -1);
      die (call);
      break;
    case SHIM_KILL_AFTER:
      call->kills = true;
      return;
    case SHIM_SHORT:
      call->halved = call->name == SHIM_WRITE;
      break;
    default:
      call->fails = true;
      call->error = control->error;
      break;
    }
  __atomic_add_fetch (&control->struck, 1, __ATOMIC_SEQ_CST);
}

/* The call is about an open file or socket. */
void
shim_begin_fd (ShimCall    *call,
               ShimCallName name,
               int          fd)
{
  struct stat st;

  call->name = name;
  call->path[0] = call->other[0] = '\0';
  call->class = SHIM_NOTHING;
  if (control != NULL && syscall (SYS_newfstatat, fd, "", &st, AT_EMPTY_PATH) == 0)
    {
      if (S_ISSOCK (st.st_mode))
        {
          name = name == SHIM_WRITE ? SHIM_SEND : name == SHIM_READ ? SHIM_RECEIVE : name;
          shim_begin_socket (call, name, fd, NULL, 0);
          return;
        }
      if (S_ISREG (st.st_mode) || S_ISDIR (st.st_mode))
        {
          name_fd (fd, call->path);
          call->class = class_of_path (call->path);
        }
    }
  decide (call);
}

/* The call is about a name. */
void
shim_begin_path (ShimCall    *call,
                 ShimCallName name,
                 int          folder,
                 const char  *path)
{
  call->name = name;
  call->path[0] = call->other[0] = '\0';
  call->class = SHIM_NOTHING;
  if (control != NULL)
    {
      name_path (folder, path, call->path);
      call->class = name == SHIM_EXECUTE ? SHIM_SPAWN : class_of_path (call->path);
    }
  decide (call);
}

/* The call makes a name, of something that has another one. */
void
shim_begin_names (ShimCall    *call,
                  ShimCallName name,
                  int          folder,
                  const char  *path,
                  int          other_folder,
                  const char  *other)
{
  call->name = name;
  call->path[0] = call->other[0] = '\0';
  call->class = SHIM_NOTHING;
  if (control != NULL)
    {
      name_path (folder, path, call->path);
      name_path (other_folder, other, call->other);
      call->class = class_of_path (call->other);
    }
  decide (call);
}

/* The call is about a socket, or about the address that it is to be connected to. */
void
shim_begin_socket (ShimCall    *call,
                   ShimCallName name,
                   int          fd,
                   const void  *address,
                   size_t       size)
{
  struct sockaddr_storage peer = { 0 };
  socklen_t length = sizeof peer;

  call->name = name;
  call->path[0] = call->other[0] = '\0';
  call->class = SHIM_NOTHING;
  if (control != NULL && address != NULL)
    {
      memcpy (&peer, address, size < sizeof peer ? size : sizeof peer);
      call->class = class_of_address (&peer, call->path);
    }
  else if (control != NULL && syscall (SYS_getpeername, fd, &peer, &length) == 0)
    call->class = class_of_address (&peer, call->path);
  decide (call);
}

static long
end (ShimCall   *call,
     long        result,
     const void *data,
     off_t       offset)
{
  char text[32];
  long place = -1;

  if (call->class == SHIM_NOTHING)
    return result;
  if (call->fails)
    {
      result = -1;
      errno = call->error;
    }

  int saved = errno;

  if (data != NULL && result > 0)
    {
      place = (long) __atomic_fetch_add (&control->data, (uint64_t) result, __ATOMIC_SEQ_CST);
      syscall (SYS_pwrite64, data_fd, data, (size_t) result, place);
    }
  if (result < 0)
    snprintf (text, sizeof text, "-%d", saved);
  else
    snprintf (text, sizeof text, "%ld", result);
  write_line (call, text, offset, data != NULL ? result : 0, place);
  if (call->kills)
    die (call);
  errno = saved;
  return result;
}

/* The call has been made, or was to fail: what it gives. */
long
shim_end (ShimCall *call,
          long      result)
{
  return end (call, result, NULL, 0);
}

/* The same for one that has written `data`; at `offset`, or -1: at the end, or to a socket. */
long
shim_end_data (ShimCall   *call,
               long        result,
               const void *data,
               off_t       offset)
{
  bool kept = call->class == SHIM_JOURNAL || call->class == SHIM_QMP;

  return end (call, result, kept ? data : NULL, offset);
}
