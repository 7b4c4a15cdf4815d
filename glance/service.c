/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to ask the service: its address, the token and its renewal. */

#include "service.h"

#include <string.h>

#include "error-private.h"
#include "retry.h"

/* Bytes a second: a transfer that is slower on the whole ends before the last of all deadlines. */
#define SLOWEST (128 * 1024)

/* Without a slash or a version at the end; NULL when nothing can be asked there. */
static char *
normalize_url (const char  *text,
               GError     **error)
{
  g_autoptr (GUri) uri = g_uri_parse (text, G_URI_FLAGS_ENCODED, NULL);
  g_autofree char *url = g_strdup (text);
  gsize length;

  if (uri == NULL || g_uri_get_host (uri) == NULL || g_uri_get_host (uri)[0] == '\0'
      || (strcmp (g_uri_get_scheme (uri), "http") != 0
          && strcmp (g_uri_get_scheme (uri), "https") != 0)
      || g_uri_get_userinfo (uri) != NULL || g_uri_get_query (uri) != NULL
      || g_uri_get_fragment (uri) != NULL)
    {
      /* It may be a peer's; and a user in it may have a password. */
      g_autofree char *shown = g_strescape (strchr (text, '@') == NULL ? text : "(not shown)",
                                            NULL);

      glance_set_error (error, GLANCE_ERROR_INVALID,
                        "\"%.200s\" is not the address of an image service; "
                        "it looks like http://controller:9292", shown);
      return NULL;
    }

  for (length = strlen (url); length > 0 && url[length - 1] == '/'; length--)
    url[length - 1] = '\0';
  if (g_str_has_suffix (url, "/v2"))
    url[length - strlen ("/v2")] = '\0';

  return g_steal_pointer (&url);
}

/**
 * service_new:
 * @settings: address and patience
 * @token: (nullable): who we are; knows the address, too, where @settings does not
 * @error: GLANCE_ERROR_INVALID when the address is none
 *
 * Returns: (transfer full): the service; nothing is asked yet
 */
Service *
service_new (const GlanceSettings  *settings,
             GlanceToken           *token,
             GError               **error)
{
  g_autofree char *url = settings->url != NULL ? normalize_url (settings->url, error) : NULL;
  HttpSettings http;
  Service *self;

  if (settings->url != NULL && url == NULL)
    return NULL;
  if (settings->url == NULL && token == NULL)
    {
      glance_set_error (error, GLANCE_ERROR_INVALID, "the image service has no address");
      return NULL;
    }

  self = g_new0 (Service, 1);
  self->url = g_steal_pointer (&url);
  self->token = token != NULL ? g_object_ref (token) : NULL;
  self->stall_s = settings->stall_s > 0 ? settings->stall_s : 60;
  self->settle_ms = settings->settle_ms > 0 ? settings->settle_ms : self->stall_s * 1000;
  self->deadline_s = settings->deadline_s > 0 ? settings->deadline_s : 24 * 60 * 60;
  self->backoff_ms = settings->backoff_ms > 0 ? settings->backoff_ms : 1000;

  http = (HttpSettings) {
    .ca_file = settings->ca_file,
    .connect_ms = settings->connect_ms > 0 ? settings->connect_ms : 10000,
    .stall_s = self->stall_s,
  };
  self->http = http_new (&http);

  return self;
}

/**
 * service_free:
 * @self: (transfer full) (nullable): the service
 */
void
service_free (Service *self)
{
  if (self == NULL)
    return;

  http_free (self->http);
  g_clear_object (&self->token);
  g_free (self->url);
  g_free (self);
}

/* Who we are and where the service is, both as they are now. */
static gboolean
introduce (Service       *self,
           char         **token,
           char         **url,
           GCancellable  *cancellable,
           GError       **error)
{
  g_autofree char *found = NULL;

  if (self->token != NULL)
    {
      *token = glance_token_get (self->token, NULL, cancellable, error);
      if (*token == NULL)
        return FALSE;
    }

  if (self->url != NULL)
    {
      *url = g_strdup (self->url);
      return TRUE;
    }

  found = glance_token_get_endpoint (self->token, cancellable, error);
  *url = found != NULL ? normalize_url (found, error) : NULL;

  return *url != NULL;
}

/* Performs @request with @token; once more, from the front of its body, when the service wants
 * another. */
static HttpAnswer *
perform (Service       *self,
         HttpRequest   *request,
         const char    *token,
         GCancellable  *cancellable,
         GError       **error)
{
  g_autoptr (HttpAnswer) answer = NULL;
  g_autofree char *newer = NULL;

  request->token = token;
  answer = http_perform (self->http, request, cancellable, error);
  if (answer == NULL || answer->status != 401)
    return g_steal_pointer (&answer);

  if (self->token == NULL)
    {
      glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED,
                        "the image service at %s asks for a token, and none is configured",
                        self->url);
      return NULL;
    }

  newer = glance_token_get (self->token, token, cancellable, error);
  if (newer == NULL)
    return NULL;
  if (request->body != NULL && !glance_pipe_rewind (request->body, error))
    return NULL;

  request->token = newer;

  return http_perform (self->http, request, cancellable, error);
}

/**
 * service_call:
 * @self: the service
 * @method: the HTTP method
 * @path: from "/v2" on, with the query
 * @json: (nullable): the body
 * @id: (nullable): of the image that it is about
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR when no answer could be had; G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full): the last answer, whatever its status
 */
