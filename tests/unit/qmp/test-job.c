/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a job as a scripted QEMU tells it: what no real one can be made to say in time. */

#include <string.h>

#include <qmp/error.h>
#include <qmp/job.h>

#include "sync.h"

#define DEADLINE 10000

/* What query-jobs says of the one job that there is. */
#define JOB(status, progress, more) \
  "[{\"id\":\"other\",\"type\":\"backup\",\"status\":\"running\",\"current-progress\":1," \
  "\"total-progress\":9},{\"id\":\"j\",\"type\":\"commit\",\"status\":\"" status "\"," \
  "\"current-progress\":" progress ",\"total-progress\":100" more "}]"

#define CANCELED ",\"error\":\"Operation canceled\""

static void
say_status (Peer       *peer,
            const char *id,
            const char *status)
{
  g_autofree char *data = g_strdup_printf ("{\"id\":\"%s\",\"status\":\"%s\"}", id, status);

  peer_event (peer, "JOB_STATUS_CHANGE", data);
}

static void
expect_query (Peer       *peer,
              const char *answer)
{
  peer_expect (peer, "query-jobs", NULL);
  peer_return (peer, answer);
}

typedef struct
{
  Peer      *peer;
  QmpClient *client;
  QmpJob    *job;
  guint      changes;
} Fixture;

static void
count_change (Fixture *fixture)
{
  fixture->changes++;
}

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  fixture->peer = peer_new ();
  peer_greet (fixture->peer);
  fixture->client = sync_open (fixture->peer, QMP_DIALECT_MONITOR);
  fixture->job = qmp_job_watch (fixture->client, "j");
  g_signal_connect_swapped (fixture->job, "changed", G_CALLBACK (count_change), fixture);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  g_object_add_weak_pointer (G_OBJECT (fixture->job), (gpointer *) &fixture->job);
  g_object_unref (fixture->job);
  peer_finish (fixture->peer);
  sync_settle ();
  g_assert_null (fixture->job);                 /* nothing that was asked for holds it */
  g_clear_object (&fixture->client);
}

