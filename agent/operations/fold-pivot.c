/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the moment at which a guest's device goes from the overlay back to the layer. Once told to
 * complete, a commit stands `pending` as soon as both are the same, and the guest's writes are
 * held:
 * then the published name is moved, and only then the commit is let go on. */

#include "fold.h"

#include <core/error.h>

#include "guest-errors.h"

#define PATIENCE_MS 2000        /* for a guest that writes on */
#define HELP_MS     10000       /* for one that is held still (the most that it is), or throttled */

typedef struct
{
  Backup   *job;
  GTask    *step;
  guint     index;
  gboolean  completing;         /* its job-complete was sent */
  gboolean  helped;             /* the guest stands still, or is throttled */
  gint64    held_us;            /* monotonic: when its I/O was found held */
  GError   *reason;             /* why the current disk is given up */
} Pivot;

static void pivot_next (Pivot *self);
static void proceed (Pivot *self);

static void
pivot_finish (Pivot *self, GError *error)
{
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, guest_error_name (self->job->guest, error));
  g_clear_error (&self->reason);
  g_free (self);
}

static void
next_disk (Pivot *self, FoldState state)
{
  self->job->folding[self->index] = state;
  self->completing = self->helped = FALSE;
  self->index++;
  pivot_next (self);
}

/* The overlay stays on top. */
static void
keep (Pivot *self)
{
  GError *reason = g_steal_pointer (&self->reason);

  fold_keep (self->job, self->index, guest_error_name (self->job->guest, reason));
  next_disk (self, FOLD_KEPT);
}

/* --- not to be --- */

static void
on_name_follows (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  GError *error = NULL;

  if (!fold_publish_finish (result, &error))
    pivot_finish (self, error);
  else if (self->reason == NULL)
    next_disk (self, FOLD_DONE);
  else
    keep (self);
}

/* Somebody else may have had it pivot: the name follows the guest. */
static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  const DiskPlan *disk = g_ptr_array_index (self->job->disks, self->index);
  g_autofree char *id = fold_job_id (self->job, self->index);
  g_autoptr (Inspection) inspection = inspect_finish (result, NULL);
  FoldFacts facts;
  GError *error = NULL;

  if (inspection == NULL)
    {
      pivot_finish (self, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                           "it is not known how the commit of disk %s has ended",
                                           disk->disk));
      return;
    }
  facts = fold_facts_judge (disk, inspection->disks, inspection->jobs, id);
  if (!fold_look_at_name (disk, &facts, &error))
    pivot_finish (self, error);
  else if (facts.layer_active)
    {
      g_clear_error (&self->reason);
      fold_publish_async (self->job, self->index, TRUE, on_name_follows, self);
    }
  else if (facts.overlay_active && !facts.name_on_overlay)
    fold_publish_async (self->job, self->index, FALSE, on_name_follows, self);
  else
    keep (self);
}

static void
on_given_up (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  GError *error = NULL;

  if (fold_cancel_finish (result, &error))
    inspect_async (self->job->guest, NULL, on_looked, self);
  else
    pivot_finish (self, error);
}

/* Takes @reason. The guest is on the overlay, and most likely stays there. */
static void
give_up (Pivot *self, GError *reason)
{
  self->reason = reason;
  fold_cancel_async (self->job, self->index, on_given_up, self);
}

/* Whether @error tells that the commit itself has come to nothing. */
static gboolean
is_verdict (const GError *error)
{
  return g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB) || guest_error_is_refusal (error);
}

static void
fail (Pivot *self, GError *error)
{
  if (is_verdict (error))
    give_up (self, error);
  else
    pivot_finish (self, error);
}

/* --- helping a commit that does not come to an end --- */

static void
be_helped (Pivot *self, GError *error)
{
  if (error != NULL)
    {
      fail (self, error);
      return;
    }
  self->helped = TRUE;
  proceed (self);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  be_helped (user_data, error);
}

static void
on_throttled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  /* A disk with limits of its owner's only gets more time. */
  if (!fold_throttle_finish (result, &error)
      && g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT))
    g_clear_error (&error);
  be_helped (user_data, error);
}

static void
help (Pivot *self)
{
  Backup *job = self->job;
  GError *error = NULL;
  QmpClient *client = backup_client (job, &error);

  if (client == NULL)
    pivot_finish (self, error);
  else if (job->late_policy == LATE_THROTTLE)
    fold_throttle_async (job, self->index, TRUE, on_throttled, self);
  else if (job->late_policy == LATE_STOP)
    {
      /* A disk before may have had it stopped already. */
      job->halted = job->halted || g_strcmp0 (guest_get_run_state (job->guest), "running") == 0;
      qmp_client_execute_async (client, "stop", NULL, GUEST_COMMAND_DEADLINE_MS, NULL, on_stopped,
                                self);
    }
  else
    give_up (self, agent_error_new (AGENT_ERROR_TIMEOUT, NULL,
                                    "the guest writes without a pause, and is not to be held"));
}

/* --- the pivot --- */

static void
on_finalized (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  JsonObject *told = operation_get_result (self->job->operation);
  gint64 longest = json_object_get_int_member_with_default (told, "pivot_us", 0);
  GError *error = NULL;

  if (fold_command_finish (result, &error))
    {
      json_object_set_int_member (told, "pivot_us",
                                  MAX (longest, g_get_monotonic_time () - self->held_us));
      next_disk (self, FOLD_DONE);
    }
  else if (is_verdict (error))
    /* Somebody else has cancelled it in that very moment: the guest writes to the overlay. */
    give_up (self, error);
  else
    pivot_finish (self, error);
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  GError *error = NULL;

  if (fold_publish_finish (result, &error))
    fold_command_async (self->job, self->index, "job-finalize", QMP_JOB_CONCLUDED, HELP_MS,
                        on_finalized, self);
  else
    give_up (self, error);
}

/* Takes @error. */
static void
not_there (Pivot *self, GError *error)
{
  if (!g_error_matches (error, QMP_ERROR, QMP_ERROR_TIMEOUT))
    fail (self, error);
  else if (self->helped)
    give_up (self, error);
  else
    {
      g_error_free (error);
      help (self);
    }
}

static void
on_pending (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  GError *error = NULL;

  if (!fold_command_finish (result, &error))
    {
      not_there (self, error);
      return;
    }
  self->held_us = g_get_monotonic_time ();
  fold_publish_async (self->job, self->index, TRUE, on_published, self);
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  GError *error = NULL;

  if (!fold_command_finish (result, &error))
    {
      not_there (self, error);
      return;
    }
  self->completing = TRUE;
  fold_command_async (self->job, self->index, "job-complete", QMP_JOB_PENDING,
                      self->helped ? HELP_MS : PATIENCE_MS, on_pending, self);
}

static void
proceed (Pivot *self)
{
  guint deadline_ms = self->helped ? HELP_MS : PATIENCE_MS;

  if (self->completing)
    fold_command_async (self->job, self->index, NULL, QMP_JOB_PENDING, deadline_ms, on_pending,
                        self);
  else
    fold_command_async (self->job, self->index, NULL, QMP_JOB_READY, deadline_ms, on_ready, self);
}

static void
pivot_next (Pivot *self)
{
  while (self->index < self->job->disks->len && self->job->folding[self->index] != FOLD_RUNNING)
    self->index++;
  if (self->index < self->job->disks->len)
    proceed (self);
  else
    pivot_finish (self, NULL);
}

void
backup_pivot (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  Pivot *self = g_new0 (Pivot, 1);

  self->job = job;
  self->step = step;
  pivot_next (self);
}
