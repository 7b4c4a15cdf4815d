/* SPDX-License-Identifier: Apache-2.0 */

/* How a link becomes a session, or does not. */

#include <string.h>

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <qmp/error.h>

#include "answers.h"
#include "peer.h"
#include "sync.h"

/* Opens over @peer's link and returns the error that comes of it. */
static void
assert_open_fails (Peer       *peer,
                   guint       deadline_ms,
                   int         code,
                   const char *text)
{
  g_autoptr (GIOStream) stream = peer_take_stream (peer);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  qmp_client_adopt_async (stream, QMP_DIALECT_MONITOR, deadline_ms, NULL, sync_done, &result);
  g_assert_null (result);
  sync_wait (&result);
  g_assert_null (qmp_client_open_finish (result, &error));
  g_assert_error (error, QMP_ERROR, code);
  if (strstr (error->message, text) == NULL)
    g_error ("\"%s\" expected, not \"%s\"", text, error->message);
}

static void
test_open (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = NULL;

  peer_greet (peer);
  client = sync_open (peer, QMP_DIALECT_MONITOR);

  g_assert_true (qmp_client_is_open (client));
  g_assert_true (qmp_client_has_oob (client));
  g_assert_cmpstr (qmp_client_get_version (client), ==, "7.2.22 (Debian 1:7.2)");
  /* The other end of a socketpair is our own. */
  g_assert_cmpint (qmp_client_get_peer_pid (client), ==, getpid ());
}

static void
test_open_without_oob (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = NULL;
  g_autoptr (GAsyncResult) result = NULL;

  peer_say (peer, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 1, \"minor\": 0, \"major\": 10}, "
                  "\"package\": \"\"}, \"capabilities\": []}}\n");
  peer_expect (peer, "qmp_capabilities", NULL);
  peer_return (peer, "{}");
  client = sync_open (peer, QMP_DIALECT_MONITOR);

  g_assert_cmpstr (qmp_client_get_version (client), ==, "10.0.1");
  g_assert_false (qmp_client_has_oob (client));
  qmp_client_execute_oob_async (client, "yank", NULL, 0, NULL, sync_done, &result);
  answers_assert_fails (client, &result, QMP_ERROR, QMP_ERROR_UNSUPPORTED, "yank: ");
}

static void
test_no_greeting (void)
{
  g_autoptr (Peer) peer = peer_new ();

  peer_hold (peer);
  assert_open_fails (peer, 50, QMP_ERROR_NO_GREETING,
                     "no greeting within 50 ms: a QMP socket serves one client at a time");
  peer_go (peer);
  peer_expect_hangup (peer);
}

static void
test_half_a_greeting (void)
{
  g_autoptr (Peer) peer = peer_new ();

  peer_say (peer, "{\"QMP\": {\"ver");
  assert_open_fails (peer, 50, QMP_ERROR_NO_GREETING,
                     "no whole greeting within 50 ms, only \"{\"QMP\": {\"ver\"");
  peer_expect_hangup (peer);
}

static void
test_other_beginnings (void)
{
  static const struct
  {
    const char *text;
    gboolean    hang_up;
    int         code;
    const char *reason;
  } cases[] = {
    { "", TRUE, QMP_ERROR_LINK, "the peer hung up" },
    { "{\"QMP\": ", TRUE, QMP_ERROR_LINK, "in the middle of a message: \"{\"QMP\": \"" },
    { "SSH-2.0-OpenSSH_9.2p1\r\n", FALSE, QMP_ERROR_PROTOCOL, "\"SSH-2.0-OpenSSH_9.2p1\"" },
    { "{\"QMP\": {\"version\": {}}}\n", FALSE, QMP_ERROR_PROTOCOL, "without a version" },
    { "{\"return\": {}}\n", FALSE, QMP_ERROR_PROTOCOL, "no greeting, but: \"{\"return\": {}}\"" },
    { "{\"event\": \"STOP\"}\n", FALSE, QMP_ERROR_PROTOCOL, "no greeting, but" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Peer) peer = peer_new ();

      peer_say (peer, cases[i].text);
      if (cases[i].hang_up)
        peer_hang_up (peer);
      else
        peer_expect_hangup (peer);
      assert_open_fails (peer, 10000, cases[i].code, cases[i].reason);
    }
}

