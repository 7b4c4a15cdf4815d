/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a guest is held still around a point, and let go again: its filesystems by the guest
 * agent, its CPUs by `stop`. The CPUs are stopped only where the name invariant needs it
 * (NAMING_STOP). */

#include "backup-steps.h"

#include <core/error.h>

#include "guest-errors.h"
#include "reply.h"

static void
on_frozen (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Backup *job = g_task_get_task_data (step);
  GError *error = NULL;

  if (quiesce_freeze_finish (AGENT_QUIESCE (source), result, &error) >= 0)
    backup_step_done (step);
  else if (job->quiesce_policy == QUIESCE_REQUIRE)
    backup_step_failed (step, error);
  else
    {
      json_object_set_string_member (operation_get_result (job->operation), "quiesce_error",
                                     error->message);
      g_error_free (error);
      backup_step_done (step);
    }
}

void
backup_freeze (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  const Config *config = operations_get_config (job->operations);

  job->window_us = g_get_monotonic_time ();
  if (job->quiesce_policy == QUIESCE_NONE)
    {
      backup_step_done (step);
      return;
    }
  if (job->guest == NULL)
    {
      backup_step_failed (step, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                                       "the guest is not attached any more"));
      return;
    }
  /* Freezing says so itself when no agent's socket is known. */
  g_task_set_task_data (step, job, NULL);
  g_clear_object (&job->quiesce);
  job->quiesce = quiesce_new (job->guest, config->freeze_timeout_ms, config->thaw_after_ms);
  quiesce_freeze_async (job->quiesce, NULL, on_frozen, step);
}

static void
run_state_is_set (QmpClient *client, GAsyncResult *result, GTask *step, gboolean resumed)
{
  Backup *job = g_task_get_task_data (step);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (client, result, &error);
  if (reply == NULL)
    {
      backup_step_failed (step, guest_error_name (job->guest, error));
      return;
    }
  job->resumed = resumed;
  job->gone_on = job->gone_on || resumed;
  backup_save_plan (job, operation_get_plan (job->operation));
  backup_step_done (step);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer step)
{
  run_state_is_set (QMP_CLIENT (source), result, step, FALSE);
}

static void
on_continued (GObject *source, GAsyncResult *result, gpointer step)
{
  run_state_is_set (QMP_CLIENT (source), result, step, TRUE);
}

static void
ask (GTask *step, Backup *job, const char *command, GAsyncReadyCallback callback)
{
  GError *error = NULL;
  QmpClient *client = backup_client (job, &error);

  if (client == NULL)
    {
      backup_step_failed (step, error);
      return;
    }
  g_task_set_task_data (step, job, NULL);
  qmp_client_execute_async (client, command, NULL, GUEST_COMMAND_DEADLINE_MS, NULL, callback,
                            step);
}

static void
on_status (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Backup *job = g_task_get_task_data (step);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    {
      backup_step_failed (step, guest_error_name (job->guest, error));
      return;
    }
  job->was_running = g_strcmp0 (reply_text (reply, "status"), "running") == 0;
  ask (step, job, "stop", on_stopped);
}

/* Its owner may have paused or resumed it since the plan was made. QEMU is asked, which answers
 * after all that it was told before: another operation of ours may have let it go just now. */
void
backup_stop (GTask *step, gpointer user_data)
{
  Backup *job = user_data;

  job->resumed = TRUE;
  if (backup_needs_stop (job))
    ask (step, job, "query-status", on_status);
  else
    backup_step_done (step);
}

/* Whether the guest may write on: not before its published name is the file it writes to. */
static gboolean
names_are_right (Backup *job, GError **error)
{
  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);
      FileFacts facts = { 0 };

      if (!naming_needs_stop (disk->naming)
          || (job->point != POINT_UNKNOWN && !job->facts[i].overlay_in_chain))
        continue;
      if (!files_look (disk->published, &facts, error) || job->point == POINT_UNKNOWN
          || !file_facts_are (&facts, disk->overlay_dev, disk->overlay_ino))
        {
          g_clear_error (error);
          agent_set_error (error, AGENT_ERROR_INTERNAL,
                           "make the folder writable; the guest goes on when the name is right",
                           "the guest stays stopped: %s could not be made to name %s, and what it "
                           "wrote now would be missing after a restart", disk->published,
                           disk->overlay);
          return FALSE;
        }
    }
  return TRUE;
}

/* After a restart of ours, "we stopped it" is believed only of the very process that the plan was
 * made for. */
void
backup_cont (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  GError *error = NULL;

  job->resumed = !job->was_running || !backup_needs_stop (job) || !job->same_process;
  if (job->resumed)
    {
      job->gone_on = TRUE;
      backup_save_plan (job, operation_get_plan (job->operation));
      backup_step_done (step);
    }
  else if (!names_are_right (job, &error))
    backup_step_failed (step, error);
  else
    ask (step, job, "cont", on_continued);
}

/* The policy is kept to the end: nothing goes up as consistent that may not be. The point stays,
 * told as not quiesced. */
void
backup_check_quiesce (GTask *step, gpointer user_data)
{
  Backup *job = user_data;

  if (job->frozen)
    backup_step_done (step);
  else
    backup_step_failed (step, agent_error_new (AGENT_ERROR_GUEST,
                              "the point stays, as one that was not quiesced",
                              "the guest's filesystems did not stay frozen until the point"));
}

/* The end of the window: how long the guest may have stood still, and that nothing of it is left
 * to do. */
static void
close_window (GTask *step, Backup *job)
{
  if (job->window_us != 0)
    json_object_set_int_member (operation_get_result (job->operation), "frozen_us",
                                g_get_monotonic_time () - job->window_us);
  job->released = job->resumed;
  backup_save_plan (job, operation_get_plan (job->operation));
  backup_step_done (step);
}

static void
on_thawed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Backup *job = g_task_get_task_data (step);
  GError *error = NULL;

  /* Only the thaw tells whether somebody in the guest had thawed before it; to be asked of whom
   * froze. */
  if (job->window_us != 0)
    job->frozen = job->frozen && quiesce_still_frozen (job->quiesce);
  if (quiesce_thaw_finish (AGENT_QUIESCE (source), result, &error))
    close_window (step, job);
  else
    backup_step_failed (step, error);
}

/* Also after a restart, when this process has frozen nothing but the one before may have. */
void
backup_thaw (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  const Config *config = operations_get_config (job->operations);

  if (job->quiesce_policy != QUIESCE_NONE && job->quiesce == NULL && job->guest != NULL
      && guest_get_config (job->guest)->agent != NULL)
    job->quiesce = quiesce_new (job->guest, config->freeze_timeout_ms, config->thaw_after_ms);
  if (job->quiesce == NULL)
    {
      close_window (step, job);
      return;
    }
  g_task_set_task_data (step, job, NULL);
  quiesce_thaw_async (job->quiesce, on_thawed, step);
}
