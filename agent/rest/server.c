/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the way of a request from the socket to its handler: what is refused by its headers alone
 * is refused before its body is read; whose token only others know waits for their word. */

#include <rest/server.h>

#include "access.h"
#include "answer.h"
#include "arrivals.h"
#include "json-body.h"
#include "listen.h"
#include "nova.h"
#include "request.h"
#include "routes.h"

#include <core/error.h>
#include <libsoup/soup.h>

#define IDLE_TIMEOUT     20                     /* seconds in which a client takes no byte */
#define DISCARD_MAX      (16 * 1024 * 1024)     /* bytes of a refused body that are read at most */
#define STRANGER_MAX     (64 * 1024)            /* bytes of a body whose sender is not known yet */

#define BODY             "qsnapd-body"

struct _RestServer
{
  GObject     parent;

  Operations *operations;
  Access     *access;
  SoupServer *soup;
  SocketFile *socket_file;
  GPtrArray  *waiting;          /* of GCancellable: one for each request that is not answered yet */
  Arrivals   *arrivals;
  guint       requests;         /* that are on their way, or their answers are */
};

/* Bytes of a request's body. */
typedef struct
{
  goffset     length;           /* so far */
  goffset     length_max;
} Body;

G_DEFINE_FINAL_TYPE (RestServer, rest_server, G_TYPE_OBJECT)

static guint idle_signal;

/* --- before the body --- */

static const Route *
find_route (SoupServerMessage   *message,
            char              ***names,
            char               **allow,
            GError             **error)
{
  return route_find (soup_server_message_get_method (message),
                     g_uri_get_path (soup_server_message_get_uri (message)), names, allow, error);
}

/* Answers where there is no route. */
static void
answer_no_route (SoupServerMessage *message,
                 const char        *allow,
                 GError            *error)
{
  if (error != NULL)
    answer_error (message, error);
  else if (allow != NULL)
    {
      soup_message_headers_replace (soup_server_message_get_response_headers (message), "Allow",
                                    allow);
      answer_http_error (message, SOUP_STATUS_METHOD_NOT_ALLOWED, "method-not-allowed",
                         "this path does not have that method", allow);
    }
  else
    answer_http_error (message, SOUP_STATUS_NOT_FOUND, "not-found", "there is no such path",
                       "All paths are under /v1 or /v2.1; see openapi.yaml.");
}

/* Nova's versions; whoever wants another one would misread us. */
static gboolean
check_version (SoupServerMessage *message,
               const Route       *route)
{
  g_autofree char *problem = NULL;
  guint minor, status;

  if (!nova_owns (route->pattern) || (route->flags & ROUTE_PUBLIC) != 0)
    return TRUE;

  status = answer_find_version (message, &minor, &problem);
  if (problem != NULL)
    answer_http_error (message, status, "", problem, NULL);
  return problem == NULL;
}

static gboolean
has_body (SoupMessageHeaders *headers)
{
  return soup_message_headers_get_encoding (headers) == SOUP_ENCODING_CHUNKED ||
         soup_message_headers_get_content_length (headers) > 0;
}

static void
set_too_large (goffset   length_max,
               GError  **error)
{
  agent_set_error (error, AGENT_ERROR_TOO_LARGE, NULL,
                   "the body is larger than %" G_GOFFSET_FORMAT " bytes", length_max);
}

static gboolean
check_body_headers (const Route         *route,
                    SoupMessageHeaders  *headers,
                    goffset              length_max,
                    GError             **error)
{
  const char *type = soup_message_headers_get_content_type (headers, NULL);

  if (!has_body (headers))
    return TRUE;

  if ((route->flags & ROUTE_TAKES_BODY) == 0)
    agent_set_error (error, AGENT_ERROR_INVALID, NULL, "this request has no body");
  else if (soup_message_headers_get_content_length (headers) > length_max)
    set_too_large (length_max, error);
  else if (type == NULL || g_ascii_strcasecmp (type, "application/json") != 0)
    agent_set_error (error, AGENT_ERROR_INVALID,
                     "Send the header \"Content-Type: application/json\".",
                     "the body must be of the type application/json");
  else
    return TRUE;
  return FALSE;
}