static void
test_capabilities_without_answer (void)
{
  g_autoptr (Peer) peer = peer_new ();

  peer_say (peer, PEER_GREETING);
  peer_expect (peer, "qmp_capabilities", NULL);
  peer_expect_hangup (peer);
  assert_open_fails (peer, 50, QMP_ERROR_TIMEOUT, "qmp_capabilities: no answer within 50 ms");
}

/* QEMU was executing something when its client before us left. */
static void
test_answers_to_somebody_else (void)
{
  static const char *const strays[] = {
    "{\"return\": {}}\n", "{\"return\": [{\"device\": \"vda\"}], \"id\": 7}\n",
  };

  for (gsize n = 0; n <= 2; n++)
    {
      g_autoptr (Peer) peer = peer_new ();
      g_autoptr (QmpClient) client = NULL;

      peer_say (peer, PEER_GREETING);
      for (gsize i = 0; i < n; i++)
        peer_say (peer, strays[i]);
      peer_expect (peer, "qmp_capabilities", NULL);
      peer_return (peer, "{}");
      client = sync_open (peer, QMP_DIALECT_MONITOR);
      g_assert_true (qmp_client_is_open (client));
    }
}

static void
test_more_answers_to_somebody_else (void)
{
  g_autoptr (Peer) peer = peer_new ();

  peer_say (peer, PEER_GREETING);
  for (guint i = 0; i < 3; i++)
    peer_say (peer, "{\"return\": {}, \"id\": 7}\n");
  peer_expect (peer, "qmp_capabilities", NULL);
  peer_expect_hangup (peer);
  assert_open_fails (peer, 10000, QMP_ERROR_LINK, "an answer to no command");
}

static void
test_capabilities_refused (void)
{
  g_autoptr (Peer) peer = peer_new ();

  peer_say (peer, PEER_GREETING);
  peer_expect (peer, "qmp_capabilities", NULL);
  peer_refuse (peer, "GenericError", "not today");
  peer_expect_hangup (peer);
  assert_open_fails (peer, 10000, QMP_ERROR_COMMAND, "qmp_capabilities: GenericError: not today");
}

static void
test_second_greeting (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = NULL;
  Closed closed = { 0 };

  peer_greet (peer);
  peer_say (peer, PEER_GREETING);
  client = sync_open (peer, QMP_DIALECT_MONITOR);
  g_signal_connect (client, "closed", G_CALLBACK (closed_note), &closed);
  closed_assert (&closed, QMP_ERROR_PROTOCOL, "a greeting where none was expected");
}

