/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what Keystone says with a token: whose it is, how long it lives, and the catalogue. Times
 * are only compared with times of the same clock: ours may be another than Keystone's. */

#include "keystone-session.h"

#include <curl/curl.h>
#include <string.h>

#include "error-private.h"
#include "json.h"
#include "token-private.h"

#define ENDPOINTS_MAX 1000
#define SHOWN_MAX     20

/* The time before the end in which another token is asked for: a tenth of its life, if that is
 * less. */
#define MARGIN_US     (5 * 60 * G_USEC_PER_SEC)

/* No token lives longer than a year; and so nothing overflows. */
#define LIFE_MAX_US   (366 * G_TIME_SPAN_DAY)

typedef struct
{
  char *interface;
  char *region;                 /* (nullable) */
  char *url;
} KeystoneEndpoint;

static void
endpoint_free (gpointer data)
{
  KeystoneEndpoint *self = data;

  g_free (self->interface);
  g_free (self->region);
  g_free (self->url);
  g_free (self);
}

/**
 * glance_user_copy:
 * @self: somebody
 *
 * Returns: (transfer full): the same
 */
GlanceUser *
glance_user_copy (const GlanceUser *self)
{
  GlanceUser *copy = g_new0 (GlanceUser, 1);

  copy->user_id = g_strdup (self->user_id);
  copy->project_id = g_strdup (self->project_id);
  copy->roles = g_strdupv (self->roles);
  copy->is_ours = self->is_ours;

  return copy;
}

/**
 * glance_user_free:
 * @self: (transfer full) (nullable): somebody
 */
void
glance_user_free (GlanceUser *self)
{
  if (self == NULL)
    return;

  g_free (self->user_id);
  g_free (self->project_id);
  g_strfreev (self->roles);
  g_free (self);
}

static void
session_clear (gpointer data)
{
  KeystoneSession *self = data;

  if (self->token != NULL)
    explicit_bzero (self->token, strlen (self->token));
  g_free (self->token);
  glance_user_free (self->user);
  g_clear_pointer (&self->endpoints, g_ptr_array_unref);
  g_free (self->services);
}

/**
 * keystone_session_ref:
 * @self: a session
 *
 * Returns: (transfer full): @self; from any thread
 */
KeystoneSession *
keystone_session_ref (KeystoneSession *self)
{
  return g_atomic_rc_box_acquire (self);
}

/**
 * keystone_session_unref:
 * @self: (transfer full): a session; its token is wiped with the last reference
 */
void
keystone_session_unref (KeystoneSession *self)
{
  g_atomic_rc_box_release_full (self, session_clear);
}

/* What somebody else wrote, as a word for people. */
static void
append_word (GString    *list,
             const char *word)
{
  g_autofree char *shown = g_utf8_substring (word, 0, MIN (g_utf8_strlen (word, -1), 40));

  for (char *c = shown; *c != '\0'; c++)
    {
      if (g_ascii_iscntrl (*c))
        *c = '?';
    }
  g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "", shown);
}

static JsonObject *
get_element (JsonArray *array,
             guint      i)
{
  JsonNode *node = json_array_get_element (array, i);

  return JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static guint
get_length (JsonArray *array)
{
  return array != NULL ? json_array_get_length (array) : 0;
}

static GlanceUser *
read_user (JsonObject  *token,
           GError     **error)
{
  g_autoptr (GlanceUser) user = g_new0 (GlanceUser, 1);
  g_autoptr (GStrvBuilder) roles = g_strv_builder_new ();
  JsonObject *object = glance_json_get_object (token, "user");
  JsonObject *project = glance_json_get_object (token, "project");
  JsonArray *array = glance_json_get_array (token, "roles");

  user->user_id = object != NULL ? g_strdup (glance_json_get_string (object, "id")) : NULL;
  user->project_id = project != NULL ? g_strdup (glance_json_get_string (project, "id")) : NULL;
  for (guint i = 0; i < get_length (array); i++)
    {
      JsonObject *role = get_element (array, i);
      const char *name = role != NULL ? glance_json_get_string (role, "name") : NULL;

      if (name != NULL)
        g_strv_builder_add (roles, name);
    }
  user->roles = g_strv_builder_end (roles);

  if (user->user_id == NULL)
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL, "Keystone does not say whose the token is");
      return NULL;
    }

  return g_steal_pointer (&user);
}

