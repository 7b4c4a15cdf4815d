/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the three requests that Keystone gets from us: where its version 3 is, a token for our
 * credentials, and whose a token is. No secret and no token ever gets into an error. */

#include "keystone-client.h"

#include <string.h>

#include "clouds-entry.h"
#include "error-private.h"
#include "json.h"
#include "retry.h"

struct _KeystoneClient
{
  const GlanceCloud *cloud;
  Http              *http;
  guint              stall_s;
  guint              backoff_ms;

  GMutex             lock;
  char              *base;      /* (nullable): of version 3, once it is known */
};

/**
 * keystone_client_new:
 * @cloud: who we are, and where; must live longer
 * @settings: times
 *
 * Returns: (transfer full): a client
 */
KeystoneClient *
keystone_client_new (const GlanceCloud    *cloud,
                     const GlanceSettings *settings)
{
  KeystoneClient *self = g_new0 (KeystoneClient, 1);
  const HttpSettings http = {
    .ca_file = cloud->ca_file != NULL ? cloud->ca_file : settings->ca_file,
    .connect_ms = settings->connect_ms > 0 ? settings->connect_ms : 10000,
    .stall_s = settings->stall_s > 0 ? settings->stall_s : 60,
  };

  self->cloud = cloud;
  self->stall_s = http.stall_s;
  self->http = http_new (&http);
  self->backoff_ms = settings->backoff_ms > 0 ? settings->backoff_ms : 1000;
  g_mutex_init (&self->lock);

  return self;
}

/**
 * keystone_client_free:
 * @self: (transfer full) (nullable): a client that nobody uses
 */
void
keystone_client_free (KeystoneClient *self)
{
  if (self == NULL)
    return;

  http_free (self->http);
  g_mutex_clear (&self->lock);
  g_free (self->base);
  g_free (self);
}

/**
 * keystone_client_get_patience:
 * @self: the client
 *
 * Returns: microseconds that a request takes at most: it may have to look for the address first,
 *   and each is repeated
 */
gint64
keystone_client_get_patience (KeystoneClient *self)
{
  gint64 last = (gint64) (self->stall_s + 1) * G_USEC_PER_SEC;

  return 2 * (retry_patience (self->stall_s, self->backoff_ms) + last);
}

static GlanceError
code_of (guint status)
{
  switch (status)
    {
    case 401:
    case 403:
    case 408:
    case 429:
      return glance_error_from_status (status);
    default:
      return status >= 500 ? glance_error_from_status (status) : GLANCE_ERROR_PROTOCOL;
    }
}

/* Keystone explains a request that it cannot read by repeating what is in it; so its words are only
 * shown where they cannot be ours. */
static void
set_error (KeystoneClient    *self,
           const HttpAnswer  *answer,
           const char        *action,
           const char        *token,
           GError           **error)
{
  g_autofree char *who = g_strdup_printf ("Keystone at %s", self->cloud->auth_url);
  const char *const secrets[] = { self->cloud->password,
                                  self->cloud->application_credential_secret, token };
  g_autofree char *text = answer->status != 400
                          ? glance_answer_text (answer, secrets, G_N_ELEMENTS (secrets)) : NULL;

  glance_set_service_error (error, code_of (answer->status), answer, action, who, text);
}

/* An answer, whatever its status; asked for again when Keystone has trouble. */
static HttpAnswer *
ask (KeystoneClient     *self,
     const HttpRequest  *request,
     GCancellable       *cancellable,
     GError            **error)
{
  gint64 until = g_get_monotonic_time () + retry_patience (self->stall_s, self->backoff_ms);

  for (guint attempt = 1; ; attempt++)
    {
      g_autoptr (GError) local_error = NULL;
      g_autoptr (HttpAnswer) answer = http_perform (self->http, request, cancellable,
                                                    &local_error);
      gint64 wait = retry_wait (self->backoff_ms, attempt, retry_after (answer));

      if (attempt == RETRY_ATTEMPTS || !retry_is_worth_it (answer, local_error)
          || g_get_monotonic_time () + wait >= until)
        {
          if (answer == NULL)
            g_propagate_prefixed_error (error, g_steal_pointer (&local_error), "Keystone: ");
          return g_steal_pointer (&answer);
        }

      if (!retry_sleep (wait, cancellable, error))
        return NULL;
    }
}

