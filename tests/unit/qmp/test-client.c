/* SPDX-License-Identifier: Apache-2.0 */

/* Commands, their answers, and what becomes of those that get none. */

#include <string.h>
#include <sys/socket.h>

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <qmp/batch.h>
#include <qmp/client.h>
#include <qmp/error.h>

#include "peer.h"
#include "sync.h"

/* Room for the answers of commands that are under way together. */
#define MANY 200

static void
execute (QmpClient     *client,
         const char    *command,
         guint          deadline_ms,
         GCancellable  *cancellable,
         GAsyncResult **result)
{
  qmp_client_execute_async (client, command, NULL, deadline_ms, cancellable, sync_done, result);
  /* Never before the call has returned. */
  g_assert_null (*result);
}

static void
assert_fails (QmpClient     *client,
              GAsyncResult **result,
              GQuark         domain,
              int            code,
              const char    *text)
{
  g_autoptr (GError) error = NULL;

  sync_wait (result);
  g_assert_null (qmp_client_execute_finish (client, *result, &error));
  g_assert_error (error, domain, code);
  if (strstr (error->message, text) == NULL)
    g_error ("\"%s\" expected, not \"%s\"", text, error->message);
  g_clear_object (result);
}

static void
assert_returns (QmpClient     *client,
                GAsyncResult **result,
                const char    *value)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) wanted = json_from_string (value, NULL);
  g_autoptr (JsonNode) node = NULL;

  sync_wait (result);
  node = qmp_client_execute_finish (client, *result, &error);
  g_assert_no_error (error);
  g_assert_true (json_node_equal (node, wanted));
  g_clear_object (result);
}

typedef struct
{
  guint    times;
  gboolean closed;
  GError  *reason;
} Closed;

static void
on_closed (QmpClient    *client,
           const GError *reason,
           Closed       *closed)
{
  g_assert_false (qmp_client_is_open (client));
  closed->times++;
  closed->closed = TRUE;
  g_clear_error (&closed->reason);
  closed->reason = g_error_copy (reason);
}

static void
assert_closed (Closed     *closed,
               int         code,
               const char *text)
{
  sync_until (&closed->closed);
  sync_settle ();
  g_assert_cmpuint (closed->times, ==, 1);
  g_assert_error (closed->reason, QMP_ERROR, code);
  if (strstr (closed->reason->message, text) == NULL)
    g_error ("\"%s\" expected, not \"%s\"", text, closed->reason->message);
  g_clear_error (&closed->reason);
}

/* --- opening --- */

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
  assert_fails (client, &result, QMP_ERROR, QMP_ERROR_UNSUPPORTED, "yank: ");
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
  g_signal_connect (client, "closed", G_CALLBACK (on_closed), &closed);
  assert_closed (&closed, QMP_ERROR_PROTOCOL, "a greeting where none was expected");
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
  execute (client, "query-status", 10000, NULL, &result);
  assert_returns (client, &result, "{\"status\": \"running\"}");
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

/* --- commands --- */

static QmpClient *
open_greeted (Peer *peer)
{
  peer_greet (peer);
  return sync_open (peer, QMP_DIALECT_MONITOR);
}

static void
test_returns (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;

  peer_expect (peer, "job-dismiss", "{\"id\": \"a \\\"b\\\" \\u20ac\"}");
  peer_return (peer, "{}");
  value = sync_execute (client, "job-dismiss", qmp_args ("id", "s", "a \"b\" \u20ac", NULL),
                        &error);
  g_assert_no_error (error);
  g_assert_true (JSON_NODE_HOLDS_OBJECT (value));
}

