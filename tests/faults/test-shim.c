/* SPDX-License-Identifier: Apache-2.0 */
/* Each call that the shim knows fails when it is told to, is written down, and is made otherwise.
 * This program is its own victim: --probe CALL makes one call and ends with its errno. */

#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gio/gio.h>
#include <glib/gstdio.h>

static const char *self, *shim;

typedef struct
{
  const char *call;
  ShimClass class;
  ShimCallName name;
} Case;

static const Case cases[] =
{
  { "open", SHIM_FILE, SHIM_OPEN }, { "openat", SHIM_FILE, SHIM_OPEN },
  { "create", SHIM_FILE, SHIM_CREATE }, { "journal", SHIM_JOURNAL, SHIM_CREATE },
  { "read", SHIM_FILE, SHIM_READ }, { "pread", SHIM_FILE, SHIM_READ },
  { "write", SHIM_FILE, SHIM_WRITE }, { "pwrite", SHIM_FILE, SHIM_WRITE },
  { "fsync", SHIM_FILE, SHIM_SYNC }, { "fdatasync", SHIM_FILE, SHIM_SYNC },
  { "link", SHIM_FILE, SHIM_LINK }, { "linkat", SHIM_FILE, SHIM_LINK },
  { "rename", SHIM_FILE, SHIM_RENAME }, { "renameat", SHIM_FILE, SHIM_RENAME },
  { "unlink", SHIM_FILE, SHIM_UNLINK }, { "unlinkat", SHIM_FILE, SHIM_UNLINK },
  { "ftruncate", SHIM_FILE, SHIM_TRUNCATE }, { "fallocate", SHIM_FILE, SHIM_ALLOCATE },
  { "mkdir", SHIM_FILE, SHIM_MKDIR }, { "statvfs", SHIM_FILE, SHIM_SPACE },
  { "connect", SHIM_QMP, SHIM_CONNECT }, { "send", SHIM_QMP, SHIM_SEND },
  { "sendmsg", SHIM_QMP, SHIM_SEND }, { "recv", SHIM_QMP, SHIM_RECEIVE },
  { "recvmsg", SHIM_QMP, SHIM_RECEIVE }, { "posix_spawn", SHIM_SPAWN, SHIM_EXECUTE },
  { "execve", SHIM_SPAWN, SHIM_EXECUTE },
};

/* The victim: but for the call itself it asks the system past the shim. It works in its current
 * folder, which has a file `old` and a socket `socket`. */

static int
probe_child (gboolean forked)
{
  char *arguments[] = { (char *) "/bin/true", NULL };
  pid_t pid;
  int status;

  if (!forked)
    {
      status = posix_spawn (&pid, arguments[0], NULL, NULL, arguments, environ);
      return status != 0 ? status : waitpid (pid, &status, 0) == pid ? status : errno;
    }
  pid = fork ();
  if (pid == 0)
    {
      execve (arguments[0], arguments, environ);
      _exit (errno);
    }
  return waitpid (pid, &status, 0) == pid ? WEXITSTATUS (status) : errno;
}

static int
probe_socket (const char *call)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autofree char *folder = g_get_current_dir ();
  char letter[1] = { 'x' };
  struct iovec part = { letter, 1 };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ssize_t moved = 0;

  g_snprintf (address.sun_path, sizeof address.sun_path, "%s/socket", folder);
  if (connect (fd, (struct sockaddr *) &address, sizeof address) != 0)
    return errno;
  if (g_str_equal (call, "send"))
    moved = send (fd, letter, 1, MSG_NOSIGNAL);
  else if (g_str_equal (call, "sendmsg"))
    moved = sendmsg (fd, &message, MSG_NOSIGNAL);
  else if (g_str_equal (call, "recv"))
    moved = recv (fd, letter, 1, MSG_DONTWAIT);
  else if (g_str_equal (call, "recvmsg"))
    moved = recvmsg (fd, &message, MSG_DONTWAIT);
  /* Nobody has sent anything: that is as it should be. */
  return moved >= 0 || errno == EAGAIN ? 0 : errno;
}

