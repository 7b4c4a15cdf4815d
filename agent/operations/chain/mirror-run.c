/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a mirror runs once its target is open: the pivot's steps, and the guest's filesystems
 * frozen around the end of a copy. */

#include "mirror.h"

#include <core/error.h>

#include "../pivot-steps.h"
#include "../told.h"

static void
step_done (GTask *step)
{
  g_task_return_boolean (step, TRUE);
  g_object_unref (step);
}

static void
save (MirrorJob *job)
{
  mirror_job_save (job, operation_get_plan (job->operation));
}

static Quiesce *
quiesce_for (MirrorJob *job)
{
  const Config *config = operations_get_config (job->operations);

  return quiesce_new (job->guest, config->freeze_timeout_ms, config->thaw_after_ms);
}

/* --- the copy --- */

static void
begin_copy (GTask *step, MirrorJob *job)
{
  job->may_freeze = job->quiesce_policy != QUIESCE_NONE;
  save (job);
  /* One that has failed is only tidied up. */
  job->pivots.called_off = operation_get_error (job->operation) != NULL;
  pivot_begin (step, &job->pivots);
}

static void
on_thawed_first (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  MirrorJob *job = g_task_get_task_data (step);
  GError *error = NULL;

  if (quiesce_thaw_finish (AGENT_QUIESCE (source), result, &error))
    begin_copy (step, job);
  else
    {
      g_task_return_error (step, error);
      g_object_unref (step);
    }
}

/* A life of ours before may have died with the guest frozen; a copy may take hours. */
void
mirror_copy (GTask *step, gpointer user_data)
{
  MirrorJob *job = user_data;

  if (!job->may_freeze || job->guest == NULL || guest_get_config (job->guest)->agent == NULL
      || guest_get_client (job->guest) == NULL)
    {
      begin_copy (step, job);
      return;
    }
  g_clear_object (&job->quiesce);
  job->quiesce = quiesce_for (job);
  g_task_set_task_data (step, job, NULL);
  quiesce_thaw_async (job->quiesce, on_thawed_first, step);
}

void
mirror_end (GTask *step, gpointer user_data)
{
  MirrorJob *job = user_data;
  Pivot *pivot = mirror_job_pivot (job);

  /* The guest could not be frozen, and had to be: what is ready is called off. */
  if (operation_get_error (job->operation) != NULL && pivot->state == PIVOT_RUNNING)
    {
      pivot->state = PIVOT_UNKNOWN;
      job->pivots.called_off = TRUE;
      pivot_begin (step, &job->pivots);
    }
  else
    pivot_move (step, &job->pivots);
}

void
mirror_go_on (GTask *step, gpointer job)
{
  pivot_go_on (step, &((MirrorJob *) job)->pivots);
}

void
mirror_speed_up (GTask *step, gpointer job)
{
  pivot_speed_up (step, &((MirrorJob *) job)->pivots);
}

/* --- the guest's filesystems --- */

static JsonObject *
told_of (MirrorJob *job)
{
  return told_find (job->operation, "disks", "disk", job->disk);
}

static void
on_frozen (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  MirrorJob *job = g_task_get_task_data (step);
  JsonObject *told = told_of (job);
  g_autoptr (GError) error = NULL;

  if (quiesce_freeze_finish (AGENT_QUIESCE (source), result, &error) < 0)
    {
      g_clear_object (&job->quiesce);
      if (told != NULL)
        json_object_set_string_member (told, "quiesce_error", error->message);
      if (job->quiesce_policy == QUIESCE_REQUIRE)
        {
          g_task_return_error (step, g_steal_pointer (&error));
          g_object_unref (step);
          return;
        }
    }
  step_done (step);
}

void
mirror_freeze (GTask *step, gpointer user_data)
{
  MirrorJob *job = user_data;

  g_clear_object (&job->quiesce);
  if (job->quiesce_policy == QUIESCE_NONE || job->guest == NULL
      || mirror_job_pivot (job)->state != PIVOT_RUNNING)
    {
      step_done (step);
      return;
    }
  g_task_set_task_data (step, job, NULL);
  job->quiesce = quiesce_for (job);
  quiesce_freeze_async (job->quiesce, NULL, on_frozen, step);
}

static void
on_thawed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  MirrorJob *job = g_task_get_task_data (step);
  JsonObject *told = told_of (job);
  GError *error = NULL;
  gboolean stayed = quiesce_still_frozen (job->quiesce);

  if (!quiesce_thaw_finish (AGENT_QUIESCE (source), result, &error))
    {
      g_task_return_error (step, error);
      g_object_unref (step);
      return;
    }
  if (told != NULL && mirror_job_pivot (job)->state == PIVOT_DONE)
    json_object_set_boolean_member (told, "quiesced", stayed);
  job->may_freeze = FALSE;
  g_clear_object (&job->quiesce);
  save (job);
  step_done (step);
}

void
mirror_thaw (GTask *step, gpointer user_data)
{
  MirrorJob *job = user_data;

  if (job->quiesce == NULL)
    {
      step_done (step);
      return;
    }
  g_task_set_task_data (step, job, NULL);
  quiesce_thaw_async (job->quiesce, on_thawed, step);
}

/* --- what has come of it --- */

void
mirror_check (GTask *step, gpointer user_data)
{
  MirrorJob *job = user_data;
  const Pivot *pivot = mirror_job_pivot (job);
  JsonObject *told = told_of (job);

  if (pivot->state == PIVOT_KEPT && pivot->way == PIVOT_COPY && pivot->astray)
    {
      g_task_return_error (step, agent_error_new (pivot->kept_code,
                                                  "have it go back by a mirror before it ends; "
                                                  "until then nothing is to be started from the "
                                                  "path that it was started from",
                                                  "disk %s is not on %s any more, and maybe on the "
                                                  "copy, which stays: %s", job->disk,
                                                  pivot->from_path, pivot->kept));
      g_object_unref (step);
      return;
    }
  if (pivot->state == PIVOT_KEPT)
    {
      g_task_return_error (step, agent_error_new (pivot->kept_code, NULL,
                                                  "disk %s is as it was: %s", job->disk,
                                                  pivot->kept));
      g_object_unref (step);
      return;
    }
  if (told != NULL && job->quiesce_policy == QUIESCE_REQUIRE
      && !json_object_get_boolean_member_with_default (told, "quiesced", FALSE))
    {
      g_task_return_new_error (step, AGENT_ERROR, AGENT_ERROR_GUEST,
                               "the guest's filesystems did not stay frozen until the end of the "
                               "copy, which stays as one that was not quiesced");
      g_object_unref (step);
      return;
    }
  if (told != NULL)
    json_object_set_int_member (told, "moved", pivot->moved);
  step_done (step);
}