/* The link to version 3 in a list of versions, or NULL. @found: all that are there. */
static const char *
find_version (JsonObject *root,
              GString    *found)
{
  JsonObject *versions = glance_json_get_object (root, "versions");
  JsonArray *array = versions != NULL ? glance_json_get_array (versions, "values")
                                      : glance_json_get_array (root, "versions");
  guint n = array != NULL ? MIN (json_array_get_length (array), 20) : 0;

  for (guint i = 0; i < n; i++)
    {
      JsonNode *node = json_array_get_element (array, i);
      JsonObject *version = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
      const char *id = version != NULL ? glance_json_get_string (version, "id") : NULL;
      JsonArray *links = id != NULL ? glance_json_get_array (version, "links") : NULL;

      if (id == NULL || links == NULL || json_array_get_length (links) == 0)
        continue;

      g_string_append_printf (found, "%s%s", found->len > 0 ? ", " : "", clouds_show (id));
      node = json_array_get_element (links, 0);
      if (g_str_has_prefix (id, "v3") && JSON_NODE_HOLDS_OBJECT (node))
        return glance_json_get_string (json_node_get_object (node), "href");
    }

  return NULL;
}

/* The path of @link at our own address: what Keystone calls itself is often written for another
 * network, or without TLS. */
static char *
apply_link (const char *url,
            const char *link)
{
  g_autoptr (GUri) uri = g_uri_parse (link, G_URI_FLAGS_ENCODED, NULL);
  g_autofree char *path = uri != NULL ? g_strdup (g_uri_get_path (uri)) : NULL;
  const char *host = strstr (url, "://") + strlen ("://");
  gsize length = strcspn (host, "/") + (gsize) (host - url);

  while (path != NULL && g_str_has_suffix (path, "/"))
    path[strlen (path) - 1] = '\0';
  if (path == NULL || !g_str_has_suffix (path, "/v3"))
    return g_strconcat (url, "/v3", NULL);

  return g_strdup_printf ("%.*s%s", (int) length, url, path);
}

static char *
discover (KeystoneClient  *self,
          GCancellable    *cancellable,
          GError         **error)
{
  g_autofree char *url = g_strconcat (self->cloud->auth_url, "/", NULL);
  const HttpRequest request = { .method = "GET", .url = url };
  g_autoptr (HttpAnswer) answer = ask (self, &request, cancellable, error);
  g_autoptr (GString) found = g_string_new (NULL);
  g_autoptr (JsonNode) json = NULL;
  const char *link;

  if (answer == NULL)
    return NULL;
  if (answer->status != 200 && answer->status != 300)
    {
      set_error (self, answer, "find version 3 of the identity API", NULL, error);
      return NULL;
    }

  json = glance_json_parse (answer->body, NULL);
  link = json != NULL ? find_version (json_node_get_object (json), found) : NULL;
  if (link == NULL)
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL,
                        "at %s is no Keystone that speaks version 3 of its API%s%s; "
                        "auth_url looks like http://controller:5000/v3", self->cloud->auth_url,
                        found->len > 0 ? ", but " : "", found->str);
      return NULL;
    }

  return apply_link (self->cloud->auth_url, link);
}

/* "https://host:5000/v3": from the configuration, or looked up once. */
static char *
find_base (KeystoneClient  *self,
           GCancellable    *cancellable,
           GError         **error)
{
  char *base;

  if (g_str_has_suffix (self->cloud->auth_url, "/v3"))
    return g_strdup (self->cloud->auth_url);

  g_mutex_lock (&self->lock);
  base = g_strdup (self->base);
  g_mutex_unlock (&self->lock);
  if (base != NULL)
    return base;

  base = discover (self, cancellable, error);
  if (base != NULL)
    {
      g_mutex_lock (&self->lock);
      g_free (self->base);
      self->base = g_strdup (base);
      g_mutex_unlock (&self->lock);
    }

  return base;
}

static void
add_text (JsonBuilder *builder,
          const char  *name,
          const char  *text)
{
  if (text == NULL)
    return;

  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, text);
}

static void
begin (JsonBuilder *builder,
       const char  *name)
{
  if (name != NULL)
    json_builder_set_member_name (builder, name);
  json_builder_begin_object (builder);
}

/* {"id": ...}, or a name and the domain that it is known in. */
static void
add_named (JsonBuilder *builder,
           const char  *id,
           const char  *name,
           const char  *domain_id,
           const char  *domain_name)
{
  if (id != NULL)
    {
      add_text (builder, "id", id);
      return;
    }

  add_text (builder, "name", name);
  begin (builder, "domain");
  add_text (builder, domain_id != NULL ? "id" : "name",
            domain_id != NULL ? domain_id : domain_name);
  json_builder_end_object (builder);
}

static void
add_user (JsonBuilder       *builder,
          const GlanceCloud *cloud)
{
  begin (builder, "user");
  add_named (builder, cloud->user_id, cloud->username, cloud->user_domain_id,
             cloud->user_domain_name);
  add_text (builder, "password",
            cloud->kind == GLANCE_CLOUD_PASSWORD ? cloud->password : NULL);
  json_builder_end_object (builder);
}