static void
refuse (SoupServerMessage *message,
        GError            *error)
{
  soup_message_body_set_accumulate (soup_server_message_get_request_body (message), FALSE);
  if (error != NULL)
    {
      access_challenge (message, error);
      answer_error (message, error);
    }
}

/* For bodies whose length nobody said, and refused ones whose sender goes on. */
static void
got_chunk (SoupServerMessage *message,
           GBytes            *chunk,
           gpointer           user_data)
{
  Body *body = user_data;
  Arrival *arrival = arrival_of (message);
  gboolean wanted = soup_server_message_get_status (message) == 0;
  g_autoptr (GError) error = NULL;

  body->length += (goffset) g_bytes_get_size (chunk);
  if (wanted && body->length > body->length_max)
    set_too_large (body->length_max, &error);
  else if (wanted && !arrival_take_bytes (arrival, g_bytes_get_size (chunk)))
    agent_set_error (&error, AGENT_ERROR_UNAVAILABLE, "Try again later.",
                     "the bodies of all requests together are larger than %d bytes",
                     ARRIVALS_BYTES_MAX);

  if (error != NULL)
    {
      soup_message_body_truncate (soup_server_message_get_request_body (message));
      refuse (message, g_steal_pointer (&error));
    }
  else if (body->length > DISCARD_MAX)
    arrival_cut_off (arrival);
}

static void
got_body (SoupServerMessage *message,
          gpointer           user_data)
{
  arrival_complete (arrival_of (message));
}

static void
handle_headers (SoupServer        *soup,
                SoupServerMessage *message,
                const char        *path,
                GHashTable        *query,
                gpointer           user_data)
{
  RestServer *self = user_data;
  SoupMessageHeaders *headers = soup_server_message_get_request_headers (message);
  g_auto (GStrv) names = NULL;
  g_autofree char *allow = NULL;
  g_autofree char *token = NULL;
  g_autoptr (GError) no_route = NULL;
  g_autoptr (GError) error = NULL;
  Body *body = g_object_get_data (G_OBJECT (message), BODY);
  const Route *route;
  gboolean is_public;

  answer_prepare (message);
  route = find_route (message, &names, &allow, &no_route);
  is_public = route != NULL && (route->flags & ROUTE_PUBLIC) != 0;
  if (!access_check (self->access, message, is_public, &token, &error))
    refuse (message, g_steal_pointer (&error));
  else if (route == NULL)
    {
      refuse (message, NULL);
      answer_no_route (message, allow, g_steal_pointer (&no_route));
    }
  else if (!check_version (message, route))
    refuse (message, NULL);
  else
    {
      body->length_max = token != NULL ? STRANGER_MAX : JSON_BODY_SIZE_MAX;
      if (!check_body_headers (route, headers, body->length_max, &error))
        refuse (message, g_steal_pointer (&error));
    }
}

/* --- behind the body --- */

/* While nothing can be written down nothing is changed either; those who look are told. */
static gboolean
check_journal (Request  *request,
               GError  **error)
{
  const Route *route = request_get_route (request);
  const GError *damage = journal_get_damage (operations_get_journal (
    request_get_operations (request)));

  if (damage == NULL)
    return TRUE;

  answer_warn (request_get_message (request), damage->message);
  if (g_str_equal (route->method, "GET") || (route->flags & ROUTE_MENDS) != 0)
    return TRUE;

  g_propagate_error (error, g_error_copy (damage));
  return FALSE;
}

static void
enter (Request *request)
{
  g_autoptr (GError) error = NULL;

  if (check_journal (request, &error) && request_read (request, &error))
    request_get_route (request)->handler (request);
  else
    request_answer_error (request, g_steal_pointer (&error));
}