static void
test_refusal (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GError) error = NULL;

  peer_expect (peer, "blockdev-del", "{\"node-name\": \"x\"}");
  peer_refuse (peer, "GenericError", "Node 'x' is in use");
  g_assert_null (sync_execute (client, "blockdev-del", qmp_args ("node-name", "s", "x", NULL),
                               &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND);
  g_assert_cmpstr (error->message, ==, "blockdev-del: GenericError: Node 'x' is in use "
                                       "(arguments {\"node-name\": \"x\"})");
  g_assert_cmpstr (qmp_error_get_class (error), ==, "GenericError");
  g_assert_cmpstr (qmp_error_get_description (error), ==, "Node 'x' is in use");
  g_assert_cmpstr (qmp_error_get_command (error), ==, "blockdev-del");
  g_assert_cmpstr (qmp_error_get_arguments (error), ==, "{\"node-name\": \"x\"}");

  g_clear_error (&error);
  peer_expect_unknown (peer, "make-coffee");
  peer_refuse (peer, "CommandNotFound", "The command make-coffee has not been found");
  g_assert_null (sync_execute (client, "make-coffee", NULL, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND);
  g_assert_null (qmp_error_get_arguments (error));
}

static void
test_many_in_flight_out_of_order (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  GAsyncResult *results[MANY] = { NULL };

  for (guint i = 0; i < MANY; i++)
    {
      execute (client, "query-jobs", 10000, NULL, &results[i]);
      peer_expect (peer, "query-jobs", NULL);
    }
  for (guint i = MANY; i > 0; i--)
    {
      g_autofree char *value = g_strdup_printf ("[%u]", i - 1);

      peer_return_to (peer, i - 1, value);
    }
  for (guint i = 0; i < MANY; i++)
    {
      g_autofree char *value = g_strdup_printf ("[%u]", i);

      assert_returns (client, &results[i], value);
    }
}

static void
test_drop_with_many_in_flight (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  GAsyncResult *results[MANY] = { NULL };
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (on_closed), &closed);
  for (guint i = 0; i < MANY; i++)
    {
      execute (client, "query-jobs", 10000, NULL, &results[i]);
      peer_expect (peer, "query-jobs", NULL);
    }
  peer_return_to (peer, 7, "[]");
  peer_hang_up (peer);
  sync_until (&closed.closed);

  /* All have ended by the time that the signal came. */
  for (guint i = 0; i < MANY; i++)
    {
      g_assert_nonnull (results[i]);
      if (i == 7)
        assert_returns (client, &results[i], "[]");
      else
        assert_fails (client, &results[i], QMP_ERROR, QMP_ERROR_LINK,
                      "query-jobs: the link dropped before the answer: the peer hung up");
    }
  assert_closed (&closed, QMP_ERROR_LINK, "the peer hung up");
  execute (client, "query-jobs", 10000, NULL, &results[0]);
  assert_fails (client, &results[0], QMP_ERROR, QMP_ERROR_LINK, "the link is closed: the peer");
}

static void
test_answers_to_nothing (void)
{
  static const struct
  {
    const char *text;
    const char *reason;
  } cases[] = {
    { "{\"return\": {}, \"id\": 99}\n", "an answer to no command" },
    { "{\"return\": {}, \"id\": 1}\n", "an answer to no command, or a second one" },
    { "{\"return\": {}, \"id\": \"2\"}\n", "an answer that names no command" },
    { "{\"return\": {}}\n", "an answer that names no command" },
    { "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n",
      "an answer that names no command: \"{\"error\": {\"class\": \"GenericError\", \"desc\": "
      "\"JSON parse error\"}}\"" },
    { "garbage\n", "not QMP" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Peer) peer = peer_new ();
      g_autoptr (QmpClient) client = open_greeted (peer);
      g_autoptr (GAsyncResult) result = NULL;
      Closed closed = { 0 };

      g_signal_connect (client, "closed", G_CALLBACK (on_closed), &closed);
      execute (client, "query-jobs", 10000, NULL, &result);
      peer_expect (peer, "query-jobs", NULL);
      peer_say (peer, cases[i].text);
      peer_expect_hangup (peer);
      assert_fails (client, &result, QMP_ERROR, QMP_ERROR_LINK, cases[i].reason);
      assert_closed (&closed, QMP_ERROR_PROTOCOL, cases[i].reason);
    }
}

static void
test_duplicate_answer (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GAsyncResult) result = NULL;
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (on_closed), &closed);
  execute (client, "query-jobs", 10000, NULL, &result);
  peer_expect (peer, "query-jobs", NULL);
  peer_return (peer, "[]");
  peer_return (peer, "[]");
  peer_expect_hangup (peer);
  assert_returns (client, &result, "[]");
  assert_closed (&closed, QMP_ERROR_PROTOCOL, "a second one");
}

