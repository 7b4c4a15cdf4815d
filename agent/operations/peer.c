/* SPDX-License-Identifier: Apache-2.0 */

/* Knows whether the process that a plan was made for is still there, and how jobs of its are
 * ended. */

#include "peer.h"

#include <core/error.h>

#include "guest-errors.h"

#define END_DEADLINE_MS 60000
#define REFUSED_MS      1000    /* for one that cannot be cancelled: it is ending, or has ended */

/**
 * peer_is_gone:
 * @self: the process of a plan
 *
 * Returns: whether it has ended, and no other is attached
 */
gboolean
peer_is_gone (const Peer *self)
{
  return (self->guest == NULL || guest_get_client (self->guest) == NULL) && self->start_time != 0
         && !guest_process_is_alive ((GPid) self->pid, (guint64) self->start_time);
}

/**
 * peer_is_same:
 * @self: the process of a plan
 *
 * Returns: whether the guest that is attached is that process
 */
gboolean
peer_is_same (const Peer *self)
{
  return self->guest != NULL && guest_get_pid (self->guest) == self->pid
         && (gint64) guest_get_start_time (self->guest) == self->start_time;
}

/**
 * peer_client:
 * @self: the process of a plan
 * @error: return location: AGENT_ERROR_UNAVAILABLE
 *
 * Returns: (transfer none): the link to it
 */
QmpClient *
peer_client (const Peer *self, GError **error)
{
  QmpClient *client = guest_require_client (self->guest, error);

  if (client == NULL || peer_is_same (self))
    return client;
  agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "ask again",
                   "guest %s was started anew meanwhile", guest_get_id (self->guest));
  return NULL;
}

/* --- ending jobs --- */

typedef struct
{
  Peer     peer;
  char   **ids;
  guint    next;
  QmpJob  *watched;
} Ending;

static void end_next (GTask *step);

static void
ending_free (Ending *self)
{
  g_clear_object (&self->peer.guest);
  g_clear_object (&self->watched);
  g_strfreev (self->ids);
  g_free (self);
}

/* Takes @step and @error. */
static void
ending_failed (GTask *step, GError *error)
{
  Ending *self = g_task_get_task_data (step);

  g_task_return_error (step, guest_error_name (self->peer.guest, error));
  g_object_unref (step);
}

/* FALSE, and @step is over, when QEMU could not be reached. That it refuses is no failure: one that
 * dismisses itself has gone already, and one that has ended by now, or is ending, is awaited. */
static gboolean
has_answered (GTask *step, QmpClient *client, GAsyncResult *result, gboolean *refused)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) reply = qmp_client_execute_finish (client, result, &error);

  *refused = reply == NULL;
  if (reply != NULL || guest_error_is_refusal (error))
    return TRUE;
  ending_failed (step, g_steal_pointer (&error));
  return FALSE;
}

static void
on_dismissed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Ending *self = g_task_get_task_data (step);
  gboolean refused;

  if (!has_answered (step, QMP_CLIENT (source), result, &refused))
    return;
  self->next++;
  end_next (step);
}

static void
on_concluded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Ending *self = g_task_get_task_data (step);
  g_autoptr (GError) error = NULL;
  GError *no_link = NULL;
  QmpClient *client;

  /* That it ends with an error is what was asked for. */
  if (!qmp_job_await_finish (QMP_JOB (source), result, &error)
      && !g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    {
      ending_failed (step, g_steal_pointer (&error));
      return;
    }
  client = peer_client (&self->peer, &no_link);
  if (client == NULL)
    ending_failed (step, no_link);
  else
    qmp_client_execute_async (client, "job-dismiss",
                              qmp_args ("id", "s", self->ids[self->next], NULL),
                              GUEST_COMMAND_DEADLINE_MS, NULL, on_dismissed, step);
}

static void
on_cancelled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Ending *self = g_task_get_task_data (step);
  gboolean refused;

  if (has_answered (step, QMP_CLIENT (source), result, &refused))
    qmp_job_await_async (self->watched, QMP_JOB_CONCLUDED, refused ? REFUSED_MS : END_DEADLINE_MS,
                         NULL, on_concluded, step);
}

static void
end_next (GTask *step)
{
  Ending *self = g_task_get_task_data (step);
  const char *id = self->ids[self->next];
  GError *error = NULL;
  QmpClient *client;

  if (id == NULL)
    {
      g_task_return_boolean (step, TRUE);
      g_object_unref (step);
      return;
    }
  client = peer_client (&self->peer, &error);
  if (client == NULL)
    {
      ending_failed (step, error);
      return;
    }
  g_clear_object (&self->watched);
  self->watched = qmp_job_watch (client, id);
  qmp_client_execute_async (client, "job-cancel", qmp_args ("id", "s", id, NULL),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_cancelled, step);
}

/**
 * peer_end_jobs:
 * @step: (transfer full): a task without data of its own
 * @peer: whose jobs they are
 * @ids: (array zero-terminated=1): ids of jobs; those that are not there count as ended
 *
 * Ends the task with success once the jobs are gone. AGENT_ERROR UNAVAILABLE, TIMEOUT, GUEST.
 */
void
peer_end_jobs (GTask *step, const Peer *peer, const char *const *ids)
{
  Ending *self = g_new0 (Ending, 1);

  self->peer = *peer;
  if (peer->guest != NULL)
    g_object_ref (self->peer.guest);
  self->ids = g_strdupv ((char **) ids);
  g_task_set_task_data (step, self, (GDestroyNotify) ending_free);
  end_next (step);
}
