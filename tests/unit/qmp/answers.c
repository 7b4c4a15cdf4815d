/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a command is meant to end. */

#include "answers.h"

#include <string.h>

#include <qmp/error.h>

#include "sync.h"

void
answers_execute (QmpClient     *client,
                 const char    *command,
                 guint          deadline_ms,
                 GCancellable  *cancellable,
                 GAsyncResult **result)
{
  qmp_client_execute_async (client, command, NULL, deadline_ms, cancellable, sync_done, result);
  /* Never before the call has returned. */
  g_assert_null (*result);
}

void
answers_assert_fails (QmpClient     *client,
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

void
answers_assert_returns (QmpClient     *client,
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

void
closed_note (QmpClient    *client,
             const GError *reason,
             Closed       *closed)
{
  g_assert_false (qmp_client_is_open (client));
  closed->times++;
  closed->closed = TRUE;
  g_clear_error (&closed->reason);
  closed->reason = g_error_copy (reason);
}

void
closed_assert (Closed     *closed,
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
