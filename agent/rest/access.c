/* SPDX-License-Identifier: Apache-2.0 */

/* Knows who may ask: on the Unix socket, whom its mode lets in; on TCP, who has the token, or one
 * that the store's identity service knows: of the images' own project, or of an administrator. And
 * nobody whose browser was talked into asking: its request carries a Host or an Origin that is not
 * ours. */

#include "access.h"

#include "listen.h"

#include <core/error.h>

#include <string.h>

#define TOKEN_LENGTH_MIN 16
#define TOKEN_SIZE_MAX   4096
#define IDENTIFY_S       10     /* until it must be known whose a token is */

struct _Access
{
  ImageStore *store;
  char       *token;            /* (nullable): no TCP then, or the identity service's alone */
  char       *listen_host;      /* (nullable) */
};

static char *
read_token (const char  *path,
            GError     **error)
{
  g_autofree char *text = NULL;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, error))
    {
      g_prefix_error (error, "[rest] token-file: ");
      return NULL;
    }

  g_strstrip (text);
  if (length > TOKEN_SIZE_MAX || strlen (text) < TOKEN_LENGTH_MIN)
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "Make one with: openssl rand -hex 32",
                       "[rest] token-file %s: a token has %d to %d characters", path,
                       TOKEN_LENGTH_MIN, TOKEN_SIZE_MAX);
      return NULL;
    }
  for (const char *c = text; *c != '\0'; c++)
    if (!g_ascii_isgraph (*c))
      {
        agent_set_error (error, AGENT_ERROR_INVALID, "Make one with: openssl rand -hex 32",
                         "[rest] token-file %s: a token is one word of plain ASCII", path);
        return NULL;
      }
  return g_steal_pointer (&text);
}

/**
 * access_new:
 * @config: the settings
 * @store: whose identity service knows tokens, too, if it has one
 * @error: return location
 *
 * Reads the token, if there is something to listen on that needs one.
 *
 * Returns: (transfer full): the rules; on error %NULL with %AGENT_ERROR_INVALID or a #GFileError
 */
