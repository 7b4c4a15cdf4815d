/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands' commonest form: one question, and its answer printed. */

#include "ask.h"

#include "options.h"
#include "output.h"

/**
 * ask_and_print:
 * @cli: the daemon, and whether there is --json
 * @path: what to ask for
 * @print: prints the answer for people
 * @error: return location
 *
 * Returns: whether there was an answer; else a %CLI_ERROR
 */
gboolean
ask_and_print (Cli         *cli,
               const char  *path,
               Printer      print,
               GError     **error)
{
  g_autoptr (JsonNode) answer = client_get (cli->client, path, error);

  if (answer == NULL)
    return FALSE;
  if (cli->json)
    output_json (answer);
  else
    print (json_node_get_object (answer));
  return TRUE;
}

/**
 * ask_of_guest:
 * @cli: the daemon, and whether there is --json
 * @command: a command
 * @arguments: the words behind its name
 * @rest: of the path, escaped
 * @print: prints the answer for people
 * @error: return location
 *
 * Returns: whether there was an answer; else a %CLI_ERROR
 */
gboolean
ask_of_guest (Cli            *cli,
              const Command  *command,
              char          **arguments,
              const char     *rest,
              Printer         print,
              GError        **error)
{
  g_autofree char *path = NULL;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  path = client_path ("guests", arguments[0], rest);
  return ask_and_print (cli, path, print, error);
}