static AccessLevel
get_level (const Route *route)
{
  return (route->flags & ROUTE_ADMIN) != 0       ? ACCESS_ADMINISTER
         : g_str_equal (route->method, "GET") ? ACCESS_LOOK
                                              : ACCESS_ACT;
}

static void
caller_identified (GObject      *source,
                   GAsyncResult *result,
                   gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  ImageUser *user = access_identify_finish (result, &error);

  if (user == NULL)
    {
      access_challenge (request_get_message (request), error);
      request_refuse (request, g_steal_pointer (&error));
      return;
    }
  request_set_user (request, user);
  enter (request);
}

static void
handle_request (SoupServer        *soup,
                SoupServerMessage *message,
                const char        *path,
                GHashTable        *query,
                gpointer           user_data)
{
  RestServer *self = user_data;
  g_auto (GStrv) names = NULL;
  g_autofree char *allow = NULL;
  g_autofree char *token = NULL;
  g_autoptr (GError) error = NULL;
  const Route *route = find_route (message, &names, &allow, &error);
  Request *request;

  if (route == NULL)
    {
      answer_no_route (message, allow, g_steal_pointer (&error));
      return;
    }

  request = request_new (message, self->operations, self->waiting, route, g_steal_pointer (&names),
                         query);
  if (!access_check (self->access, message, (route->flags & ROUTE_PUBLIC) != 0, &token, &error))
    request_refuse (request, g_steal_pointer (&error));
  else if (token != NULL)
    access_identify_async (self->access, token, get_level (route),
                           request_get_cancellable (request), caller_identified, request);
  else
    enter (request);
}

/* --- connections --- */

static void
request_started (SoupServer        *soup,
                 SoupServerMessage *message,
                 gpointer           user_data)
{
  RestServer *self = user_data;
  Body *body = g_new0 (Body, 1);

  self->requests++;
  body->length_max = JSON_BODY_SIZE_MAX;
  g_object_set_data_full (G_OBJECT (message), BODY, body, g_free);
  g_signal_connect (message, "got-chunk", G_CALLBACK (got_chunk), body);
  g_signal_connect (message, "got-body", G_CALLBACK (got_body), NULL);
  arrivals_add (self->arrivals, message);

  /* Also for what libsoup answers by itself; see answer.c. */
  soup_message_headers_replace (soup_server_message_get_response_headers (message), "Connection",
                                "close");
  /* Runs while libsoup waits for the client, not while the client waits for us. */
  g_socket_set_timeout (soup_server_message_get_socket (message), IDLE_TIMEOUT);
}

static void
request_over (SoupServer        *soup,
              SoupServerMessage *message,
              gpointer           user_data)
{
  RestServer *self = user_data;

  if (--self->requests == 0)
    g_signal_emit (self, idle_signal, 0);
}

static gboolean
listen_on (RestServer  *self,
           const char  *listen,
           GError     **error)
{
  g_autoptr (GPtrArray) addresses = listen_addresses (listen, error);
  g_autoptr (GError) problem = NULL;
  guint listening = 0;

  if (addresses == NULL)
    return FALSE;

  /* "localhost" is two addresses where there is IPv6, and one elsewhere. */
  for (guint i = 0; i < addresses->len; i++)
    {
      g_autoptr (GSocket) socket = NULL;

      g_clear_error (&problem);
      socket = listen_tcp (g_ptr_array_index (addresses, i), &problem);
      listening += socket != NULL && soup_server_listen_socket (self->soup, socket, 0, &problem);
    }
  if (listening > 0)
    return TRUE;

  g_propagate_prefixed_error (error, g_steal_pointer (&problem), "[rest] listen %s: ", listen);
  return FALSE;
}

/**
 * rest_server_start:
 * @self: a server that was not started yet
 * @error: return location
 *
 * Listens on the sockets of the configuration.
 *
 * Returns: whether it does; else %AGENT_ERROR_CONFLICT (somebody listens there already),
 *   %AGENT_ERROR_INVALID (settings), or a #GIOErrorEnum or #GFileError
 */
