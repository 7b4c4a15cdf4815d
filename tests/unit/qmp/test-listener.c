/* SPDX-License-Identifier: Apache-2.0 */

/* Events: who gets which, in what order, and what becomes of those that nobody fetches. */

#include <string.h>

#include <qmp/batch.h>
#include <qmp/error.h>
#include <qmp/listener.h>

#include "peer.h"
#include "sync.h"

#define JOB_EVENT "JOB_STATUS_CHANGE"
#define QUEUE_MAX 65536

static const char *const job_events[] = { JOB_EVENT, NULL };

static QmpClient *
open_greeted (Peer *peer)
{
  peer_greet (peer);
  return sync_open (peer, QMP_DIALECT_MONITOR);
}

static void
say_job (Peer       *peer,
         const char *id,
         const char *status)
{
  g_autofree char *data = g_strdup_printf ("{\"id\": \"%s\", \"status\": \"%s\"}", id, status);

  peer_event (peer, JOB_EVENT, data);
}

/* Has a command answered: all that the peer said before has been read then. */
static void
read_all (Peer      *peer,
          QmpClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;

  peer_expect (peer, "query-status", NULL);
  peer_return (peer, "{}");
  value = sync_execute (client, "query-status", NULL, &error);
  g_assert_no_error (error);
}

static void
assert_next (QmpListener *listener,
             const char  *name,
             const char  *member,
             const char  *value)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpEvent) event = sync_next (listener, 10000, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (event->name, ==, name);
  if (member == NULL)
    g_assert_cmpuint (json_object_get_size (event->data), ==, 0);
  else
    g_assert_cmpstr (json_object_get_string_member (event->data, member), ==, value);
}

static void
assert_nothing (QmpListener *listener)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (sync_next (listener, 1, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
}

static void
assert_ends (QmpListener   *listener,
             GAsyncResult **result,
             GQuark         domain,
             int            code)
{
  g_autoptr (GError) error = NULL;

  sync_wait (result);
  g_assert_null (qmp_listener_next_finish (listener, *result, &error));
  g_assert_error (error, domain, code);
  g_clear_object (result);
}

/* --- */

static void
test_event_before_return (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) value = NULL;
  g_autoptr (QmpEvent) event = NULL;

  peer_expect (peer, "job-dismiss", NULL);
  say_job (peer, "j", "null");
  peer_return (peer, "{}");
  value = sync_execute (client, "job-dismiss", qmp_args ("id", "s", "j", NULL), &error);
  g_assert_no_error (error);

  event = sync_next (listener, 10000, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (event->name, ==, JOB_EVENT);
  g_assert_cmpstr (json_object_get_string_member (event->data, "id"), ==, "j");
  g_assert_cmpint (event->timestamp_us, ==, 1700000000123456);
}

static void
test_order_and_names (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  static const char *const names[] = { "STOP", JOB_EVENT, NULL };
  g_autoptr (QmpListener) some = qmp_listener_new (client, names, NULL, NULL, NULL);
  g_autoptr (QmpListener) all = qmp_listener_new (client, NULL, NULL, NULL, NULL);

  peer_event (peer, "STOP", NULL);
  peer_event (peer, "RESUME", NULL);
  say_job (peer, "j", "created");
  say_job (peer, "j", "running");
  read_all (peer, client);

  assert_next (some, "STOP", NULL, NULL);
  assert_next (some, JOB_EVENT, "status", "created");
  assert_next (some, JOB_EVENT, "status", "running");
  assert_nothing (some);
  assert_next (all, "STOP", NULL, NULL);
  assert_next (all, "RESUME", NULL, NULL);
  assert_next (all, JOB_EVENT, "status", "created");
  assert_next (all, JOB_EVENT, "status", "running");
  assert_nothing (all);
}

static gboolean
is_of_job (const QmpEvent *event,
           gpointer        user_data)
{
  return g_strcmp0 (json_object_get_string_member_with_default (event->data, "id", NULL),
                    user_data) == 0;
}

static void
test_filter (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, job_events, is_of_job,
                                                       g_strdup ("mine"), g_free);

  say_job (peer, "other", "created");
  say_job (peer, "mine", "running");
  say_job (peer, "mine2", "ready");
  read_all (peer, client);
  assert_next (listener, JOB_EVENT, "status", "running");
  assert_nothing (listener);
}

