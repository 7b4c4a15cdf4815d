/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the order in which the daemon's parts come and go. */

#include "log.h"
#include "notify.h"

#include <core/config.h>
#include <core/engine.h>
#include <core/error.h>
#include <core/journal.h>
#include <guest/registry.h>
#include <image/source.h>
#include <image/store.h>
#include <operations/operations.h>
#include <rest/server.h>

#include <glib-unix.h>
#include <glib/gstdio.h>

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_CONFIG QSNAPD_SYSCONFDIR "/qsnapd/qsnapd.conf"
#define STOP_GRACE     30       /* seconds */

enum
{
  EXIT_FAILED = 1,
  EXIT_USAGE  = 2,              /* also a wrong configuration: trying again is of no use */
};

typedef struct
{
  Config        *config;
  Journal       *journal;
  Engine        *engine;
  ImageStore    *store;
  GuestRegistry *guests;
  Operations    *operations;
  RestServer    *rest;
  GMainLoop     *loop;
  gboolean       stopping;
  guint          grace;         /* source, while an operation may come to a good place */
  guint          writes_left;   /* for tests: until we kill ourselves */
} Daemon;

typedef struct
{
  char     *config;
  char    **overrides;
  char     *state;
  char     *socket;
  char     *store;
  gboolean  version;
} Options;

static const char description[] =
  "Examples:\n"
  "  qsnapd\n"
  "      with " DEFAULT_CONFIG ", if there is one, and its defaults otherwise\n"
  "  qsnapd --state /tmp/q --socket /tmp/q/sock --store /tmp/q/images\n"
  "      everything in one folder, to try it out\n"
  "  qsnapd -o daemon.log=debug -o snapshot.quiesce=try\n"
  "      two settings over those of the file; qsnapd.conf(5) has them all\n"
  "\n"
  "Exit status: 0 after SIGTERM or SIGINT, 1 failure, 2 wrong options or settings.\n";

static void
options_clear (Options *options)
{
  g_free (options->config);
  g_strfreev (options->overrides);
  g_free (options->state);
  g_free (options->socket);
  g_free (options->store);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static gboolean
parse_options (int      *argc,
               char   ***argv,
               Options  *options,
               GError  **error)
{
  const GOptionEntry entries[] = {
    { "config", 'c', 0, G_OPTION_ARG_FILENAME, &options->config,
      "Read the settings from FILE instead of " DEFAULT_CONFIG, "FILE" },
    { "set", 'o', 0, G_OPTION_ARG_STRING_ARRAY, &options->overrides,
      "Set one setting (repeatable)", "GROUP.KEY=VALUE" },
    { "state", 0, 0, G_OPTION_ARG_FILENAME, &options->state,
      "Keep the journal in FOLDER (daemon.state)", "FOLDER" },
    { "socket", 0, 0, G_OPTION_ARG_FILENAME, &options->socket,
      "Listen at PATH (rest.socket)", "PATH" },
    { "store", 0, 0, G_OPTION_ARG_FILENAME, &options->store,
      "Put images into FOLDER (store.kind=folder, store.folder)", "FOLDER" },
    { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, "Say the version", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("- quick backups of running guests");

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc > 1)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "unexpected argument \"%s\"",
                   (*argv)[1]);
      return FALSE;
    }
  return TRUE;
}

static void
add_path (GPtrArray  *overrides,
          const char *key,
          const char *path)
{
  g_autofree char *absolute = NULL;

  if (path == NULL)
    return;
  absolute = g_canonicalize_filename (path, NULL);
  g_ptr_array_add (overrides, g_strdup_printf ("%s=%s", key, absolute));
}

static Config *
load_config (const Options  *options,
             GError        **error)
{
  g_autoptr (GPtrArray) overrides = g_ptr_array_new_with_free_func (g_free);
  const char *path = options->config;

  if (path == NULL && g_file_test (DEFAULT_CONFIG, G_FILE_TEST_EXISTS))
    path = DEFAULT_CONFIG;

  for (guint i = 0; options->overrides != NULL && options->overrides[i] != NULL; i++)
    g_ptr_array_add (overrides, g_strdup (options->overrides[i]));
  add_path (overrides, "daemon.state", options->state);
  add_path (overrides, "rest.socket", options->socket);
  if (options->store != NULL)
    g_ptr_array_add (overrides, g_strdup ("store.kind=folder"));
  add_path (overrides, "store.folder", options->store);
  g_ptr_array_add (overrides, NULL);

  return config_load (path, (const char *const *) overrides->pdata, error);
}

/* For tests of recovery: with QSNAPD_TEST_KILL_AT_JOURNAL_WRITE=N the daemon dies at its N-th
 * durable write, before it is made. */
static gboolean
count_down (Journal  *journal,
            gpointer  user_data,
            GError  **error)
{
  Daemon *self = user_data;

  if (--self->writes_left == 0)
    raise (SIGKILL);
  return TRUE;
}

static gboolean
open_journal (Daemon  *self,
              GError **error)
{
  g_autofree char *path = g_build_filename (self->config->state_folder, "journal.sqlite", NULL);
  const char *kill_at = g_getenv ("QSNAPD_TEST_KILL_AT_JOURNAL_WRITE");
  guint64 writes;

  if (g_mkdir_with_parents (self->config->state_folder, 0700) != 0)
    {
      int code = errno;

      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "[daemon] state: %s: %s",
                   self->config->state_folder, g_strerror (code));
      return FALSE;
    }

  self->journal = journal_open (path, error);
  if (self->journal == NULL)
    return FALSE;

  if (kill_at != NULL && g_ascii_string_to_unsigned (kill_at, 10, 1, G_MAXUINT, &writes, NULL))
    {
      self->writes_left = (guint) writes;
      journal_set_hook (self->journal, count_down, self);
    }
  return TRUE;
}

