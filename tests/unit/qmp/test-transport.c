/* SPDX-License-Identifier: Apache-2.0 */

/* What comes in pieces arrives whole, and what is sent arrives in order. */

#include <string.h>

#include <qmp/error.h>

#include "peer.h"
#include "sync.h"
#include "transport.h"

typedef struct
{
  QmpTransport *transport;
  GPtrArray    *lines;
  gboolean      resynced;
  GError       *reason;
  gboolean      dropped;
} Link;

static void
on_line (QmpSpan  line,
         gboolean resynced,
         gpointer user_data)
{
  Link *link = user_data;

  g_ptr_array_add (link->lines, g_strndup (line.text, line.length));
  link->resynced = resynced;
}

static void
on_dropped (GError   *reason,
            gpointer  user_data)
{
  Link *link = user_data;

  g_assert_false (link->dropped);
  link->reason = reason;
  link->dropped = TRUE;
}

static void
link_up (Link    *link,
         Peer    *peer,
         gboolean resync)
{
  g_autoptr (GIOStream) stream = peer_take_stream (peer);
  g_autoptr (GError) error = NULL;

  memset (link, 0, sizeof *link);
  link->lines = g_ptr_array_new_with_free_func (g_free);
  link->transport = qmp_transport_new (stream, resync, on_line, on_dropped, link, &error);
  g_assert_no_error (error);
}

static void
link_down (Link *link)
{
  qmp_transport_free (link->transport);
  g_ptr_array_unref (link->lines);
  g_clear_error (&link->reason);
}

static void
test_split_at_every_byte (void)
{
  static const char text[] = "{\"return\": 1}\r\n\r\n \n{\"b\": \"\u20ac\"}\n";
  gsize length = sizeof text - 1;

  for (gsize cut = 0; cut <= length; cut++)
    {
      g_autoptr (Peer) peer = peer_new ();
      Link link;

      link_up (&link, peer, FALSE);
      peer_say_bytes (peer, text, cut);
      peer_hold (peer);
      peer_go (peer);
      sync_settle ();
      peer_say_bytes (peer, text + cut, length - cut);
      peer_hang_up (peer);
      sync_until (&link.dropped);

      g_assert_cmpuint (link.lines->len, ==, 2);
      g_assert_cmpstr (link.lines->pdata[0], ==, "{\"return\": 1}");
      g_assert_cmpstr (link.lines->pdata[1], ==, "{\"b\": \"\u20ac\"}");
      g_assert_error (link.reason, QMP_ERROR, QMP_ERROR_LINK);
      g_assert_cmpstr (link.reason->message, ==, "the peer hung up");
      link_down (&link);
    }
}

static void
test_hang_up_inside_a_message (void)
{
  g_autoptr (Peer) peer = peer_new ();
  Link link;

  link_up (&link, peer, FALSE);
  peer_say (peer, "{\"return\": ");
  peer_hang_up (peer);
  sync_until (&link.dropped);

  g_assert_cmpuint (link.lines->len, ==, 0);
  g_assert_error (link.reason, QMP_ERROR, QMP_ERROR_LINK);
  g_assert_cmpstr (link.reason->message, ==,
                   "the peer hung up in the middle of a message: \"{\"return\": \"");
  link_down (&link);
}