static int
probe_file (const char *call)
{
  g_autofree char *folder = g_get_current_dir ();
  g_autofree char *old = g_build_filename (folder, "old", NULL);
  g_autofree char *new = g_build_filename (folder, "new", NULL);
  g_autofree char *state = g_build_filename (folder, "state", "journal", NULL);
  int place = (int) syscall (SYS_openat, AT_FDCWD, folder, O_PATH | O_CLOEXEC), fd;
  struct statvfs fs;
  char text[8] = "1234567";
  long result = -2;

  if (g_str_equal (call, "open"))
    return open (old, O_RDONLY) < 0 ? errno : 0;
  if (g_str_equal (call, "twice"))
    return open (old, O_RDONLY) < 0 && rename (old, new) != 0 ? errno : 0;
  if (g_str_equal (call, "openat"))
    return openat (place, "old", O_RDONLY) < 0 ? errno : 0;
  if (g_str_equal (call, "create"))
    return open (new, O_RDWR | O_CREAT | O_EXCL, 0600) < 0 ? errno : 0;
  if (g_str_equal (call, "journal"))
    return open (state, O_RDWR | O_CREAT, 0600) < 0 ? errno : 0;
  fd = (int) syscall (SYS_openat, place, "old", O_RDWR);
  if (g_str_equal (call, "read"))
    result = read (fd, text, sizeof text);
  else if (g_str_equal (call, "pread"))
    result = pread (fd, text, sizeof text, 0);
  else if (g_str_equal (call, "write"))
    result = write (fd, text, sizeof text);
  else if (g_str_equal (call, "pwrite"))
    result = pwrite (fd, text, sizeof text, 0);
  else if (g_str_equal (call, "fsync"))
    result = fsync (fd);
  else if (g_str_equal (call, "fdatasync"))
    result = fdatasync (fd);
  else if (g_str_equal (call, "link"))
    result = link (old, new);
  else if (g_str_equal (call, "linkat"))
    result = linkat (place, "old", place, "new", 0);
  else if (g_str_equal (call, "rename"))
    result = rename (old, new);
  else if (g_str_equal (call, "renameat"))
    result = renameat (place, "old", place, "new");
  else if (g_str_equal (call, "unlink"))
    result = unlink (old);
  else if (g_str_equal (call, "unlinkat"))
    result = unlinkat (place, "old", 0);
  else if (g_str_equal (call, "ftruncate"))
    result = ftruncate (fd, 100);
  else if (g_str_equal (call, "fallocate"))
    result = fallocate (fd, 0, 0, 100);
  else if (g_str_equal (call, "mkdir"))
    result = mkdir (new, 0700);
  else if (g_str_equal (call, "statvfs"))
    result = statvfs (folder, &fs);
  if (result < 0)
    return result == -1 ? errno : EINVAL;
  return result == (long) sizeof text / 2 ? ERANGE : 0;
}

static int
probe (const char *call)
{
  static const char *const sockets[] = { "connect", "send", "sendmsg", "recv", "recvmsg", NULL };

  if (getenv ("LD_PRELOAD") != NULL)
    return ENOTSUP;
  if (g_str_equal (call, "posix_spawn") || g_str_equal (call, "execve"))
    return probe_child (g_str_equal (call, "execve"));
  return g_strv_contains (sockets, call) ? probe_socket (call) : probe_file (call);
}

/* The other side */

