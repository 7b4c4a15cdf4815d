/* SPDX-License-Identifier: Apache-2.0 */

/* The client in the guest agent's dialect: answers in order, and getting in step. */

#include <qmp/batch.h>
#include <qmp/error.h>

#include "answers.h"
#include "peer.h"
#include "sync.h"

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
  answers_assert_returns (client, &first, "7");

  answers_execute (client, "guest-fsfreeze-status", 10000, NULL, &first);
  answers_execute (client, "guest-fsfreeze-freeze", 10000, NULL, &second);
  answers_execute (client, "guest-fsfreeze-thaw", 10000, NULL, &third);
  peer_expect (peer, "guest-fsfreeze-status", NULL);
  peer_expect (peer, "guest-fsfreeze-freeze", NULL);
  peer_expect (peer, "guest-fsfreeze-thaw", NULL);
  peer_return (peer, "\"thawed\"");
  peer_refuse (peer, "GenericError", "no");
  peer_return (peer, "2");
  answers_assert_returns (client, &first, "\"thawed\"");
  answers_assert_fails (client, &second, QMP_ERROR, QMP_ERROR_COMMAND, "guest-fsfreeze-freeze: ");
  answers_assert_returns (client, &third, "2");
}

static void
test_agent_out_of_step (void)
{
  g_autoptr (Peer) peer = peer_new_agent ();
  g_autoptr (QmpClient) client = sync_open (peer, QMP_DIALECT_GUEST_AGENT);
  g_autoptr (GAsyncResult) slow = NULL;
  g_autoptr (GAsyncResult) next = NULL;
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (closed_note), &closed);
  answers_execute (client, "guest-fsfreeze-freeze", 20, NULL, &slow);
  answers_execute (client, "guest-fsfreeze-thaw", 10000, NULL, &next);
  peer_expect (peer, "guest-fsfreeze-freeze", NULL);
  peer_expect (peer, "guest-fsfreeze-thaw", NULL);
  peer_expect_hangup (peer);
  answers_assert_fails (client, &slow, QMP_ERROR, QMP_ERROR_TIMEOUT,
                        "guest-fsfreeze-freeze: no answer");
  answers_assert_fails (client, &next, QMP_ERROR, QMP_ERROR_LINK,
                        "guest-fsfreeze-thaw: the link dropped");
  closed_assert (&closed, QMP_ERROR_LINK, "out of step");
}

static void
test_agent_speaks_unasked (void)
{
  g_autoptr (Peer) peer = peer_new_agent ();
  g_autoptr (QmpClient) client = sync_open (peer, QMP_DIALECT_GUEST_AGENT);
  g_autoptr (GAsyncResult) result = NULL;
  Closed closed = { 0 };

  g_signal_connect (client, "closed", G_CALLBACK (closed_note), &closed);
  peer_expect (peer, "guest-sync-delimited", NULL);
  peer_say (peer, "\xff{\"return\": 7}\n{\"return\": 8}\n");
  peer_expect_hangup (peer);
  qmp_client_execute_async (client, "guest-sync-delimited", qmp_args ("id", "i", (gint64) 7, NULL),
                            10000, NULL, sync_done, &result);
  answers_assert_returns (client, &result, "7");
  closed_assert (&closed, QMP_ERROR_PROTOCOL, "speaks unasked");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/client-agent/conversation", test_agent);
  g_test_add_func ("/client-agent/out-of-step", test_agent_out_of_step);
  g_test_add_func ("/client-agent/speaks-unasked", test_agent_speaks_unasked);

  return g_test_run ();
}
