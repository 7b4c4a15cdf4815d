/* SPDX-License-Identifier: Apache-2.0 */

/* Knows qsnap from its words to its exit status. */

#include "commands.h"
#include "error.h"
#include "options.h"
#include "output.h"

#include <locale.h>
#include <string.h>

static const Command *const command_groups[] = {
  guest_commands, point_commands, tree_commands, chain_commands, image_commands,
  operation_commands, journal_commands,
};

static char *
describe_commands (void)
{
  g_autoptr (GString) text = g_string_new ("Commands:\n");

  for (gsize i = 0; i < G_N_ELEMENTS (command_groups); i++)
    for (const Command *command = command_groups[i]; command->name != NULL; command++)
      {
        g_autofree char *usage = g_strdup_printf ("%s %s", command->name, command->arguments);

        g_string_append_printf (text, "  %-24s %s\n", usage, command->summary);
      }
  g_string_append (text,
                   "\n"
                   "qsnap COMMAND --help explains a command by example.\n"
                   "\n"
                   "Exit status: 0 success, 1 failed, 2 wrong usage, 3 no daemon answers,\n"
                   "4 not found, 5 conflict, 6 unavailable or too late, 7 denied, 130 Ctrl-C.\n");
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static const Command *
find_command (const char  *name,
              GError     **error)
{
  if (name == NULL)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "no command\nSee qsnap --help.");
      return NULL;
    }

  for (gsize i = 0; i < G_N_ELEMENTS (command_groups); i++)
    for (const Command *command = command_groups[i]; command->name != NULL; command++)
      if (strcmp (command->name, name) == 0)
        return command;

  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "unknown command \"%s\"\nSee qsnap --help.",
               name);
  return NULL;
}

static gboolean
run (Cli     *cli,
     int      argc,
     char   **argv,
     GError **error)
{
  g_autofree char *description = describe_commands ();
  int place = options_parse_common (cli, argc, argv, description, error);
  const Command *command;

  if (place < 0)
    return FALSE;
  command = find_command (argv[place], error);
  return command != NULL && command->run (cli, command, argv + place + 1, error);
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GError) error = NULL;
  Cli cli = { 0 };
  int status = 0;

  setlocale (LC_ALL, "");
  if (!run (&cli, argc, argv, &error))
    {
      output_error (&cli, error);
      status = cli_error_to_exit (error);
    }
  g_clear_pointer (&cli.client, client_free);
  g_free (cli.socket);
  return status;
}
