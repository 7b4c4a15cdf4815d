/* SPDX-License-Identifier: Apache-2.0 */

/* As much of an image service as an upload needs, which counts the bytes and keeps none: what such
 * an upload costs is then the sender's.
 *
 * Every image has the size and the hashes that were given. Prints its port; ends with its input. */

#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_SIZE (256 * 1024)

typedef struct
{
  gint64      size;
  const char *md5;
  const char *sha512;
} Image;

static gboolean
say (GOutputStream *output,
     const char    *text)
{
  return g_output_stream_write_all (output, text, strlen (text), NULL, NULL, NULL);
}

static gboolean
swallow (GInputStream *input,
         char         *buffer,
         gint64        length)
{
  while (length > 0)
    {
      gssize n = g_input_stream_read (input, buffer, (gsize) MIN (BUFFER_SIZE, length), NULL, NULL);

      if (n <= 0)
        return FALSE;
      length -= n;
    }

  return TRUE;
}

static gboolean
show (GOutputStream *output,
      const char    *status,
      const Image   *image,
      const char    *id)
{
  g_autofree char *body = g_strdup_printf ("{\"id\": \"%s\", \"status\": \"active\", \"size\": %"
                                           G_GINT64_FORMAT ", \"checksum\": \"%s\", "
                                           "\"os_hash_algo\": \"sha512\", "
                                           "\"os_hash_value\": \"%s\"}",
                                           id, image->size, image->md5, image->sha512);
  g_autofree char *answer = g_strdup_printf ("HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                                             "Content-Length: %zu\r\n\r\n%s", status,
                                             strlen (body), body);

  return say (output, answer);
}

/* A record, by the id that its maker has chosen. */
static gboolean
create (GInputStream  *input,
        GOutputStream *output,
        const Image   *image,
        gint64         length)
{
  g_autofree char *body = g_malloc0 ((gsize) length + 1);
  g_autoptr (GRegex) regex = g_regex_new ("\"id\"\\s*:\\s*\"([^\"]*)\"", 0, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  g_autofree char *id = NULL;

  if (!g_input_stream_read_all (input, body, (gsize) length, NULL, NULL, NULL))
    return FALSE;
  if (g_regex_match (regex, body, 0, &match))
    id = g_match_info_fetch (match, 1);

  return show (output, "201 Created", image, id != NULL ? id : "");
}

static gboolean
serve_one (GDataInputStream *input,
           GOutputStream    *output,
           const Image      *image,
           char             *buffer)
{
  g_autofree char *line = g_data_input_stream_read_line (input, NULL, NULL, NULL);
  g_auto (GStrv) words = line != NULL ? g_strsplit (line, " ", 3) : NULL;
  gint64 length = 0;
  gboolean expects = FALSE;

  if (words == NULL || g_strv_length (words) != 3)
    return FALSE;

  while (TRUE)
    {
      g_autofree char *header = g_data_input_stream_read_line (input, NULL, NULL, NULL);

      if (header == NULL)
        return FALSE;
      if (header[0] == '\0')
        break;
      if (g_ascii_strncasecmp (header, "content-length:", strlen ("content-length:")) == 0)
        length = g_ascii_strtoll (header + strlen ("content-length:"), NULL, 10);
      if (g_ascii_strncasecmp (header, "expect:", strlen ("expect:")) == 0)
        expects = TRUE;
    }

  if (g_str_equal (words[0], "GET"))
    {
      g_autofree char *id = g_path_get_basename (words[1]);

      return show (output, "200 OK", image, id);
    }
  if (g_str_equal (words[0], "POST") && length <= BUFFER_SIZE)
    return create (G_INPUT_STREAM (input), output, image, length);

  if (expects && !say (output, "HTTP/1.1 100 Continue\r\n\r\n"))
    return FALSE;

  return swallow (G_INPUT_STREAM (input), buffer, length)
         && say (output, "HTTP/1.1 204 No Content\r\n\r\n");
}

static gboolean
on_run (GThreadedSocketService *service,
        GSocketConnection      *connection,
        GObject                *source,
        gpointer                user_data)
{
  GInputStream *input = g_io_stream_get_input_stream (G_IO_STREAM (connection));
  GOutputStream *output = g_io_stream_get_output_stream (G_IO_STREAM (connection));
  g_autoptr (GDataInputStream) lines = g_data_input_stream_new (input);
  g_autofree char *buffer = g_malloc (BUFFER_SIZE);

  g_data_input_stream_set_newline_type (lines, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
  while (serve_one (lines, output, user_data, buffer))
    ;

  return TRUE;
}

static gboolean
on_input_gone (GIOChannel   *input,
               GIOCondition  condition,
               gpointer      loop)
{
  g_main_loop_quit (loop);

  return G_SOURCE_REMOVE;
}

int
main (int    argc,
      char **argv)
{
  g_autoptr (GSocketService) service = g_threaded_socket_service_new (16);
  Image image;
  guint16 port;

  if (argc != 4)
    {
      g_printerr ("usage: bench-sink SIZE MD5 SHA512\n");
      return EXIT_FAILURE;
    }

  image = (Image) { .size = g_ascii_strtoll (argv[1], NULL, 10), .md5 = argv[2],
                    .sha512 = argv[3] };
  port = g_socket_listener_add_any_inet_port (G_SOCKET_LISTENER (service), NULL, NULL);
  if (port == 0)
    {
      g_printerr ("no port to listen on\n");
      return EXIT_FAILURE;
    }
  g_signal_connect (service, "run", G_CALLBACK (on_run), &image);
  g_socket_service_start (service);
  g_print ("%u\n", port);

  /* The main loop accepts; it ends when whoever holds the other end of our input goes away. */
  {
    g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
    g_autoptr (GIOChannel) input = g_io_channel_unix_new (0);

    g_io_add_watch (input, G_IO_HUP | G_IO_ERR, on_input_gone, loop);
    g_main_loop_run (loop);
  }

  return EXIT_SUCCESS;
}