gboolean
rest_server_start (RestServer  *self,
                   GError     **error)
{
  const Config *config = operations_get_config (self->operations);
  g_autoptr (GSocket) socket = NULL;

  self->access = access_new (config, operations_get_store (self->operations), error);
  if (self->access == NULL)
    return FALSE;

  socket = listen_unix (config->socket, config->socket_group, &self->socket_file, error);
  return socket != NULL && soup_server_listen_socket (self->soup, socket, 0, error) &&
         (config->listen == NULL || listen_on (self, config->listen, error));
}

/**
 * rest_server_reload:
 * @self: a server that listens
 * @config: the settings
 * @store: whose identity service knows people
 * @error: return location
 *
 * Lets in from now on who may ask by @config. Who has been let in stays so.
 *
 * Returns: %FALSE, with everything as it was, with %AGENT_ERROR_INVALID or a #GFileError
 */
gboolean
rest_server_reload (RestServer    *self,
                    const Config  *config,
                    ImageStore    *store,
                    GError       **error)
{
  g_autoptr (Access) old = NULL;
  Access *access = access_new (config, store, error);

  if (access == NULL)
    return FALSE;

  old = self->access;
  self->access = access;
  return TRUE;
}

/**
 * rest_server_is_idle:
 * @self: a server
 *
 * Returns: whether every request that has come has its answer
 */
gboolean
rest_server_is_idle (RestServer *self)
{
  return self->requests == 0;
}

/**
 * rest_server_stop:
 * @self: a server
 *
 * Takes no more requests, and gives up those that wait. What they have started goes on.
 */
void
rest_server_stop (RestServer *self)
{
  g_autoptr (GPtrArray) waiting = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < self->waiting->len; i++)
    g_ptr_array_add (waiting, g_object_ref (g_ptr_array_index (self->waiting, i)));
  g_clear_pointer (&self->socket_file, socket_file_remove);
  for (guint i = 0; i < waiting->len; i++)
    g_cancellable_cancel (g_ptr_array_index (waiting, i));
  soup_server_disconnect (self->soup);
}

static void
rest_server_finalize (GObject *object)
{
  RestServer *self = AGENT_REST_SERVER (object);

  g_clear_pointer (&self->socket_file, socket_file_remove);
  g_clear_pointer (&self->access, access_free);
  g_signal_handlers_disconnect_by_data (self->soup, self);
  g_object_unref (self->soup);
  g_object_unref (self->operations);
  g_ptr_array_unref (self->waiting);
  arrivals_free (self->arrivals);
  G_OBJECT_CLASS (rest_server_parent_class)->finalize (object);
}

static void
rest_server_class_init (RestServerClass *class)
{
  G_OBJECT_CLASS (class)->finalize = rest_server_finalize;

  idle_signal = g_signal_new ("idle", TYPE_REST_SERVER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                              G_TYPE_NONE, 0);
}

static void
rest_server_init (RestServer *self)
{
  self->waiting = g_ptr_array_new_with_free_func (g_object_unref);
  self->arrivals = arrivals_new ();
}

/**
 * rest_server_new:
 * @operations: who does the work
 *
 * Returns: (transfer full): a server that does not listen yet
 */
RestServer *
rest_server_new (Operations *operations)
{
  RestServer *self = g_object_new (TYPE_REST_SERVER, NULL);

  self->operations = g_object_ref (operations);
  self->soup = soup_server_new ("server-header", "qsnapd", "raw-paths", TRUE, NULL);
  g_signal_connect (self->soup, "request-started", G_CALLBACK (request_started), self);
  g_signal_connect (self->soup, "request-finished", G_CALLBACK (request_over), self);
  g_signal_connect (self->soup, "request-aborted", G_CALLBACK (request_over), self);
  soup_server_add_early_handler (self->soup, NULL, handle_headers, self, NULL);
  soup_server_add_handler (self->soup, NULL, handle_request, self, NULL);
  return self;
}