/* Microseconds since the epoch, by Keystone's clock; 0 when there is no such time. */
static gint64
get_time (JsonObject *token,
          const char *name)
{
  const char *text = glance_json_get_string (token, name);
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = text != NULL ? g_date_time_new_from_iso8601 (text, utc) : NULL;

  return time != NULL ? g_date_time_to_unix (time) * G_USEC_PER_SEC
                        + g_date_time_get_microsecond (time)
                      : 0;
}

static void
read_endpoints (JsonArray *array,
                GPtrArray *endpoints)
{
  for (guint i = 0; i < get_length (array) && endpoints->len < ENDPOINTS_MAX; i++)
    {
      JsonObject *object = get_element (array, i);
      const char *interface = object != NULL ? glance_json_get_string (object, "interface") : NULL;
      const char *url = object != NULL ? glance_json_get_string (object, "url") : NULL;
      const char *region;
      KeystoneEndpoint *endpoint;

      if (interface == NULL || url == NULL)
        continue;

      region = glance_json_get_string (object, "region_id");
      if (region == NULL)
        region = glance_json_get_string (object, "region");

      endpoint = g_new0 (KeystoneEndpoint, 1);
      endpoint->interface = g_strdup (interface);
      endpoint->region = g_strdup (region);
      endpoint->url = g_strdup (url);
      g_ptr_array_add (endpoints, endpoint);
    }
}

static void
read_catalogue (JsonArray       *catalogue,
                KeystoneSession *session)
{
  g_autoptr (GString) services = g_string_new (NULL);

  session->endpoints = g_ptr_array_new_with_free_func (endpoint_free);
  for (guint i = 0; i < get_length (catalogue); i++)
    {
      JsonObject *service = get_element (catalogue, i);
      const char *type = service != NULL ? glance_json_get_string (service, "type") : NULL;

      if (type == NULL)
        continue;

      if (i < SHOWN_MAX)
        append_word (services, type);
      if (g_str_equal (type, "image"))
        read_endpoints (glance_json_get_array (service, "endpoints"), session->endpoints);
    }
  session->services = g_string_free (g_steal_pointer (&services), FALSE);
}

/* The object that both answers about a token hold. */
static JsonNode *
parse_token (const HttpAnswer  *answer,
             JsonObject       **token,
             GError           **error)
{
  g_autoptr (JsonNode) json = glance_json_parse (answer->body, error);

  if (json == NULL)
    {
      if (error != NULL)
        g_prefix_error (error, "Keystone: ");
      return NULL;
    }

  *token = glance_json_get_object (json_node_get_object (json), "token");
  if (*token == NULL)
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL, "Keystone's answer has no token in it");
      return NULL;
    }

  return g_steal_pointer (&json);
}

/**
 * keystone_session_new:
 * @answer: a success of POST /v3/auth/tokens
 * @asked_us: monotonic microseconds, when that was asked
 * @error: GLANCE_ERROR_PROTOCOL when it is not what Keystone answers; GLANCE_ERROR_UNAUTHORIZED
 *   when the token is for no project
 *
 * Returns: (transfer full): the session
 */
KeystoneSession *
keystone_session_new (const HttpAnswer  *answer,
                      gint64             asked_us,
                      GError           **error)
{
  g_autoptr (KeystoneSession) self = g_atomic_rc_box_new0 (KeystoneSession);
  const char *token = http_answer_get_header (answer, "x-subject-token");
  g_autoptr (JsonNode) json = NULL;
  JsonObject *object;
  gint64 issued_us;
  gint64 expires_us;
  gint64 life_us;

  json = parse_token (answer, &object, error);
  if (json == NULL)
    return NULL;

  if (token == NULL || !glance_token_is_sane (token))
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL,
                        "Keystone's answer has no token in its X-Subject-Token");
      return NULL;
    }

  issued_us = get_time (object, "issued_at");
  expires_us = get_time (object, "expires_at");
  life_us = issued_us > 0 && expires_us > issued_us ? MIN (expires_us - issued_us, LIFE_MAX_US) : 0;
  if (life_us == 0)
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL,
                        "Keystone's token ends before it begins, or has no times at all");
      return NULL;
    }

  self->user = read_user (object, error);
  if (self->user == NULL)
    return NULL;
  if (self->user->project_id == NULL)
    {
      glance_set_error (error, GLANCE_ERROR_UNAUTHORIZED,
                        "Keystone's token is for no project, and images belong to one");
      return NULL;
    }

  self->token = g_strdup (token);
  self->end_us = asked_us + life_us;
  self->renew_us = self->end_us - MIN (life_us / 10, MARGIN_US);
  read_catalogue (glance_json_get_array (object, "catalog"), self);

  return g_steal_pointer (&self);
}

