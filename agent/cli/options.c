/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the words of a command line are read, and how --help looks. */

#include "options.h"

#include "error.h"

#include <stdlib.h>
#include <string.h>

static GOptionGroup *
common_group (Cli *cli)
{
  const GOptionEntry entries[] = {
    { "socket", 0, 0, G_OPTION_ARG_FILENAME, &cli->socket,
      "The daemon's socket (QSNAPD_SOCKET, or " DEFAULT_SOCKET ")", "PATH" },
    { "json", 0, 0, G_OPTION_ARG_NONE, &cli->json, "Print the daemon's answer as JSON", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  GOptionGroup *group = g_option_group_new ("common", "", "", NULL, NULL);

  g_option_group_add_entries (group, entries);
  return group;
}

/* @command: (nullable): whose options these are */
static void
point_to_help (GError     **error,
               const char  *command)
{
  g_autofree char *message = g_strdup_printf ("%s\nSee qsnap %s%s--help.", (*error)->message,
                                              command != NULL ? command : "",
                                              command != NULL ? " " : "");

  g_free ((*error)->message);
  (*error)->message = g_steal_pointer (&message);
}

static const char *
default_socket (void)
{
  const char *path = g_getenv ("QSNAPD_SOCKET");

  return path != NULL && path[0] != '\0' ? path : DEFAULT_SOCKET;
}

/**
 * options_parse_common:
 * @cli: where the options go
 * @argc: number of words in @argv
 * @argv: the words; [0] is the program's name
 * @description: stands below the options in --help
 * @error: return location
 *
 * Ends the program for --help and --version.
 *
 * Returns: the place of the first word that is no option; -1 with @error
 */
int
options_parse_common (Cli         *cli,
                      int          argc,
                      char       **argv,
                      const char  *description,
                      GError     **error)
{
  gboolean version = FALSE;
  const GOptionEntry entries[] = {
    { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Say the version", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("COMMAND [ARGUMENT...]");
  g_autofree char **words = g_memdup2 (argv, sizeof (char *) * ((gsize) argc + 1));
  int left = argc;

  g_option_context_set_main_group (context, common_group (cli));
  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_strict_posix (context, TRUE);
  g_option_context_set_summary (context, "Backups and images of running guests, taken by qsnapd.");
  g_option_context_set_description (context, description);
  if (!g_option_context_parse (context, &left, &words, error))
    {
      point_to_help (error, NULL);
      return -1;
    }
  if (version)
    {
      g_print ("qsnap %s\n", QSNAPD_VERSION);
      exit (EXIT_SUCCESS);
    }
  return argc - left + 1;
}

static void
set_help (GOptionContext *context,
          const Command  *command)
{
  g_autofree char *description = g_strdup_printf ("Examples:\n%s", command->examples);

  g_option_context_set_summary (context, command->summary);
  g_option_context_set_description (context, description);
}

/* The last part of a name such as --json that was misspelt would be an argument otherwise. */
static gboolean
check_count (const Command  *command,
             guint           count,
             GError        **error)
{
  if (count >= command->arguments_min && count <= command->arguments_max)
    return TRUE;

  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "%s arguments: qsnap %s %s\nSee qsnap %s --help.",
               count < command->arguments_min ? "too few" : "too many", command->name,
               command->arguments, command->name);
  return FALSE;
}

/**
 * options_parse:
 * @cli: where the common options go, and the client
 * @command: whose words these are
 * @entries: (nullable): the command's own options
 * @arguments: (inout): the words; afterwards those that are no options
 * @error: return location
 *
 * Ends the program for --help.
 *
 * Returns: whether the words are right; else a #GOptionError or %CLI_ERROR_USAGE
 */
gboolean
options_parse (Cli                 *cli,
               const Command       *command,
               const GOptionEntry  *entries,
               char              ***arguments,
               GError             **error)
{
  g_autofree char *program = g_strdup_printf ("qsnap %s", command->name);
  g_autoptr (GOptionContext) context = g_option_context_new (command->arguments);
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  /* GOption forgets what it overwrites. */
  g_autofree char *earlier = g_steal_pointer (&cli->socket);
  char **left;
  int count;

  g_ptr_array_add (words, (gpointer) "qsnap");
  for (char **each = *arguments; *each != NULL; each++)
    g_ptr_array_add (words, *each);
  count = (int) words->len;
  g_ptr_array_add (words, NULL);
  left = (char **) words->pdata;

  g_set_prgname (program);
  g_option_context_set_main_group (context, common_group (cli));
  if (entries != NULL)
    g_option_context_add_main_entries (context, entries, NULL);
  set_help (context, command);
  if (!g_option_context_parse (context, &count, &left, error))
    {
      point_to_help (error, command->name);
      return FALSE;
    }

  /* "--" may stay in front of the arguments. */
  left++;
  if (*left != NULL && strcmp (*left, "--") == 0)
    left++;
  if (!check_count (command, g_strv_length (left), error))
    return FALSE;

  for (guint i = 0;; i++)
    {
      (*arguments)[i] = left[i];
      if (left[i] == NULL)
        break;
    }
  if (cli->socket == NULL)
    cli->socket = g_steal_pointer (&earlier);
  cli->client = client_new (cli->socket != NULL ? cli->socket : default_socket ());
  return TRUE;
}
