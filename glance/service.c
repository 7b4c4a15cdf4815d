/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to ask the service: its address, the token and its renewal, and when to ask again. */

#include "service.h"

#include <string.h>

#include "error-private.h"

#define ATTEMPTS    4
#define BACKOFF_MAX 10000

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
      glance_set_error (error, GLANCE_ERROR_INVALID,
                        "\"%s\" is not the address of an image service; "
                        "it looks like http://controller:9292", text);
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
 * @token: (nullable): who we are
 * @error: GLANCE_ERROR_INVALID when the address is none
 *
 * Returns: (transfer full): the service; nothing is asked yet
 */
Service *
service_new (const GlanceSettings  *settings,
             GlanceToken           *token,
             GError               **error)
{
  g_autofree char *url = normalize_url (settings->url, error);
  HttpSettings http;
  Service *self;

  if (url == NULL)
    return NULL;

  self = g_new0 (Service, 1);
  self->url = g_steal_pointer (&url);
  self->token = token != NULL ? g_object_ref (token) : NULL;
  self->stall_s = settings->stall_s > 0 ? settings->stall_s : 60;
  self->settle_ms = settings->settle_ms > 0 ? settings->settle_ms : self->stall_s * 1000;
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

/* Performs @request with our token; once more, from the front of its body, when the service wants
 * another. */
static HttpAnswer *
perform (Service       *self,
         HttpRequest   *request,
         GCancellable  *cancellable,
         GError       **error)
{
  g_autoptr (HttpAnswer) answer = NULL;
  g_autofree char *token = NULL;
  g_autofree char *newer = NULL;

  if (self->token != NULL)
    {
      token = glance_token_get (self->token, NULL, cancellable, error);
      if (token == NULL)
        return NULL;
    }

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
  if (request->body != NULL && !request->body->rewind (request->body->data, error))
    return NULL;

  request->token = newer;

  return http_perform (self->http, request, cancellable, error);
}

static gboolean
is_worth_another_try (const HttpAnswer *answer,
                      const GError     *error)
{
  if (answer != NULL)
    return answer->status == 429 || (answer->status >= 500 && answer->status <= 504);

  return g_error_matches (error, GLANCE_ERROR, GLANCE_ERROR_UNAVAILABLE)
         || g_error_matches (error, GLANCE_ERROR, GLANCE_ERROR_TIMEOUT);
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
  g_autofree char *url = g_strconcat (self->url, path, NULL);
  g_autofree char *random_id = id == NULL ? g_uuid_string_random () : NULL;
  g_autofree char *request_id = g_strconcat ("req-", id != NULL ? id : random_id, NULL);

  for (guint attempt = 1; ; attempt++)
    {
      g_autoptr (GError) local_error = NULL;
      HttpRequest request = { .method = method, .url = url, .request_id = request_id,
                             .json = json };
      g_autoptr (HttpAnswer) answer = perform (self, &request, cancellable, &local_error);

      if (attempt == ATTEMPTS || !is_worth_another_try (answer, local_error))
        {
          if (answer == NULL)
            g_propagate_error (error, g_steal_pointer (&local_error));
          return g_steal_pointer (&answer);
        }

      if (!service_back_off (self, attempt, cancellable, error))
        return NULL;
    }
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
service_put (Service           *self,
             const char        *path,
             const GlanceBody  *body,
             const char        *id,
             gint64             deadline,
             GCancellable      *cancellable,
             GError           **error)
{
  g_autofree char *url = g_strconcat (self->url, path, NULL);
  g_autofree char *request_id = g_strconcat ("req-", id, NULL);
  HttpRequest request = {
    .method = "PUT",
    .url = url,
    .request_id = request_id,
    .body = body,
    .deadline = deadline,
  };

  return perform (self, &request, cancellable, error);
}

/**
 * service_back_off:
 * @self: the service
 * @n: 1 before the first repetition, 2 before the second, ...
 * @cancellable: (nullable): ends the waiting at once
 * @error: G_IO_ERROR_CANCELLED
 *
 * Waits twice as long each time, and between half and one and a half times that, so that many
 * clients of a service that came back do not come back together.
 *
 * Returns: %FALSE when cancelled
 */
gboolean
service_back_off (Service       *self,
                  guint          n,
                  GCancellable  *cancellable,
                  GError       **error)
{
  guint base = MIN (self->backoff_ms << MIN (n - 1, 10), BACKOFF_MAX);
  gint64 wait_us = (gint64) (base * g_random_double_range (0.5, 1.5) * 1000);
  gint64 until = g_get_monotonic_time () + wait_us;
  GPollFD poll_fd = { .fd = -1 };
  gboolean can_wake = g_cancellable_make_pollfd (cancellable, &poll_fd);
  gint64 left;

  while ((left = until - g_get_monotonic_time ()) > 0 && !g_cancellable_is_cancelled (cancellable))
    g_poll (&poll_fd, can_wake ? 1 : 0, (int) (left / 1000 + 1));

  if (can_wake)
    g_cancellable_release_fd (cancellable);

  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}
