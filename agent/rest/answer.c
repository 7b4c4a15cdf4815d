/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the form of an answer, and writes the line about it in the log. */

#include "answer.h"

#include "nova.h"

#include <core/error.h>

#include <string.h>
#include <sys/socket.h>

#define REQUEST_ID_MAX 255
#define PEER           "qsnapd-peer"
#define TASK           "qsnapd-task"

/* Who asks: process, user and group on a Unix socket, else the address. */
static char *
describe_peer (SoupServerMessage *message)
{
  GSocket *socket = soup_server_message_get_socket (message);
  struct ucred peer;
  socklen_t size = sizeof peer;
  const char *host;

  if (socket != NULL && g_socket_get_family (socket) == G_SOCKET_FAMILY_UNIX &&
      getsockopt (g_socket_get_fd (socket), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
    return g_strdup_printf ("pid %d, uid %u, gid %u", (int) peer.pid, peer.uid, peer.gid);

  host = soup_server_message_get_remote_host (message);
  return g_strdup_printf ("address %s", host != NULL ? host : "unknown");
}

/* The caller's name for the request, if it has a fit one, or a new name. */
static char *
name_request (SoupServerMessage *message)
{
  const char *given = soup_message_headers_get_one (
    soup_server_message_get_request_headers (message), REQUEST_ID_HEADER);
  gboolean fit = given != NULL && given[0] != '\0' && strlen (given) <= REQUEST_ID_MAX;
  g_autofree char *uuid = NULL;

  for (const char *c = given; fit && *c != '\0'; c++)
    fit = g_ascii_isalnum (*c) || strchr ("-_.", *c) != NULL;
  if (fit)
    return g_strdup (given);

  uuid = g_uuid_string_random ();
  return g_strconcat ("req-", uuid, NULL);
}

/**
 * answer_prepare:
 * @message: a request whose headers have come
 *
 * Notes its name and its sender while there is a connection to ask.
 */
void
answer_prepare (SoupServerMessage *message)
{
  g_object_set_data_full (G_OBJECT (message), REQUEST_ID_HEADER, name_request (message), g_free);
  g_object_set_data_full (G_OBJECT (message), PEER, describe_peer (message), g_free);
}

/**
 * answer_name_user:
 * @message: a request that was prepared
 * @user: the id of whoever makes it, as a peer of ours said
 * @project: (nullable): that of the user's project
 *
 * Has the log say who it was.
 */
void
answer_name_user (SoupServerMessage *message,
                  const char        *user,
                  const char        *project)
{
  const char *peer = g_object_get_data (G_OBJECT (message), PEER);
  g_autofree char *user_shown = g_strescape (user, NULL);
  g_autofree char *project_shown = g_strescape (project != NULL ? project : "none", NULL);

  g_object_set_data_full (G_OBJECT (message), PEER,
                          g_strdup_printf ("user %.64s, project %.64s, %s", user_shown,
                                           project_shown, peer), g_free);
}

/**
 * answer_name_task:
 * @message: a request in Nova's dialect
 * @id: what the task that it began is called
 *
 * Tells the client, who can look for the task by that name.
 */
void
answer_name_task (SoupServerMessage *message,
                  const char        *id)
{
  g_object_set_data_full (G_OBJECT (message), TASK, g_strdup (id), g_free);
}

/**
 * answer_find_version:
 * @message: a request in Nova's dialect
 * @minor: (out): the N of the version 2.N that it wants
 * @problem: (out) (transfer full) (nullable): why it cannot have it
 *
 * Returns: an HTTP status: 200, or another one with @problem
 */
guint
answer_find_version (SoupServerMessage  *message,
                     guint              *minor,
                     char              **problem)
{
  SoupMessageHeaders *headers = soup_server_message_get_request_headers (message);

  return nova_version_parse (soup_message_headers_get_list (headers, NOVA_VERSION_HEADER),
                             soup_message_headers_get_one (headers, NOVA_VERSION_HEADER_LEGACY),
                             minor, problem);
}

static gboolean
is_nova (SoupServerMessage *message)
{
  return nova_owns (g_uri_get_path (soup_server_message_get_uri (message)));
}

static void
set_nova_headers (SoupServerMessage *message)
{
  SoupMessageHeaders *headers = soup_server_message_get_response_headers (message);
  const char *task = g_object_get_data (G_OBJECT (message), TASK);
  g_autofree char *problem = NULL;
  guint minor;

  if (task == NULL)
    task = g_object_get_data (G_OBJECT (message), REQUEST_ID_HEADER);
  soup_message_headers_replace (headers, NOVA_REQUEST_ID_HEADER, task);
  soup_message_headers_replace (headers, "Vary",
                                NOVA_VERSION_HEADER ", " NOVA_VERSION_HEADER_LEGACY);
  if (answer_find_version (message, &minor, &problem) == SOUP_STATUS_OK)
    {
      g_autofree char *version = g_strdup_printf ("compute 2.%u", minor);

      soup_message_headers_replace (headers, NOVA_VERSION_HEADER, version);
      soup_message_headers_replace (headers, NOVA_VERSION_HEADER_LEGACY,
                                    version + strlen ("compute "));
    }
}

/* libsoup drops what was set before it has sent a "100 Continue": that is why it is done here. */
static void
set_headers (SoupServerMessage *message)
{
  SoupMessageHeaders *headers = soup_server_message_get_response_headers (message);

  if (is_nova (message))
    set_nova_headers (message);
  soup_message_headers_replace (headers, REQUEST_ID_HEADER,
                                g_object_get_data (G_OBJECT (message), REQUEST_ID_HEADER));
  soup_message_headers_replace (headers, "Cache-Control", "no-store");
  /* libsoup 3.2 never closes a kept connection that the client has closed. */
  soup_message_headers_replace (headers, "Connection", "close");
}

static void
log_answer (SoupServerMessage *message,
            guint              status)
{
  const char *method = soup_server_message_get_method (message);
  const char *id = g_object_get_data (G_OBJECT (message), REQUEST_ID_HEADER);
  const char *peer = g_object_get_data (G_OBJECT (message), PEER);
  GUri *uri = soup_server_message_get_uri (message);
  g_autofree char *path = g_strescape (g_uri_get_path (uri), NULL);

  /* Looking is of interest to who looks for a fault; doing, to everybody. */
  if (g_str_equal (method, "GET"))
    g_debug ("rest: GET %.512s: %u (%s; %s)", path, status, peer, id);
  else
    g_info ("rest: %.32s %.512s: %u (%s; %s)", method, path, status, peer, id);
}

/**
 * answer_json:
 * @message: what to answer; was prepared
 * @status: an HTTP status
 * @body: (transfer full) (nullable): the body
 *
 * Sets the answer; it is sent when the message goes on.
 */
void
answer_json (SoupServerMessage *message,
             guint              status,
             JsonNode          *body)
{
  set_headers (message);
  soup_server_message_set_status (message, status, NULL);

  if (body != NULL)
    {
      char *text = json_to_string (body, FALSE);

      soup_server_message_set_response (message, "application/json", SOUP_MEMORY_TAKE, text,
                                        strlen (text));
      json_node_unref (body);
    }
  log_answer (message, status);
}

/**
 * answer_http_error:
 * @message: what to answer
 * @status: an HTTP status
 * @word: the error in one word, for programs
 * @text: the error in a sentence, for people
 * @hint: (nullable): what to do about it
 *
 * Answers with an error, in the form that belongs to the request's path.
 */
void
answer_http_error (SoupServerMessage *message,
                   guint              status,
                   const char        *word,
                   const char        *text,
                   const char        *hint)
{
  g_autoptr (JsonObject) object = json_object_new ();
  /* File names and what peers said need not be UTF-8. */
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  if (is_nova (message))
    {
      status = nova_fault_status (status);
      answer_json (message, status, nova_fault_new (status, valid, hint));
      return;
    }

  json_object_set_string_member (object, "code", word);
  json_object_set_int_member (object, "status", status);
  json_object_set_string_member (object, "message", valid);
  if (hint != NULL)
    json_object_set_string_member (object, "hint", hint);

  answer_json (message, status,
               answer_wrap ("error", json_node_init_object (json_node_alloc (), object)));
}

/**
 * answer_error:
 * @message: what to answer
 * @error: (transfer full): of any domain
 *
 * Answers with @error, whose code decides about the status.
 */
void
answer_error (SoupServerMessage *message,
              GError            *error)
{
  answer_http_error (message, agent_error_to_http (error), agent_error_to_word (error),
                     error->message, agent_error_get_hint (error));
  g_error_free (error);
}

/**
 * answer_warn:
 * @message: a request
 * @text: what everybody who asks should know
 *
 * Adds a warning to the headers of the answer, whatever that will be.
 */
void
answer_warn (SoupServerMessage *message,
             const char        *text)
{
  g_autofree char *plain = g_str_to_ascii (text, "C");
  g_autofree char *warning = NULL;

  g_strdelimit (plain, "\"\\\r\n", ' ');
  warning = g_strdup_printf ("199 qsnapd \"%s\"", plain);
  soup_message_headers_replace (soup_server_message_get_response_headers (message), "Warning",
                                warning);
}

/**
 * answer_wrap:
 * @name: name of the only member
 * @node: (transfer full): its value
 *
 * Returns: (transfer full): an object, so that members can be added some day
 */
JsonNode *
answer_wrap (const char *name,
             JsonNode   *node)
{
  g_autoptr (JsonObject) object = json_object_new ();

  json_object_set_member (object, name, node);
  return json_node_init_object (json_node_alloc (), object);
}
