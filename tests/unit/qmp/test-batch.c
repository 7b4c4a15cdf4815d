/* SPDX-License-Identifier: Apache-2.0 */

/* Commands that follow each other. */

#include <string.h>

#include <qmp/batch.h>
#include <qmp/error.h>

#include "peer.h"
#include "sync.h"

static QmpClient *
open_greeted (Peer *peer)
{
  peer_greet (peer);
  return sync_open (peer, QMP_DIALECT_MONITOR);
}

static void
run (QmpBatch    *batch,
     QmpClient   *client,
     guint        deadline_ms,
     GError     **error)
{
  g_autoptr (GAsyncResult) result = NULL;
  gboolean good;

  qmp_batch_run_async (batch, client, deadline_ms, NULL, sync_done, &result);
  g_assert_null (result);
  sync_wait (&result);
  good = qmp_batch_run_finish (batch, result, error);
  g_assert_cmpint (good, ==, *error == NULL);
}

static void
add_three (QmpBatch *batch)
{
  qmp_batch_add (batch, "job-pause", qmp_args ("id", "s", "a", NULL));
  qmp_batch_add_tolerant (batch, "job-cancel", qmp_args ("id", "s", "b", NULL));
  qmp_batch_add (batch, "job-dismiss", qmp_args ("id", "s", "c", NULL));
  g_assert_cmpuint (qmp_batch_get_size (batch), ==, 3);
}

static void
test_empty (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  g_autoptr (GError) error = NULL;

  run (batch, client, 10000, &error);
  g_assert_no_error (error);
}

/* Another command, sent right after the first of the batch, shows that the second waits for the
 * answer to the first. */
static void
test_in_order_and_again (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  add_three (batch);
  for (guint round = 0; round < 2; round++)
    {
      g_autoptr (GAsyncResult) result = NULL;
      g_autoptr (GAsyncResult) other = NULL;
      g_autoptr (GError) error = NULL;

      qmp_batch_run_async (batch, client, 10000, NULL, sync_done, &result);
      qmp_client_execute_async (client, "query-status", NULL, 0, NULL, sync_done, &other);
      peer_expect (peer, "job-pause", "{\"id\": \"a\"}");
      peer_expect (peer, "query-status", NULL);
      peer_return (peer, "{}");
      peer_return_to (peer, 4 * round, "{\"n\": 0}");
      peer_expect (peer, "job-cancel", "{\"id\": \"b\"}");
      peer_return (peer, "{\"n\": 1}");
      peer_expect (peer, "job-dismiss", "{\"id\": \"c\"}");
      peer_return (peer, "{\"n\": 2}");
      sync_wait (&result);
      g_assert_true (qmp_batch_run_finish (batch, result, &error));
      g_assert_no_error (error);
      for (guint n = 0; n < 3; n++)
        {
          JsonObject *reply = json_node_get_object (qmp_batch_get_reply (batch, n));

          g_assert_cmpint (json_object_get_int_member (reply, "n"), ==, n);
        }
    }
}

static void
test_refusal_ends_it (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  g_autoptr (GError) error = NULL;

  add_three (batch);
  peer_expect (peer, "job-pause", NULL);
  peer_refuse (peer, "GenericError", "Job not found");
  run (batch, client, 10000, &error);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND);
  g_assert_cmpstr (qmp_error_get_command (error), ==, "job-pause");
  for (guint i = 0; i < 3; i++)
    g_assert_null (qmp_batch_get_reply (batch, i));
}

static void
test_tolerates_refusals (void)
{
  static const char *const classes[] = { "GenericError", "DeviceNotFound", "DeviceNotActive" };

  for (guint i = 0; i < G_N_ELEMENTS (classes); i++)
    {
      g_autoptr (Peer) peer = peer_new ();
      g_autoptr (QmpClient) client = open_greeted (peer);
      g_autoptr (QmpBatch) batch = qmp_batch_new ();
      g_autoptr (GError) error = NULL;

      add_three (batch);
      peer_expect (peer, "job-pause", NULL);
      peer_return (peer, "{}");
      peer_expect (peer, "job-cancel", NULL);
      peer_refuse (peer, classes[i], "gone");
      peer_expect (peer, "job-dismiss", NULL);
      peer_return (peer, "{}");
      run (batch, client, 10000, &error);
      g_assert_no_error (error);
      g_assert_nonnull (qmp_batch_get_reply (batch, 0));
      g_assert_null (qmp_batch_get_reply (batch, 1));
      g_assert_nonnull (qmp_batch_get_reply (batch, 2));
    }
}