Access *
access_new (const Config  *config,
            ImageStore    *store,
            GError       **error)
{
  g_autoptr (Access) self = g_new0 (Access, 1);

  self->store = g_object_ref (store);
  if (config->listen == NULL)
    return g_steal_pointer (&self);

  if (config->token_file == NULL && !image_store_can_identify (store))
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "Set token-file in [rest], or leave listen out and use the Unix socket.",
                       "[rest] listen is set, and token-file is not");
      return NULL;
    }
  if (config->token_file != NULL)
    {
      self->token = read_token (config->token_file, error);
      if (self->token == NULL)
        return NULL;
    }
  if (!listen_split_host (config->listen, &self->listen_host, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * access_free:
 * @self: (transfer full): the rules
 */
void
access_free (Access *self)
{
  g_object_unref (self->store);
  g_free (self->token);
  g_free (self->listen_host);
  g_free (self);
}

static gboolean
is_unix (SoupServerMessage *message)
{
  return g_socket_get_family (soup_server_message_get_socket (message)) == G_SOCKET_FAMILY_UNIX;
}

/* "host", "host:port" or "[v6]:port", without the port and the brackets; NULL for anything else. */
static char *
split_off_port (const char *host)
{
  const char *end = host[0] == '[' ? strchr (host, ']') : host + strcspn (host, ":");
  const char *port;

  if (end == NULL)
    return NULL;
  port = host[0] == '[' ? end + 1 : end;
  if (*port != '\0' && (*port != ':' || strspn (port + 1, "0123456789") != strlen (port + 1)))
    return NULL;
  return host[0] == '[' ? g_strndup (host + 1, (gsize) (end - host - 1))
                        : g_strndup (host, (gsize) (end - host));
}

/* Whether @host is the address that the client has connected to: of use where we listen on all. */
static gboolean
is_local_address (SoupServerMessage *message,
                  const char        *host)
{
  GSocketAddress *local = soup_server_message_get_local_address (message);
  g_autoptr (GInetAddress) named = g_inet_address_new_from_string (host);

  return named != NULL && G_IS_INET_SOCKET_ADDRESS (local) &&
         g_inet_address_equal (named, g_inet_socket_address_get_address (
                                        G_INET_SOCKET_ADDRESS (local)));
}

static gboolean
is_our_name (const Access      *self,
             SoupServerMessage *message,
             const char        *header)
{
  g_autofree char *host = split_off_port (header);

  if (host == NULL)
    return FALSE;
  if (g_ascii_strcasecmp (host, "localhost") == 0 || g_str_equal (host, "127.0.0.1") ||
      g_str_equal (host, "::1"))
    return TRUE;
  if (is_unix (message))
    return host[0] == '\0' || g_ascii_strcasecmp (host, "qsnapd") == 0;
  return (self->listen_host != NULL && g_ascii_strcasecmp (host, self->listen_host) == 0) ||
         is_local_address (message, host);
}

static gboolean
check_host (const Access      *self,
            SoupServerMessage *message,
            const char        *host,
            GError           **error)
{
  /* HTTP/1.0 need not say; a target in absolute form counts, whatever the header says. */
  GUri *uri = soup_server_message_get_uri (message);
  g_autofree char *target = strchr (g_uri_get_host (uri), ':') != NULL
                            ? g_strdup_printf ("[%s]", g_uri_get_host (uri))
                            : g_strdup (g_uri_get_host (uri));

  if ((host == NULL || is_our_name (self, message, host)) && is_our_name (self, message, target))
    return TRUE;

  agent_set_error (error, AGENT_ERROR_FORBIDDEN,
                   "Address the daemon as localhost, or as what [rest] listen says.",
                   "the request is for another host than this one");
  return FALSE;
}

static gboolean
check_origin (SoupServerMessage *message,
              const char        *host,
              GError           **error)
{
  SoupMessageHeaders *headers = soup_server_message_get_request_headers (message);
  const char *origin = soup_message_headers_get_one (headers, "Origin");

  if (origin == NULL ||
      (host != NULL && g_str_has_prefix (origin, "http://") && g_str_equal (origin + 7, host)))
    return TRUE;

  agent_set_error (error, AGENT_ERROR_FORBIDDEN, "Programs leave the Origin header out.",
                   "the request comes from a page of another origin");
  return FALSE;
}

/* In a time that tells only the length of what was sent. */
static gboolean
equals_secret (const char *given,
               const char *secret)
{
  gsize given_length = strlen (given);
  gsize secret_length = strlen (secret);
  volatile guchar difference = given_length != secret_length;

  for (gsize i = 0; i < given_length; i++)
    difference |= (guchar) (given[i] ^ secret[i % secret_length]);
  return difference == 0;
}

/* What the header "Authorization: Bearer" says. */
static const char *
get_bearer (SoupMessageHeaders *headers)
{
  static const char scheme[] = "Bearer ";
  const char *given = soup_message_headers_get_one (headers, "Authorization");

  return given != NULL && g_ascii_strncasecmp (given, scheme, strlen (scheme)) == 0
         ? given + strlen (scheme) : NULL;
}

static gboolean
check_token (const Access       *self,
             SoupServerMessage  *message,
             char              **token,
             GError            **error)
{
  SoupMessageHeaders *headers = soup_server_message_get_request_headers (message);
  const char *bearer = get_bearer (headers);
  const char *keystone = soup_message_headers_get_one (headers, "X-Auth-Token");

  if (is_unix (message))
    return TRUE;

  if (self->token != NULL &&
      ((bearer != NULL && equals_secret (bearer, self->token)) ||
       (keystone != NULL && equals_secret (keystone, self->token))))
    return TRUE;

  if (keystone != NULL && image_store_can_identify (self->store))
    {
      *token = g_strdup (keystone);
      return TRUE;
    }

  agent_set_error (error, AGENT_ERROR_UNAUTHORIZED,
                   self->token != NULL
                   ? "Send the header \"Authorization: Bearer TOKEN\" or \"X-Auth-Token: TOKEN\" "
                     "with what stands in the file that [rest] token-file names."
                   : "Send the header \"X-Auth-Token: TOKEN\" with a token of Keystone's.",
                   soup_message_headers_get_one (headers, "Authorization") == NULL &&
                   keystone == NULL ? "the request has no token" : "the request's token is wrong");
  return FALSE;
}

/**
 * access_check:
 * @self: the rules
 * @message: a request whose headers have come
 * @is_public: whether anybody may know the answer
 * @token: (out) (transfer full) (nullable): what access_identify_async() has to decide about still
 * @error: return location
 *
 * Returns: whether its sender may ask; else %AGENT_ERROR_FORBIDDEN or %AGENT_ERROR_UNAUTHORIZED
 */
gboolean
access_check (const Access       *self,
              SoupServerMessage  *message,
              gboolean            is_public,
              char              **token,
              GError            **error)
{
  SoupMessageHeaders *headers = soup_server_message_get_request_headers (message);
  /* Joined with a comma when there are several, and then nobody's name. */
  const char *host = soup_message_headers_get_list (headers, "Host");

  *token = NULL;
  return check_host (self, message, host, error) && check_origin (message, host, error) &&
         (is_public || check_token (self, message, token, error));
}

/**
 * access_challenge:
 * @message: a request that is refused
 * @error: why
 *
 * Says how to come in, where that would help.
 */
void
access_challenge (SoupServerMessage *message,
                  const GError      *error)
{
  if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_UNAUTHORIZED))
    soup_message_headers_replace (soup_server_message_get_response_headers (message),
                                  "WWW-Authenticate", "Bearer");
}