/**
 * keystone_session_parse_user:
 * @answer: a success of GET /v3/auth/tokens
 * @left_us: (out): microseconds until the token ends
 * @error: GLANCE_ERROR_PROTOCOL when it is not what Keystone answers
 *
 * Returns: (transfer full): whose token it is about
 */
GlanceUser *
keystone_session_parse_user (const HttpAnswer  *answer,
                             gint64            *left_us,
                             GError           **error)
{
  const char *date = http_answer_get_header (answer, "date");
  gint64 now_us = g_get_real_time ();
  g_autoptr (JsonNode) json = NULL;
  JsonObject *object;

  json = parse_token (answer, &object, error);
  if (json == NULL)
    return NULL;

  /* What is left is told by Keystone's clock, if it says what that shows. */
  if (date != NULL && curl_getdate (date, NULL) > 0)
    now_us = (gint64) curl_getdate (date, NULL) * G_USEC_PER_SEC;
  *left_us = get_time (object, "expires_at") - now_us;

  return read_user (object, error);
}

static gboolean
endpoint_fits (const KeystoneEndpoint *endpoint,
               const char             *region,
               const char             *interface)
{
  /* As in the catalogues of version 2. */
  g_autofree char *old = g_strconcat (interface, "URL", NULL);

  return (region == NULL || g_strcmp0 (endpoint->region, region) == 0)
         && (g_str_equal (endpoint->interface, interface)
             || g_str_equal (endpoint->interface, old));
}

static char *
list_endpoints (const KeystoneSession *self)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < self->endpoints->len && i < SHOWN_MAX; i++)
    {
      const KeystoneEndpoint *endpoint = self->endpoints->pdata[i];
      g_autofree char *line = g_strdup_printf ("%s in %s", endpoint->interface,
                                               endpoint->region != NULL ? endpoint->region
                                                                        : "no region");

      append_word (list, line);
    }

  return g_string_free (g_steal_pointer (&list), FALSE);
}

/**
 * keystone_session_find_image:
 * @self: the session
 * @region: (nullable): where it must be
 * @interface: "public", "internal" or "admin"
 * @error: GLANCE_ERROR_NO_ENDPOINT, with what the catalogue has instead
 *
 * Returns: (transfer full): the address of the image service
 */
char *
keystone_session_find_image (const KeystoneSession  *self,
                             const char             *region,
                             const char             *interface,
                             GError                **error)
{
  const KeystoneEndpoint *found = NULL;
  g_autofree char *list = NULL;

  for (guint i = 0; i < self->endpoints->len; i++)
    {
      const KeystoneEndpoint *endpoint = self->endpoints->pdata[i];

      if (!endpoint_fits (endpoint, region, interface))
        continue;

      if (found != NULL && region == NULL && g_strcmp0 (found->region, endpoint->region) != 0)
        {
          list = list_endpoints (self);
          glance_set_error (error, GLANCE_ERROR_NO_ENDPOINT,
                            "the image service is in more than one region: name yours in "
                            "region_name; the catalogue has: %s", list);
          return NULL;
        }
      if (found == NULL)
        found = endpoint;
    }

  if (found != NULL)
    return g_strdup (found->url);

  if (self->endpoints->len == 0)
    {
      glance_set_error (error, GLANCE_ERROR_NO_ENDPOINT,
                        "Keystone's catalogue has no image service; it has: %s",
                        self->services[0] != '\0' ? self->services : "nothing");
      return NULL;
    }

  list = list_endpoints (self);
  glance_set_error (error, GLANCE_ERROR_NO_ENDPOINT,
                    "Keystone's catalogue has no %s address of the image service in %s%s; "
                    "it has: %s", interface, region != NULL ? "region " : "any region",
                    region != NULL ? region : "", list);

  return NULL;
}