static void
test_tolerates_no_drop (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  g_autoptr (GError) error = NULL;

  add_three (batch);
  peer_expect (peer, "job-pause", NULL);
  peer_return (peer, "{}");
  peer_expect (peer, "job-cancel", NULL);
  peer_hang_up (peer);
  run (batch, client, 10000, &error);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_LINK);
}

/* The deadline is for all of them together. */
static void
test_deadline (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  g_autoptr (GError) error = NULL;
  gint64 begin = g_get_monotonic_time ();

  add_three (batch);
  peer_expect (peer, "job-pause", NULL);
  peer_return (peer, "{}");
  peer_expect (peer, "job-cancel", NULL);
  run (batch, client, 50, &error);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_assert_true (g_str_has_prefix (error->message, "job-cancel: no answer within"));
  g_assert_cmpint (g_get_monotonic_time () - begin, >=, 45000);
}

static void
test_cancelled (void)
{
  g_autoptr (Peer) peer = peer_new ();
  g_autoptr (QmpClient) client = open_greeted (peer);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  add_three (batch);
  peer_expect (peer, "job-pause", NULL);
  peer_hold (peer);
  peer_return (peer, "{}");
  qmp_batch_run_async (batch, client, 10000, cancellable, sync_done, &result);
  sync_settle ();
  g_cancellable_cancel (cancellable);
  peer_go (peer);
  sync_wait (&result);
  g_assert_false (qmp_batch_run_finish (batch, result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_unref_while_running (void)
{
  g_autoptr (Peer) peer = peer_new ();
  QmpClient *client = open_greeted (peer);
  QmpBatch *batch = qmp_batch_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  add_three (batch);
  qmp_batch_run_async (batch, client, 10000, NULL, sync_done, &result);
  g_object_unref (client);
  g_object_unref (batch);
  peer_expect (peer, "job-pause", NULL);
  peer_return (peer, "{}");
  peer_expect (peer, "job-cancel", NULL);
  peer_return (peer, "{}");
  peer_expect (peer, "job-dismiss", NULL);
  peer_return (peer, "{}");
  sync_wait (&result);
  g_assert_true (qmp_batch_run_finish (batch, result, &error));
  g_assert_no_error (error);
}

static void
test_args (void)
{
  g_autoptr (JsonNode) nothing = qmp_args (NULL, NULL);
  g_autoptr (JsonNode) left_out = qmp_args ("id", "s", NULL, "speed", "i", (gint64) 1 << 40, NULL);
  g_autoptr (JsonNode) all = qmp_args ("node-name", "s", "n", "read-only", "b", TRUE,
                                       "backing", "0",
                                       "file", "n", qmp_args ("driver", "s", "file", NULL), NULL);
  g_autofree char *nothing_text = json_to_string (nothing, FALSE);
  g_autofree char *left_out_text = json_to_string (left_out, FALSE);
  g_autofree char *all_text = json_to_string (all, FALSE);

  g_assert_cmpstr (nothing_text, ==, "{}");
  g_assert_cmpstr (left_out_text, ==, "{\"speed\":1099511627776}");
  g_assert_cmpstr (all_text, ==, "{\"node-name\":\"n\",\"read-only\":true,\"backing\":null,"
                                 "\"file\":{\"driver\":\"file\"}}");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/batch/empty", test_empty);
  g_test_add_func ("/batch/in-order-and-again", test_in_order_and_again);
  g_test_add_func ("/batch/refusal-ends-it", test_refusal_ends_it);
  g_test_add_func ("/batch/tolerates-refusals", test_tolerates_refusals);
  g_test_add_func ("/batch/tolerates-no-drop", test_tolerates_no_drop);
  g_test_add_func ("/batch/deadline", test_deadline);
  g_test_add_func ("/batch/cancelled", test_cancelled);
  g_test_add_func ("/batch/unref-while-running", test_unref_while_running);
  g_test_add_func ("/batch/args", test_args);

  return g_test_run ();
}