static void
add_identity (JsonBuilder       *builder,
              const GlanceCloud *cloud)
{
  const char *method = cloud->kind == GLANCE_CLOUD_PASSWORD ? "password"
                                                            : "application_credential";

  begin (builder, "identity");
  json_builder_set_member_name (builder, "methods");
  json_builder_begin_array (builder);
  json_builder_add_string_value (builder, method);
  json_builder_end_array (builder);

  begin (builder, method);
  if (cloud->kind == GLANCE_CLOUD_APPLICATION_CREDENTIAL)
    {
      add_text (builder, "id", cloud->application_credential_id);
      if (cloud->application_credential_id == NULL)
        add_text (builder, "name", cloud->application_credential_name);
      add_text (builder, "secret", cloud->application_credential_secret);
    }
  if (cloud->kind == GLANCE_CLOUD_PASSWORD || cloud->application_credential_id == NULL)
    add_user (builder, cloud);
  json_builder_end_object (builder);

  json_builder_end_object (builder);
}

static void
wipe_text (gpointer data)
{
  char *text = data;

  explicit_bzero (text, strlen (text));
  g_free (text);
}

static GBytes *
make_credentials (const GlanceCloud *cloud)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  char *text;

  begin (builder, NULL);
  begin (builder, "auth");
  add_identity (builder, cloud);
  if (cloud->kind == GLANCE_CLOUD_PASSWORD)
    {
      begin (builder, "scope");
      begin (builder, "project");
      add_named (builder, cloud->project_id, cloud->project_name, cloud->project_domain_id,
                 cloud->project_domain_name);
      json_builder_end_object (builder);
      json_builder_end_object (builder);
    }
  json_builder_end_object (builder);
  json_builder_end_object (builder);

  root = json_builder_get_root (builder);
  text = json_to_string (root, FALSE);

  return g_bytes_new_with_free_func (text, strlen (text), wipe_text, text);
}

/**
 * keystone_client_authenticate:
 * @self: the client
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR_UNAUTHORIZED when Keystone does not believe us; any other GLANCE_ERROR;
 *   G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full): a new token, and what comes with it
 */
KeystoneSession *
keystone_client_authenticate (KeystoneClient  *self,
                              GCancellable    *cancellable,
                              GError         **error)
{
  g_autofree char *base = find_base (self, cancellable, error);
  g_autofree char *url = NULL;
  g_autofree char *action = NULL;
  g_autoptr (GBytes) json = NULL;
  g_autoptr (HttpAnswer) answer = NULL;
  HttpRequest request = { .method = "POST" };
  gint64 asked_us = g_get_monotonic_time ();

  if (base == NULL)
    return NULL;

  request.url = url = g_strconcat (base, "/auth/tokens", NULL);
  request.json = json = make_credentials (self->cloud);
  action = g_strdup_printf ("authenticate for cloud '%s'", self->cloud->name);
  answer = ask (self, &request, cancellable, error);
  if (answer == NULL)
    return NULL;
  if (answer->status != 201)
    {
      set_error (self, answer, action, NULL, error);
      return NULL;
    }

  return keystone_session_new (answer, asked_us, error);
}

/**
 * keystone_client_identify:
 * @self: the client
 * @token: one that may be put into a header
 * @left_us: (out): microseconds until it ends
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR_UNAUTHORIZED when it is nobody's; any other GLANCE_ERROR;
 *   G_IO_ERROR_CANCELLED
 *
 * It is the token itself that asks: everybody may ask about oneself, while others' tokens are only
 * told to an admin.
 *
 * Returns: (transfer full): whose it is
 */
GlanceUser *
keystone_client_identify (KeystoneClient  *self,
                          const char      *token,
                          gint64          *left_us,
                          GCancellable    *cancellable,
                          GError         **error)
{
  g_autofree char *base = find_base (self, cancellable, error);
  g_autofree char *url = NULL;
  g_autoptr (HttpAnswer) answer = NULL;
  HttpRequest request = { .method = "GET", .token = token, .subject_token = token };

  if (base == NULL)
    return NULL;

  request.url = url = g_strconcat (base, "/auth/tokens?nocatalog", NULL);
  answer = ask (self, &request, cancellable, error);
  if (answer == NULL)
    return NULL;

  switch (answer->status)
    {
    case 200:
      return keystone_session_parse_user (answer, left_us, error);

    case 401:
    case 403:
    case 404:
      glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED,
                        "Keystone does not know this token, or not any more");
      return NULL;

    default:
      set_error (self, answer, "ask whose a token is", token, error);
      return NULL;
    }
}
