/* SPDX-License-Identifier: Apache-2.0 */

#include "fake-keystone.h"

#include <string.h>

#define BODY_MAX 65536

struct _FakeKeystone
{
  GSocketService *service;
  GMainContext   *context;
  GMainLoop      *loop;
  GThread        *thread;
  char           *url;
  GCancellable   *stop;

  GMutex          lock;
  GCond           changed;
  GQueue          answers;      /* of FakeKeystoneAnswer */
  GHashTable     *counts;       /* method -> number */
  GHashTable     *revoked;      /* a set of tokens */
  char           *catalogue;
  char           *versions;
  char           *body;
  char           *path;
  gint64          life_us;
  gint64          ahead_us;
  guint           n_tokens;
  guint           n_busy;
  gboolean        hold;
};

typedef struct
{
  char *method;
  char *path;
  char *token;                  /* (nullable) */
  char *subject;                /* (nullable) */
  char *body;
} Request;

static void
request_clear (Request *self)
{
  g_free (self->method);
  g_free (self->path);
  g_free (self->token);
  g_free (self->subject);
  g_free (self->body);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Request, request_clear)

static gboolean
read_request (FakeKeystone     *self,
              GDataInputStream *input,
              Request          *request)
{
  g_autofree char *first = g_data_input_stream_read_line (input, NULL, self->stop, NULL);
  g_auto (GStrv) words = first != NULL ? g_strsplit (first, " ", 3) : NULL;
  gsize length = 0;
  gsize got = 0;

  if (words == NULL || g_strv_length (words) != 3)
    return FALSE;
  request->method = g_strdup (words[0]);
  request->path = g_strdup (words[1]);

  while (TRUE)
    {
      g_autofree char *line = g_data_input_stream_read_line (input, NULL, self->stop, NULL);
      char *colon = line != NULL ? strchr (line, ':') : NULL;

      if (line == NULL)
        return FALSE;
      if (colon == NULL)
        break;

      *colon = '\0';
      if (g_ascii_strcasecmp (line, "Content-Length") == 0)
        length = (gsize) g_ascii_strtoull (colon + 1, NULL, 10);
      else if (g_ascii_strcasecmp (line, "X-Auth-Token") == 0)
        request->token = g_strdup (g_strstrip (colon + 1));
      else if (g_ascii_strcasecmp (line, "X-Subject-Token") == 0)
        request->subject = g_strdup (g_strstrip (colon + 1));
    }

  g_assert_cmpuint (length, <, BODY_MAX);
  request->body = g_malloc0 (length + 1);

  return g_input_stream_read_all (G_INPUT_STREAM (input), request->body, length, &got, self->stop,
                                  NULL)
         && got == length;
}

static char *
format_time (gint64 us)
{
  g_autoptr (GDateTime) seconds = g_date_time_new_from_unix_utc (us / G_USEC_PER_SEC);
  g_autofree char *text = g_date_time_format (seconds, "%Y-%m-%dT%H:%M:%S");

  return g_strdup_printf ("%s.%06dZ", text, (int) (us % G_USEC_PER_SEC));
}

/* What is right to say about a token; the lock is held. */
static char *
describe_token (FakeKeystone *self)
{
  gint64 now = g_get_real_time () + self->ahead_us;
  g_autofree char *issued = format_time (now);
  g_autofree char *expires = format_time (now + self->life_us);

  return g_strdup_printf ("{\"token\": {\"methods\": [\"password\"], \"issued_at\": \"%s\", "
                          "\"expires_at\": \"%s\", \"user\": {\"id\": \"the-user\"}, "
                          "\"project\": {\"id\": \"the-project\"}, "
                          "\"roles\": [{\"name\": \"member\"}, {\"name\": \"reader\"}]%s%s}}",
                          issued, expires, self->catalogue != NULL ? ", \"catalog\": " : "",
                          self->catalogue != NULL ? self->catalogue : "");
}

/* What is right; the lock is held. */
static guint
answer_well (FakeKeystone   *self,
             const Request  *request,
             char          **body,
             char          **token)
{
  if (g_str_equal (request->method, "POST")
      && g_str_has_suffix (request->path, "/v3/auth/tokens"))
    {
      *body = describe_token (self);
      *token = g_strdup_printf ("token-%u", ++self->n_tokens);
      return 201;
    }

  if (g_str_has_suffix (request->path, "/v3/auth/tokens?nocatalog"))
    {
      if (g_strcmp0 (request->token, request->subject) != 0
          || g_hash_table_contains (self->revoked, request->subject))
        return 401;
      *body = describe_token (self);
      return 200;
    }

  if (self->versions != NULL)
    {
      *body = g_strdup (self->versions);
      return 300;
    }

  return 404;
}

