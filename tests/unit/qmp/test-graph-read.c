/* SPDX-License-Identifier: Apache-2.0 */

/* Reading the block graph of a scripted QEMU: what is asked, in what order, and what then. */

#include <string.h>

#include <qmp/error.h>

#include "replies.h"
#include "sync.h"

#define DEADLINE 10000

#define JOB(type, status) \
  "[{\"id\":\"j\",\"type\":\"" type "\",\"status\":\"" status "\",\"current-progress\":0," \
  "\"total-progress\":0}]"

#define EDGES(name) \
  "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"" name "\"}],\"edges\":[]}"

typedef struct
{
  Peer      *peer;
  QmpClient *client;
  char      *nodes;             /* the reply with the one node "a" */
} Fixture;

static void
set_up (Fixture       *fixture,
        gconstpointer  data)
{
  GString *text = g_string_new ("[");

  replies_add_node (text, "a", "null-co", "null-co://", "", "");
  g_string_append_c (text, ']');
  fixture->nodes = g_string_free (text, FALSE);
  fixture->peer = peer_new ();
  peer_greet (fixture->peer);
  fixture->client = sync_open (fixture->peer, QMP_DIALECT_MONITOR);
}

static void
tear_down (Fixture       *fixture,
           gconstpointer  data)
{
  peer_finish (fixture->peer);
  g_clear_object (&fixture->client);
  g_free (fixture->nodes);
}

static void
expect (Fixture    *fixture,
        const char *command,
        const char *arguments,
        const char *answer)
{
  peer_expect (fixture->peer, command, arguments);
  if (answer != NULL)
    peer_return (fixture->peer, answer);
  else
    peer_refuse (fixture->peer, "CommandNotFound", "The command has not been found");
}

static void
expect_graph (Fixture    *fixture,
              const char *edges,
              const char *devices)
{
  expect (fixture, "query-jobs", NULL, "[]");
  expect (fixture, "query-named-block-nodes", "{\"flat\": true}", fixture->nodes);
  expect (fixture, "x-debug-query-block-graph", NULL, edges);
  expect (fixture, "query-block", NULL, devices);
}

static QmpGraph *
read_graph (Fixture       *fixture,
            guint          deadline_ms,
            GCancellable  *cancellable,
            GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_graph_read_async (fixture->client, deadline_ms, cancellable, sync_done, &result);
  sync_wait (&result);
  return qmp_graph_read_finish (result, error);
}

static void
test_plain (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  expect_graph (fixture, EDGES ("a"),
                "[{\"device\":\"d\",\"removable\":false,\"inserted\":{\"node-name\":\"a\"}}]");
  graph = read_graph (fixture, DEADLINE, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (qmp_graph_get_devices (graph)->len, ==, 1);
}

/* Neither command need be there. */
static void
test_unknown_commands (Fixture       *fixture,
                       gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  expect_graph (fixture, NULL, NULL);
  graph = read_graph (fixture, DEADLINE, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (qmp_graph_find_node (graph, "a"));
  g_assert_cmpuint (qmp_graph_get_devices (graph)->len, ==, 0);
}

/* The graph changed between two commands: it is read once more. */
static void
test_torn (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  expect_graph (fixture, EDGES ("b"), "[]");
  expect_graph (fixture, EDGES ("a"), "[{\"device\":\"d\",\"inserted\":{\"node-name\":\"b\"}}]");
  expect_graph (fixture, EDGES ("a"), "[]");
  graph = read_graph (fixture, DEADLINE, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (graph);
}

/* But not for ever. */
static void
test_always_torn (Fixture       *fixture,
                  gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 5; i++)
    expect_graph (fixture, EDGES ("b"), "[]");
  graph = read_graph (fixture, DEADLINE, NULL, &error);
  g_assert_null (graph);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
}

/* A reply that is wrong in itself is not asked for again. */
static void
test_wrong (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  expect_graph (fixture, "[]", "[]");
  graph = read_graph (fixture, DEADLINE, NULL, &error);
  g_assert_null (graph);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
}

/* The script expects no question about nodes, and would end the test. */
static void
test_concluded_stream (Fixture       *fixture,
                       gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  expect (fixture, "query-jobs", NULL, JOB ("stream", "concluded"));
  graph = read_graph (fixture, DEADLINE, NULL, &error);
  g_assert_null (graph);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_JOB);
  g_assert_nonnull (strstr (error->message, "stream job \"j\""));
}

static void
test_harmless_job (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  expect (fixture, "query-jobs", NULL, data);
  expect (fixture, "query-named-block-nodes", NULL, fixture->nodes);
  expect (fixture, "x-debug-query-block-graph", NULL, EDGES ("a"));
  expect (fixture, "query-block", NULL, "[]");
  graph = read_graph (fixture, DEADLINE, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (graph);
}

static void
test_refused (Fixture       *fixture,
              gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  expect (fixture, "query-jobs", NULL, "[]");
  peer_expect (fixture->peer, "query-named-block-nodes", NULL);
  peer_refuse (fixture->peer, "GenericError", "not today");
  expect (fixture, "x-debug-query-block-graph", NULL, EDGES ("a"));
  expect (fixture, "query-block", NULL, "[]");
  graph = read_graph (fixture, DEADLINE, NULL, &error);
  g_assert_null (graph);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_COMMAND);
  g_assert_nonnull (strstr (error->message, "not today"));
}

/* One deadline over all commands. */
static void
test_deadline (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  expect (fixture, "query-jobs", NULL, "[]");
  expect (fixture, "query-named-block-nodes", NULL, fixture->nodes);
  peer_expect (fixture->peer, "x-debug-query-block-graph", NULL);
  expect (fixture, "query-block", NULL, "[]");
  graph = read_graph (fixture, 80, NULL, &error);
  g_assert_null (graph);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_TIMEOUT);
  g_assert_true (g_str_has_prefix (error->message, "Cannot read the block graph: "));
}

static void
test_cancelled (Fixture       *fixture,
                gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  g_cancellable_cancel (cancellable);
  graph = read_graph (fixture, DEADLINE, cancellable, &error);
  g_assert_null (graph);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
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
    { "plain", test_plain, NULL },
    { "unknown-commands", test_unknown_commands, NULL },
    { "torn", test_torn, NULL },
    { "always-torn", test_always_torn, NULL },
    { "wrong", test_wrong, NULL },
    { "concluded-stream", test_concluded_stream, NULL },
    { "running-stream", test_harmless_job, JOB ("stream", "running") },
    { "concluded-commit", test_harmless_job, JOB ("commit", "concluded") },
    { "refused", test_refused, NULL },
    { "deadline", test_deadline, NULL },
    { "cancelled", test_cancelled, NULL },
  };

  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strconcat ("/graph/read/", tests[i].path, NULL);

      g_test_add (path, Fixture, tests[i].data, set_up, tests[i].run, tear_down);
    }

  return g_test_run ();
}