static void
test_deadline_and_late_answer (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GAsyncResult) quick = NULL;
  g_autoptr (GAsyncResult) slow = NULL;
  g_autoptr (GAsyncResult) patient = NULL;

  execute (client, "query-block", 30000, NULL, &patient);
  execute (client, "query-jobs", 40, NULL, &slow);
  execute (client, "query-status", 20, NULL, &quick);
  peer_expect (peer, "query-block", NULL);
  peer_expect (peer, "query-jobs", NULL);
  peer_expect (peer, "query-status", NULL);
  peer_hold (peer);
  assert_fails (client, &quick, QMP_ERROR, QMP_ERROR_TIMEOUT,
                "query-status: no answer within 20 ms; it may still take effect");
  assert_fails (client, &slow, QMP_ERROR, QMP_ERROR_TIMEOUT, "query-jobs: no answer within 40 ms");
  g_assert_null (patient);

  peer_return_to (peer, 2, "{}");
  peer_return_to (peer, 0, "[0]");
  peer_return_to (peer, 1, "[1]");
  peer_expect (peer, "query-jobs", NULL);
  peer_return (peer, "[3]");
  peer_go (peer);
  assert_returns (client, &patient, "[0]");
  execute (client, "query-jobs", 30000, NULL, &slow);
  assert_returns (client, &slow, "[3]");
  g_assert_true (qmp_client_is_open (client));
}

typedef enum
{
  CANCEL_BEFORE_SENDING,
  CANCEL_AT_ONCE,
  CANCEL_WHILE_THE_PEER_WORKS,
  CANCEL_WITH_THE_ANSWER_UNREAD,
  CANCEL_AFTER_THE_ANSWER,
  CANCEL_LAST,
} CancelMoment;

static void
test_cancelled_at_every_moment (void)
{
  for (CancelMoment moment = CANCEL_BEFORE_SENDING; moment < CANCEL_LAST; moment++)
    {
      g_autoptr (Peer) peer = peer_new ();
      g_autoptr (QmpClient) client = open_greeted (peer);
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GAsyncResult) other = NULL;

      if (moment == CANCEL_BEFORE_SENDING)
        g_cancellable_cancel (cancellable);
      else
        {
          peer_expect (peer, "query-jobs", NULL);
          peer_hold (peer);
          peer_return (peer, "[1]");
        }
      execute (client, "query-jobs", 10000, cancellable, &result);
      if (moment == CANCEL_AT_ONCE)
        g_cancellable_cancel (cancellable);
      g_assert_null (result);

      if (moment == CANCEL_WHILE_THE_PEER_WORKS)
        {
          sync_settle ();
          g_cancellable_cancel (cancellable);
          sync_wait (&result);
        }
      if (moment == CANCEL_WITH_THE_ANSWER_UNREAD)
        g_cancellable_cancel (cancellable);
      if (moment != CANCEL_BEFORE_SENDING)
        peer_go (peer);

      if (moment == CANCEL_AFTER_THE_ANSWER)
        {
          sync_wait (&result);
          g_cancellable_cancel (cancellable);
          assert_returns (client, &result, "[1]");
        }
      else
        assert_fails (client, &result, G_IO_ERROR, G_IO_ERROR_CANCELLED, "ancelled");

      /* The link is none the worse. */
      peer_expect (peer, "query-status", NULL);
      peer_return (peer, "{}");
      execute (client, "query-status", 10000, NULL, &other);
      assert_returns (client, &other, "{}");
    }
}

static void
test_oob (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GAsyncResult) slow = NULL;
  g_autoptr (GAsyncResult) quick = NULL;

  execute (client, "query-block", 10000, NULL, &slow);
  qmp_client_execute_oob_async (client, "migrate-pause", NULL, 10000, NULL, sync_done, &quick);
  peer_expect (peer, "query-block", NULL);
  peer_expect_oob (peer, "migrate-pause");
  peer_return (peer, "{}");
  assert_returns (client, &quick, "{}");
  g_assert_null (slow);
  peer_return_to (peer, 0, "[]");
  assert_returns (client, &slow, "[]");
}

