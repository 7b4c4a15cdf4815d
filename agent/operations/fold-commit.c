/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how overlays are committed back as far as QEMU goes without us: until all that they hold is
 * in the layer and only what the guest writes meanwhile follows. It begins by looking, so that it
 * can be begun again at any moment. */

#include "fold.h"

#include <core/error.h>

#include "guest-errors.h"

#define PROGRESS_MS     1000
#define SETTLE_MS       60000   /* for what QEMU does at once unless its storage hangs */

typedef struct
{
  Backup     *job;
  GTask      *step;
  guint       index;            /* of the disk under way */
  gint64      late_us;          /* monotonic: from then on an overlay is late */
  gboolean    throttled;        /* this disk's guest writes slower by now */
  QmpJob     *watch;            /* its commit, while it is waited for */
  guint       progress;         /* a source that asks how far it is */
  GError     *failure;          /* why it ended, until it is dismissed */
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
  g_clear_error (&self->failure);
  /* For who finds the guest stopped later, and has to know whether by us. */
  if (error == NULL && !job->may_halt && job->guest != NULL)
    {
      job->was_running = g_strcmp0 (guest_get_run_state (job->guest), "running") == 0;
      job->may_halt = job->late_policy == LATE_STOP;
    }
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

static void
keep (Commit *self, GError *reason)
{
  fold_keep (self->job, self->index, reason);
  next_disk (self, FOLD_KEPT);
}

/* --- a commit that is late, or failed --- */

static void
on_cancelled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  GError *error = NULL;

  if (!fold_cancel_finish (result, &error))
    commit_finish (self, error);
  else
    keep (self, agent_error_new (AGENT_ERROR_TIMEOUT, NULL,
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
      fold_cancel_async (self->job, self->index, on_cancelled, self);
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
    fold_cancel_async (self->job, self->index, on_cancelled, self);
}

static void
on_failed_gone (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  GError *error = NULL;

  if (fold_cancel_finish (result, &error))
    keep (self, g_steal_pointer (&self->failure));
  else
    commit_finish (self, error);
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
    {
      /* QEMU has ended it; it only has to be dismissed. */
      self->failure = error;
      fold_cancel_async (self->job, self->index, on_failed_gone, self);
    }
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
    keep (self, error);
  else
    commit_finish (self, error);
}

static void
begin (Commit *self, Disk *disk)
{
  const Layer *overlay = disk_get_active (disk);
  const Layer *layer = g_ptr_array_index (disk->layers, 1);
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
                                      "device", "s", disk->root,
                                      "top-node", "s", overlay->node,
                                      "base-node", "s", layer->node,
                                      "auto-finalize", "b", FALSE,
                                      "auto-dismiss", "b", FALSE,
                                      NULL),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_begun, self);
}

/* --- looking --- */

/* After something that a former life of ours has left was put right. */
static void
on_put_right (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error)
      || g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    {
      g_clear_error (&error);
      look (self);
    }
  else
    commit_finish (self, error);
}

static void
on_name_moved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  GError *error = NULL;

  if (fold_publish_finish (result, &error))
    look (self);
  else
    keep (self, error);
}

static void
act (Commit *self, Disk *disk, const FoldFacts *facts)
{
  const char *reason = NULL;

  switch (fold_facts_decide (facts, &reason))
    {
    case FOLD_ACTION_COMMIT:
      begin (self, disk);
      break;
    case FOLD_ACTION_FOLLOW:
      follow (self);
      break;
    case FOLD_ACTION_FINALIZE:
      fold_command_async (self->job, self->index, "job-finalize", QMP_JOB_CONCLUDED, SETTLE_MS,
                          on_put_right, self);
      break;
    case FOLD_ACTION_CANCEL:
    case FOLD_ACTION_DISMISS:
      fold_cancel_async (self->job, self->index, on_put_right, self);
      break;
    case FOLD_ACTION_NAME_BACK:
      fold_publish_async (self->job, self->index, FALSE, on_name_moved, self);
      break;
    case FOLD_ACTION_NAME_ON:
      fold_publish_async (self->job, self->index, TRUE, on_name_moved, self);
      break;
    case FOLD_ACTION_KEEP:
      keep (self, agent_error_new (AGENT_ERROR_CONFLICT, NULL, "%s", reason));
      break;
    case FOLD_ACTION_NONE:
    default:
      next_disk (self, FOLD_DONE);
      break;
    }
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Commit *self = user_data;
  g_autofree char *id = fold_job_id (self->job, self->index);
  g_autoptr (Inspection) inspection = NULL;
  FoldFacts facts;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL)
    {
      facts = fold_facts_judge (current (self), inspection->disks, inspection->jobs, id);
      facts.same_process = backup_is_same_process (self->job);
      if (fold_look_at_name (current (self), &facts, &error))
        {
          act (self, fold_find_disk (current (self), inspection->disks), &facts);
          return;
        }
    }
  commit_finish (self, error);
}

/* The guest has ended: nobody writes to the disk, and the name leads to where its writes are. */
static void
leave_to_the_next_start (Commit *self)
{
  FoldFacts facts = { 0 };
  GError *error = NULL;

  if (!fold_look_at_name (current (self), &facts, &error))
    commit_finish (self, error);
  else if (facts.name_on_overlay)
    keep (self, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                 "the guest ended before it was folded back"));
  else
    next_disk (self, FOLD_DONE);
}

static void
look (Commit *self)
{
  while (self->index < self->job->disks->len && self->job->folding[self->index] != FOLD_UNKNOWN)
    self->index++;
  if (self->index == self->job->disks->len)
    commit_finish (self, NULL);
  else if (backup_guest_is_gone (self->job))
    leave_to_the_next_start (self);
  else
    inspect_async (self->job->guest, NULL, on_inspected, self);
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
  self = g_new0 (Commit, 1);
  self->job = job;
  self->step = step;
  self->late_us = g_get_monotonic_time () + job->deadline_s * G_USEC_PER_SEC;
  backup_close_sources (g_task_new (NULL, NULL, on_closed, self), job);
}
