/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands about operations, and "show", which takes the id of anything. */

#include "commands.h"
#include "error.h"
#include "fields.h"
#include "options.h"
#include "output.h"
#include "table.h"
#include "text.h"
#include "wait.h"

static void
add_operation (Table      *table,
               JsonObject *operation)
{
  JsonObject *progress = field_object (operation, "progress");
  gint64 done = field_int (progress, "done", 0);
  gint64 total = field_int (progress, "total", 0);

  table_add (table, field_text (operation, "id"));
  table_add (table, field_text (operation, "guest"));
  table_add (table, field_text (operation, "kind"));
  table_add (table, field_text (operation, "state"));
  table_add (table, field_text (operation, "step"));
  table_take (table, total > 0 ? g_strdup_printf ("%d%%", (int) ((double) done / (double) total
                                                                 * 100))
                               : g_strdup ("-"));
  table_take (table, text_time (field_text (operation, "created")));
  table_add (table, field_text (field_object (operation, "error"), "message"));
}

/**
 * command_operations:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Lists the operations.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_operations (Cli            *cli,
                    const Command  *command,
                    char          **arguments,
                    GError        **error)
{
  g_autofree char *guest = NULL;
  gboolean all = FALSE;
  const GOptionEntry entries[] = {
    { "guest", 'g', 0, G_OPTION_ARG_STRING, &guest, "Those of this guest only", "GUEST" },
    { "all", 'a', 0, G_OPTION_ARG_NONE, &all, "Also those that are over", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autofree char *escaped = NULL;
  g_autofree char *path = NULL;
  g_autoptr (JsonNode) answer = NULL;
  g_autoptr (Table) table = NULL;
  JsonArray *operations;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;

  escaped = guest != NULL ? g_uri_escape_string (guest, NULL, FALSE) : NULL;
  path = g_strconcat ("/v1/operations", escaped != NULL ? "?guest=" : NULL, escaped, NULL);
  answer = client_get (cli->client, path, error);
  if (answer == NULL)
    return FALSE;

  operations = field_array (json_node_get_object (answer), "operations");
  for (guint i = array_length (operations); !all && i > 0; i--)
    if (wait_is_over (array_object (operations, i - 1)))
      json_array_remove_element (operations, i - 1);

  if (cli->json)
    {
      output_json (answer);
      return TRUE;
    }
  table = table_new ("OPERATION", "GUEST", "KIND", "STATE", "STEP", ">DONE", "CREATED (UTC)",
                     "ERROR", NULL);
  for (guint i = 0; i < array_length (operations); i++)
    add_operation (table, array_object (operations, i));
  table_print (table);
  return TRUE;
}

/* An operation, else an image, else a guest; the error is that of the last. */
static JsonNode *
find_anything (Cli         *cli,
               const char  *id,
               GError     **error)
{
  static const char *const kinds[] = { "operations", "images", "guests" };
  g_autoptr (GError) problem = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *path = client_path (kinds[i], id, NULL);
      JsonNode *answer;

      g_clear_error (&problem);
      answer = client_get (cli->client, path, &problem);
      if (answer != NULL)
        return answer;
      /* A store that refuses the form of an id does not have it either. */
      if (!g_error_matches (problem, CLI_ERROR, CLI_ERROR_NOT_FOUND) &&
          !g_error_matches (problem, CLI_ERROR, CLI_ERROR_USAGE))
        break;
    }

  if (g_error_matches (problem, CLI_ERROR, CLI_ERROR_NOT_FOUND))
    g_set_error (error, CLI_ERROR, CLI_ERROR_NOT_FOUND,
                 "there is no operation, image or guest \"%s\"", id);
  else
    g_propagate_error (error, g_steal_pointer (&problem));
  return NULL;
}

/**
 * command_show:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Shows an operation, an image or a guest.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_show (Cli            *cli,
              const Command  *command,
              char          **arguments,
              GError        **error)
{
  gboolean wait = FALSE;
  const GOptionEntry entries[] = {
    { "wait", 'w', 0, G_OPTION_ARG_NONE, &wait, "Wait until the operation is over", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (JsonNode) answer = NULL;
  gboolean waited;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;

  answer = find_anything (cli, arguments[0], error);
  if (answer == NULL)
    return FALSE;

  waited = wait && field_object (json_node_get_object (answer), "progress") != NULL;
  if (waited)
    {
      answer = wait_for_operation (cli, g_steal_pointer (&answer), error);
      if (answer == NULL)
        return FALSE;
    }
  if (cli->json)
    output_json (answer);
  else
    output_members (json_node_get_object (answer));
  return !waited || wait_check_success (json_node_get_object (answer), error);
}

/**
 * command_cancel:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Cancels an operation.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_cancel (Cli            *cli,
                const Command  *command,
                char          **arguments,
                GError        **error)
{
  g_autofree char *path = NULL;
  g_autoptr (JsonNode) answer = NULL;
  g_autoptr (GError) problem = NULL;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  path = client_path ("operations", arguments[0], NULL);
  answer = client_call (cli->client, "DELETE", path, NULL, NULL, NULL, &problem);
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (cli->json && answer != NULL)
    output_json (answer);
  output_line (cli, "Operation %s is being cancelled; qsnap show %s --wait waits for its end.",
               arguments[0], arguments[0]);
  return TRUE;
}