static void
test_arguments_that_json_cannot_say (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GError) error = NULL;

  g_assert_null (sync_execute (client, "blockdev-del", qmp_args ("node-name", "s", "\xff", NULL),
                               &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT);
  g_assert_true (qmp_client_is_open (client));
}

/* --- callbacks that do what they like --- */

typedef struct
{
  QmpClient *client;
  gboolean   close;             /* or let go of it */
  guint      answered;
  guint      failed;
  gboolean   finished;
} Wild;

static void
on_wild_answer (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  Wild *wild = user_data;
  g_autoptr (JsonNode) value = qmp_client_execute_finish (QMP_CLIENT (source), result, NULL);

  if (value == NULL)
    wild->failed++;
  else if (wild->answered++ == 0)
    {
      if (wild->close)
        {
          guint failed = wild->failed;

          qmp_client_close (wild->client);
          /* Nobody is called from inside the call. */
          g_assert_cmpuint (wild->failed, ==, failed);
        }
      g_clear_object (&wild->client);
    }
  wild->finished = wild->answered + wild->failed == 3;
}

static void
test_close_in_callback (void)
{
  g_autoptr (Peer) peer = peer_new ();
  Wild wild = { open_greeted (peer), TRUE, 0, 0, FALSE };

  for (guint i = 0; i < 3; i++)
    {
      qmp_client_execute_async (wild.client, "query-jobs", NULL, 0, NULL, on_wild_answer, &wild);
      peer_expect (peer, "query-jobs", NULL);
    }
  for (guint i = 0; i < 3; i++)
    peer_return_to (peer, i, "[]");
  sync_until (&wild.finished);
  g_assert_cmpuint (wild.answered, ==, 1);
  g_assert_cmpuint (wild.failed, ==, 2);
}

static void
test_unref_in_callback (void)
{
  g_autoptr (Peer) peer = peer_new ();
  Wild wild = { open_greeted (peer), FALSE, 0, 0, FALSE };

  g_object_add_weak_pointer (G_OBJECT (wild.client), (gpointer *) &wild.client);
  for (guint i = 0; i < 3; i++)
    {
      qmp_client_execute_async (wild.client, "query-jobs", NULL, 0, NULL, on_wild_answer, &wild);
      peer_expect (peer, "query-jobs", NULL);
    }
  for (guint i = 0; i < 3; i++)
    peer_return_to (peer, i, "[]");
  peer_expect_hangup (peer);
  sync_until (&wild.finished);
  g_assert_cmpuint (wild.answered, ==, 3);
}

/* What is pending holds the client; it goes when nothing is. */
static void
test_unref_while_pending (void)
{
  g_autoptr (Peer) peer = peer_new ();
  QmpClient *client = open_greeted (peer);
  g_autoptr (GAsyncResult) result = NULL;

  execute (client, "query-jobs", 20, NULL, &result);
  g_object_add_weak_pointer (G_OBJECT (client), (gpointer *) &client);
  g_object_unref (client);
  g_assert_nonnull (client);
  peer_expect (peer, "query-jobs", NULL);
  peer_expect_hangup (peer);
  assert_fails (client, &result, QMP_ERROR, QMP_ERROR_TIMEOUT, "query-jobs");
  sync_settle ();
  g_assert_null (client);
}

static void
on_closed_unref (QmpClient     *client,
                 const GError  *reason,
                 QmpClient    **place)
{
  qmp_client_close (client);
  g_clear_object (place);
}

