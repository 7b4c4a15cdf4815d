/* SPDX-License-Identifier: Apache-2.0 */

#include "live.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/prctl.h>

#include "sync.h"

static char *
program (const char *variable,
         const char *otherwise)
{
  const char *named = g_getenv (variable);

  return g_find_program_in_path (named != NULL && named[0] != '\0' ? named : otherwise);
}

const LivePrograms *
live_programs (guint *n)
{
  static LivePrograms programs[2];
  const char *root = g_getenv ("QSNAP_QEMU10");

  *n = root != NULL && root[0] != '\0' ? 2 : 1;
  if (programs[0].name != NULL)
    return programs;

  programs[0].name = "installed";
  programs[0].system = program ("QEMU", "qemu-system-x86_64");
  programs[0].storage_daemon = program ("QSD", "qemu-storage-daemon");
  programs[0].img = program ("QEMU_IMG", "qemu-img");
  programs[1].name = "unpacked";
  if (*n == 2)
    {
      programs[1].root = g_strdup (root);
      programs[1].system = g_build_filename (root, "usr/bin/qemu-system-x86_64", NULL);
      programs[1].storage_daemon = g_build_filename (root, "usr/bin/qemu-storage-daemon", NULL);
      programs[1].img = g_build_filename (root, "usr/bin/qemu-img", NULL);
    }
  return programs;
}

void
live_add_test (const char    *path,
               GTestDataFunc  test)
{
  guint n;
  const LivePrograms *programs = live_programs (&n);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *full = g_strdup_printf ("%s/%s", path, programs[i].name);

      g_test_add_data_func (full, &programs[i], test);
    }
}

static QmpClient *
try_connect (const char  *path,
             guint        deadline_ms,
             GError     **error)
{
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  gint64 give_up = g_get_monotonic_time () + deadline_ms * G_TIME_SPAN_MILLISECOND;

  /* A process that starts says in no other way that its socket is there. */
  for (;;)
    {
      g_autoptr (GAsyncResult) result = NULL;
      QmpClient *client;

      qmp_client_connect_async (G_SOCKET_CONNECTABLE (address), QMP_DIALECT_MONITOR, 2000, NULL,
                                sync_done, &result);
      sync_wait (&result);
      client = qmp_client_open_finish (result, error);
      if (client != NULL || g_get_monotonic_time () > give_up)
        return client;
      g_clear_error (error);
      g_usleep (2000);
    }
}

QmpClient *
live_connect (const char *path)
{
  g_autoptr (GError) error = NULL;
  QmpClient *client = try_connect (path, LIVE_DEADLINE, &error);

  g_assert_no_error (error);
  return client;
}

static void
die_with_parent (gpointer user_data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* Starts words[0] in the folder, with the libraries of the tree that it comes from. */
static GSubprocess *
start (Live  *self,
       GStrv  words)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_set_cwd (launcher, self->folder);
  g_subprocess_launcher_set_child_setup (launcher, die_with_parent, NULL, NULL);
  if (self->programs->root != NULL)
    {
      const char *root = self->programs->root;
      g_autofree char *libraries = g_strdup_printf ("%s/usr/lib/x86_64-linux-gnu:"
                                                    "%s/lib/x86_64-linux-gnu", root, root);

      g_subprocess_launcher_setenv (launcher, "LD_LIBRARY_PATH", libraries, TRUE);
    }
  process = g_subprocess_launcher_spawnv (launcher, (const char *const *) words, &error);
  g_assert_no_error (error);
  return process;
}

/* Once in hundreds of starts a QEMU that is connected to in the very moment it comes up dies, or
 * greets and is silent ever after: it is started again then. */
static void
start_and_connect (Live  *self,
                   GStrv  words)
{
  g_autoptr (GError) error = NULL;

  for (guint tries = 0; self->client == NULL && tries < 3; tries++)
    {
      if (self->process != NULL)
        g_subprocess_force_exit (self->process);
      g_clear_object (&self->process);
      g_clear_error (&error);
      g_unlink (self->socket);
      self->process = start (self, words);
      self->client = try_connect (self->socket, LIVE_DEADLINE / 3, &error);
    }
  g_assert_no_error (error);
}