static gboolean
await (Fixture      *fixture,
       QmpJobState   state,
       guint         deadline_ms,
       GError      **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_job_await_async (fixture->job, state, deadline_ms, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_job_await_finish (fixture->job, result, error);
}

static void
assert_reached (Fixture     *fixture,
                QmpJobState  state)
{
  g_autoptr (GError) error = NULL;
  gboolean reached = await (fixture, state, DEADLINE, &error);

  g_assert_no_error (error);
  g_assert_true (reached);
}

static void
assert_fails (Fixture     *fixture,
              QmpJobState  state,
              QmpError     code,
              const char  *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (await (fixture, state, DEADLINE, &error));
  g_assert_error (error, QMP_ERROR, (int) code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
  g_assert_nonnull (strstr (error->message, "\"j\""));
}

/* --- reaching a state --- */

static void
test_catch_up (Fixture       *fixture,
               gconstpointer  data)
{
  const QmpJobInfo *info = qmp_job_get_info (fixture->job);

  g_assert_cmpint (info->state, ==, QMP_JOB_UNDEFINED);
  expect_query (fixture->peer, JOB ("ready", "40", ""));
  assert_reached (fixture, QMP_JOB_RUNNING);
  g_assert_cmpint (info->state, ==, QMP_JOB_READY);
  g_assert_cmpstr (info->type, ==, "commit");
  g_assert_cmpint (info->progress, ==, 40);
  g_assert_cmpint (info->total, ==, 100);
  g_assert_null (info->error);
  g_assert_cmpuint (fixture->changes, ==, 1);
}

static void
test_event (Fixture       *fixture,
            gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("running", "40", ""));
  say_status (fixture->peer, "other", "ready");
  say_status (fixture->peer, "j", "paused");
  say_status (fixture->peer, "j", "running");
  say_status (fixture->peer, "j", "ready");
  assert_reached (fixture, QMP_JOB_READY);
  g_assert_cmpint (qmp_job_get_info (fixture->job)->state, ==, QMP_JOB_READY);
}

/* QEMU may announce a job before it answers the command that starts it. */
static void
test_before_the_answer (Fixture       *fixture,
                        gconstpointer  data)
{
  g_autoptr (JsonNode) value = NULL;
  g_autoptr (GError) error = NULL;

  peer_expect (fixture->peer, "job-resume", NULL);
  say_status (fixture->peer, "j", "created");
  say_status (fixture->peer, "j", "running");
  say_status (fixture->peer, "j", "waiting");
  say_status (fixture->peer, "j", "pending");
  peer_return (fixture->peer, "{}");
  value = sync_execute (fixture->client, "job-resume", json_from_string ("{\"id\":\"j\"}", NULL),
                        &error);
  g_assert_no_error (error);
  g_assert_cmpint (qmp_job_get_info (fixture->job)->state, ==, QMP_JOB_PENDING);

  expect_query (fixture->peer, JOB ("pending", "100", ""));
  assert_reached (fixture, QMP_JOB_PENDING);
}

/* A reply that was made before an event, and comes after it, must not bring the old state back. */
static void
test_stale_reply (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  peer_expect (fixture->peer, "query-jobs", NULL);
  say_status (fixture->peer, "j", "ready");
  peer_return (fixture->peer, JOB ("running", "99", ""));

  qmp_job_refresh_async (fixture->job, DEADLINE, NULL, sync_done, &result);
  sync_wait (&result);
  g_assert_true (qmp_job_refresh_finish (fixture->job, result, &error));
  g_assert_no_error (error);
  g_assert_cmpint (qmp_job_get_info (fixture->job)->state, ==, QMP_JOB_READY);
  g_assert_cmpint (qmp_job_get_info (fixture->job)->progress, ==, 99);
}

/* Aborting comes after pending in the list of states, and yet is not on the way to it. */
static void
test_aborting (Fixture       *fixture,
               gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("running", "40", ""));
  say_status (fixture->peer, "j", "aborting");
  say_status (fixture->peer, "j", "concluded");
  expect_query (fixture->peer, JOB ("concluded", "40", ",\"error\":\"No space left on device\""));
  assert_fails (fixture, QMP_JOB_PENDING, QMP_ERROR_JOB, "No space left on device");
}

/* --- the end --- */

static void
test_concluded (Fixture       *fixture,
                gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("running", "40", ""));
  say_status (fixture->peer, "j", "concluded");
  expect_query (fixture->peer, JOB ("concluded", "100", ""));
  assert_reached (fixture, QMP_JOB_CONCLUDED);

  expect_query (fixture->peer, JOB ("concluded", "100", ""));
  assert_reached (fixture, QMP_JOB_READY);
}

static void
test_failed (Fixture       *fixture,
             gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("concluded", "40", CANCELED));
  assert_fails (fixture, QMP_JOB_CONCLUDED, QMP_ERROR_JOB,
                "commit job \"j\" failed: Operation canceled");
  g_assert_cmpstr (qmp_job_get_info (fixture->job)->error, ==, "Operation canceled");

  expect_query (fixture->peer, JOB ("concluded", "40", CANCELED));
  assert_fails (fixture, QMP_JOB_READY, QMP_ERROR_JOB, "before it was ready: Operation canceled");
}

/* That a job concluded is not yet how: a reply from just before it says nothing of the error. */
static void
test_outcome_of_old_reply (Fixture       *fixture,
                           gconstpointer  data)
{
  peer_expect (fixture->peer, "query-jobs", NULL);
  say_status (fixture->peer, "j", "aborting");
  say_status (fixture->peer, "j", "concluded");
  peer_return (fixture->peer, JOB ("aborting", "40", ""));
  expect_query (fixture->peer, JOB ("concluded", "40", CANCELED));
  assert_fails (fixture, QMP_JOB_CONCLUDED, QMP_ERROR_JOB, "Operation canceled");
}

