/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the daemon is asked, and what its refusals are. */

#include "client.h"

#include "error.h"
#include "fields.h"

#include <gio/gunixsocketaddress.h>
#include <libsoup/soup.h>

#include <string.h>

#define ANSWER_TIMEOUT 360      /* seconds; the daemon itself waits for 300 at most */

struct _Client
{
  char        *socket_path;
  SoupSession *session;
  JsonNode    *refusal;
  gboolean     warned;          /* of what the daemon says with each answer */
};

typedef struct
{
  GBytes   *bytes;
  GError   *error;
  gboolean  done;
} Answer;

/**
 * client_new:
 * @socket_path: where the daemon listens
 *
 * Returns: (transfer full): a client; it connects with its first call
 */
Client *
client_new (const char *socket_path)
{
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (socket_path);
  Client *self = g_new0 (Client, 1);

  self->socket_path = g_strdup (socket_path);
  self->session = soup_session_new_with_options ("remote-connectable", address,
                                                 "proxy-resolver", NULL,
                                                 "timeout", ANSWER_TIMEOUT, NULL);
  return self;
}

/**
 * client_free:
 * @self: (transfer full): the client; calls that run are given up
 */
void
client_free (Client *self)
{
  soup_session_abort (self->session);
  g_object_unref (self->session);
  g_clear_pointer (&self->refusal, json_node_unref);
  g_free (self->socket_path);
  g_free (self);
}

/**
 * client_get_refusal:
 * @self: the client
 *
 * Returns: (transfer none) (nullable): the answer to the last call that the daemon refused
 */
JsonNode *
client_get_refusal (Client *self)
{
  return self->refusal;
}

/**
 * client_path:
 * @kind: "guests", "operations" or "images"
 * @name: the name of one of them, as it is
 * @rest: (nullable): what follows
 *
 * Returns: (transfer full): the path of a request, with @name escaped
 */
char *
client_path (const char *kind,
             const char *name,
             const char *rest)
{
  g_autofree char *escaped = g_uri_escape_string (name, NULL, FALSE);

  return g_strconcat ("/v1/", kind, "/", escaped, rest != NULL ? "/" : NULL, rest, NULL);
}

static void
answered (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  Answer *answer = user_data;

  answer->bytes = soup_session_send_and_read_finish (SOUP_SESSION (source), result, &answer->error);
  answer->done = TRUE;
}

static void
explain_connection (Client        *self,
                    const GError  *problem,
                    GError       **error)
{
  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_set_error (error, CLI_ERROR, CLI_ERROR_INTERRUPTED, "interrupted");
  else if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED))
    g_set_error (error, CLI_ERROR, CLI_ERROR_DENIED,
                 "may not connect to %s\nRun as root, or as a member of the socket's group.",
                 self->socket_path);
  else if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    g_set_error (error, CLI_ERROR, CLI_ERROR_UNAVAILABLE, "the daemon did not answer in %d seconds",
                 ANSWER_TIMEOUT);
  else
    g_set_error (error, CLI_ERROR, CLI_ERROR_UNREACHABLE,
                 "no daemon answers at %s: %s\nStart qsnapd, or name its socket with --socket or "
                 "QSNAPD_SOCKET.", self->socket_path, problem->message);
}

/* The answer as JSON; NULL with or without error. */
static JsonNode *
parse_answer (GBytes  *bytes,
              GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) problem = NULL;

  if (g_bytes_get_size (bytes) == 0)
    return NULL;
  if (json_parser_load_from_data (parser, g_bytes_get_data (bytes, NULL),
                                  (gssize) g_bytes_get_size (bytes), &problem))
    return json_parser_steal_root (parser);

  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "the answer is no JSON: %s", problem->message);
  return NULL;
}

/* Once, whatever a command asks for. */
static void
tell_warning (Client      *self,
              SoupMessage *message)
{
  const char *warning = soup_message_headers_get_one (soup_message_get_response_headers (message),
                                                      "Warning");
  const char *text = warning != NULL ? strchr (warning, '"') : NULL;
  const char *end = text != NULL ? strchr (text + 1, '"') : NULL;
  g_autofree char *plain = NULL;

  /* A refusal says it itself. */
  if (end == NULL || self->warned || !SOUP_STATUS_IS_SUCCESSFUL (soup_message_get_status (message)))
    return;

  plain = g_strndup (text + 1, (gsize) (end - text - 1));
  g_printerr ("qsnap: warning: %s\n", plain);
  self->warned = TRUE;
}