/* Says what it was told to, or what is right; nothing at all: FALSE. */
static gboolean
answer (FakeKeystone  *self,
        const Request *request,
        GOutputStream *output)
{
  g_autofree FakeKeystoneAnswer *told = NULL;
  g_autofree char *body = NULL;
  g_autofree char *token = NULL;
  g_autofree char *header = NULL;
  g_autofree char *date = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (GDateTime) now = NULL;
  guint status = 0;

  g_mutex_lock (&self->lock);
  told = g_queue_pop_head (&self->answers);
  if (told == NULL || (told->body == NULL && told->status < 300))
    status = answer_well (self, request, &body, &token);
  if (told != NULL)
    {
      status = told->status;
      g_free (token);
      token = g_strdup (told->token);
      if (told->body != NULL)
        body = g_strdup (told->body);
    }
  now = g_date_time_new_from_unix_utc ((g_get_real_time () + self->ahead_us) / G_USEC_PER_SEC);
  g_mutex_unlock (&self->lock);

  header = token != NULL ? g_strconcat ("X-Subject-Token: ", token, "\r\n", NULL) : g_strdup ("");
  date = g_date_time_format (now, "%a, %d %b %Y %H:%M:%S GMT");
  if (body == NULL)
    body = g_strdup ("{\"error\": {\"message\": \"so it is\"}}");

  g_string_printf (text, "HTTP/1.1 %u Whatever\r\nConnection: close\r\nDate: %s\r\n"
                   "X-Openstack-Request-Id: req-of-the-fake\r\n"
                   "Content-Length: %zu\r\n%s\r\n%s", status, date,
                   strlen (body) + (told != NULL ? told->padding : 0), header, body);
  for (gsize i = 0; told != NULL && i < told->padding; i++)
    g_string_append_c (text, ' ');

  if (status == 0)
    return FALSE;

  g_output_stream_write_all (output, text->str, text->len, NULL, self->stop, NULL);

  return TRUE;
}

static void
note (FakeKeystone  *self,
      const Request *request)
{
  guint n = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, request->method));

  g_hash_table_insert (self->counts, g_strdup (request->method), GUINT_TO_POINTER (n + 1));
  g_free (self->path);
  self->path = g_strdup (request->path);
  if (g_str_equal (request->method, "POST"))
    {
      g_free (self->body);
      self->body = g_strdup (request->body);
    }
  g_cond_broadcast (&self->changed);
}

static gboolean
serve (GThreadedSocketService *service,
       GSocketConnection      *connection,
       GObject                *source,
       gpointer                user_data)
{
  FakeKeystone *self = user_data;
  g_autoptr (GDataInputStream) input =
    g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  g_auto (Request) request = { 0 };
  char byte;

  g_mutex_lock (&self->lock);
  self->n_busy++;
  g_mutex_unlock (&self->lock);

  g_data_input_stream_set_newline_type (input, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
  if (read_request (self, input, &request))
    {
      g_mutex_lock (&self->lock);
      note (self, &request);
      while (self->hold)
        g_cond_wait (&self->changed, &self->lock);
      g_mutex_unlock (&self->lock);

      if (!answer (self, &request, g_io_stream_get_output_stream (G_IO_STREAM (connection))))
        g_input_stream_read (G_INPUT_STREAM (input), &byte, 1, self->stop, NULL);
    }

  g_mutex_lock (&self->lock);
  self->n_busy--;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);

  return TRUE;
}

static gpointer
run (gpointer data)
{
  FakeKeystone *self = data;

  g_main_context_push_thread_default (self->context);
  g_socket_service_start (self->service);
  g_main_loop_run (self->loop);
  g_main_context_pop_thread_default (self->context);

  return NULL;
}