static void
test_unref_in_closed (void)
{
  g_autoptr (Peer) peer = peer_new ();
  QmpClient *client = open_greeted (peer);
  QmpClient *watched = client;

  g_object_add_weak_pointer (G_OBJECT (client), (gpointer *) &watched);
  g_signal_connect (client, "closed", G_CALLBACK (on_closed_unref), &client);
  peer_hang_up (peer);
  while (watched != NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_null (client);
}

static void
test_close (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GAsyncResult) result = NULL;
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (on_closed), &closed);
  execute (client, "query-jobs", 0, NULL, &result);
  peer_expect (peer, "query-jobs", NULL);
  sync_settle ();
  qmp_client_close (client);
  qmp_client_close (client);
  g_assert_false (qmp_client_is_open (client));
  g_assert_false (closed.closed);
  g_assert_null (result);
  peer_expect_hangup (peer);
  assert_closed (&closed, QMP_ERROR_LINK, "closed on this side");
  assert_fails (client, &result, QMP_ERROR, QMP_ERROR_LINK, "closed on this side");
}

/* --- a guest agent --- */

static void
test_agent (void)
{
  g_autoptr (Peer) peer = peer_new_agent ();
  g_autoptr (QmpClient) client = sync_open (peer, QMP_DIALECT_GUEST_AGENT);
  g_autoptr (GAsyncResult) first = NULL;
  g_autoptr (GAsyncResult) second = NULL;
  g_autoptr (GAsyncResult) third = NULL;

  g_assert_cmpstr (qmp_client_get_version (client), ==, "");
  /* Left over from somebody else: answers, half an answer, a sync of his. */
  peer_say (peer, "{\"return\": 5}\ngarbage\n");
  sync_settle ();
  peer_expect (peer, "guest-sync-delimited", "{\"id\": 7}");
  peer_say (peer, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"x\"}}\n{\"return\": 7}\n"
                  "\xff{\"return\": 6}\n{\"ret");
  peer_say (peer, "\xff");
  peer_return (peer, "7");
  qmp_client_execute_async (client, "guest-sync-delimited", qmp_args ("id", "i", (gint64) 7, NULL),
                            10000, NULL, sync_done, &first);
  assert_returns (client, &first, "7");

  execute (client, "guest-fsfreeze-status", 10000, NULL, &first);
  execute (client, "guest-fsfreeze-freeze", 10000, NULL, &second);
  execute (client, "guest-fsfreeze-thaw", 10000, NULL, &third);
  peer_expect (peer, "guest-fsfreeze-status", NULL);
  peer_expect (peer, "guest-fsfreeze-freeze", NULL);
  peer_expect (peer, "guest-fsfreeze-thaw", NULL);
  peer_return (peer, "\"thawed\"");
  peer_refuse (peer, "GenericError", "no");
  peer_return (peer, "2");
  assert_returns (client, &first, "\"thawed\"");
  assert_fails (client, &second, QMP_ERROR, QMP_ERROR_COMMAND, "guest-fsfreeze-freeze: ");
  assert_returns (client, &third, "2");
}

static void
test_agent_out_of_step (void)
{
  g_autoptr (Peer) peer = peer_new_agent ();
  g_autoptr (QmpClient) client = sync_open (peer, QMP_DIALECT_GUEST_AGENT);
  g_autoptr (GAsyncResult) slow = NULL;
  g_autoptr (GAsyncResult) next = NULL;
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (on_closed), &closed);
  execute (client, "guest-fsfreeze-freeze", 20, NULL, &slow);
  execute (client, "guest-fsfreeze-thaw", 10000, NULL, &next);
  peer_expect (peer, "guest-fsfreeze-freeze", NULL);
  peer_expect (peer, "guest-fsfreeze-thaw", NULL);
  peer_expect_hangup (peer);
  assert_fails (client, &slow, QMP_ERROR, QMP_ERROR_TIMEOUT, "guest-fsfreeze-freeze: no answer");
  assert_fails (client, &next, QMP_ERROR, QMP_ERROR_LINK, "guest-fsfreeze-thaw: the link dropped");
  assert_closed (&closed, QMP_ERROR_LINK, "out of step");
}