static void
test_largest_line (void)
{
  g_autofree char *line = g_strnfill (QMP_TRANSPORT_LINE_MAX + 2, 'x');
  g_autoptr (Peer) peer = peer_new ();
  Link link;

  link_up (&link, peer, FALSE);
  line[QMP_TRANSPORT_LINE_MAX] = '\n';
  peer_say_bytes (peer, line, QMP_TRANSPORT_LINE_MAX + 1);
  peer_say (peer, "next\n");
  line[QMP_TRANSPORT_LINE_MAX] = 'x';
  peer_say_bytes (peer, line, QMP_TRANSPORT_LINE_MAX + 1);
  sync_until (&link.dropped);

  g_assert_cmpuint (link.lines->len, ==, 2);
  g_assert_cmpuint (strlen (link.lines->pdata[0]), ==, QMP_TRANSPORT_LINE_MAX);
  g_assert_cmpstr (link.lines->pdata[1], ==, "next");
  g_assert_error (link.reason, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_assert_nonnull (strstr (link.reason->message, "more than 16777216 bytes: \"xxxx"));
  g_assert_cmpuint (strlen (link.reason->message), <, 250);
  link_down (&link);
}

static void
test_empty_lines (void)
{
  g_autofree char *lines = g_strnfill (QMP_TRANSPORT_BLANK_MAX + 1, '\n');
  g_autoptr (Peer) peer = peer_new ();
  Link link;

  link_up (&link, peer, FALSE);
  peer_say_bytes (peer, lines, QMP_TRANSPORT_BLANK_MAX);
  peer_say (peer, "a word\n");
  peer_say_bytes (peer, lines, QMP_TRANSPORT_BLANK_MAX + 1);
  sync_until (&link.dropped);

  g_assert_cmpuint (link.lines->len, ==, 1);
  g_assert_error (link.reason, QMP_ERROR, QMP_ERROR_FLOOD);
  link_down (&link);
}

static void
test_resync (void)
{
  g_autoptr (Peer) peer = peer_new ();
  Link link;

  link_up (&link, peer, TRUE);
  peer_say (peer, "old\n{\"ret\xff{\"old\": \xff{\"return\": 1}\n{\"return\": 2}\n");
  peer_hang_up (peer);
  sync_until (&link.dropped);

  g_assert_cmpuint (link.lines->len, ==, 3);
  g_assert_cmpstr (link.lines->pdata[1], ==, "{\"return\": 1}");
  g_assert_cmpstr (link.lines->pdata[2], ==, "{\"return\": 2}");
  g_assert_false (link.resynced);
  link_down (&link);
}

/* More than a socket buffers, so that it has to be queued; and too much. */
static void
test_sends_in_order (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autofree char *padding = g_strnfill (100000, 'x');
  g_autoptr (GError) error = NULL;
  Link link;
  GString *huge;

  link_up (&link, peer, FALSE);
  peer_hold (peer);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *number = g_strdup_printf ("{\"device\": \"%u\"}", i);
      GString *line = g_string_new (NULL);

      g_string_printf (line, "{\"execute\": \"block-job-cancel\", \"arguments\": %s, "
                       "\"id\": \"%s\"}\n", number, padding);
      g_assert_true (qmp_transport_send (link.transport, line, &error));
      g_string_free (line, TRUE);
      peer_expect (peer, "block-job-cancel", number);
    }
  huge = g_string_sized_new (QMP_TRANSPORT_LINE_MAX);
  g_string_set_size (huge, QMP_TRANSPORT_LINE_MAX);
  g_assert_false (qmp_transport_send (link.transport, huge, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_assert_nonnull (strstr (error->message, "reads nothing"));
  g_string_free (huge, TRUE);

  peer_go (peer);
  peer_say (peer, "read it all\n");
  peer_hang_up (peer);
  sync_until (&link.dropped);
  g_assert_cmpuint (link.lines->len, ==, 1);
  link_down (&link);
}

/* What came before the peer hung up is read, even when writing fails first. */
static void
test_last_words (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (GError) error = NULL;
  GString *line = g_string_new ("x\n");
  Link link;

  peer_say (peer, "last words\n");
  peer_hang_up (peer);
  sync_settle ();
  link_up (&link, peer, FALSE);
  g_assert_true (qmp_transport_send (link.transport, line, &error));
  sync_until (&link.dropped);

  g_assert_cmpuint (link.lines->len, ==, 1);
  g_assert_cmpstr (link.lines->pdata[0], ==, "last words");
  g_assert_error (link.reason, QMP_ERROR, QMP_ERROR_LINK);
  g_assert_false (qmp_transport_send (link.transport, line, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_string_free (line, TRUE);
  link_down (&link);
}

static void
test_needs_polling (void)
{
  g_autoptr (GInputStream) input = g_memory_input_stream_new ();
  g_autoptr (GOutputStream) output = g_memory_output_stream_new_resizable ();
  g_autoptr (GIOStream) stream = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GInputStream) unpollable = g_buffered_input_stream_new (input);

  stream = g_simple_io_stream_new (unpollable, output);
  g_assert_null (qmp_transport_new (stream, FALSE, on_line, on_dropped, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/transport/split-at-every-byte", test_split_at_every_byte);
  g_test_add_func ("/transport/hang-up-inside-a-message", test_hang_up_inside_a_message);
  g_test_add_func ("/transport/largest-line", test_largest_line);
  g_test_add_func ("/transport/empty-lines", test_empty_lines);
  g_test_add_func ("/transport/resync", test_resync);
  g_test_add_func ("/transport/sends-in-order", test_sends_in_order);
  g_test_add_func ("/transport/last-words", test_last_words);
  g_test_add_func ("/transport/needs-polling", test_needs_polling);

  return g_test_run ();
}
