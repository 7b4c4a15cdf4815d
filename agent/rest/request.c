/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a handler needs of a request, and how long it waits for its answer. */

#include "request.h"

#include "answer.h"
#include "json-body.h"

#include <core/error.h>
#include <glib-unix.h>

struct _Request
{
  SoupServerMessage *message;
  Operations        *operations;
  GPtrArray         *waiting;           /* of GCancellable: all that the server has to cancel */
  GCancellable      *cancellable;
  GSource           *hang_up;
  const Route       *route;
  char             **names;
  GHashTable        *query;
  JsonObject        *body;
  ImageUser         *user;              /* (nullable) */
};

static gboolean
client_hung_up (int          fd,
                GIOCondition condition,
                gpointer     user_data)
{
  g_cancellable_cancel (G_CANCELLABLE (user_data));
  return G_SOURCE_REMOVE;
}

/**
 * request_new:
 * @message: the message, which is paused until the answer
 * @operations: who does the work
 * @waiting: (element-type GCancellable): where to note who waits
 * @route: where it leads
 * @names: (transfer full): the names in the path, decoded
 * @query: (nullable): the decoded query
 *
 * Returns: (transfer full): a request, which ends with its answer
 */
Request *
request_new (SoupServerMessage *message,
             Operations        *operations,
             GPtrArray         *waiting,
             const Route       *route,
             char             **names,
             GHashTable        *query)
{
  Request *self = g_new0 (Request, 1);
  GSocket *socket = soup_server_message_get_socket (message);

  self->message = g_object_ref (message);
  self->operations = g_object_ref (operations);
  self->waiting = g_ptr_array_ref (waiting);
  self->cancellable = g_cancellable_new ();
  self->route = route;
  self->names = names;
  self->query = query != NULL ? g_hash_table_ref (query) : NULL;
  self->body = json_object_new ();

  g_ptr_array_add (waiting, g_object_ref (self->cancellable));
  /* libsoup does not look at the socket of a paused message. A source of GSocket's would apply the
   * idle timeout to the time that we take. */
  self->hang_up = g_unix_fd_source_new (g_socket_get_fd (socket), G_IO_HUP);
  g_source_set_callback (self->hang_up, G_SOURCE_FUNC (client_hung_up),
                         g_object_ref (self->cancellable), g_object_unref);
  g_source_attach (self->hang_up, NULL);
  soup_server_message_pause (message);
  return self;
}

/**
 * request_read:
 * @self: a request that somebody may make
 * @error: return location
 *
 * Returns: whether its parameters and its body make sense; else %AGENT_ERROR_INVALID
 */
gboolean
request_read (Request  *self,
              GError  **error)
{
  SoupMessageBody *sent = soup_server_message_get_request_body (self->message);
  g_autoptr (GBytes) bytes = soup_message_body_flatten (sent);
  JsonObject *body;

  if (!route_check_query (self->route, self->query, error))
    return FALSE;
  if (g_bytes_get_size (bytes) == 0)
    return TRUE;

  body = json_body_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
  if (body == NULL)
    return FALSE;
  json_object_unref (self->body);
  self->body = body;
  return TRUE;
}

/**
 * request_set_user:
 * @self: a request
 * @user: (transfer full): who makes it
 */
void
request_set_user (Request   *self,
                  ImageUser *user)
{
  g_clear_pointer (&self->user, image_user_free);
  self->user = user;
  answer_name_user (self->message, user->user_id, user->project_id);
}

static void
request_end (Request *self)
{
  g_source_destroy (self->hang_up);
  g_source_unref (self->hang_up);
  /* There is nothing to go on with when the server has been stopped meanwhile. */
  if (soup_server_message_get_socket (self->message) != NULL)
    soup_server_message_unpause (self->message);
  g_ptr_array_remove (self->waiting, self->cancellable);
  g_ptr_array_unref (self->waiting);
  g_object_unref (self->cancellable);
  g_object_unref (self->message);
  g_object_unref (self->operations);
  g_clear_pointer (&self->query, g_hash_table_unref);
  json_object_unref (self->body);
  g_clear_pointer (&self->user, image_user_free);
  g_strfreev (self->names);
  g_free (self);
}

/**
 * request_get_operations:
 * @self: a request
 *
 * Returns: (transfer none): who does the work
 */
Operations *
request_get_operations (Request *self)
{
  return self->operations;
}

/**
 * request_get_cancellable:
 * @self: a request
 *
 * Returns: (transfer none): cancelled when the client hangs up or the server stops
 */
GCancellable *
request_get_cancellable (Request *self)
{
  return self->cancellable;
}

/**
 * request_get_route:
 * @self: a request
 *
 * Returns: (transfer none): where it leads
 */
const Route *
request_get_route (Request *self)
{
  return self->route;
}

/**
 * request_get_message:
 * @self: a request
 *
 * Returns: (transfer none): what it came as
 */
SoupServerMessage *
request_get_message (Request *self)
{
  return self->message;
}

/**
 * request_get_name:
 * @self: a request
 *
 * Returns: (nullable): what stands in the path where its pattern has {}, decoded
 */
const char *
request_get_name (Request *self)
{
  return self->names[0];
}

/**
 * request_get_second_name:
 * @self: a request whose pattern has two {}
 *
 * Returns: what stands in the path where its pattern has the second {}, decoded
 */
