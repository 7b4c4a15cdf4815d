/* SPDX-License-Identifier: Apache-2.0 */

/* Commands, their answers, and what becomes of those that get none. */

#include <qmp/batch.h>
#include <qmp/error.h>

#include "answers.h"
#include "peer.h"
#include "sync.h"

/* How many commands are under way together. */
#define MANY 200

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
      answers_execute (client, "query-jobs", 10000, NULL, &results[i]);
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

      answers_assert_returns (client, &results[i], value);
    }
}

static void
test_drop_with_many_in_flight (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  GAsyncResult *results[MANY] = { NULL };
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (closed_note), &closed);
  for (guint i = 0; i < MANY; i++)
    {
      answers_execute (client, "query-jobs", 10000, NULL, &results[i]);
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
        answers_assert_returns (client, &results[i], "[]");
      else
        answers_assert_fails (client, &results[i], QMP_ERROR, QMP_ERROR_LINK,
                              "query-jobs: the link dropped before the answer: the peer hung up");
    }
  closed_assert (&closed, QMP_ERROR_LINK, "the peer hung up");
  answers_execute (client, "query-jobs", 10000, NULL, &results[0]);
  answers_assert_fails (client, &results[0], QMP_ERROR, QMP_ERROR_LINK,
                        "the link is closed: the peer");
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

      g_signal_connect (client, "closed", G_CALLBACK (closed_note), &closed);
      answers_execute (client, "query-jobs", 10000, NULL, &result);
      peer_expect (peer, "query-jobs", NULL);
      peer_say (peer, cases[i].text);
      peer_expect_hangup (peer);
      answers_assert_fails (client, &result, QMP_ERROR, QMP_ERROR_LINK, cases[i].reason);
      closed_assert (&closed, QMP_ERROR_PROTOCOL, cases[i].reason);
    }
}

static void
test_duplicate_answer (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GAsyncResult) result = NULL;
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (closed_note), &closed);
  answers_execute (client, "query-jobs", 10000, NULL, &result);
  peer_expect (peer, "query-jobs", NULL);
  peer_return (peer, "[]");
  peer_return (peer, "[]");
  peer_expect_hangup (peer);
  answers_assert_returns (client, &result, "[]");
  closed_assert (&closed, QMP_ERROR_PROTOCOL, "a second one");
}

static void
test_deadline_and_late_answer (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GAsyncResult) quick = NULL;
  g_autoptr (GAsyncResult) slow = NULL;
  g_autoptr (GAsyncResult) patient = NULL;

  answers_execute (client, "query-block", 30000, NULL, &patient);
  answers_execute (client, "query-jobs", 40, NULL, &slow);
  answers_execute (client, "query-status", 20, NULL, &quick);
  peer_expect (peer, "query-block", NULL);
  peer_expect (peer, "query-jobs", NULL);
  peer_expect (peer, "query-status", NULL);
  peer_hold (peer);
  answers_assert_fails (client, &quick, QMP_ERROR, QMP_ERROR_TIMEOUT,
                        "query-status: no answer within 20 ms; it may still take effect");
  answers_assert_fails (client, &slow, QMP_ERROR, QMP_ERROR_TIMEOUT,
                        "query-jobs: no answer within 40 ms");
  g_assert_null (patient);

  peer_return_to (peer, 2, "{}");
  peer_return_to (peer, 0, "[0]");
  peer_return_to (peer, 1, "[1]");
  peer_expect (peer, "query-jobs", NULL);
  peer_return (peer, "[3]");
  peer_go (peer);
  answers_assert_returns (client, &patient, "[0]");
  answers_execute (client, "query-jobs", 30000, NULL, &slow);
  answers_assert_returns (client, &slow, "[3]");
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
      answers_execute (client, "query-jobs", 10000, cancellable, &result);
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
          answers_assert_returns (client, &result, "[1]");
        }
      else
        answers_assert_fails (client, &result, G_IO_ERROR, G_IO_ERROR_CANCELLED, "ancelled");

      /* The link is none the worse. */
      peer_expect (peer, "query-status", NULL);
      peer_return (peer, "{}");
      answers_execute (client, "query-status", 10000, NULL, &other);
      answers_assert_returns (client, &other, "{}");
    }
}

