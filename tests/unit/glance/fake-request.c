/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the fake answers, and what it does when it is told to fail. */

#include <string.h>
#include <sys/socket.h>

#include "fake-private.h"

static gboolean
respond (FakeRequest *request,
         guint        status,
         const char  *text)
{
  g_autofree char *head = g_strdup_printf (
    "HTTP/1.1 %u Fake\r\nContent-Type: %s\r\nX-Openstack-Request-Id: req-of-the-fake\r\n%s%s"
    "Content-Length: %zu\r\n\r\n", status,
    text[0] == '{' ? "application/json" : "text/html; charset=UTF-8",
    status >= 300 && status < 400 ? "Location: http://127.0.0.1:1/v2/images\r\n" : "",
    request->fault.headers != NULL ? request->fault.headers : "",
    status == 204 ? 0 : strlen (text));
  g_autofree char *all = g_strconcat (head, status == 204 ? "" : text, NULL);

  return g_output_stream_write_all (request->output, all, strlen (all), NULL, request->fake->stop,
                                    NULL);
}

static void
reset (FakeRequest *request)
{
  const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

  setsockopt (g_socket_get_fd (request->socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  g_socket_close (request->socket, NULL);
}

static void
stall (FakeRequest *request)
{
  char byte;

  while (g_input_stream_read (request->input, &byte, 1, request->fake->stop, NULL) > 0)
    ;
}

static gboolean
say (FakeRequest *request,
     const char  *bytes,
     gsize        size)
{
  return g_output_stream_write_all (request->output, bytes, size, NULL, request->fake->stop, NULL);
}

static void
drip (FakeRequest *request)
{
  const char text[] = "HTTP/1.1 200 Fake\r\nContent-Length: 4000\r\n\r\n";

  for (gsize i = 0; say (request, i < strlen (text) ? &text[i] : " ", 1); i++)
    g_usleep (100 * 1000);
}

static void
flood (FakeRequest *request)
{
  const char first[] = "HTTP/1.1 200 Fake\r\n";
  const char header[] = "X-And-Another: and its value\r\n";
  gboolean heard = say (request, first, strlen (first));

  while (heard)
    heard = say (request, header, strlen (header));
}

/* With the lock held. */
static void
take_fault (FakeRequest *request)
{
  GArray *faults = request->fake->faults;

  for (guint i = 0; i < faults->len; i++)
    {
      FakeFault *fault = &g_array_index (faults, FakeFault, i);

      if (!g_str_equal (fault->method, request->method))
        continue;

      request->fault = *fault;
      if (fault->times > 1)
        fault->times--;
      else
        g_array_remove_index (faults, i);
      return;
    }
}

static void
set_status (FakeImage  *image,
            const char *status)
{
  g_free (image->status);
  image->status = g_strdup (status);
}

/* Returns whether the connection is still good. */
static gboolean
do_fault (FakeRequest *request,
          FakeImage   *image)
{
  const FakeFault *fault = &request->fault;
  const char *text = fault->text != NULL ? fault->text : "";
  gboolean sent;

  g_mutex_lock (&request->fake->lock);
  if (image != NULL && fault->becomes != NULL)
    {
      set_status (image, fault->becomes);
      image->then = fault->then;
    }
  g_mutex_unlock (&request->fake->lock);

  if (fault->cancel != NULL)
    g_cancellable_cancel (fault->cancel);

  switch (fault->end)
    {
    case FAKE_ANSWER:
      return respond (request, fault->status, text);

    case FAKE_ANSWER_AND_CLOSE:
      sent = respond (request, fault->status, text);
      g_assert_true (sent);
      return FALSE;

    case FAKE_RESET:
      reset (request);
      return FALSE;

    case FAKE_STALL:
      stall (request);
      return FALSE;

    case FAKE_DRIP:
      drip (request);
      return FALSE;

    case FAKE_ENDLESS_HEADERS:
      flood (request);
      return FALSE;

    default:
      g_assert_not_reached ();
    }
}

static gboolean
fault_is_at (FakeRequest *request,
             FakeMoment   moment)
{
  return request->fault.method != NULL && request->fault.moment == moment;
}

/* Reads the body up to its end, or to where the fault is; hashes it into @image. */
static GBytes *
read_body (FakeRequest *request,
           FakeImage   *image)
{
  g_autoptr (GChecksum) md5 = g_checksum_new (G_CHECKSUM_MD5);
  g_autoptr (GChecksum) sha512 = g_checksum_new (G_CHECKSUM_SHA512);
  g_autoptr (GByteArray) kept = g_byte_array_new ();
  g_autofree guint8 *buffer = g_malloc (65536);
  gint64 wanted = fault_is_at (request, FAKE_IN_BODY) ? request->length / 2 : request->length;
  gint64 done = 0;
  const char *expect = g_hash_table_lookup (request->headers, "expect");

  if (expect != NULL && !request->fake->mute)
    {
      const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

      g_output_stream_write_all (request->output, text, strlen (text), NULL, request->fake->stop,
                                 NULL);
    }

  while (done < wanted)
    {
      gssize n = g_input_stream_read (request->input, buffer, (gsize) MIN (65536, wanted - done),
                                      request->fake->stop, NULL);

      if (n <= 0)
        return NULL;

      g_checksum_update (md5, buffer, n);
      g_checksum_update (sha512, buffer, n);
      g_byte_array_append (kept, buffer, (guint) n);
      done += n;
    }

  if (image != NULL && !fault_is_at (request, FAKE_IN_BODY))
    {
      if (request->fault.spoil)
        g_checksum_update (md5, (const guchar *) "x", 1);
      g_mutex_lock (&request->fake->lock);
      image->size = done;
      g_free (image->md5);
      image->md5 = g_strdup (g_checksum_get_string (md5));
      g_free (image->sha512);
      image->sha512 = g_strdup (g_checksum_get_string (sha512));
      g_clear_pointer (&image->bytes, g_bytes_unref);
      image->bytes = g_bytes_new (kept->data, kept->len);
      g_mutex_unlock (&request->fake->lock);
    }

  return g_byte_array_free_to_bytes (g_steal_pointer (&kept));
}

/* With the lock held. */
static char *
show (const char      *id,
      const FakeImage *image)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();
  g_autoptr (GList) names = json_object_get_members (image->record);
  gboolean active = g_str_equal (image->status, "active");

  for (GList *l = names; l != NULL; l = l->next)
    json_object_set_member (object, l->data, json_node_copy (json_object_get_member (image->record,
                                                                                   l->data)));
  json_object_set_string_member (object, "id", id);
  json_object_set_string_member (object, "status", image->status);
  json_object_set_string_member (object, "created_at", "2024-05-06T07:08:09Z");
  json_object_set_string_member (object, "os_hash_algo", "sha512");
  if (active)
    {
      json_object_set_int_member (object, "size", image->size);
      json_object_set_string_member (object, "checksum", image->md5);
      json_object_set_string_member (object, "os_hash_value", image->sha512);
    }
  else
    {
      json_object_set_null_member (object, "size");
      json_object_set_null_member (object, "checksum");
      json_object_set_null_member (object, "os_hash_value");
    }

  json_node_take_object (node, object);

  return json_to_string (node, FALSE);
}

static gboolean
do_create (FakeRequest *request)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GBytes) body = read_body (request, NULL);
  g_autofree char *text = NULL;
  const char *id;
  JsonObject *record;
  gsize size;
  const char *data;
  gboolean taken;

  if (body == NULL)
    return FALSE;
  data = g_bytes_get_data (body, &size);
  g_assert_true (json_parser_load_from_data (parser, data, (gssize) size, NULL));

  record = json_node_get_object (json_parser_get_root (parser));
  id = json_object_get_string_member (record, "id");

  g_mutex_lock (&request->fake->lock);
  taken = g_hash_table_contains (request->fake->images, id);
  if (!taken)
    {
      FakeImage *image = g_new0 (FakeImage, 1);

      image->record = json_object_ref (record);
      image->status = g_strdup ("queued");
      text = show (id, image);
      g_ptr_array_add (request->fake->order, g_strdup (id));
      g_hash_table_insert (request->fake->images, g_strdup (id), image);
    }
  g_mutex_unlock (&request->fake->lock);

  if (fault_is_at (request, FAKE_AFTER_BODY))
    return do_fault (request, NULL);

  return taken
      ? respond (request, 409, "<html><head><title>409</title></head><body><h1>409 Conflict</h1>"
                                        "Image ID is taken already</body></html>")
               : respond (request, 201, text);
}

