/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how overlays are committed back as far as QEMU goes without us: until all that they hold is
 * in the layer and only what the guest writes meanwhile follows. It begins by looking, so that it
 * can be begun again at any moment. */

#include "backup-steps.h"
#include "fold.h"

#include <core/error.h>

#include "guest-errors.h"

#define PROGRESS_MS     1000

typedef struct
{
  Backup     *job;
  GTask      *step;
  guint       index;            /* of the disk under way */
  gint64      late_us;          /* monotonic: from then on an overlay is late */
  gboolean    throttled;        /* this disk's guest writes slower by now */
  QmpJob     *watch;            /* its commit, while it is waited for */
  guint       progress;         /* a source that asks how far it is */
  gboolean    looked;           /* all disks: what cannot wait is put right */
} Commit;

static void look (Commit *self);
static void follow (Commit *self);

static void
stop_watching (Commit *self)
{
  g_clear_handle_id (&self->progress, g_source_remove);
  g_clear_object (&self->watch);
}

static void
commit_finish (Commit *self, GError *error)
{
  Backup *job = self->job;

  stop_watching (self);
  /* For who finds the guest stopped later, and has to know whether by us. */
  if (error == NULL && job->guest != NULL && job->late_policy == LATE_STOP)
    job->may_halt = job->may_halt
                    || g_strcmp0 (guest_get_run_state (job->guest), "running") == 0;
  backup_save_plan (job, operation_get_plan (job->operation));
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, guest_error_name (job->guest, error));
  g_free (self);
}

static const DiskPlan *
current (Commit *self)
{
  return g_ptr_array_index (self->job->disks, self->index);
}

static void
next_disk (Commit *self, FoldState state)
{
  stop_watching (self);
  self->job->folding[self->index] = state;
  self->throttled = FALSE;
  self->index++;
  look (self);
}

/* --- a commit that is late, or failed --- */

static void
on_given_up (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  GError *error = NULL;

  if (fold_give_up_finish (result, &error))
    next_disk (self, self->job->folding[self->index]);
  else
    commit_finish (self, error);
}

/* Takes @reason. */
static void
give_up (Commit *self, GError *reason)
{
  stop_watching (self);
  fold_give_up_async (self->job, self->index, reason, on_given_up, self);
}

static void
give_up_late (Commit *self)
{
  give_up (self, agent_error_new (AGENT_ERROR_TIMEOUT, NULL,
                                  "the guest writes faster than the overlay is folded back: after %"
                                  G_GINT64_FORMAT " s it was not done", self->job->deadline_s));
}

static void
on_throttled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!fold_throttle_finish (result, &error))
    {
      g_debug ("disk %s: %s", current (self)->disk, error->message);
      give_up_late (self);
      return;
    }
  self->throttled = TRUE;
  self->late_us = g_get_monotonic_time () + self->job->deadline_s * G_USEC_PER_SEC;
  follow (self);
}

static void
be_late (Commit *self)
{
  stop_watching (self);
  if (self->job->late_policy == LATE_STOP)
    next_disk (self, FOLD_RUNNING);     /* the pivot stops the guest for it */
  else if (self->job->late_policy == LATE_THROTTLE && !self->throttled)
    fold_throttle_async (self->job, self->index, TRUE, on_throttled, self);
  else
    give_up_late (self);
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  GError *error = NULL;

  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    next_disk (self, FOLD_RUNNING);
  else if (g_error_matches (error, QMP_ERROR, QMP_ERROR_TIMEOUT))
    {
      g_error_free (error);
      be_late (self);
    }
  else if (g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    give_up (self, error);
  else
    commit_finish (self, error);
}

/* --- waiting for a commit --- */

static void
on_refreshed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Operation) operation = user_data;
  const QmpJobInfo *info = qmp_job_get_info (QMP_JOB (source));

  if (qmp_job_refresh_finish (QMP_JOB (source), result, NULL))
    operation_set_progress (operation, info->progress, info->total);
}