/* As Nova's own rules have it. Keystone names with a role all that it implies. */
static gboolean
has_role (const ImageUser *user,
          AccessLevel      level)
{
  static const struct
  {
    const char  *role;
    AccessLevel  level;
  } roles[] = {
    { "reader",  ACCESS_LOOK       },
    { "member",  ACCESS_ACT        },
    { "manager", ACCESS_ACT        },
    { "admin",   ACCESS_ADMINISTER },
  };

  for (guint i = 0; user->roles != NULL && user->roles[i] != NULL; i++)
    for (gsize j = 0; j < G_N_ELEMENTS (roles); j++)
      if (g_str_equal (user->roles[i], roles[j].role) && roles[j].level >= level)
        return TRUE;
  return FALSE;
}

static gboolean
check_user (const ImageUser  *user,
            AccessLevel       level,
            GError          **error)
{
  static const char *const hints[] = {
    [ACCESS_LOOK] = "To look takes one of the roles reader, member, manager and admin.",
    [ACCESS_ACT] = "This takes one of the roles member, manager and admin; a reader may only look.",
    [ACCESS_ADMINISTER] = "This takes the role admin.",
  };

  if (!user->is_ours && !has_role (user, ACCESS_ADMINISTER))
    agent_set_error (error, AGENT_ERROR_FORBIDDEN,
                     "Use a token of the project that the images go to.",
                     "the token is of another project");
  else if (!has_role (user, level))
    agent_set_error (error, AGENT_ERROR_FORBIDDEN, hints[level],
                     "the token's roles do not allow this");
  else
    return TRUE;
  return FALSE;
}

/* Somebody who waits to be known, and not for longer than IDENTIFY_S. */
typedef struct
{
  AccessLevel   level;
  GCancellable *cancellable;    /* our own: ends with the time, or with the caller's */
  gulong        handler;
  guint         timeout;        /* 0: it is over */
} Identification;

static void
identification_free (gpointer data)
{
  Identification *self = data;

  if (self->timeout != 0)
    g_source_remove (self->timeout);
  g_object_unref (self->cancellable);
  g_free (self);
}

static gboolean
time_is_over (gpointer data)
{
  Identification *self = data;

  self->timeout = 0;
  g_cancellable_cancel (self->cancellable);
  return G_SOURCE_REMOVE;
}

static void
caller_cancelled (GCancellable *caller,
                  GCancellable *own)
{
  g_cancellable_cancel (own);
}

static void
user_known (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Identification *self = g_task_get_task_data (task);
  g_autoptr (ImageUser) user = NULL;
  g_autoptr (GError) error = NULL;

  g_cancellable_disconnect (g_task_get_cancellable (task), self->handler);
  user = image_store_identify_finish (AGENT_IMAGE_STORE (source), result, &error);
  if (user == NULL && self->timeout == 0)
    {
      g_clear_error (&error);
      agent_set_error (&error, AGENT_ERROR_TIMEOUT, "Ask again.",
                       "the identity service has not said in %d s whose the token is", IDENTIFY_S);
    }
  if (user != NULL && check_user (user, self->level, &error))
    g_task_return_pointer (task, g_steal_pointer (&user), (GDestroyNotify) image_user_free);
  else
    g_task_return_error (task, g_steal_pointer (&error));
}

/**
 * access_identify_async:
 * @self: the rules
 * @token: what access_check() left open
 * @level: what its owner has to be allowed
 * @cancellable: (nullable): ends the wait
 * @callback: called with the decision
 * @user_data: for @callback
 *
 * Asks the store's identity service whose @token is.
 */
void
access_identify_async (const Access        *self,
                       const char          *token,
                       AccessLevel          level,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  GTask *task = g_task_new (NULL, cancellable, callback, user_data);
  Identification *identification = g_new0 (Identification, 1);

  identification->level = level;
  identification->cancellable = g_cancellable_new ();
  identification->timeout = g_timeout_add_seconds (IDENTIFY_S, time_is_over, identification);
  g_task_set_task_data (task, identification, identification_free);
  if (cancellable != NULL)
    identification->handler = g_cancellable_connect (cancellable, G_CALLBACK (caller_cancelled),
                                                     identification->cancellable, NULL);

  image_store_identify_async (self->store, token, identification->cancellable, user_known, task);
}

/**
 * access_identify_finish:
 * @result: what @callback was given
 * @error: %AGENT_ERROR_UNAUTHORIZED for nobody's token, %AGENT_ERROR_FORBIDDEN for one of another
 *   project or of too small a role, %AGENT_ERROR_TIMEOUT when nobody said whose it is; what the
 *   service failed with
 *
 * Returns: (transfer full): who may ask
 */
ImageUser *
access_identify_finish (GAsyncResult  *result,
                        GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