typedef struct
{
  char *folder;
  ShimControl *control;
  int listener;
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  g_autofree char *path = NULL, *state = NULL;
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd;

  (void) data;
  fixture->folder = g_dir_make_tmp ("shim-XXXXXX", NULL);
  state = g_build_filename (fixture->folder, "state", NULL);
  g_assert_cmpint (g_mkdir (state, 0700), ==, 0);
  path = g_build_filename (fixture->folder, "control", NULL);
  fd = open (path, O_RDWR | O_CREAT, 0600);
  g_assert_cmpint (ftruncate (fd, sizeof (ShimControl)), ==, 0);
  fixture->control = mmap (NULL, sizeof (ShimControl), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  g_assert_true (fixture->control != MAP_FAILED);
  close (fd);
  g_snprintf (address.sun_path, sizeof address.sun_path, "%s/socket", fixture->folder);
  fixture->listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (bind (fixture->listener, (struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpint (listen (fixture->listener, 8), ==, 0);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  const char *const command[] = { "rm", "-rf", fixture->folder, NULL };
  g_autoptr (GSubprocess) rm = g_subprocess_newv (command, 0, NULL);

  (void) data;
  g_assert_true (g_subprocess_wait_check (rm, NULL, NULL));
  munmap (fixture->control, sizeof (ShimControl));
  close (fixture->listener);
  g_free (fixture->folder);
}

/* What the shim has written down of a call; NULL: nothing. */
static char *
logged (Fixture      *fixture,
        ShimCallName  name)
{
  static const char *const words[SHIM_CALLS] =
  {
    "open", "create", "read", "write", "sync", "link", "rename", "unlink", "truncate", "allocate",
    "mkdir", "space", "connect", "send", "receive", "execute",
  };
  g_autofree char *path = g_build_filename (fixture->folder, "log", NULL);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) fields = g_strsplit (lines[i], "\t", -1);

      if (g_strv_length (fields) == 10 && g_str_equal (fields[2], words[name]))
        return g_steal_pointer (&lines[i]);
    }
  return NULL;
}

/* What the victim ends with: an errno, or minus the signal that it died of. */
static int
run (Fixture    *fixture,
     const char *call)
{
  const char *const command[] = { self, "--probe", call, NULL };
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *control = g_build_filename (fixture->folder, "control", NULL);
  g_autofree char *log = g_build_filename (fixture->folder, "log", NULL);
  g_autofree char *state = g_build_filename (fixture->folder, "state", NULL);
  g_autofree char *old = g_build_filename (fixture->folder, "old", NULL);
  g_autofree char *new = g_build_filename (fixture->folder, "new", NULL);
  g_autoptr (GSubprocess) victim = NULL;
  g_autoptr (GError) error = NULL;

  g_unlink (log);
  g_unlink (new);
  g_assert_true (g_file_set_contents (old, "some text", -1, NULL));
  fixture->control->seen = fixture->control->struck = 0;
  g_subprocess_launcher_set_cwd (launcher, fixture->folder);
  g_subprocess_launcher_setenv (launcher, "LD_PRELOAD", shim, TRUE);
  g_subprocess_launcher_setenv (launcher, "QSNAP_SHIM_CONTROL", control, TRUE);
  g_subprocess_launcher_setenv (launcher, "QSNAP_SHIM_LOG", log, TRUE);
  g_subprocess_launcher_setenv (launcher, "QSNAP_SHIM_FOLDER", fixture->folder, TRUE);
  g_subprocess_launcher_setenv (launcher, "QSNAP_SHIM_STATE", state, TRUE);
  victim = g_subprocess_launcher_spawnv (launcher, command, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_wait (victim, NULL, &error));
  return g_subprocess_get_if_exited (victim) ? g_subprocess_get_exit_status (victim)
                                             : -g_subprocess_get_term_sig (victim);
}

static void
arm (Fixture    *fixture,
     const Case *each,
     ShimFault   fault)
{
  *fixture->control = (ShimControl)
  {
    .classes = 1U << each->class, .calls = 1U << each->name, .at = 1, .repeat = 1, .fault = fault,
    .error = EDQUOT,
  };
}

static void
test_each_fails (Fixture       *fixture,
                 gconstpointer  data)
{
  const Case *each = data;
  g_autofree char *line = NULL;

  arm (fixture, each, SHIM_ERROR);
  g_assert_cmpint (run (fixture, each->call), ==, EDQUOT);
  g_assert_cmpuint (fixture->control->struck, ==, 1);
  line = logged (fixture, each->name);
  g_assert_nonnull (line);
  g_assert_nonnull (strstr (line, "\tfault\t"));
}

static void
test_each_kills (Fixture       *fixture,
                 gconstpointer  data)
{
  const Case *each = data;

  arm (fixture, each, SHIM_KILL_BEFORE);
  g_assert_cmpint (run (fixture, each->call), ==, -SIGKILL);
  arm (fixture, each, SHIM_KILL_AFTER);
  g_assert_cmpint (run (fixture, each->call), ==, -SIGKILL);
}

static void
test_each_is_made (Fixture       *fixture,
                   gconstpointer  data)
{
  const Case *each = data;
  g_autofree char *line = NULL;

  arm (fixture, each, SHIM_ERROR);
  fixture->control->classes = 0;
  g_assert_cmpint (run (fixture, each->call), ==, 0);
  g_assert_cmpuint (fixture->control->struck, ==, 0);
  line = logged (fixture, each->name);
  g_assert_nonnull (line);
  g_assert_null (strstr (line, "\tfault\t"));
}

/* The second of them, and all from then on; half of a write. */
static void
test_counts (Fixture       *fixture,
             gconstpointer  data)
{
  static const Case open = { "open", SHIM_FILE, SHIM_OPEN };
  static const Case write = { "write", SHIM_FILE, SHIM_WRITE };

  (void) data;
  arm (fixture, &open, SHIM_ERROR);
  fixture->control->at = 2;
  g_assert_cmpint (run (fixture, "open"), ==, 0);
  g_assert_cmpuint (fixture->control->seen, ==, 1);
  fixture->control->calls |= 1U << SHIM_RENAME;
  fixture->control->at = 1;
  g_assert_cmpint (run (fixture, "twice"), ==, 0);
  g_assert_cmpuint (fixture->control->struck, ==, 1);
  fixture->control->repeat = 0;
  g_assert_cmpint (run (fixture, "twice"), ==, EDQUOT);
  g_assert_cmpuint (fixture->control->struck, ==, 2);

  arm (fixture, &write, SHIM_SHORT);
  g_assert_cmpint (run (fixture, "write"), ==, ERANGE);
}

int
main (int    argc,
      char **argv)
{
  if (argc == 3 && g_str_equal (argv[1], "--probe"))
    return probe (argv[2]);

  g_test_init (&argc, &argv, NULL);
  g_assert_cmpint (argc, ==, 2);
  self = "/proc/self/exe";
  g_autofree char *path = g_file_read_link (self, NULL);

  g_autofree char *library = g_canonicalize_filename (argv[1], NULL);

  self = path;
  shim = library;
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *fails = g_strdup_printf ("/shim/fails/%s", cases[i].call);
      g_autofree char *kills = g_strdup_printf ("/shim/kills/%s", cases[i].call);
      g_autofree char *made = g_strdup_printf ("/shim/made/%s", cases[i].call);

      g_test_add (fails, Fixture, &cases[i], set_up, test_each_fails, tear_down);
      g_test_add (kills, Fixture, &cases[i], set_up, test_each_kills, tear_down);
      g_test_add (made, Fixture, &cases[i], set_up, test_each_is_made, tear_down);
    }
  g_test_add ("/shim/counts", Fixture, NULL, set_up, test_counts, tear_down);
  return g_test_run ();
}
