/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a test waits for what happens in the main loop. */

#include "sync.h"

#define PATIENCE_S 20

void
sync_done (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  GAsyncResult **place = user_data;

  g_assert_null (*place);
  *place = g_object_ref (result);
}

static gboolean
on_out_of_patience (gpointer user_data)
{
  g_error ("what the test waits for has not happened within %d s", PATIENCE_S);
  return G_SOURCE_REMOVE;
}

void
sync_wait (GAsyncResult **result)
{
  guint patience = g_timeout_add_seconds (PATIENCE_S, on_out_of_patience, NULL);

  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (patience);
}

void
sync_until (const gboolean *flag)
{
  guint patience = g_timeout_add_seconds (PATIENCE_S, on_out_of_patience, NULL);

  while (!*flag)
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (patience);
}

void
sync_settle (void)
{
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

QmpClient *
sync_open (Peer       *peer,
           QmpDialect  dialect)
{
  g_autoptr (GIOStream) stream = peer_take_stream (peer);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  QmpClient *client;

  qmp_client_adopt_async (stream, dialect, 10000, NULL, sync_done, &result);
  sync_wait (&result);
  client = qmp_client_open_finish (result, &error);
  g_assert_no_error (error);
  return client;
}

JsonNode *
sync_execute (QmpClient   *client,
              const char  *command,
              JsonNode    *arguments,
              GError     **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_client_execute_async (client, command, arguments, 10000, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_client_execute_finish (client, result, error);
}

QmpEvent *
sync_next (QmpListener  *listener,
           guint         deadline_ms,
           GError      **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  qmp_listener_next_async (listener, deadline_ms, NULL, sync_done, &result);
  sync_wait (&result);
  return qmp_listener_next_finish (listener, result, error);
}