const char *
request_get_second_name (Request *self)
{
  return self->names[1];
}

/**
 * request_get_query:
 * @self: a request
 * @key: one of its route's parameters
 *
 * Returns: (nullable): the parameter, decoded
 */
const char *
request_get_query (Request    *self,
                   const char *key)
{
  return self->query != NULL ? g_hash_table_lookup (self->query, key) : NULL;
}

/* Whether @key stands in the address without a value: libsoup leaves such parameters out. */
static gboolean
has_lone_key (Request    *self,
              const char *key)
{
  const char *query = g_uri_get_query (soup_server_message_get_uri (self->message));
  g_auto (GStrv) pairs = g_strsplit (query != NULL ? query : "", "&", -1);

  return g_strv_contains ((const char *const *) pairs, key);
}

/**
 * request_get_flag:
 * @self: a request
 * @key: one of its route's parameters
 * @is_set: (out): whether it is true, or stands there without a value
 * @error: return location
 *
 * Returns: whether it makes sense; else %AGENT_ERROR_INVALID
 */
gboolean
request_get_flag (Request     *self,
                  const char  *key,
                  gboolean    *is_set,
                  GError     **error)
{
  const char *value = request_get_query (self, key);

  *is_set = value != NULL ? g_str_equal (value, "true") : has_lone_key (self, key);
  if (value == NULL || *is_set || g_str_equal (value, "false"))
    return TRUE;

  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "%s: must be true or false", key);
  return FALSE;
}

/**
 * request_get_queries:
 * @self: a request
 *
 * Returns: (transfer none) (nullable): all parameters, decoded
 */
GHashTable *
request_get_queries (Request *self)
{
  return self->query;
}

/**
 * request_get_header:
 * @self: a request
 * @header: a header's name
 *
 * Returns: (nullable): the header
 */
const char *
request_get_header (Request    *self,
                    const char *header)
{
  return soup_message_headers_get_one (
    soup_server_message_get_request_headers (self->message), header);
}

/**
 * request_get_user:
 * @self: a request
 *
 * Returns: (transfer none) (nullable): who makes it, where the store's identity service said so
 */
const ImageUser *
request_get_user (Request *self)
{
  return self->user;
}

/**
 * request_get_body:
 * @self: a request
 *
 * Returns: (transfer none): the body; an empty object when none came
 */
JsonObject *
request_get_body (Request *self)
{
  return self->body;
}

/**
 * request_find_guest:
 * @self: a request whose path names a guest
 *
 * Returns: (transfer none) (nullable): the guest; %NULL when @self was answered with an error
 */
Guest *
request_find_guest (Request *self)
{
  g_autoptr (GError) error = NULL;
  Guest *guest = guest_registry_find (operations_get_guests (self->operations),
                                      request_get_name (self), &error);

  if (guest == NULL)
    request_answer_error (self, g_steal_pointer (&error));
  return guest;
}

/**
 * request_answer:
 * @self: (transfer full): the request, which ends
 * @status: an HTTP status
 * @body: (transfer full) (nullable): what to say
 */
void
request_answer (Request  *self,
                guint     status,
                JsonNode *body)
{
  answer_json (self->message, status, body);
  request_end (self);
}

/**
 * request_answer_at:
 * @self: (transfer full): the request, which ends
 * @status: an HTTP status
 * @location: (transfer full): path of what was made
 * @body: (transfer full) (nullable): what to say
 */
void
request_answer_at (Request  *self,
                   guint     status,
                   char     *location,
                   JsonNode *body)
{
  soup_message_headers_replace (soup_server_message_get_response_headers (self->message),
                                "Location", location);
  g_free (location);
  request_answer (self, status, body);
}

/**
 * request_answer_error:
 * @self: (transfer full): the request, which ends
 * @error: (transfer full): why
 *
 * For what went wrong with the caller's token there is request_refuse(): here it can only be the
 * daemon's that somebody does not take. With 401 clients would get a new one, and ask again.
 */
void
request_answer_error (Request *self,
                      GError  *error)
{
  if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_UNAUTHORIZED))
    error->code = AGENT_ERROR_STORE;
  request_refuse (self, error);
}

/**
 * request_refuse:
 * @self: (transfer full): the request, which ends
 * @error: (transfer full): why its sender may not have it
 */
void
request_refuse (Request *self,
                GError  *error)
{
  answer_error (self->message, error);
  request_end (self);
}

/**
 * request_get_base:
 * @self: a request
 *
 * Returns: (transfer full): how the client calls us, to lead it to another path
 */
char *
request_get_base (Request *self)
{
  const char *host = request_get_header (self, "Host");
  GUri *uri = soup_server_message_get_uri (self->message);

  if (host != NULL && host[0] != '\0')
    return g_strconcat ("http://", host, NULL);

  /* HTTP/1.0 need not say. */
  return g_uri_join (G_URI_FLAGS_NONE, "http", NULL, g_uri_get_host (uri), g_uri_get_port (uri), "",
                     NULL, NULL);
}

/**
 * request_location:
 * @kind: "guests" or "operations"
 * @id: the id of one of them
 *
 * Returns: (transfer full): its path
 */
char *
request_location (const char *kind,
                  const char *id)
{
  g_autofree char *escaped = g_uri_escape_string (id, NULL, FALSE);

  return g_strdup_printf ("/v1/%s/%s", kind, escaped);
}