static void
test_unknown (Fixture       *fixture,
              gconstpointer  data)
{
  expect_query (fixture->peer, "[]");
  assert_fails (fixture, QMP_JOB_READY, QMP_ERROR_JOB, "unknown to QEMU");
}

static void
test_vanished (Fixture       *fixture,
               gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("running", "40", ""));
  say_status (fixture->peer, "j", "concluded");
  say_status (fixture->peer, "j", "null");
  expect_query (fixture->peer, "[]");
  assert_fails (fixture, QMP_JOB_CONCLUDED, QMP_ERROR_JOB, "vanished before its outcome");
}

static void
test_vanished_while_away (Fixture       *fixture,
                          gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("running", "40", ""));
  assert_reached (fixture, QMP_JOB_RUNNING);
  expect_query (fixture->peer, "[]");
  assert_fails (fixture, QMP_JOB_CONCLUDED, QMP_ERROR_JOB, "vanished before its outcome");
  g_assert_cmpint (qmp_job_get_info (fixture->job)->state, ==, QMP_JOB_NULL);
}

/* Whoever waits for a job to be gone does not care how it ended. */
static void
test_gone (Fixture       *fixture,
           gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("concluded", "40", CANCELED));
  say_status (fixture->peer, "j", "null");
  assert_reached (fixture, QMP_JOB_NULL);
  expect_query (fixture->peer, "[]");
  assert_reached (fixture, QMP_JOB_NULL);
}

static void
test_never_there (Fixture       *fixture,
                  gconstpointer  data)
{
  expect_query (fixture->peer, "[]");
  assert_reached (fixture, QMP_JOB_NULL);
}

/* An id that is used again belongs to another job. */
static void
test_reused_id (Fixture       *fixture,
                gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("concluded", "40", ""));
  say_status (fixture->peer, "j", "null");
  assert_reached (fixture, QMP_JOB_NULL);

  say_status (fixture->peer, "j", "created");
  say_status (fixture->peer, "j", "ready");
  expect_query (fixture->peer, JOB ("ready", "1", ""));
  assert_fails (fixture, QMP_JOB_READY, QMP_ERROR_JOB, "vanished");
  g_assert_cmpint (qmp_job_get_info (fixture->job)->state, ==, QMP_JOB_NULL);
  g_assert_cmpint (qmp_job_get_info (fixture->job)->progress, ==, 40);
}

/* --- waits that end otherwise --- */

