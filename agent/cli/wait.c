/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to wait for an operation, how to stop waiting, and how its end is told. */

#include "wait.h"

#include "error.h"
#include "fields.h"
#include "output.h"
#include "progress.h"

#include <glib-unix.h>

#include <string.h>

/**
 * wait_is_over:
 * @operation: as the daemon shows it
 *
 * Returns: whether it neither runs nor will
 */
gboolean
wait_is_over (JsonObject *operation)
{
  const char *state = field_text (operation, "state");

  return state == NULL || (strcmp (state, "queued") != 0 && strcmp (state, "running") != 0);
}

/* What stays although the operation has failed: a point that was taken, and an overlay that nobody
 * wanted to outlive it. */
static void
append_what_stays (GString    *text,
                   JsonObject *operation)
{
  const char *guest = field_text (operation, "guest");
  const char *point = field_text (field_object (operation, "result"), "point");
  gboolean is_image = g_strcmp0 (field_text (operation, "kind"), "image") == 0;
  JsonArray *disks = field_array (field_object (operation, "result"), "disks");

  for (guint i = 0; i < array_length (disks); i++)
    {
      JsonObject *disk = array_object (disks, i);
      const char *name = field_text (disk, "disk");
      const char *reason = field_text (disk, "kept");

      if (name != NULL && reason != NULL)
        g_string_append_printf (text, "\nDisk %s %s: %s", name,
                                is_image ? "keeps its overlay" : "stays where it is", reason);
    }
  if (g_strcmp0 (field_text (operation, "kind"), "snapshot") == 0 && point != NULL && guest != NULL)
    g_string_append_printf (text, "\nThe point that it has taken stays: qsnap delete %s %s deletes "
                            "it.", guest, point);
}

/**
 * wait_check_success:
 * @operation: one that is over
 * @error: return location
 *
 * Returns: whether it has succeeded; else %CLI_ERROR_FAILED, with its error, hint, and what is left
 *   of it
 */
gboolean
wait_check_success (JsonObject  *operation,
                    GError     **error)
{
  const char *state = field_text (operation, "state");
  const char *id = field_text (operation, "id");
  JsonObject *problem = field_object (operation, "error");
  const char *text = field_text (problem, "message");
  const char *hint = field_text (problem, "hint");
  const char *waited_for = field_text (field_object (operation, "waiting"), "message");
  g_autoptr (GString) words = NULL;

  if (g_strcmp0 (state, "succeeded") == 0)
    return TRUE;

  words = g_string_new (g_strcmp0 (state, "cancelled") == 0 ? "was cancelled" : "failed");
  if (text != NULL)
    g_string_append_printf (words, ": %s", text);
  if (hint != NULL)
    g_string_append_printf (words, "\n%s", hint);
  if (waited_for != NULL)
    g_string_append_printf (words, "\n%s", waited_for);
  append_what_stays (words, operation);
  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "operation %s %s", id != NULL ? id : "?",
               words->str);
  return FALSE;
}

static gboolean
interrupted (gpointer user_data)
{
  g_cancellable_cancel (G_CANCELLABLE (user_data));
  return G_SOURCE_CONTINUE;
}

static void
explain_interrupt (const char  *id,
                   GError     **error)
{
  g_clear_error (error);
  g_set_error (error, CLI_ERROR, CLI_ERROR_INTERRUPTED,
               "stopped waiting; operation %s goes on\n"
               "qsnap show %s --wait waits again, qsnap cancel %s cancels it.", id, id, id);
}

static void
explain_loss (const char  *id,
              GError     **error)
{
  g_clear_error (error);
  g_set_error (error, CLI_ERROR, CLI_ERROR_UNREACHABLE,
               "lost the daemon; operation %s is taken up again when it is back\n"
               "Then: qsnap show %s --wait", id, id);
}

/**
 * wait_for_operation:
 * @cli: the daemon
 * @operation: (transfer full): the operation as the daemon showed it last
 * @error: return location
 *
 * Returns: (transfer full): the operation when it is over, however it went; on failure %NULL with a
 *   %CLI_ERROR
 */
JsonNode *
wait_for_operation (Cli       *cli,
                    JsonNode  *operation,
                    GError   **error)
{
  g_autoptr (JsonNode) latest = operation;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (Progress) progress = progress_new ();
  g_autoptr (GError) problem = NULL;
  g_autofree char *id = g_strdup (field_text (json_node_get_object (latest), "id"));
  g_autofree char *plain_path = NULL;
  g_autofree char *path = NULL;
  guint signal_source;

  if (id == NULL)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "the answer is no operation");
      return NULL;
    }

  plain_path = client_path ("operations", id, NULL);
  path = g_strconcat (plain_path, "?wait=1", NULL);
  signal_source = g_unix_signal_add (SIGINT, interrupted, cancellable);

  while (problem == NULL && !wait_is_over (json_node_get_object (latest)))
    {
      JsonNode *next;

      progress_show (progress, json_node_get_object (latest));
      next = client_ask (cli->client, "GET", path, NULL, NULL, cancellable, &problem);
      if (next != NULL)
        {
          json_node_unref (latest);
          latest = next;
        }
    }

  g_source_remove (signal_source);
  if (g_error_matches (problem, CLI_ERROR, CLI_ERROR_INTERRUPTED))
    explain_interrupt (id, &problem);
  else if (g_error_matches (problem, CLI_ERROR, CLI_ERROR_UNREACHABLE))
    explain_loss (id, &problem);
  if (problem == NULL)
    return g_steal_pointer (&latest);

  g_propagate_error (error, g_steal_pointer (&problem));
  return NULL;
}

/**
 * wait_and_print:
 * @cli: the daemon, and whether there is --json
 * @begun: (transfer full): an operation that has begun
 * @wait: whether to wait for its end; else it is told how to
 * @print: prints an operation that has succeeded, for people
 * @error: return location
 *
 * Returns: whether it has succeeded, or begun without @wait; else a %CLI_ERROR
 */
gboolean
wait_and_print (Cli       *cli,
                JsonNode  *begun,
                gboolean   wait,
                Printer    print,
                GError   **error)
{
  g_autoptr (JsonNode) operation = begun;

  if (wait)
    operation = wait_for_operation (cli, g_steal_pointer (&operation), error);
  if (operation == NULL)
    return FALSE;

  if (cli->json)
    output_json (operation);
  if (!wait)
    {
      const char *id = field_text (json_node_get_object (operation), "id");

      output_line (cli, "Operation %s; qsnap show %s --wait waits for it.", id, id);
      return TRUE;
    }
  if (!wait_check_success (json_node_get_object (operation), error))
    return FALSE;
  if (!cli->json)
    print (json_node_get_object (operation));
  return TRUE;
}