FakeKeystone *
fake_keystone_new (void)
{
  FakeKeystone *self = g_new0 (FakeKeystone, 1);
  guint16 port;

  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  g_queue_init (&self->answers);
  self->counts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->revoked = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->life_us = 3600 * (gint64) G_USEC_PER_SEC;
  self->stop = g_cancellable_new ();

  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  self->service = g_threaded_socket_service_new (-1);
  g_socket_service_stop (self->service);
  port = g_socket_listener_add_any_inet_port (G_SOCKET_LISTENER (self->service), NULL, NULL);
  g_assert_cmpuint (port, !=, 0);
  self->url = g_strdup_printf ("http://127.0.0.1:%u", port);
  g_signal_connect (self->service, "run", G_CALLBACK (serve), self);
  self->thread = g_thread_new ("fake keystone", run, self);

  return self;
}

static gboolean
quit (gpointer data)
{
  g_main_loop_quit (data);

  return G_SOURCE_REMOVE;
}

void
fake_keystone_free (FakeKeystone *self)
{
  /* From within, for the loop may not even have begun. */
  g_autoptr (GSource) source = g_idle_source_new ();

  g_source_set_callback (source, quit, self->loop, NULL);
  g_source_attach (source, self->context);
  fake_keystone_hold (self, FALSE);
  g_cancellable_cancel (self->stop);
  g_thread_join (self->thread);
  g_socket_service_stop (self->service);

  g_mutex_lock (&self->lock);
  while (self->n_busy > 0)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);

  g_signal_handlers_disconnect_by_data (self->service, self);
  g_clear_object (&self->service);
  g_main_loop_unref (self->loop);
  g_main_context_unref (self->context);
  g_object_unref (self->stop);
  g_queue_clear_full (&self->answers, g_free);
  g_hash_table_unref (self->counts);
  g_hash_table_unref (self->revoked);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  g_free (self->catalogue);
  g_free (self->versions);
  g_free (self->body);
  g_free (self->path);
  g_free (self->url);
  g_free (self);
}

const char *
fake_keystone_get_url (FakeKeystone *self)
{
  return self->url;
}

void
fake_keystone_add_answer (FakeKeystone             *self,
                          const FakeKeystoneAnswer *told,
                          guint                     times)
{
  g_mutex_lock (&self->lock);
  for (guint i = 0; i < times; i++)
    g_queue_push_tail (&self->answers, g_memdup2 (told, sizeof (*told)));
  g_mutex_unlock (&self->lock);
}

void
fake_keystone_set_times (FakeKeystone *self,
                         gint64        life_us,
                         gint64        ahead_us)
{
  g_mutex_lock (&self->lock);
  self->life_us = life_us;
  self->ahead_us = ahead_us;
  g_mutex_unlock (&self->lock);
}

static void
set_text (FakeKeystone  *self,
          char         **field,
          const char    *text)
{
  g_mutex_lock (&self->lock);
  g_free (*field);
  *field = g_strdup (text);
  g_mutex_unlock (&self->lock);
}

void
fake_keystone_set_catalogue (FakeKeystone *self,
                             const char   *json)
{
  set_text (self, &self->catalogue, json);
}

void
fake_keystone_set_versions (FakeKeystone *self,
                            const char   *json)
{
  set_text (self, &self->versions, json);
}

void
fake_keystone_revoke (FakeKeystone *self,
                      const char   *token)
{
  g_mutex_lock (&self->lock);
  g_hash_table_add (self->revoked, g_strdup (token));
  g_mutex_unlock (&self->lock);
}

void
fake_keystone_hold (FakeKeystone *self,
                    gboolean      hold)
{
  g_mutex_lock (&self->lock);
  self->hold = hold;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

guint
fake_keystone_count (FakeKeystone *self,
                     const char   *method)
{
  guint count;

  g_mutex_lock (&self->lock);
  count = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, method));
  g_mutex_unlock (&self->lock);

  return count;
}

void
fake_keystone_wait_for (FakeKeystone *self,
                        const char   *method,
                        guint         count)
{
  gint64 deadline = g_get_monotonic_time () + 60 * G_USEC_PER_SEC;

  g_mutex_lock (&self->lock);
  while (GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, method)) < count)
    g_assert_true (g_cond_wait_until (&self->changed, &self->lock, deadline));
  g_mutex_unlock (&self->lock);
}

static char *
get_text (FakeKeystone  *self,
          char         **field)
{
  char *text;

  g_mutex_lock (&self->lock);
  text = g_strdup (*field);
  g_mutex_unlock (&self->lock);

  return text;
}

char *
fake_keystone_get_body (FakeKeystone *self)
{
  return get_text (self, &self->body);
}

char *
fake_keystone_get_path (FakeKeystone *self)
{
  return get_text (self, &self->path);
}