static GStrv
join_words (GStrv       first,
            const char *rest)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) words = NULL;
  g_autoptr (GError) error = NULL;

  g_strv_builder_addv (builder, (const char **) first);
  if (rest[0] != '\0')
    {
      g_shell_parse_argv (rest, NULL, &words, &error);
      g_assert_no_error (error);
      g_strv_builder_addv (builder, (const char **) words);
    }
  return g_strv_builder_end (builder);
}

Live *
live_folder (const LivePrograms *programs)
{
  g_autoptr (GError) error = NULL;
  Live *self;

  if (programs->system == NULL || programs->storage_daemon == NULL || programs->img == NULL)
    {
      g_test_skip ("qemu-system-x86_64, qemu-storage-daemon or qemu-img is not installed");
      return NULL;
    }

  self = g_new0 (Live, 1);
  self->programs = programs;
  self->folder = g_dir_make_tmp ("qmp-XXXXXX", &error);
  g_assert_no_error (error);
  self->socket = g_build_filename (self->folder, "monitor", NULL);
  return self;
}

Live *
live_storage (const LivePrograms *programs)
{
  Live *self = live_folder (programs);
  g_autofree char *chardev = NULL;

  if (self == NULL)
    return NULL;

  chardev = g_strdup_printf ("socket,id=c,path=%s,server=on,wait=off", self->socket);
  start_and_connect (self, (char *[]) { programs->storage_daemon, (char *) "--chardev", chardev,
                                        (char *) "--monitor", (char *) "chardev=c", NULL });
  return self;
}

void
live_system (Live       *self,
             const char *arguments)
{
  g_autofree char *monitor = g_strdup_printf ("unix:%s,server=on,wait=off", self->socket);
  g_autofree char *firmware = NULL;
  g_auto (GStrv) first = NULL;
  g_auto (GStrv) words = NULL;

  if (self->programs->root != NULL)
    firmware = g_strdup_printf ("-L %s/usr/share/qemu -L %s/usr/share/seabios",
                                self->programs->root, self->programs->root);
  first = join_words ((char *[]) { self->programs->system, (char *) "-qmp", monitor, NULL },
                      "-S -nodefaults -display none -machine q35 -accel tcg -m 32");
  words = join_words (first, firmware != NULL ? firmware : "");
  g_strfreev (g_steal_pointer (&first));
  first = g_steal_pointer (&words);
  words = join_words (first, arguments);

  start_and_connect (self, words);
}

static void
remove_folder (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      g_unlink (file);
    }
  g_rmdir (path);
}

void
live_stop (Live *self)
{
  if (self->client != NULL)
    qmp_client_close (self->client);
  g_clear_object (&self->client);
  if (self->process != NULL)
    {
      g_subprocess_force_exit (self->process);
      g_subprocess_wait (self->process, NULL, NULL);
    }
  g_clear_object (&self->process);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  remove_folder (self->folder);
  g_free (self->folder);
  g_free (self->socket);
  g_free (self);
}

void
live_img (Live       *self,
          const char *arguments)
{
  g_auto (GStrv) words = join_words ((char *[]) { self->programs->img, NULL }, arguments);
  g_autoptr (GSubprocess) process = start (self, words);
  g_autoptr (GError) error = NULL;

  g_subprocess_wait_check (process, NULL, &error);
  g_assert_no_error (error);
}

static JsonNode *
execute (Live       *self,
         const char *command,
         const char *text)
{
  g_autofree char *json = g_strdelimit (g_strdup (text), "'", '"');
  g_autoptr (GError) error = NULL;
  JsonNode *arguments = json_from_string (json, &error);
  JsonNode *reply;

  g_assert_no_error (error);
  reply = sync_execute (self->client, command, arguments, &error);
  g_assert_no_error (error);
  return reply;
}

JsonNode *
live_do (Live       *self,
         const char *command,
         const char *format,
         ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  return execute (self, command, text);
}

void
live_run (Live       *self,
          const char *command,
          const char *format,
          ...)
{
  g_autofree char *text = NULL;
  g_autoptr (JsonNode) reply = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  reply = execute (self, command, text);
}

QmpGraph *
live_graph (Live    *self,
            GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_graph_read_async (self->client, LIVE_DEADLINE, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_graph_read_finish (result, error);
}

gboolean
live_await (QmpJob       *job,
            QmpJobState   state,
            guint         deadline_ms,
            GError      **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_job_await_async (job, state, deadline_ms, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_job_await_finish (job, result, error);
}
