/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what all tests of guests need: waiting, folders, processes. */

#include "support.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/prctl.h>

#define DEADLINE_MS 15000

/* --- Folders --- */

Folder *
folder_new (void)
{
  Folder *self = g_new0 (Folder, 1);

  self->path = g_dir_make_tmp ("guest-XXXXXX", NULL);
  g_assert_nonnull (self->path);

  return self;
}

static void
remove_all (const char *path)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    {
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *entry = g_build_filename (path, name, NULL);

          remove_all (entry);
        }
    }

  g_remove (path);
}

void
folder_free (Folder *self)
{
  remove_all (self->path);
  g_free (self->path);
  g_free (self);
}

char *
folder_file (Folder     *self,
             const char *name)
{
  return g_build_filename (self->path, name, NULL);
}

/* --- Waiting --- */

static gboolean
on_deadline (gpointer user_data)
{
  g_error ("this did not happen in time: %s", (const char *) user_data);

  return G_SOURCE_REMOVE;
}

void
run_until (Condition   done,
           gpointer    user_data,
           guint       deadline_ms,
           const char *what)
{
  guint deadline = g_timeout_add (deadline_ms, on_deadline, (gpointer) what);

  while (!done (user_data))
    g_main_context_iteration (NULL, TRUE);

  g_source_remove (deadline);
}

static gboolean
on_over (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;

  return G_SOURCE_REMOVE;
}

void
run_for (guint ms)
{
  gboolean over = FALSE;

  g_timeout_add (ms, on_over, &over);
  while (!over)
    g_main_context_iteration (NULL, TRUE);
}

typedef struct
{
  Guest      *guest;
  GuestState  state;
} Awaited;

static gboolean
is_in_state (gpointer user_data)
{
  Awaited *awaited = user_data;

  return guest_get_state (awaited->guest) == awaited->state;
}

void
await_state (Guest      *guest,
             GuestState  state)
{
  Awaited awaited = { guest, state };

  run_until (is_in_state, &awaited, DEADLINE_MS, guest_state_to_string (state));
}

static gboolean
has_result (gpointer user_data)
{
  return *(GAsyncResult **) user_data != NULL;
}

void
await_result (GAsyncResult **result)
{
  run_until (has_result, result, 2 * DEADLINE_MS, "a call comes back");
}

void
keep_result (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  *(GAsyncResult **) user_data = g_object_ref (result);
}

/* --- Guests --- */

GuestConfig *
config_for (const char *id,
            const char *monitor)
{
  GuestConfig *config = guest_config_new ();

  config->id = g_strdup (id);
  config->monitor = g_strdup (monitor);

  return config;
}

static void
die_with_parent (gpointer user_data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

GSubprocess *
spawn (const char *const *argv)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *program = g_find_program_in_path (argv[0]);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  if (program == NULL)
    {
      g_autofree char *reason = g_strdup_printf ("%s is not installed", argv[0]);

      g_test_skip (reason);
      return NULL;
    }

  g_subprocess_launcher_set_child_setup (launcher, die_with_parent, NULL, NULL);
  process = g_subprocess_launcher_spawnv (launcher, argv, &error);
  g_assert_no_error (error);

  return process;
}

void
kill_and_wait (GSubprocess *process)
{
  g_autoptr (GAsyncResult) result = NULL;

  g_subprocess_force_exit (process);
  g_subprocess_wait_async (process, NULL, keep_result, &result);
  await_result (&result);
}

/* Which program to test with, where the installed one will not do. */
static const char *
program (const char *variable,
         const char *installed)
{
  const char *named = g_getenv (variable);

  return named != NULL && named[0] != '\0' ? named : installed;
}

GSubprocess *
spawn_qemu (const char *socket,
            const char *name,
            const char *uuid)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autofree char *qmp = g_strdup_printf ("unix:%s,server=on,wait=off", socket);

  const char *const fixed[] = {
    program ("QEMU", "qemu-system-x86_64"), "-S", "-nodefaults", "-display", "none",
    "-accel", "tcg", "-m", "16", "-qmp", qmp,
  };

  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++)
    g_ptr_array_add (argv, (gpointer) fixed[i]);
  if (name != NULL)
    {
      g_ptr_array_add (argv, (gpointer) "-name");
      g_ptr_array_add (argv, (gpointer) name);
    }
  if (uuid != NULL)
    {
      g_ptr_array_add (argv, (gpointer) "-uuid");
      g_ptr_array_add (argv, (gpointer) uuid);
    }
  g_ptr_array_add (argv, NULL);

  return spawn ((const char *const *) argv->pdata);
}

static GSubprocess *
spawn_daemon_on (const char *chardev)
{
  const char *argv[] = {
    program ("QSD", "qemu-storage-daemon"), "--chardev", chardev, "--monitor", "chardev=c", NULL
  };

  return spawn (argv);
}

GSubprocess *
spawn_daemon (const char *socket)
{
  g_autofree char *chardev = g_strdup_printf ("socket,id=c,path=%s,server=on,wait=off", socket);

  return spawn_daemon_on (chardev);
}

GSubprocess *
spawn_daemon_tcp (guint16 port)
{
  g_autofree char *chardev =
    g_strdup_printf ("socket,id=c,host=127.0.0.1,port=%u,server=on,wait=off", port);

  return spawn_daemon_on (chardev);
}
