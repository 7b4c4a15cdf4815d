/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands about what the daemon does: its operations, "show", which takes the id of
 * anything, and its health. */

#include "ask.h"
#include "error.h"
#include "fields.h"
#include "members.h"
#include "options.h"
#include "output.h"
#include "table.h"
#include "text.h"
#include "wait.h"

/* "running" alone would not say that nothing moves. */
static const char *
describe_state (JsonObject *operation)
{
  const char *state = field_text (operation, "state");

  if (g_strcmp0 (state, "running") != 0)
    return state;
  if (field_object (operation, "waiting") != NULL)
    return "waiting";
  return field_bool (operation, "paused") ? "paused" : state;
}

static char *
describe_done (JsonObject *operation)
{
  JsonObject *progress = field_object (operation, "progress");
  gint64 done = field_int (progress, "done", 0);
  gint64 total = field_int (progress, "total", 0);

  if (total <= 0)
    return g_strdup ("-");
  /* It may have been less work than it looked like. */
  if (g_strcmp0 (field_text (operation, "state"), "succeeded") == 0)
    done = total;
  return g_strdup_printf ("%d%%", (int) ((double) done / (double) total * 100));
}

static void
add_operation (Table      *table,
               JsonObject *operation)
{
  const char *problem = field_text (field_object (operation, "error"), "message");

  table_add (table, field_text (operation, "id"));
  table_add (table, field_text (operation, "guest"));
  table_add (table, field_text (operation, "kind"));
  table_add (table, describe_state (operation));
  table_add (table, field_text (operation, "step"));
  table_take (table, describe_done (operation));
  table_take (table, text_time (field_text (operation, "created")));
  table_add (table, problem != NULL ? problem
                                    : field_text (field_object (operation, "waiting"), "message"));
}

