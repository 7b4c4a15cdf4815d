/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the options and the exit codes. */

#include "daemon.h"

#include <core/config.h>
#include <core/error.h>

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_CONFIG QSNAPD_SYSCONFDIR "/qsnapd/qsnapd.conf"

enum
{
  EXIT_FAILED = 1,
  EXIT_USAGE  = 2,              /* also a wrong configuration: trying again is of no use */
};

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
load_config (gpointer   user_data,
             GError   **error)
{
  const Options *options = user_data;
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

/* Takes this process over again, from its beginning. */
static int
begin_again (char **argv)
{
  int code;

  /* Nobody listens to it until the daemon is up again. */
  signal (SIGHUP, SIG_IGN);
  execv ("/proc/self/exe", argv);
  code = errno;
  g_printerr ("qsnapd: cannot begin anew: %s\n", g_strerror (code));
  return EXIT_FAILED;
}

int
main (int    argc,
      char **argv)
{
  g_auto (GStrv) words = g_strdupv (argv);
  g_auto (Options) options = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (Config) config = NULL;

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

  /* A peer that goes away is an error of the write. */
  signal (SIGPIPE, SIG_IGN);
  switch (daemon_run (config, load_config, &options, log_begin (config->log_level), &error))
    {
    case DAEMON_ENDED:
      return EXIT_SUCCESS;
    case DAEMON_AGAIN:
      return begin_again (words);
    case DAEMON_FAILED:
    default:
      return fail (error, g_error_matches (error, AGENT_ERROR, AGENT_ERROR_INVALID) ? EXIT_USAGE
                                                                                  : EXIT_FAILED);
    }
}
