/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands' commonest form: one question, and its answer printed. */

#include "ask.h"

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