static void
test_agent_speaks_unasked (void)
{
  g_autoptr (Peer) peer = peer_new_agent ();
  g_autoptr (QmpClient) client = sync_open (peer, QMP_DIALECT_GUEST_AGENT);
  g_autoptr (GAsyncResult) result = NULL;
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (on_closed), &closed);
  peer_expect (peer, "guest-sync-delimited", NULL);
  peer_say (peer, "\xff{\"return\": 7}\n{\"return\": 8}\n");
  peer_expect_hangup (peer);
  qmp_client_execute_async (client, "guest-sync-delimited", qmp_args ("id", "i", (gint64) 7, NULL),
                            10000, NULL, sync_done, &result);
  assert_returns (client, &result, "7");
  assert_closed (&closed, QMP_ERROR_PROTOCOL, "speaks unasked");
}

/* --- a main context of another thread --- */

static gpointer
run_thread (gpointer user_data)
{
  GIOStream *stream = user_data;
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (QmpClient) client = NULL;
  g_autoptr (JsonNode) value = NULL;

  g_main_context_push_thread_default (context);
  qmp_client_adopt_async (stream, QMP_DIALECT_MONITOR, 0, NULL, sync_done, &result);
  while (result == NULL)
    g_main_context_iteration (context, TRUE);
  client = qmp_client_open_finish (result, NULL);
  g_assert_nonnull (client);
  g_clear_object (&result);
  qmp_client_execute_async (client, "query-status", NULL, 10000, NULL, sync_done, &result);
  while (result == NULL)
    g_main_context_iteration (context, TRUE);
  value = qmp_client_execute_finish (client, result, NULL);
  g_assert_nonnull (value);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_thread_default_context (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (GIOStream) stream = peer_take_stream (peer);
  GThread *thread;

  peer_greet (peer);
  peer_expect (peer, "query-status", NULL);
  peer_return (peer, "{}");
  peer_expect_hangup (peer);
  thread = g_thread_new ("client", run_thread, stream);
  g_clear_pointer (&peer, peer_finish);
  g_thread_join (thread);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/client/open", test_open);
  g_test_add_func ("/client/open-without-oob", test_open_without_oob);
  g_test_add_func ("/client/no-greeting", test_no_greeting);
  g_test_add_func ("/client/half-a-greeting", test_half_a_greeting);
  g_test_add_func ("/client/other-beginnings", test_other_beginnings);
  g_test_add_func ("/client/capabilities-without-answer", test_capabilities_without_answer);
  g_test_add_func ("/client/capabilities-refused", test_capabilities_refused);
  g_test_add_func ("/client/second-greeting", test_second_greeting);
  g_test_add_func ("/client/cannot-connect", test_cannot_connect);
  g_test_add_func ("/client/unix-socket", test_unix_socket);
  g_test_add_func ("/client/tcp", test_tcp);
  g_test_add_func ("/client/open-cancelled", test_open_cancelled);
  g_test_add_func ("/client/returns", test_returns);
  g_test_add_func ("/client/refusal", test_refusal);
  g_test_add_func ("/client/many-in-flight-out-of-order", test_many_in_flight_out_of_order);
  g_test_add_func ("/client/drop-with-many-in-flight", test_drop_with_many_in_flight);
  g_test_add_func ("/client/answers-to-nothing", test_answers_to_nothing);
  g_test_add_func ("/client/duplicate-answer", test_duplicate_answer);
  g_test_add_func ("/client/deadline-and-late-answer", test_deadline_and_late_answer);
  g_test_add_func ("/client/cancelled-at-every-moment", test_cancelled_at_every_moment);
  g_test_add_func ("/client/oob", test_oob);
  g_test_add_func ("/client/arguments-that-json-cannot-say", test_arguments_that_json_cannot_say);
  g_test_add_func ("/client/close-in-callback", test_close_in_callback);
  g_test_add_func ("/client/unref-in-callback", test_unref_in_callback);
  g_test_add_func ("/client/unref-while-pending", test_unref_while_pending);
  g_test_add_func ("/client/unref-in-closed", test_unref_in_closed);
  g_test_add_func ("/client/close", test_close);
  g_test_add_func ("/client/agent", test_agent);
  g_test_add_func ("/client/agent-out-of-step", test_agent_out_of_step);
  g_test_add_func ("/client/agent-speaks-unasked", test_agent_speaks_unasked);
  g_test_add_func ("/client/thread-default-context", test_thread_default_context);

  return g_test_run ();
}
