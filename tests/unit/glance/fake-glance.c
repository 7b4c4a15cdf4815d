/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the fake's listener, its connections, and what a test may ask of it. */

#include <string.h>

#include "fake-private.h"

static void
image_free (gpointer data)
{
  FakeImage *self = data;

  json_object_unref (self->record);
  g_free (self->status);
  g_free (self->md5);
  g_free (self->sha512);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_free (self);
}

FakeImage *
fake_glance_find (FakeGlance *self,
                  const char *id)
{
  FakeImage *image = id != NULL ? g_hash_table_lookup (self->images, id) : NULL;

  return image != NULL && !g_str_equal (image->status, "deleted") ? image : NULL;
}

static gboolean
read_head (FakeRequest      *request,
           GDataInputStream *input)
{
  g_autofree char *line = g_data_input_stream_read_line (input, NULL, request->fake->stop, NULL);
  g_auto (GStrv) words = line != NULL ? g_strsplit (g_strchomp (line), " ", 3) : NULL;
  const char *length;
  char *query;

  if (words == NULL || g_strv_length (words) != 3)
    return FALSE;

  request->method = g_strdup (words[0]);
  request->path = g_strdup (words[1]);
  query = strchr (request->path, '?');
  if (query != NULL)
    {
      *query = '\0';
      request->query = g_strdup (query + 1);
    }

  while (TRUE)
    {
      g_autofree char *header = g_data_input_stream_read_line (input, NULL, request->fake->stop,
                                                               NULL);
      char *colon = header != NULL ? strchr (header, ':') : NULL;

      if (header == NULL)
        return FALSE;
      if (colon == NULL)
        break;

      g_hash_table_insert (request->headers, g_ascii_strdown (header, colon - header),
                           g_strdup (g_strstrip (colon + 1)));
    }

  length = g_hash_table_lookup (request->headers, "content-length");
  request->length = length != NULL ? g_ascii_strtoll (length, NULL, 10) : 0;

  return TRUE;
}

static gboolean
serve_one (FakeGlance        *self,
           GSocketConnection *connection,
           GDataInputStream  *input)
{
  FakeRequest request = {
    .fake = self,
    .socket = g_socket_connection_get_socket (connection),
    .input = G_INPUT_STREAM (input),
    .output = g_io_stream_get_output_stream (G_IO_STREAM (connection)),
    .headers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free),
  };
  gboolean good = read_head (&request, input);

  if (good)
    {
      guint n;

      g_mutex_lock (&self->lock);
      n = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, request.method));
      g_hash_table_insert (self->counts, g_strdup (request.method), GUINT_TO_POINTER (n + 1));
      g_clear_pointer (&self->headers, g_hash_table_unref);
      self->headers = g_hash_table_ref (request.headers);
      g_mutex_unlock (&self->lock);

      good = fake_request_serve (&request);
    }

  g_hash_table_unref (request.headers);
  g_free (request.method);
  g_free (request.path);
  g_free (request.query);

  return good;
}

static gpointer
run_connection (gpointer data)
{
  g_autoptr (GSocketConnection) connection = data;
  FakeGlance *self = g_object_get_data (G_OBJECT (connection), "fake");
  g_autoptr (GDataInputStream) input =
    g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));

  g_data_input_stream_set_newline_type (input, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
  while (serve_one (self, connection, input))
    ;

  return NULL;
}

static gpointer
run_listener (gpointer data)
{
  FakeGlance *self = data;
  g_autoptr (GPtrArray) threads = g_ptr_array_new ();
  GSocketConnection *connection;

  while ((connection = g_socket_listener_accept (self->listener, NULL, self->stop, NULL)) != NULL)
    {
      g_mutex_lock (&self->lock);
      self->connections++;
      g_mutex_unlock (&self->lock);

      g_object_set_data (G_OBJECT (connection), "fake", self);
      g_ptr_array_add (threads, g_thread_new ("fake connection", run_connection, connection));
    }

  for (guint i = 0; i < threads->len; i++)
    g_thread_join (threads->pdata[i]);

  return NULL;
}