static void
test_deadline (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  expect_query (fixture->peer, JOB ("paused", "40", ""));
  g_assert_false (await (fixture, QMP_JOB_READY, 100, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_assert_cmpstr (error->message, ==,
                   "commit job \"j\" was not ready within 100 ms: it is paused, its progress was "
                   "40 of 100 when last asked for");
}

static void
test_silence (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  peer_expect (fixture->peer, "query-jobs", NULL);
  g_assert_false (await (fixture, QMP_JOB_READY, 100, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_assert_true (g_str_has_prefix (error->message, "Job \"j\" was not ready within 100 ms: it is "
                                   "undefined"));
}

static void
test_link_drops (Fixture       *fixture,
                 gconstpointer  data)
{
  expect_query (fixture->peer, JOB ("running", "40", ""));
  peer_hang_up (fixture->peer);
  assert_fails (fixture, QMP_JOB_READY, QMP_ERROR_LINK, "dropped while it was running");
  assert_fails (fixture, QMP_JOB_READY, QMP_ERROR_LINK, "commit job");
}

static void
test_link_drops_unanswered (Fixture       *fixture,
                            gconstpointer  data)
{
  peer_expect (fixture->peer, "query-jobs", NULL);
  peer_hang_up (fixture->peer);
  assert_fails (fixture, QMP_JOB_READY, QMP_ERROR_LINK, "query-jobs");
}

static void
cancel (QmpJob       *job,
        GCancellable *cancellable)
{
  g_cancellable_cancel (cancellable);
}

/* Before it begins, while the question is out, and after its answer. */
static void
test_cancel (Fixture       *fixture,
             gconstpointer  data)
{
  const char *moment = data;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;

  if (g_str_equal (moment, "before"))
    g_cancellable_cancel (cancellable);
  else
    {
      peer_expect (fixture->peer, "query-jobs", NULL);
      if (g_str_equal (moment, "after"))
        peer_return (fixture->peer, JOB ("running", "40", ""));
      g_signal_connect (fixture->job, "changed", G_CALLBACK (cancel), cancellable);
    }

  qmp_job_await_async (fixture->job, QMP_JOB_READY, DEADLINE, cancellable, sync_done, &result);
  if (g_str_equal (moment, "during"))
    g_cancellable_cancel (cancellable);
  sync_wait (&result);
  g_assert_false (qmp_job_await_finish (fixture->job, result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_true (qmp_client_is_open (fixture->client));

  expect_query (fixture->peer, JOB ("ready", "1", ""));
  assert_reached (fixture, QMP_JOB_READY);
  g_signal_handlers_disconnect_by_data (fixture->job, cancellable);
}

static void
wait_again (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (qmp_job_await_finish (QMP_JOB (source), result, &error));
  g_assert_no_error (error);
  qmp_job_await_async (QMP_JOB (source), QMP_JOB_PENDING, DEADLINE, NULL, sync_done, user_data);
}

/* Several waits on one job, one of which begins another from its callback. */
static void
test_many_waits (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GAsyncResult) ready = NULL;
  g_autoptr (GAsyncResult) concluded = NULL;
  g_autoptr (GAsyncResult) again = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 3; i++)
    expect_query (fixture->peer, JOB ("running", "40", ""));
  qmp_job_await_async (fixture->job, QMP_JOB_READY, DEADLINE, NULL, wait_again, &again);
  qmp_job_await_async (fixture->job, QMP_JOB_READY, DEADLINE, NULL, sync_done, &ready);
  qmp_job_await_async (fixture->job, QMP_JOB_CONCLUDED, DEADLINE, NULL, sync_done, &concluded);
  say_status (fixture->peer, "j", "ready");
  expect_query (fixture->peer, JOB ("ready", "40", ""));
  say_status (fixture->peer, "j", "pending");
  say_status (fixture->peer, "j", "concluded");
  expect_query (fixture->peer, JOB ("concluded", "100", CANCELED));

  sync_wait (&ready);
  g_assert_true (qmp_job_await_finish (fixture->job, ready, &error));
  sync_wait (&again);
  g_assert_true (qmp_job_await_finish (fixture->job, again, &error));
  g_assert_no_error (error);
  sync_wait (&concluded);
  g_assert_false (qmp_job_await_finish (fixture->job, concluded, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_JOB);
}

/* --- hostile replies and events --- */

static void
test_odd_reply (Fixture       *fixture,
                gconstpointer  data)
{
  expect_query (fixture->peer, data);
  assert_fails (fixture, QMP_JOB_READY, QMP_ERROR_PROTOCOL, "Reply of query-jobs: ");
  g_assert_true (qmp_client_is_open (fixture->client));
}

/* An error for people does not carry megabytes. */
static void
test_long_reply (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autofree char *status = g_strnfill (1 << 20, 'x');
  g_autofree char *answer = NULL;
  g_autoptr (GError) error = NULL;

  answer = g_strdup_printf ("[{\"id\":\"%s\",\"type\":\"%s\",\"status\":\"%s\","
                            "\"current-progress\":0,\"total-progress\":0}]", status, status,
                            status);
  expect_query (fixture->peer, answer);
  g_assert_false (await (fixture, QMP_JOB_READY, DEADLINE, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_assert_cmpuint (strlen (error->message), <, 2000);
}

static void
test_odd_events (Fixture       *fixture,
                 gconstpointer  data)
{
  static const char *const odd[] = {
    "{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{},\"timestamp\":{}}\n",
    "{\"event\":\"JOB_STATUS_CHANGE\"}\n",
    "{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{\"id\":7,\"status\":\"ready\"}}\n",
    "{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{\"id\":\"j\",\"status\":[\"ready\"]}}\n",
    "{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{\"id\":\"j\",\"status\":\"flying\"}}\n",
    "{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{\"id\":\"j\",\"status\":null}}\n",
    "{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{\"id\":[\"j\"],\"status\":\"ready\"}}\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (odd); i++)
    peer_say (fixture->peer, odd[i]);
  expect_query (fixture->peer, JOB ("running", "40", ""));
  assert_reached (fixture, QMP_JOB_RUNNING);
  g_assert_cmpint (qmp_job_get_info (fixture->job)->state, ==, QMP_JOB_RUNNING);
  g_assert_cmpuint (fixture->changes, ==, 1);
}

static void
test_names (void)
{
  QmpJobState state = QMP_JOB_READY;

  for (guint i = QMP_JOB_UNDEFINED; i <= QMP_JOB_NULL; i++)
    {
      g_assert_true (qmp_job_state_from_string (qmp_job_state_to_string ((QmpJobState) i), &state));
      g_assert_cmpuint (state, ==, i);
    }
  state = QMP_JOB_READY;
  g_assert_false (qmp_job_state_from_string ("Ready", &state));
  g_assert_false (qmp_job_state_from_string ("", &state));
  g_assert_cmpint (state, ==, QMP_JOB_READY);
}

int
main (int    argc,
      char **argv)
{
  static const struct
  {
    const char *path;
    void      (*run) (Fixture *, gconstpointer);
    const char *data;
  } tests[] = {
    { "catch-up", test_catch_up, NULL },
    { "event", test_event, NULL },
    { "before-the-answer", test_before_the_answer, NULL },
    { "stale-reply", test_stale_reply, NULL },
    { "aborting", test_aborting, NULL },
    { "concluded", test_concluded, NULL },
    { "failed", test_failed, NULL },
    { "outcome-of-old-reply", test_outcome_of_old_reply, NULL },
    { "unknown", test_unknown, NULL },
    { "vanished", test_vanished, NULL },
    { "vanished-while-away", test_vanished_while_away, NULL },
    { "gone", test_gone, NULL },
    { "never-there", test_never_there, NULL },
    { "reused-id", test_reused_id, NULL },
    { "deadline", test_deadline, NULL },
    { "silence", test_silence, NULL },
    { "link-drops", test_link_drops, NULL },
    { "link-drops-unanswered", test_link_drops_unanswered, NULL },
    { "cancel/before", test_cancel, "before" },
    { "cancel/during", test_cancel, "during" },
    { "cancel/after", test_cancel, "after" },
    { "many-waits", test_many_waits, NULL },
    { "odd-reply/object", test_odd_reply, "{}" },
    { "odd-reply/text", test_odd_reply, "\"none\"" },
    { "odd-reply/elements", test_odd_reply, "[[]]" },
    { "odd-reply/no-id", test_odd_reply, "[{\"type\":\"commit\",\"status\":\"ready\","
      "\"current-progress\":0,\"total-progress\":0}]" },
    { "odd-reply/no-status", test_odd_reply, "[{\"type\":\"commit\",\"id\":\"j\","
      "\"current-progress\":0,\"total-progress\":0}]" },
    { "odd-reply/status", test_odd_reply, JOB ("flying", "1", "") },
    { "odd-reply/progress", test_odd_reply, JOB ("ready", "-1", "") },
    { "odd-reply/progress-text", test_odd_reply, JOB ("ready", "\"1\"", "") },
    { "odd-reply/error", test_odd_reply, JOB ("concluded", "1", ",\"error\":{}") },
    { "odd-reply/long", test_long_reply, NULL },
    { "odd-events", test_odd_events, NULL },
  };

  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/job/names", test_names);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strconcat ("/job/", tests[i].path, NULL);

      g_test_add (path, Fixture, tests[i].data, set_up, tests[i].run, tear_down);
    }

  return g_test_run ();
}