static ImageStore *
open_store (const Config  *config,
            GError       **error)
{
  const GlanceStoreSettings glance = {
    .url = config->glance_url,
    .token_file = config->glance_token_file,
    .cloud = config->glance_cloud,
    .clouds_file = config->glance_clouds_file,
    .ca_file = config->glance_ca_file,
    .timeout_s = config->glance_timeout_s,
    .transfers = config->transfers,
  };

  if (g_str_equal (config->store, "glance"))
    return glance_store_new (&glance, error);
  return folder_store_new (config->store_folder, config->transfers, error);
}

static void
guest_changed (GuestRegistry *guests,
               Guest         *guest,
               gpointer       user_data)
{
  Daemon *self = user_data;

  if (guest_get_state (guest) == GUEST_ATTACHED)
    engine_recover (self->engine, guest_get_id (guest));
}

static gboolean
daemon_start (Daemon  *self,
              GError **error)
{
  if (!open_journal (self, error))
    return FALSE;

  /* The journal is ours alone, and so is its folder. */
  flat_source_clean_up (self->config->state_folder);
  self->store = open_store (self->config, error);
  if (self->store == NULL)
    return FALSE;

  self->engine = engine_new (self->journal);
  self->guests = guest_registry_new (self->journal);
  self->operations = operations_new (self->config, self->journal, self->engine, self->guests,
                                     self->store);
  g_signal_connect (self->guests, "guest-changed", G_CALLBACK (guest_changed), self);

  if (!engine_load (self->engine, error))
    return FALSE;

  /* Requests are taken once the main loop runs; that they can be shows before anything is done. */
  self->rest = rest_server_new (self->operations);
  if (!rest_server_start (self->rest, error) ||
      !guest_registry_start (self->guests, self->config, error))
    return FALSE;

  engine_recover (self->engine, NULL);
  return TRUE;
}

static void
daemon_stop (Daemon *self)
{
  if (self->grace != 0)
    g_source_remove (self->grace);
  if (self->engine != NULL)
    g_signal_handlers_disconnect_by_data (self->engine, self);
  if (self->rest != NULL)
    rest_server_stop (self->rest);
  if (self->guests != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->guests, self);
      guest_registry_stop (self->guests);
    }

  g_clear_object (&self->rest);
  g_clear_object (&self->operations);
  g_clear_object (&self->guests);
  g_clear_object (&self->engine);
  g_clear_object (&self->store);
  if (self->journal != NULL)
    journal_set_hook (self->journal, NULL, NULL);
  g_clear_object (&self->journal);
}

static void
operation_changed (Engine    *engine,
                   Operation *operation,
                   gpointer   user_data)
{
  Daemon *self = user_data;

  if (!engine_is_holding (self->engine))
    g_main_loop_quit (self->loop);
}

static gboolean
grace_is_over (gpointer user_data)
{
  Daemon *self = user_data;

  g_warning ("stopping in the middle of an operation; the next start takes it up");
  self->grace = 0;
  g_main_loop_quit (self->loop);
  return G_SOURCE_REMOVE;
}

static gboolean
told_to_stop (gpointer user_data)
{
  Daemon *self = user_data;

  if (self->stopping)
    return G_SOURCE_CONTINUE;

  g_message ("told to stop");
  notify_manager ("STOPPING=1");
  self->stopping = TRUE;
  rest_server_stop (self->rest);
  if (!engine_is_holding (self->engine))
    g_main_loop_quit (self->loop);
  else
    {
      self->grace = g_timeout_add_seconds (STOP_GRACE, grace_is_over, self);
      g_signal_connect (self->engine, "operation", G_CALLBACK (operation_changed), self);
    }
  return G_SOURCE_CONTINUE;
}

static int
fail (const GError *error,
      int           status)
{
  const char *hint = agent_error_get_hint (error);

  g_printerr ("qsnapd: %s\n", error->message);
  if (hint != NULL)
    g_printerr ("        %s\n", hint);
  return status;
}

static int
run (Daemon *self)
{
  g_autoptr (GError) error = NULL;
  guint terminate = g_unix_signal_add (SIGTERM, told_to_stop, self);
  guint interrupt = g_unix_signal_add (SIGINT, told_to_stop, self);
  int status = EXIT_SUCCESS;

  self->loop = g_main_loop_new (NULL, FALSE);
  if (daemon_start (self, &error))
    {
      g_message ("qsnapd %s listens at %s", QSNAPD_VERSION, self->config->socket);
      notify_manager ("READY=1");
      g_main_loop_run (self->loop);
    }
  else
    status = fail (error, g_error_matches (error, AGENT_ERROR, AGENT_ERROR_INVALID) ? EXIT_USAGE
                                                                                    : EXIT_FAILED);

  daemon_stop (self);
  g_main_loop_unref (self->loop);
  g_source_remove (terminate);
  g_source_remove (interrupt);
  return status;
}

int
main (int    argc,
      char **argv)
{
  g_auto (Options) options = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (Config) config = NULL;
  Daemon self = { 0 };

  setlocale (LC_ALL, "");
  if (!parse_options (&argc, &argv, &options, &error))
    {
      g_printerr ("qsnapd: %s\n        See qsnapd --help.\n", error->message);
      return EXIT_USAGE;
    }
  if (options.version)
    {
      g_print ("qsnapd %s\n", QSNAPD_VERSION);
      return EXIT_SUCCESS;
    }

  config = load_config (&options, &error);
  if (config == NULL)
    return fail (error, EXIT_USAGE);

  log_begin (config->log_level);
  /* A peer that goes away is an error of the write. */
  signal (SIGPIPE, SIG_IGN);
  self.config = config;
  return run (&self);
}