static void
test_wait_then_event (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GAsyncResult) second = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpEvent) event = NULL;

  qmp_listener_next_async (listener, 10000, NULL, sync_done, &result);
  qmp_listener_next_async (listener, 10000, NULL, sync_done, &second);
  g_assert_null (second);
  assert_ends (listener, &second, G_IO_ERROR, G_IO_ERROR_PENDING);
  g_assert_null (result);
  say_job (peer, "a", "created");
  say_job (peer, "b", "created");
  sync_wait (&result);
  event = qmp_listener_next_finish (listener, result, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (json_object_get_string_member (event->data, "id"), ==, "a");
  assert_next (listener, JOB_EVENT, "id", "b");
}

static void
test_deadline (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_null (sync_next (listener, 20, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_assert_cmpstr (error->message, ==, "no event (" JOB_EVENT ") within 20 ms");
  say_job (peer, "late", "created");
  assert_next (listener, JOB_EVENT, "id", "late");
}

static void
test_cancelled (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  g_autoptr (GCancellable) before = g_cancellable_new ();
  g_autoptr (GCancellable) during = g_cancellable_new ();
  g_autoptr (GCancellable) after = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpEvent) event = NULL;

  g_cancellable_cancel (before);
  qmp_listener_next_async (listener, 10000, before, sync_done, &result);
  assert_ends (listener, &result, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  qmp_listener_next_async (listener, 10000, during, sync_done, &result);
  g_cancellable_cancel (during);
  assert_ends (listener, &result, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  /* An event that was taken from the queue is not lost. */
  say_job (peer, "j", "created");
  read_all (peer, client);
  qmp_listener_next_async (listener, 10000, after, sync_done, &result);
  g_cancellable_cancel (after);
  sync_wait (&result);
  event = qmp_listener_next_finish (listener, result, &error);
  g_assert_no_error (error);
  g_assert_nonnull (event);
}

static void
test_link_drops (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) waiting = qmp_listener_new (client, NULL, NULL, NULL, NULL);
  g_autoptr (QmpListener) filled = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  qmp_listener_next_async (waiting, 0, NULL, sync_done, &result);
  say_job (peer, "j", "created");
  sync_wait (&result);
  qmp_event_free (qmp_listener_next_finish (waiting, result, NULL));
  g_clear_object (&result);
  qmp_listener_next_async (waiting, 0, NULL, sync_done, &result);
  peer_hang_up (peer);
  sync_wait (&result);
  g_assert_null (qmp_listener_next_finish (waiting, result, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
  g_assert_cmpstr (error->message, ==, "no more events: the peer hung up");

  g_clear_error (&error);
  assert_next (filled, JOB_EVENT, "id", "j");
  g_assert_null (sync_next (filled, 0, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
}

static void
test_close (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, NULL, NULL, NULL, NULL);
  g_autoptr (GAsyncResult) result = NULL;

  qmp_listener_next_async (listener, 0, NULL, sync_done, &result);
  qmp_listener_close (listener);
  qmp_listener_close (listener);
  g_assert_null (result);
  assert_ends (listener, &result, G_IO_ERROR, G_IO_ERROR_CLOSED);
  say_job (peer, "j", "created");
  read_all (peer, client);
  qmp_listener_next_async (listener, 0, NULL, sync_done, &result);
  assert_ends (listener, &result, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

static void
test_full_queue (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < QUEUE_MAX + 3; i++)
    g_string_append_printf (text,
                            "{\"event\": \"" JOB_EVENT "\", \"data\": {\"id\": \"%u\"}}\n", i);
  peer_say_bytes (peer, text->str, text->len);
  g_string_free (text, TRUE);
  read_all (peer, client);

  g_assert_cmpuint (qmp_listener_get_lost (listener), ==, 3);
  assert_next (listener, JOB_EVENT, "id", "3");
  assert_next (listener, JOB_EVENT, "id", "4");
  g_assert_cmpuint (qmp_listener_get_lost (listener), ==, 3);
}

/* Few but large events are bounded as well. */
static void
test_large_events (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  g_autofree char *large = g_strnfill (7 * 1024 * 1024, 'x');

  for (guint i = 0; i < 3; i++)
    {
      peer_say (peer, "{\"event\": \"" JOB_EVENT "\", \"data\": {\"id\": \"");
      peer_say (peer, large);
      peer_say (peer, "\"}}\n");
    }
  read_all (peer, client);
  g_assert_cmpuint (qmp_listener_get_lost (listener), ==, 1);
}

/* --- reacting --- */

typedef struct
{
  GString      *seen;
  QmpClient    *client;
  QmpListener **other;          /* let go of at the first event */
  QmpListener **self;           /* likewise */
  QmpListener  *added;
} Reaction;

static void
on_event (QmpListener    *listener,
          const QmpEvent *event,
          Reaction       *reaction)
{
  g_string_append (reaction->seen, json_object_get_string_member (event->data, "id"));
  if (reaction->client != NULL)
    {
      reaction->added = qmp_listener_new (reaction->client, NULL, NULL, NULL, NULL);
      reaction->client = NULL;
    }
  if (reaction->other != NULL)
    g_clear_object (reaction->other);
  if (reaction->self != NULL)
    g_clear_object (reaction->self);
}

static void
test_signal (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpListener) listener = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  Reaction reaction = { g_string_new (NULL), NULL, NULL, NULL, NULL };
  gulong handler = g_signal_connect (listener, "event", G_CALLBACK (on_event), &reaction);

  say_job (peer, "a", "created");
  say_job (peer, "b", "created");
  read_all (peer, client);
  g_assert_cmpstr (reaction.seen->str, ==, "ab");

  /* Nothing was kept; without a handler it queues. */
  g_signal_handler_disconnect (listener, handler);
  assert_nothing (listener);
  say_job (peer, "c", "created");
  assert_next (listener, JOB_EVENT, "id", "c");
  g_assert_cmpstr (reaction.seen->str, ==, "ab");
  g_string_free (reaction.seen, TRUE);
}

static void
test_listeners_come_and_go (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  QmpListener *first = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  QmpListener *second = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  g_autoptr (QmpListener) third = qmp_listener_new (client, job_events, NULL, NULL, NULL);
  Reaction reaction = { g_string_new (NULL), client, &second, &first, NULL };

  g_signal_connect (first, "event", G_CALLBACK (on_event), &reaction);
  say_job (peer, "a", "created");
  say_job (peer, "b", "created");
  read_all (peer, client);

  g_assert_null (first);
  g_assert_null (second);
  g_assert_cmpstr (reaction.seen->str, ==, "a");
  assert_next (third, JOB_EVENT, "id", "a");
  assert_next (third, JOB_EVENT, "id", "b");
  /* Who comes during a delivery gets what follows. */
  assert_next (reaction.added, JOB_EVENT, "id", "b");
  g_object_unref (reaction.added);
  g_string_free (reaction.seen, TRUE);
}

/* A listener keeps the client, and the link, while it waits. */
static void
test_holds_client (void)
{
  g_autoptr (Peer) peer = peer_new ();
  QmpClient *client = open_greeted (peer);
  QmpListener *listener = qmp_listener_new (client, job_events, NULL, NULL, NULL);

  g_object_unref (client);
  say_job (peer, "j", "created");
  assert_next (listener, JOB_EVENT, "id", "j");
  g_object_unref (listener);
  peer_expect_hangup (peer);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/listener/event-before-return", test_event_before_return);
  g_test_add_func ("/listener/order-and-names", test_order_and_names);
  g_test_add_func ("/listener/filter", test_filter);
  g_test_add_func ("/listener/wait-then-event", test_wait_then_event);
  g_test_add_func ("/listener/deadline", test_deadline);
  g_test_add_func ("/listener/cancelled", test_cancelled);
  g_test_add_func ("/listener/link-drops", test_link_drops);
  g_test_add_func ("/listener/close", test_close);
  g_test_add_func ("/listener/full-queue", test_full_queue);
  g_test_add_func ("/listener/large-events", test_large_events);
  g_test_add_func ("/listener/signal", test_signal);
  g_test_add_func ("/listener/listeners-come-and-go", test_listeners_come_and_go);
  g_test_add_func ("/listener/holds-client", test_holds_client);

  return g_test_run ();
}