static void
test_cannot_connect (void)
{
  g_autofree char *folder = g_dir_make_tmp ("qmp-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "none", NULL);
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  qmp_client_connect_async (G_SOCKET_CONNECTABLE (address), QMP_DIALECT_MONITOR, 10000, NULL,
                            sync_done, &result);
  sync_wait (&result);
  g_assert_null (qmp_client_open_finish (result, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (strstr (error->message, "No such file"));
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

static void
converse (GSocketAddress *address,
          GPid            pid)
{
  g_autoptr (Peer) peer = peer_new_listening (address);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpClient) client = NULL;

  peer_greet (peer);
  peer_expect (peer, "query-status", NULL);
  peer_return (peer, "{\"status\": \"running\"}");
  qmp_client_connect_async (peer_get_address (peer), QMP_DIALECT_MONITOR, 10000, NULL, sync_done,
                            &result);
  sync_wait (&result);
  client = qmp_client_open_finish (result, &error);
  g_assert_no_error (error);
  g_assert_cmpint (qmp_client_get_peer_pid (client), ==, pid);

  g_clear_object (&result);
  answers_execute (client, "query-status", 10000, NULL, &result);
  answers_assert_returns (client, &result, "{\"status\": \"running\"}");
}

static void
test_unix_socket (void)
{
  g_autofree char *folder = g_dir_make_tmp ("qmp-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "socket", NULL);
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);

  converse (address, getpid ());
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

static void
test_tcp (void)
{
  g_autoptr (GSocketAddress) address = g_inet_socket_address_new_from_string ("127.0.0.1", 0);

  converse (address, 0);
}

/* Any stream that can be polled will do. */
static void
test_stream_that_is_no_socket (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (GIOStream) link = peer_take_stream (peer);
  g_autoptr (GIOStream) stream = g_simple_io_stream_new (g_io_stream_get_input_stream (link),
                                                         g_io_stream_get_output_stream (link));
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpClient) client = NULL;
  Closed closed = { 0 };

  peer_greet (peer);
  qmp_client_adopt_async (stream, QMP_DIALECT_MONITOR, 10000, NULL, sync_done, &result);
  sync_wait (&result);
  client = qmp_client_open_finish (result, &error);
  g_assert_no_error (error);
  g_assert_cmpint (qmp_client_get_peer_pid (client), ==, 0);

  g_clear_object (&result);
  peer_expect (peer, "query-status", NULL);
  peer_return (peer, "{}");
  answers_execute (client, "query-status", 10000, NULL, &result);
  answers_assert_returns (client, &result, "{}");
  g_signal_connect (client, "closed", G_CALLBACK (closed_note), &closed);
  peer_hang_up (peer);
  closed_assert (&closed, QMP_ERROR_LINK, "the peer hung up");
}

typedef enum
{
  OPEN_BEFORE,
  OPEN_AWAITING_GREETING,
  OPEN_NEGOTIATING,
  OPEN_LAST,
} OpenMoment;

static void
test_open_cancelled (void)
{
  for (OpenMoment moment = OPEN_BEFORE; moment < OPEN_LAST; moment++)
    {
      g_autoptr (Peer) peer = peer_new ();
      g_autoptr (GIOStream) stream = peer_take_stream (peer);
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GError) error = NULL;

      if (moment == OPEN_NEGOTIATING)
        {
          peer_say (peer, PEER_GREETING);
          peer_expect (peer, "qmp_capabilities", NULL);
        }
      peer_hold (peer);
      if (moment == OPEN_BEFORE)
        g_cancellable_cancel (cancellable);

      qmp_client_adopt_async (stream, QMP_DIALECT_MONITOR, 10000, cancellable, sync_done, &result);
      if (moment != OPEN_BEFORE)
        sync_settle ();
      peer_go (peer);
      peer_expect_hangup (peer);
      g_cancellable_cancel (cancellable);
      sync_wait (&result);
      g_assert_null (qmp_client_open_finish (result, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/client-open/plain", test_open);
  g_test_add_func ("/client-open/without-oob", test_open_without_oob);
  g_test_add_func ("/client-open/no-greeting", test_no_greeting);
  g_test_add_func ("/client-open/half-a-greeting", test_half_a_greeting);
  g_test_add_func ("/client-open/other-beginnings", test_other_beginnings);
  g_test_add_func ("/client-open/capabilities-without-answer", test_capabilities_without_answer);
  g_test_add_func ("/client-open/answers-to-somebody-else", test_answers_to_somebody_else);
  g_test_add_func ("/client-open/more-answers", test_more_answers_to_somebody_else);
  g_test_add_func ("/client-open/capabilities-refused", test_capabilities_refused);
  g_test_add_func ("/client-open/second-greeting", test_second_greeting);
  g_test_add_func ("/client-open/cannot-connect", test_cannot_connect);
  g_test_add_func ("/client-open/unix-socket", test_unix_socket);
  g_test_add_func ("/client-open/tcp", test_tcp);
  g_test_add_func ("/client-open/stream-that-is-no-socket", test_stream_that_is_no_socket);
  g_test_add_func ("/client-open/cancelled", test_open_cancelled);

  return g_test_run ();
}