HttpAnswer *
service_call (Service       *self,
              const char    *method,
              const char    *path,
              GBytes        *json,
              const char    *id,
              GCancellable  *cancellable,
              GError       **error)
{
  g_autofree char *random_id = id == NULL ? g_uuid_string_random () : NULL;
  g_autofree char *request_id = g_strconcat ("req-", id != NULL ? id : random_id, NULL);
  gint64 until = g_get_monotonic_time () + retry_patience (self->stall_s, self->backoff_ms);

  for (guint attempt = 1; ; attempt++)
    {
      g_autofree char *token = NULL;
      g_autofree char *base = NULL;
      g_autofree char *url = NULL;
      g_autoptr (GError) local_error = NULL;
      g_autoptr (HttpAnswer) answer = NULL;
      HttpRequest request = { .method = method, .request_id = request_id, .json = json };
      gint64 wait;

      /* The identity service has had attempts of its own. */
      if (!introduce (self, &token, &base, cancellable, error))
        return NULL;

      request.url = url = g_strconcat (base, path, NULL);
      answer = perform (self, &request, token, cancellable, &local_error);
      wait = retry_wait (self->backoff_ms, attempt, retry_after (answer));
      if (attempt == RETRY_ATTEMPTS || !retry_is_worth_it (answer, local_error)
          || g_get_monotonic_time () + wait >= until)
        {
          if (answer != NULL)
            answer->attempts = attempt;
          else
            glance_propagate_attempts (error, g_steal_pointer (&local_error), attempt);
          return g_steal_pointer (&answer);
        }

      if (!retry_sleep (wait, cancellable, error))
        return NULL;
    }
}

/* @request: with its method and what is large. */
static HttpAnswer *
transfer (Service       *self,
          HttpRequest   *request,
          const char    *path,
          const char    *id,
          GCancellable  *cancellable,
          GError       **error)
{
  g_autofree char *token = NULL;
  g_autofree char *base = NULL;
  g_autofree char *url = NULL;
  g_autofree char *request_id = g_strconcat ("req-", id, NULL);

  if (!introduce (self, &token, &base, cancellable, error))
    return NULL;
  request->url = url = g_strconcat (base, path, NULL);
  request->request_id = request_id;

  return perform (self, request, token, cancellable, error);
}

/**
 * service_put:
 * @self: the service
 * @path: from "/v2" on
 * @body: the bytes, at their front
 * @id: of the image
 * @deadline: monotonic microseconds by which the answer must be here
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR when there was no answer; G_IO_ERROR_CANCELLED; what @body said
 *
 * Returns: (transfer full): the answer, whatever its status
 */
HttpAnswer *
service_put (Service       *self,
             const char    *path,
             GlancePipe    *body,
             const char    *id,
             gint64         deadline,
             GCancellable  *cancellable,
             GError       **error)
{
  HttpRequest request = { .method = "PUT", .body = body, .deadline = deadline };

  return transfer (self, &request, path, id, cancellable, error);
}

/**
 * service_fetch:
 * @self: the service
 * @path: from "/v2" on
 * @sink: where the bytes go; at its front
 * @id: of the image
 * @deadline: monotonic microseconds by which all of them must be here
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR when there was no answer, or not all of it; G_IO_ERROR_CANCELLED; what @sink
 *   said
 *
 * Returns: (transfer full): the answer, whatever its status; the bytes went to @sink if that is 200
 */
HttpAnswer *
service_fetch (Service           *self,
               const char        *path,
               const GlanceSink  *sink,
               const char        *id,
               gint64             deadline,
               GCancellable      *cancellable,
               GError           **error)
{
  HttpRequest request = { .method = "GET", .sink = sink, .deadline = deadline };

  return transfer (self, &request, path, id, cancellable, error);
}

/**
 * service_deadline:
 * @self: the service
 * @length: bytes that a transfer moves
 *
 * Returns: when it must be over, with all its attempts, if it begins now: monotonic microseconds
 */
gint64
service_deadline (Service *self,
                  gint64   length)
{
  gint64 longest_s = RETRY_ATTEMPTS * (gint64) (self->stall_s + self->settle_ms / 1000)
                     + length / SLOWEST;

  return g_get_monotonic_time () + MIN (longest_s, self->deadline_s) * G_USEC_PER_SEC;
}

/**
 * service_back_off:
 * @self: the service
 * @n: 1 before the first repetition, 2 before the second, ...
 * @failure: (nullable): what is to be repeated has ended with it
 * @deadline: monotonic microseconds
 * @cancellable: (nullable): ends the waiting at once
 * @error: G_IO_ERROR_CANCELLED, or @failure
 *
 * Returns: %FALSE when cancelled, or when the wait would last beyond @deadline
 */
gboolean
service_back_off (Service       *self,
                  guint          n,
                  const GError  *failure,
                  gint64         deadline,
                  GCancellable  *cancellable,
                  GError       **error)
{
  gint64 after = failure != NULL ? glance_error_get_retry_after (failure) : 0;
  gint64 wait = retry_wait (self->backoff_ms, n, after);

  if (failure != NULL && g_get_monotonic_time () + wait >= deadline)
    {
      glance_propagate_attempts (error, g_error_copy (failure), n);
      return FALSE;
    }

  return retry_sleep (wait, cancellable, error);
}
