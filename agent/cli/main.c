/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands of qsnap. */

#include "commands.h"
#include "error.h"
#include "options.h"
#include "output.h"

#include <locale.h>
#include <string.h>

static const Command commands[] = {
  { "attach", "MONITOR", 1, 1, "Attach a guest by the socket of its QEMU monitor.",
    "  qsnap attach /run/vm/web.qmp\n"
    "  qsnap attach /run/vm/web.qmp --agent /run/vm/web.qga --id web\n"
    "  qsnap attach /run/vm/db.qmp --overlay-folder /srv/overlays    (disks on block devices)\n",
    command_attach },
  { "detach", "GUEST", 1, 1, "Let go of a guest; it runs on.",
    "  qsnap detach web\n",
    command_detach },
  { "guests", "", 0, 0, "List the guests.",
    "  qsnap guests\n"
    "  qsnap guests --json | jq -r '.guests[].id'\n",
    command_guests },
  { "disks", "GUEST", 1, 1, "Show the disks of a guest, each with its chain of layers.",
    "  qsnap disks web\n",
    command_disks },
  { "snapshot", "GUEST [NAME]", 1, 2, "Take a point of all disks, and upload the frozen layers.",
    "  qsnap snapshot web\n"
    "  qsnap snapshot web before-upgrade --quiesce try\n"
    "  qsnap snapshot web --disk disk0 --disk disk1 --image none     (take the point only)\n"
    "  qsnap snapshot web --no-wait --json | jq -r .id               (wait later: qsnap show ID)\n",
    command_snapshot },
  { "snapshots", "GUEST", 1, 1, "List the points of a guest, oldest first.",
    "  qsnap snapshots web\n",
    command_snapshots },
  { "images", "[delete ID...]", 0, G_MAXUINT, "List the images of the store, or delete some.",
    "  qsnap images\n"
    "  qsnap images delete 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55\n",
    command_images },
  { "operations", "", 0, 0, "List the operations that run.",
    "  qsnap operations\n"
    "  qsnap operations --all --guest web                            (also those that are over)\n",
    command_operations },
  { "show", "ID", 1, 1, "Show an operation, an image or a guest.",
    "  qsnap show 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55\n"
    "  qsnap show web\n"
    "  qsnap show ID --wait                                          (until it is over)\n",
    command_show },
  { "cancel", "ID", 1, 1, "Cancel an operation; it cleans up after itself.",
    "  qsnap cancel 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55\n",
    command_cancel },
  { "health", "", 0, 0, "Ask the daemon how it is.",
    "  qsnap health\n",
    command_health },
};

static char *
describe_commands (void)
{
  g_autoptr (GString) text = g_string_new ("Commands:\n");

  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      g_autofree char *usage = g_strdup_printf ("%s %s", commands[i].name, commands[i].arguments);

      g_string_append_printf (text, "  %-24s %s\n", usage, commands[i].summary);
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

  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (commands[i].name, name) == 0)
      return &commands[i];

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
  Cli cli = { NULL, FALSE, NULL };
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