static gboolean
do_put (FakeRequest *request,
        FakeImage   *image)
{
  g_autoptr (GBytes) body = NULL;
  gboolean queued;

  g_mutex_lock (&request->fake->lock);
  queued = g_str_equal (image->status, "queued");
  if (queued && !fault_is_at (request, FAKE_BEFORE_BODY))
    set_status (image, "saving");
  g_mutex_unlock (&request->fake->lock);

  if (fault_is_at (request, FAKE_BEFORE_BODY))
    return do_fault (request, image);
  if (!queued)
    return respond (request, 409,
                    "<html><body>Image status transition is not allowed</body></html>");

  body = read_body (request, image);

  g_mutex_lock (&request->fake->lock);
  set_status (image, body != NULL && !fault_is_at (request, FAKE_IN_BODY) ? "active" : "queued");
  g_mutex_unlock (&request->fake->lock);

  if (body == NULL)
    return FALSE;
  if (request->fault.method != NULL)
    return do_fault (request, image);

  return respond (request, 204, "");
}

static gboolean
do_get (FakeRequest *request,
        const char  *id,
        FakeImage   *image)
{
  g_autofree char *text = NULL;

  g_mutex_lock (&request->fake->lock);
  text = show (id, image);
  if (image->then != NULL)
    set_status (image, g_steal_pointer (&image->then));
  g_mutex_unlock (&request->fake->lock);

  return respond (request, 200, text);
}

