/* SPDX-License-Identifier: Apache-2.0 */

#include "operation-private.h"
#include "support.h"

#include <core/error.h>

#include <string.h>

static void
test_json (void)
{
  g_autoptr (Operation) operation = operation_new ("id-1", "toy", "g");
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (JsonNode) expected = NULL;
  StepRecord *record;

  operation->disks = g_strsplit ("vda vdb", " ", -1);
  operation->state = OPERATION_RUNNING;
  operation->created_us = G_GINT64_CONSTANT (1700000000000007);
  operation->started_us = G_GINT64_CONSTANT (1700000000999999);
  record = operation_add_step (operation, "first");
  record->state = STEP_FAILED;
  record->begun_us = G_GINT64_CONSTANT (1700000001000000);
  record->ended_us = G_GINT64_CONSTANT (1700000002000000);
  record->error = g_strdup ("why");
  operation_add_step (operation, "second");
  operation->step = 0;
  operation->error = agent_error_new (AGENT_ERROR_STORE, "look there", "first: why");
  json_object_set_int_member (operation_get_plan (operation), "secret", 1);
  json_object_set_int_member (operation_get_request (operation), "asked", 1);
  json_object_set_int_member (operation_get_result (operation), "got", 2);
  operation_set_progress (operation, 5, 7);

  node = operation_to_json (operation);
  expected = json_from_string (
    "{\"id\":\"id-1\",\"kind\":\"toy\",\"guest\":\"g\",\"disks\":[\"vda\",\"vdb\"],"
    "\"state\":\"running\",\"step\":\"first\",\"steps\":["
    "{\"name\":\"first\",\"state\":\"failed\",\"begun\":\"2023-11-14T22:13:21.000000Z\","
    "\"ended\":\"2023-11-14T22:13:22.000000Z\",\"error\":\"why\"},"
    "{\"name\":\"second\",\"state\":\"pending\",\"begun\":null,\"ended\":null,\"error\":null}],"
    "\"progress\":{\"done\":5,\"total\":7},"
    "\"error\":{\"code\":\"store\",\"message\":\"first: why\",\"hint\":\"look there\"},"
    "\"request\":{\"asked\":1},\"result\":{\"got\":2},"
    "\"created\":\"2023-11-14T22:13:20.000007Z\",\"started\":\"2023-11-14T22:13:20.999999Z\","
    "\"finished\":null}", NULL);
  g_assert_nonnull (expected);

  if (!json_node_equal (node, expected))
    {
      g_autofree char *text = json_to_string (node, TRUE);

      g_error ("unexpected: %s", text);
    }
}

static void
test_json_finished (void)
{
  g_autoptr (Operation) operation = operation_new ("id-1", "toy", "g");
  g_autoptr (JsonNode) node = NULL;
  JsonObject *object;

  operation_add_step (operation, "first")->begun_us = 1;
  operation_add_step (operation, "never-run");
  operation->state = OPERATION_CANCELLED;
  node = operation_to_json (operation);
  object = json_node_get_object (node);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (object, "steps")), ==, 1);
  g_assert_true (json_object_get_null_member (object, "disks"));
  g_assert_true (json_object_get_null_member (object, "error"));
  g_assert_true (json_object_get_null_member (object, "step"));
  g_assert_cmpstr (json_object_get_string_member (object, "state"), ==, "cancelled");
}

static void
test_errors_gather (void)
{
  g_autoptr (Operation) operation = operation_new ("id", "toy", "g");

  operation_take_error (operation, agent_error_new (AGENT_ERROR_STORE, "hint", "upload: no"));
  operation_take_error (operation, agent_error_new (AGENT_ERROR_GUEST, NULL, "thaw: gone"));
  operation_take_error (operation, agent_error_new (AGENT_ERROR_GUEST, NULL, "thaw: gone"));
  assert_error_says (operation_get_error (operation), AGENT_ERROR_STORE,
                     "upload: no; then thaw: gone");
  g_assert_cmpstr (operation_get_error (operation)->message, ==, "upload: no; then thaw: gone");
  g_assert_cmpstr (agent_error_get_hint (operation_get_error (operation)), ==, "hint");
}