static gboolean
operations (Cli            *cli,
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
  JsonArray *list;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;

  escaped = guest != NULL ? g_uri_escape_string (guest, NULL, FALSE) : NULL;
  path = g_strconcat ("/v1/operations", escaped != NULL ? "?guest=" : NULL, escaped, NULL);
  answer = client_get (cli->client, path, error);
  if (answer == NULL)
    return FALSE;

  list = field_array (json_node_get_object (answer), "operations");
  for (guint i = array_length (list); !all && i > 0; i--)
    if (wait_is_over (array_object (list, i - 1)))
      json_array_remove_element (list, i - 1);

  if (cli->json)
    {
      output_json (answer);
      return TRUE;
    }
  table = table_new ("OPERATION", "GUEST", "KIND", "STATE", "STEP", ">DONE", "CREATED (UTC)",
                     "ERROR", NULL);
  for (guint i = 0; i < array_length (list); i++)
    add_operation (table, array_object (list, i));
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

static gboolean
show (Cli            *cli,
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

static gboolean
cancel (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  g_autofree char *path = NULL;
  g_autoptr (JsonNode) answer = NULL;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  path = client_path ("operations", arguments[0], NULL);
  if (!client_call (cli->client, "DELETE", path, NULL, NULL, NULL, &answer, error))
    return FALSE;
  if (cli->json && answer != NULL)
    output_json (answer);
  output_line (cli, "Operation %s is being cancelled; qsnap show %s --wait waits for its end.",
               arguments[0], arguments[0]);
  return TRUE;
}

/* @change: (transfer full) */
static JsonNode *
change_operation (Cli         *cli,
                  const char  *id,
                  JsonObject  *change,
                  GError     **error)
{
  g_autofree char *path = client_path ("operations", id, NULL);
  JsonNode *body = json_node_new (JSON_NODE_OBJECT);
  JsonNode *answer;

  json_node_take_object (body, change);
  answer = client_ask (cli->client, "PATCH", path, body, NULL, NULL, error);
  if (answer != NULL && cli->json)
    output_json (answer);
  return answer;
}

static gboolean
set_paused (Cli            *cli,
            const Command  *command,
            char          **arguments,
            gboolean        paused,
            GError        **error)
{
  g_autoptr (JsonNode) answer = NULL;
  JsonObject *change;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  change = json_object_new ();
  json_object_set_boolean_member (change, "paused", paused);
  answer = change_operation (cli, arguments[0], change, error);
  if (answer == NULL)
    return FALSE;
  if (paused)
    output_line (cli, "Operation %s waits; qsnap resume %s lets it go on.", arguments[0],
                 arguments[0]);
  else
    output_line (cli, "Operation %s goes on.", arguments[0]);
  return TRUE;
}

static gboolean
pause_operation (Cli            *cli,
                 const Command  *command,
                 char          **arguments,
                 GError        **error)
{
  return set_paused (cli, command, arguments, TRUE, error);
}

static gboolean
resume_operation (Cli            *cli,
                  const Command  *command,
                  char          **arguments,
                  GError        **error)
{
  return set_paused (cli, command, arguments, FALSE, error);
}

static gboolean
speed (Cli            *cli,
       const Command  *command,
       char          **arguments,
       GError        **error)
{
  g_autoptr (JsonObject) change = json_object_new ();
  g_autoptr (JsonNode) answer = NULL;
  g_autofree char *rate = NULL;
  gint64 bytes;

  if (!options_parse (cli, command, NULL, &arguments, error) ||
      !members_set_bytes (change, "speed", "RATE", arguments[1], error))
    return FALSE;

  bytes = json_object_get_int_member (change, "speed");
  answer = change_operation (cli, arguments[0], g_steal_pointer (&change), error);
  if (answer == NULL)
    return FALSE;
  rate = text_size (bytes);
  if (bytes > 0)
    output_line (cli, "Operation %s moves %s a second at most.", arguments[0], rate);
  else
    output_line (cli, "Operation %s goes as fast as it can.", arguments[0]);
  return TRUE;
}

static gboolean
health (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  return options_parse (cli, command, NULL, &arguments, error) &&
         ask_and_print (cli, "/v1/health", output_members, error);
}

static gboolean
reload (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  g_autoptr (JsonNode) answer = NULL;
  JsonArray *waiting;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  answer = client_ask (cli->client, "POST", "/v1/reload", NULL, NULL, NULL, error);
  if (answer == NULL)
    return FALSE;
  if (cli->json)
    output_json (answer);

  output_line (cli, "The daemon has read its settings again.");
  waiting = field_array (json_node_get_object (answer), "need_restart");
  for (guint i = 0; i < array_length (waiting); i++)
    {
      JsonNode *key = json_array_get_element (waiting, i);

      if (json_node_get_value_type (key) == G_TYPE_STRING)
        output_line (cli, "%s changes when the daemon is started again.",
                     json_node_get_string (key));
    }
  return TRUE;
}

const Command operation_commands[] = {
  { "operations", "", 0, 0, "List the operations that run.",
    "  qsnap operations\n"
    "  qsnap operations --all --guest web                            (also those that are over)\n",
    operations },
  { "show", "ID", 1, 1, "Show an operation, an image or a guest.",
    "  qsnap show 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55\n"
    "  qsnap show web\n"
    "  qsnap show ID --wait                                          (until it is over)\n",
    show },
  { "cancel", "ID", 1, 1, "Cancel an operation; it cleans up after itself.",
    "  qsnap cancel 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55\n",
    cancel },
  { "pause", "ID", 1, 1, "Let an operation on a chain wait.",
    "  qsnap pause 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55\n",
    pause_operation },
  { "resume", "ID", 1, 1, "Let it go on, also after an error that it waits at.",
    "  qsnap resume 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55\n",
    resume_operation },
  { "speed", "ID RATE", 2, 2, "Limit how fast an operation on a chain moves data.",
    "  qsnap speed 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55 50M          (bytes a second)\n"
    "  qsnap speed 3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55 max\n",
    speed },
  { "health", "", 0, 0, "Ask the daemon how it is.",
    "  qsnap health\n",
    health },
  { "reload", "", 0, 0, "Have the daemon read its settings again.",
    "  qsnap reload\n",
    reload },
  { NULL }
};