/* QEMU has no event for progress. */
static gboolean
ask_progress (gpointer user_data)
{
  Commit *self = user_data;

  qmp_job_refresh_async (self->watch, GUEST_COMMAND_DEADLINE_MS, NULL, on_refreshed,
                         g_object_ref (self->job->operation));
  return G_SOURCE_CONTINUE;
}

static void
watch (Commit *self, QmpClient *client)
{
  g_autofree char *id = fold_job_id (self->job, self->index);

  stop_watching (self);
  self->watch = qmp_job_watch (client, id);
}

static void
follow (Commit *self)
{
  GError *error = NULL;
  QmpClient *client = guest_require_client (self->job->guest, &error);
  gint64 left_ms = (self->late_us - g_get_monotonic_time ()) / 1000;

  if (client == NULL)
    {
      commit_finish (self, error);
      return;
    }
  if (self->watch == NULL)
    watch (self, client);
  self->progress = g_timeout_add (PROGRESS_MS, ask_progress, self);
  qmp_job_await_async (self->watch, QMP_JOB_READY, (guint) CLAMP (left_ms, 1, G_MAXINT), NULL,
                       on_ready, self);
}

static void
on_begun (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply != NULL)
    follow (self);
  else if (guest_error_is_refusal (error))
    give_up (self, error);
  else
    commit_finish (self, error);
}

static void
begin (Commit *self, const FoldVerdict *verdict)
{
  g_autofree char *id = fold_job_id (self->job, self->index);
  GError *error = NULL;
  QmpClient *client = guest_require_client (self->job->guest, &error);

  if (client == NULL)
    {
      commit_finish (self, error);
      return;
    }
  watch (self, client);
  qmp_client_execute_async (client, "block-commit",
                            qmp_args ("job-id", "s", id,
                                      "device", "s", verdict->root,
                                      "top-node", "s", verdict->overlay_node,
                                      "base-node", "s", verdict->layer_node,
                                      "auto-finalize", "b", FALSE,
                                      "auto-dismiss", "b", FALSE,
                                      NULL),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_begun, self);
}

/* --- looking --- */

static void
on_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  g_autoptr (FoldVerdict) verdict = NULL;
  GError *error = NULL;

  verdict = fold_settle_finish (result, &error);
  if (verdict == NULL)
    commit_finish (self, error);
  else if (verdict->action == FOLD_ACTION_NONE)
    next_disk (self, FOLD_DONE);
  else if (verdict->action == FOLD_ACTION_KEEP)
    {
      fold_keep (self->job, self->index, g_steal_pointer (&verdict->reason));
      next_disk (self, FOLD_KEPT);
    }
  else if (!self->looked)
    next_disk (self, FOLD_UNKNOWN);
  else if (verdict->action == FOLD_ACTION_COMMIT)
    begin (self, verdict);
  else
    follow (self);
}

/* All disks are looked at before the first commit is waited for: one of them may hold its guest's
 * writes. */
static void
look (Commit *self)
{
  while (self->index < self->job->disks->len && self->job->folding[self->index] != FOLD_UNKNOWN)
    self->index++;
  if (self->index < self->job->disks->len)
    fold_settle_async (self->job, self->index, on_settled, self);
  else if (self->looked)
    commit_finish (self, NULL);
  else
    {
      self->looked = TRUE;
      self->index = 0;
      look (self);
    }
}

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    look (self);
  else
    commit_finish (self, error);
}

/* Before a layer is written to again, no process of ours reads it. */
void
backup_commit_back (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  Commit *self;

  if (!fold_is_due (job))
    {
      backup_step_done (step);
      return;
    }
  /* A guest that still stands for the point is first let go. */
  if (!job->gone_on)
    {
      backup_step_failed (step, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                                 "the guest is not let go of yet"));
      return;
    }
  self = g_new0 (Commit, 1);
  self->job = job;
  self->step = step;
  self->late_us = g_get_monotonic_time () + job->deadline_s * G_USEC_PER_SEC;
  backup_close_sources (g_task_new (NULL, NULL, on_closed, self), job);
}