static void
explain_refusal (Client       *self,
                 SoupMessage  *message,
                 JsonNode     *answer,
                 GError      **error)
{
  guint status = soup_message_get_status (message);
  JsonObject *refusal = answer != NULL && JSON_NODE_HOLDS_OBJECT (answer)
                        ? field_object (json_node_get_object (answer), "error") : NULL;
  const char *text = field_text (refusal, "message");
  const char *hint = field_text (refusal, "hint");

  if (text != NULL)
    {
      g_clear_pointer (&self->refusal, json_node_unref);
      self->refusal = json_node_ref (answer);
    }
  g_set_error (error, CLI_ERROR, (int) cli_error_from_http (status), "%s%s%s",
               text != NULL ? text : soup_status_get_phrase (status), hint != NULL ? "\n" : "",
               hint != NULL ? hint : "");
}

/**
 * client_call:
 * @self: the client
 * @method: an HTTP method
 * @path: what to ask
 * @body: (transfer full) (nullable): what to send
 * @idempotency_key: (nullable): makes a repeated request harmless
 * @cancellable: (nullable): ends the waiting; what was asked for may happen all the same
 * @answer: (out) (optional) (nullable) (transfer full): the answer, %NULL when it has no body
 * @error: return location
 *
 * Returns: whether the daemon did as it was told; else a %CLI_ERROR, whose hint stands on a second
 *   line
 */
gboolean
client_call (Client        *self,
             const char    *method,
             const char    *path,
             JsonNode      *body,
             const char    *idempotency_key,
             GCancellable  *cancellable,
             JsonNode     **answer,
             GError       **error)
{
  g_autofree char *uri = g_strconcat ("http://localhost", path, NULL);
  g_autoptr (SoupMessage) message = soup_message_new (method, uri);
  g_autoptr (JsonNode) sent = body;
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (GBytes) received = NULL;
  g_autoptr (GError) problem = NULL;
  Answer arrived = { NULL, NULL, FALSE };

  if (sent != NULL)
    {
      char *text = json_to_string (sent, FALSE);
      g_autoptr (GBytes) bytes = g_bytes_new_take (text, strlen (text));

      soup_message_set_request_body_from_bytes (message, "application/json", bytes);
    }
  if (idempotency_key != NULL)
    soup_message_headers_replace (soup_message_get_request_headers (message), "Idempotency-Key",
                                  idempotency_key);

  soup_session_send_and_read_async (self->session, message, G_PRIORITY_DEFAULT, cancellable,
                                    answered, &arrived);
  while (!arrived.done)
    g_main_context_iteration (NULL, TRUE);

  received = arrived.bytes;
  problem = arrived.error;
  if (problem != NULL)
    {
      explain_connection (self, problem, error);
      return FALSE;
    }

  tell_warning (self, message);
  node = parse_answer (received, &problem);
  if (!SOUP_STATUS_IS_SUCCESSFUL (soup_message_get_status (message)))
    {
      explain_refusal (self, message, node, error);
      return FALSE;
    }
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (answer != NULL)
    *answer = g_steal_pointer (&node);
  return TRUE;
}

/**
 * client_ask:
 * @self: the client
 * @method: an HTTP method
 * @path: what to ask
 * @body: (transfer full) (nullable): what to send
 * @idempotency_key: (nullable): makes a repeated request harmless
 * @cancellable: (nullable): ends the waiting
 * @error: return location
 *
 * client_call() for what is answered with an object.
 *
 * Returns: (transfer full): the object; on failure %NULL with a %CLI_ERROR
 */
JsonNode *
client_ask (Client        *self,
            const char    *method,
            const char    *path,
            JsonNode      *body,
            const char    *idempotency_key,
            GCancellable  *cancellable,
            GError       **error)
{
  g_autoptr (JsonNode) node = NULL;

  if (!client_call (self, method, path, body, idempotency_key, cancellable, &node, error))
    return NULL;
  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    return g_steal_pointer (&node);

  g_set_error (error, CLI_ERROR, CLI_ERROR_FAILED, "the answer is no object");
  return NULL;
}

/**
 * client_get:
 * @self: the client
 * @path: what to ask
 * @error: return location
 *
 * Returns: (transfer full): the answer, an object; on failure %NULL with a %CLI_ERROR
 */
JsonNode *
client_get (Client      *self,
            const char  *path,
            GError     **error)
{
  return client_ask (self, "GET", path, NULL, NULL, NULL, error);
}
