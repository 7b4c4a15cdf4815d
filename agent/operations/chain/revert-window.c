/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the CPUs are held while disks are moved, what a reset is for, and who may let them run
 * again. */

#include "revert-steps.h"

#include <core/error.h>

#include "../guest-errors.h"
#include "../reply.h"

/* Sends @command to the very process that the plan was made for. @answered gets @step, with its
 * job, and sees it to its end. */
static void
send_command (GTask *step, Revert *self, const char *command, GAsyncReadyCallback answered)
{
  GError *error = NULL;
  QmpClient *client = peer_client (&self->peer, &error);

  g_task_set_task_data (step, self, NULL);
  if (client == NULL)
    revert_step_over (self, step, error);
  else
    qmp_client_execute_async (client, command, NULL, GUEST_COMMAND_DEADLINE_MS, NULL, answered,
                              step);
}

static void
on_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  revert_step_over (g_task_get_task_data (step), step, error);
}

static void
on_status_before_stop (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    {
      revert_step_over (self, step, error);
      return;
    }
  self->was_running = revert_is_to_run (self, reply_text (reply, "status"));
  self->stopped_us = g_get_monotonic_time ();
  qmp_client_execute_async (QMP_CLIENT (source), "stop", NULL, GUEST_COMMAND_DEADLINE_MS, NULL,
                            on_done, step);
}

/* Its owner may have paused or resumed it meanwhile. Before, another operation of ours may have
 * held it; QEMU answers after all that it was told before. */
void
revert_stop (GTask *step, gpointer job)
{
  send_command (step, job, "query-status", on_status_before_stop);
}

/* --- the reset --- */

static void
on_reset (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  self->remembers = reply == NULL;
  revert_step_over (self, step, error);
}

/* One that is "prelaunch" has been reset, and one that runs has been let go on since: we, or the
 * one that we were before, did both. */
static void
on_status_before_reset (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;
  const char *status;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  status = reply != NULL ? reply_text (reply, "status") : NULL;
  if (reply == NULL || g_strcmp0 (status, "prelaunch") == 0 || g_strcmp0 (status, "running") == 0)
    {
      self->remembers = reply == NULL;
      revert_step_over (self, step, error);
    }
  else
    qmp_client_execute_async (QMP_CLIENT (source), "system_reset", NULL, GUEST_COMMAND_DEADLINE_MS,
                              NULL, on_reset, step);
}

/* What the guest remembers is of another disk: it begins anew. */
void
revert_reset (GTask *step, gpointer job)
{
  Revert *self = job;

  /* A guest that has ended, or was started anew, remembers nothing. */
  self->remembers = self->reset && !self->offline && self->guest_state == REVERT_GUEST_SAME
                    && self->switched_us != 0;
  if (!self->remembers)
    revert_step_over (self, step, NULL);
  else if (self->must_reset)
    send_command (step, self, "system_reset", on_reset);
  else
    send_command (step, self, "query-status", on_status_before_reset);
}

/* --- on again --- */

static void
on_continued (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  self->gone_on = reply != NULL;
  if (reply != NULL && self->stopped_us != 0)
    json_object_set_int_member (operation_get_result (self->operation), "frozen_us",
                                g_get_monotonic_time () - self->stopped_us);
  revert_step_over (self, step, error);
}

static void
on_status (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;
  const char *status;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  status = reply != NULL ? reply_text (reply, "status") : NULL;
  if (g_strcmp0 (status, "paused") != 0 && g_strcmp0 (status, "prelaunch") != 0)
    {
      self->gone_on = reply != NULL;
      revert_step_over (self, step, error);
    }
  else
    qmp_client_execute_async (QMP_CLIENT (source), "cont", NULL, GUEST_COMMAND_DEADLINE_MS, NULL,
                              on_continued, step);
}

/* Half of the disks moved, and not the rest: what the guest wrote now would be missing after a
 * restart. All moved, and no reset: it would write what it remembers of the disk as it was. */
static gboolean
check_whole (Revert *self, GError **error)
{
  guint moved = revert_count_moved (self);

  if (self->in_doubt)
    {
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "it is tried again",
                       "the guest stays stopped: it is not known which of its disks are moved");
      return FALSE;
    }
  if (self->remembers)
    {
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "it is tried again",
                       "the guest stays stopped: its disks are moved, and it has not been reset");
      return FALSE;
    }
  if (self->switched_us != 0 || moved == 0)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "it is tried again",
                   "the guest stays stopped: %u of its %u disks are moved", moved,
                   self->disks->len);
  return FALSE;
}

/* Only the very process that the plan was made for was stopped by us, and only if it ran. A guest
 * that was paused stays paused, or after a reset "prelaunch". */
void
revert_cont (GTask *step, gpointer job)
{
  Revert *self = job;
  GError *error = NULL;

  /* What has ended, or was started anew, is not ours to let go on. */
  if (self->guest_state == REVERT_GUEST_GONE || self->guest_state == REVERT_GUEST_OTHER)
    {
      self->gone_on = self->gone_on || !self->in_doubt;
      if (self->guest_state == REVERT_GUEST_GONE && self->reset && self->switched_us != 0)
        g_message ("operation %s: the guest has ended, as one that was started with -no-reboot does "
                   "when it is reset", operation_get_id (self->operation));
      revert_step_over (self, step, NULL);
      return;
    }
  if (!self->was_running && !self->remembers)
    self->gone_on = self->gone_on || self->switched_us != 0 || revert_count_moved (self) == 0;
  if (self->gone_on)
    revert_step_over (self, step, NULL);
  else if (!check_whole (self, &error))
    revert_step_over (self, step, error);
  else
    send_command (step, self, "query-status", on_status);
}