FakeGlance *
fake_glance_new (void)
{
  FakeGlance *self = g_new0 (FakeGlance, 1);
  guint16 port;

  g_mutex_init (&self->lock);
  self->images = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, image_free);
  self->order = g_ptr_array_new_with_free_func (g_free);
  self->faults = g_array_new (FALSE, FALSE, sizeof (FakeFault));
  self->counts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->stop = g_cancellable_new ();
  self->listener = g_socket_listener_new ();
  port = g_socket_listener_add_any_inet_port (self->listener, NULL, NULL);
  g_assert_cmpuint (port, !=, 0);
  self->url = g_strdup_printf ("http://127.0.0.1:%u", port);
  self->thread = g_thread_new ("fake listener", run_listener, self);

  return self;
}

void
fake_glance_free (FakeGlance *self)
{
  g_cancellable_cancel (self->stop);
  g_thread_join (self->thread);

  g_object_unref (self->listener);
  g_object_unref (self->stop);
  g_hash_table_unref (self->images);
  g_ptr_array_unref (self->order);
  g_array_unref (self->faults);
  g_hash_table_unref (self->counts);
  g_clear_pointer (&self->headers, g_hash_table_unref);
  g_mutex_clear (&self->lock);
  g_free (self->token);
  g_free (self->url);
  g_free (self);
}

const char *
fake_glance_get_url (FakeGlance *self)
{
  return self->url;
}

void
fake_glance_add_fault (FakeGlance      *self,
                       const FakeFault *fault)
{
  g_mutex_lock (&self->lock);
  g_array_append_vals (self->faults, fault, 1);
  g_mutex_unlock (&self->lock);
}

void
fake_glance_spoil (FakeGlance   *self,
                   FakeDownload  download,
                   guint         times)
{
  g_mutex_lock (&self->lock);
  self->download = download;
  self->downloads = times;
  g_mutex_unlock (&self->lock);
}

void
fake_glance_set_token (FakeGlance *self,
                       const char *token)
{
  g_mutex_lock (&self->lock);
  g_free (self->token);
  self->token = g_strdup (token);
  g_mutex_unlock (&self->lock);
}

void
fake_glance_be_mute (FakeGlance *self)
{
  self->mute = TRUE;
}

void
fake_glance_add_image (FakeGlance *self,
                       const char *id,
                       const char *json,
                       const char *status)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  FakeImage *image = g_new0 (FakeImage, 1);

  g_assert_true (json_parser_load_from_data (parser, json, -1, NULL));
  image->record = json_object_ref (json_node_get_object (json_parser_get_root (parser)));
  image->status = g_strdup (status);

  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->order, g_strdup (id));
  g_hash_table_insert (self->images, g_strdup (id), image);
  g_mutex_unlock (&self->lock);
}

guint
fake_glance_count (FakeGlance *self,
                   const char *method)
{
  guint count;

  g_mutex_lock (&self->lock);
  count = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, method));
  g_mutex_unlock (&self->lock);

  return count;
}

guint
fake_glance_get_connections (FakeGlance *self)
{
  guint count;

  g_mutex_lock (&self->lock);
  count = self->connections;
  g_mutex_unlock (&self->lock);

  return count;
}

char *
fake_glance_get_header (FakeGlance *self,
                        const char *name)
{
  char *value;

  g_mutex_lock (&self->lock);
  value = self->headers != NULL ? g_strdup (g_hash_table_lookup (self->headers, name)) : NULL;
  g_mutex_unlock (&self->lock);

  return value;
}

char *
fake_glance_get_status (FakeGlance *self,
                        const char *id)
{
  FakeImage *image;
  char *status;

  g_mutex_lock (&self->lock);
  image = fake_glance_find (self, id);
  status = image != NULL ? g_strdup (image->status) : NULL;
  g_mutex_unlock (&self->lock);

  return status;
}
