/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to find out that a guest is being moved to another process. */

#include "migration.h"

#include "guest-errors.h"
#include "reply.h"

/* A migration that has completed is over, and the disks are the other process's. */
static gboolean
has_left (Guest *guest)
{
  static const char *const states[] = { "finish-migrate", "postmigrate", NULL };
  const char *state = guest_get_run_state (guest);

  return state != NULL && g_strv_contains (states, state);
}

static void
on_status (GObject *source, GAsyncResult *result, gpointer user_data)
{
  static const char *const over[] = { "none", "completed", "cancelled", "failed", NULL };
  g_autoptr (GTask) task = user_data;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;
  const char *status;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  status = reply_text (reply, "status");
  g_task_return_boolean (task, (status != NULL && !g_strv_contains (over, status))
                               || has_left (g_task_get_task_data (task)));
}

/**
 * migration_ask_async:
 * @guest: an attached guest
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * The run state stays "running" while a guest is moved away.
 */
void
migration_ask_async (Guest *guest, GCancellable *cancellable, GAsyncReadyCallback callback,
                     gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  GError *error = NULL;
  QmpClient *client = guest_require_client (guest, &error);

  if (client == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  g_task_set_task_data (task, g_object_ref (guest), g_object_unref);
  if (qmp_features_has_command (guest_get_features (guest), "query-migrate"))
    qmp_client_execute_async (client, "query-migrate", NULL, GUEST_COMMAND_DEADLINE_MS,
                              cancellable, on_status, g_object_ref (task));
  else
    g_task_return_boolean (task, FALSE);
}

/**
 * migration_ask_finish:
 * @result: the result
 * @migrating: (out): whether the guest is on its way
 * @error: return location: AGENT_ERROR UNAVAILABLE, or QMP_ERROR
 *
 * Returns: whether it could be asked
 */
gboolean
migration_ask_finish (GAsyncResult *result, gboolean *migrating, GError **error)
{
  GError *failure = NULL;

  *migrating = g_task_propagate_boolean (G_TASK (result), &failure);
  if (failure == NULL)
    return TRUE;
  g_propagate_error (error, failure);
  return FALSE;
}