typedef struct
{
  gboolean  over;
  gboolean  result;
  GError   *error;
} Wait;

static void
on_waited (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Wait *wait = user_data;

  g_assert_false (wait->over);
  wait->over = TRUE;
  wait->result = operation_wait_finish (AGENT_OPERATION (source), result, &wait->error);
}

static gboolean
is_over (gpointer user_data)
{
  return ((Wait *) user_data)->over;
}

static void
test_wait_for_end (void)
{
  g_autoptr (Operation) operation = operation_new ("id", "toy", "g");
  Wait waits[2] = { 0 };

  operation_wait_async (operation, 1000, NULL, on_waited, &waits[0]);
  operation_wait_async (operation, 1000, NULL, on_waited, &waits[1]);
  operation_set_progress (operation, 1, 2);
  g_assert_false (g_main_context_iteration (NULL, FALSE));
  g_assert_false (waits[0].over);

  operation->state = OPERATION_SUCCEEDED;
  operation_changed (operation);
  operation_changed (operation);
  loop_until (is_over, &waits[0]);
  loop_until (is_over, &waits[1]);
  g_assert_true (waits[0].result && waits[1].result);

  /* Nobody holds it any more. */
  g_assert_cmpuint (G_OBJECT (operation)->ref_count, ==, 1);
}

static void
test_wait_for_time (void)
{
  g_autoptr (Operation) operation = operation_new ("id", "toy", "g");
  gint64 begun_us = g_get_monotonic_time ();
  Wait long_wait = { 0 };
  Wait no_wait = { 0 };

  operation_wait_async (operation, 1, NULL, on_waited, &long_wait);
  operation_wait_async (operation, 0, NULL, on_waited, &no_wait);
  loop_until (is_over, &no_wait);
  g_assert_true (no_wait.result);
  g_assert_false (long_wait.over);
  loop_until (is_over, &long_wait);
  g_assert_true (long_wait.result);
  g_assert_false (operation_is_finished (operation));
  g_assert_cmpint (g_get_monotonic_time () - begun_us, >=, G_USEC_PER_SEC / 2);
  g_assert_cmpuint (G_OBJECT (operation)->ref_count, ==, 1);
}

static void
test_wait_cancelled (void)
{
  g_autoptr (Operation) operation = operation_new ("id", "toy", "g");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  Wait waits[2] = { 0 };

  operation_wait_async (operation, 1000, cancellable, on_waited, &waits[0]);
  g_cancellable_cancel (cancellable);
  operation_wait_async (operation, 1000, cancellable, on_waited, &waits[1]);

  for (gsize i = 0; i < G_N_ELEMENTS (waits); i++)
    {
      loop_until (is_over, &waits[i]);
      g_assert_false (waits[i].result);
      g_assert_error (waits[i].error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&waits[i].error);
    }

  /* The wait, not the operation. */
  g_assert_false (g_cancellable_is_cancelled (operation_get_cancellable (operation)));
  g_assert_cmpuint (G_OBJECT (operation)->ref_count, ==, 1);
}

static void
test_words (void)
{
  for (int state = OPERATION_QUEUED; state <= OPERATION_CANCELLED; state++)
    {
      const char *word = operation_state_to_string ((OperationState) state);
      OperationState back;

      g_assert_true (operation_state_from_string (word, &back));
      g_assert_cmpint (back, ==, state);
    }

  for (int state = STEP_PENDING; state <= STEP_FAILED; state++)
    g_assert_cmpint (step_state_from_string (step_state_to_string ((StepState) state)), ==, state);

  g_assert_cmpint (step_state_from_string ("of a later version"), ==, STEP_BEGUN);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/operation/json", test_json);
  g_test_add_func ("/operation/json-finished", test_json_finished);
  g_test_add_func ("/operation/errors-gather", test_errors_gather);
  g_test_add_func ("/operation/wait-for-end", test_wait_for_end);
  g_test_add_func ("/operation/wait-for-time", test_wait_for_time);
  g_test_add_func ("/operation/wait-cancelled", test_wait_cancelled);
  g_test_add_func ("/operation/words", test_words);

  return g_test_run ();
}