static void
test_oob (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (GAsyncResult) slow = NULL;
  g_autoptr (GAsyncResult) quick = NULL;

  answers_execute (client, "query-block", 10000, NULL, &slow);
  qmp_client_execute_oob_async (client, "migrate-pause", NULL, 10000, NULL, sync_done, &quick);
  peer_expect (peer, "query-block", NULL);
  peer_expect_oob (peer, "migrate-pause");
  peer_return (peer, "{}");
  answers_assert_returns (client, &quick, "{}");
  g_assert_null (slow);
  peer_return_to (peer, 0, "[]");
  answers_assert_returns (client, &slow, "[]");
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

typedef struct
{
  Peer     *peer;
  guint     answered;
  gboolean  finished;
} Nested;

/* Waits for another command from inside a callback. */
static void
on_nested_answer (GObject      *source,
                  GAsyncResult *result,
                  gpointer      user_data)
{
  QmpClient *client = QMP_CLIENT (source);
  Nested *nested = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = qmp_client_execute_finish (client, result, &error);
  g_autoptr (JsonNode) inner = NULL;

  g_assert_no_error (error);
  g_assert_cmpint (json_node_get_int (value), ==, nested->answered);
  if (nested->answered++ == 0)
    {
      peer_expect (nested->peer, "query-status", NULL);
      peer_return (nested->peer, "{}");
      inner = sync_execute (client, "query-status", NULL, &error);
      g_assert_no_error (error);
      /* What came in one piece with the first answer was taken before, and in order. */
      g_assert_cmpuint (nested->answered, ==, 3);
      nested->finished = TRUE;
    }
}

static void
test_nested_main_loop (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  Nested nested = { peer, 0, FALSE };

  for (guint i = 0; i < 3; i++)
    {
      qmp_client_execute_async (client, "query-jobs", NULL, 0, NULL, on_nested_answer, &nested);
      peer_expect (peer, "query-jobs", NULL);
    }
  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *value = g_strdup_printf ("%u", i);

      peer_return_to (peer, i, value);
    }
  sync_until (&nested.finished);
}

/* What is pending holds the client; it goes when nothing is. */
static void
test_unref_while_pending (void)
{
  g_autoptr (Peer) peer = peer_new ();
  QmpClient *client = open_greeted (peer);
  g_autoptr (GAsyncResult) result = NULL;

  answers_execute (client, "query-jobs", 20, NULL, &result);
  g_object_add_weak_pointer (G_OBJECT (client), (gpointer *) &client);
  g_object_unref (client);
  g_assert_nonnull (client);
  peer_expect (peer, "query-jobs", NULL);
  peer_expect_hangup (peer);
  answers_assert_fails (client, &result, QMP_ERROR, QMP_ERROR_TIMEOUT, "query-jobs");
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

  g_signal_connect (client, "closed", G_CALLBACK (closed_note), &closed);
  answers_execute (client, "query-jobs", 0, NULL, &result);
  peer_expect (peer, "query-jobs", NULL);
  sync_settle ();
  qmp_client_close (client);
  qmp_client_close (client);
  g_assert_false (qmp_client_is_open (client));
  g_assert_false (closed.closed);
  g_assert_null (result);
  peer_expect_hangup (peer);
  closed_assert (&closed, QMP_ERROR_LINK, "closed on this side");
  answers_assert_fails (client, &result, QMP_ERROR, QMP_ERROR_LINK, "closed on this side");
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
  g_test_add_func ("/client/nested-main-loop", test_nested_main_loop);
  g_test_add_func ("/client/unref-while-pending", test_unref_while_pending);
  g_test_add_func ("/client/unref-in-closed", test_unref_in_closed);
  g_test_add_func ("/client/close", test_close);
  g_test_add_func ("/client/thread-default-context", test_thread_default_context);

  return g_test_run ();
}