static gboolean
do_list (FakeRequest *request)
{
  g_autoptr (GHashTable) query = g_uri_parse_params (request->query != NULL ? request->query : "",
                                                     -1, "&",
                                                    G_URI_PARAMS_NONE, NULL);
  const char *marker = g_hash_table_lookup (query, "marker");
  const char *hidden = g_hash_table_lookup (query, "os_hidden");
  const char *limit = g_hash_table_lookup (query, "limit");
  guint left = limit != NULL ? (guint) g_ascii_strtoull (limit, NULL, 10) : 25;
  g_autoptr (GString) text = g_string_new ("{\"images\": [");
  const char *last = NULL;

  g_mutex_lock (&request->fake->lock);
  for (guint i = 0; i < request->fake->order->len; i++)
    {
      const char *id = request->fake->order->pdata[i];
      FakeImage *image = g_hash_table_lookup (request->fake->images, id);
      g_autofree char *record = NULL;

      if (marker != NULL)
        {
          if (g_str_equal (marker, id))
            marker = NULL;
          continue;
        }
      if (g_str_equal (image->status, "deleted")
          || json_object_get_boolean_member_with_default (image->record, "os_hidden", FALSE)
             != (g_strcmp0 (hidden, "true") == 0))
        continue;
      if (left-- == 0)
        break;

      record = show (id, image);
      g_string_append_printf (text, "%s%s", last != NULL ? "," : "", record);
      last = id;
    }
  g_string_append (text, "]");
  if (left == G_MAXUINT)
    g_string_append_printf (text, ", \"next\": \"/v2/images?marker=%s&limit=%s&os_hidden=%s\"",
                            last, limit,
                            hidden);
  g_mutex_unlock (&request->fake->lock);
  g_string_append (text, "}");

  return respond (request, 200, text->str);
}

static gboolean
do_delete (FakeRequest *request,
           FakeImage   *image)
{
  /* The id stays taken, as it does with the real one. */
  g_mutex_lock (&request->fake->lock);
  set_status (image, "deleted");
  g_mutex_unlock (&request->fake->lock);

  return respond (request, 204, "");
}

gboolean
fake_request_serve (FakeRequest *request)
{
  g_auto (GStrv) parts = g_strsplit (request->path, "/", -1);
  const char *id = g_strv_length (parts) > 3 ? parts[3] : NULL;
  const char *token;
  FakeImage *image;
  gboolean refused;

  g_mutex_lock (&request->fake->lock);
  token = g_hash_table_lookup (request->headers, "x-auth-token");
  refused = request->fake->token != NULL && g_strcmp0 (token, request->fake->token) != 0;
  if (!refused)
    take_fault (request);
  image = fake_glance_find (request->fake, id);
  g_mutex_unlock (&request->fake->lock);

  if (refused)
    return respond (request, 401, "{\"error\": {\"message\": \"the fake wants another token\"}}");

  if (request->fault.method != NULL && !g_str_equal (request->method, "PUT")
      && request->fault.moment == FAKE_BEFORE_BODY)
    return do_fault (request, image);

  if (g_str_equal (request->method, "POST"))
    return do_create (request);
  if (id == NULL)
    return do_list (request);
  if (image == NULL)
    return respond (request, 404, "<html><body>No image found</body></html>");
  if (g_str_equal (request->method, "PUT"))
    return do_put (request, image);
  if (g_str_equal (request->method, "DELETE"))
    return do_delete (request, image);

  if (g_strcmp0 (parts[4], "file") == 0)
    return fake_request_download (request, image);

  return do_get (request, id, image);
}
