/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to find out where a disk stands with its folding back, and to put right at once what
 * cannot wait: a commit that holds the guest's writes, and a published name that leads elsewhere
 * than the guest writes to. Whatever has happened before, it begins by looking. */

#include "fold.h"

#include <core/error.h>

#include "guest-errors.h"

#define CONCLUDE_MS 60000       /* for what QEMU does at once unless its storage hangs */
#define MOST_LOOKS  8

typedef struct
{
  Backup *job;
  guint   index;
  guint   looks;
  GError *reason;               /* (nullable): why a disk is given up */
} Settling;

static void look (GTask *task);

static void
settling_free (Settling *self)
{
  g_clear_error (&self->reason);
  g_free (self);
}

void
fold_verdict_free (FoldVerdict *self)
{
  if (self == NULL)
    return;
  g_free (self->root);
  g_free (self->overlay_node);
  g_free (self->layer_node);
  g_clear_error (&self->reason);
  g_free (self);
}

static const DiskPlan *
plan_of (GTask *task)
{
  Settling *self = g_task_get_task_data (task);

  return g_ptr_array_index (self->job->disks, self->index);
}

/* Takes @task and @reason. */
static void
answer (GTask *task, FoldAction action, Disk *disk, GError *reason)
{
  FoldVerdict *verdict = g_new0 (FoldVerdict, 1);

  verdict->action = action;
  verdict->reason = reason;
  if (action == FOLD_ACTION_COMMIT)
    {
      verdict->root = g_strdup (disk->root);
      verdict->overlay_node = g_strdup (disk_get_active (disk)->node);
      verdict->layer_node = g_strdup (((Layer *) g_ptr_array_index (disk->layers, 1))->node);
    }
  g_task_return_pointer (task, verdict, (GDestroyNotify) fold_verdict_free);
  g_object_unref (task);
}

static void
fail (GTask *task, GError *error)
{
  g_task_return_error (task, error);
  g_object_unref (task);
}

static void
on_told (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  /* How a commit has ended shows in the graph. */
  if (g_task_propagate_boolean (G_TASK (result), &error)
      || g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB) || guest_error_is_refusal (error))
    {
      g_clear_error (&error);
      look (user_data);
    }
  else
    fail (user_data, error);
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  if (fold_publish_finish (result, &error))
    look (user_data);
  else if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT))
    answer (user_data, FOLD_ACTION_KEEP, NULL, error);
  else
    fail (user_data, error);
}

static void
act (GTask *task, Disk *disk, const FoldFacts *facts)
{
  Settling *self = g_task_get_task_data (task);
  const char *reason = NULL;
  FoldAction action = fold_facts_decide (facts, &reason);

  switch (action)
    {
    case FOLD_ACTION_FINALIZE:
      fold_command_async (self->job, self->index, "job-finalize", QMP_JOB_CONCLUDED, CONCLUDE_MS,
                          on_told, task);
      break;
    case FOLD_ACTION_CANCEL:
    case FOLD_ACTION_DISMISS:
      fold_cancel_async (self->job, self->index, on_told, task);
      break;
    case FOLD_ACTION_NAME_BACK:
      fold_publish_async (self->job, self->index, FALSE, on_published, task);
      break;
    case FOLD_ACTION_NAME_ON:
      fold_publish_async (self->job, self->index, TRUE, on_published, task);
      break;
    case FOLD_ACTION_KEEP:
      answer (task, action, NULL, agent_error_new (AGENT_ERROR_CONFLICT, NULL, "%s", reason));
      break;
    case FOLD_ACTION_COMMIT:
    case FOLD_ACTION_FOLLOW:
    case FOLD_ACTION_NONE:
    default:
      answer (task, action, disk, NULL);
      break;
    }
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Settling *self = g_task_get_task_data (task);
  g_autofree char *id = fold_job_id (self->job, self->index);
  g_autoptr (Inspection) inspection = NULL;
  FoldFacts facts;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL)
    {
      facts = fold_facts_judge (plan_of (task), inspection->disks, inspection->jobs, id);
      facts.same_process = backup_is_same_process (self->job);
      if (fold_look_at_name (plan_of (task), &facts, &error))
        {
          act (task, fold_find_disk (plan_of (task), inspection->disks), &facts);
          return;
        }
    }
  fail (task, error);
}

/* The guest has ended: nobody writes to the disk, and the name leads to where its writes are. */
static void
look_without_guest (GTask *task)
{
  FoldFacts facts = { 0 };
  GError *error = NULL;

  if (!fold_look_at_name (plan_of (task), &facts, &error))
    fail (task, error);
  else if (facts.name_on_layer && plan_of (task)->device_path == NULL)
    answer (task, FOLD_ACTION_NONE, NULL, NULL);
  else
    answer (task, FOLD_ACTION_KEEP, NULL,
            agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                             "the guest ended before it was folded back"));
}

static void
look (GTask *task)
{
  Settling *self = g_task_get_task_data (task);

  if (self->looks++ == MOST_LOOKS)
    fail (task, agent_error_new (AGENT_ERROR_CONFLICT, "end whoever else works on its jobs",
                                 "the commit of disk %s does not come to rest",
                                 plan_of (task)->disk));
  else if (backup_guest_is_gone (self->job))
    look_without_guest (task);
  else
    inspect_async (self->job->guest, NULL, on_inspected, task);
}

/**
 * fold_settle_async:
 * @job: a job
 * @index: one of its disks
 * @callback: called with the result
 * @user_data: for @callback
 */
void
fold_settle_async (Backup *job, guint index, GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);
  Settling *self = g_new0 (Settling, 1);

  self->job = job;
  self->index = index;
  g_task_set_task_data (task, self, (GDestroyNotify) settling_free);
  look (task);
}

/**
 * fold_settle_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT, GUEST, INTERNAL
 *
 * Returns: (transfer full): what is to be done, one of FOLD_ACTION NONE, COMMIT, FOLLOW, KEEP
 */
FoldVerdict *
fold_settle_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* --- giving a disk up --- */

static void
on_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Settling *self = g_task_get_task_data (task);
  g_autoptr (FoldVerdict) verdict = NULL;
  GError *error = NULL;

  verdict = fold_settle_finish (result, &error);
  if (verdict == NULL)
    {
      fail (task, error);
      return;
    }
  /* Somebody else may have had it pivot. */
  if (verdict->action == FOLD_ACTION_NONE)
    self->job->folding[self->index] = FOLD_DONE;
  else
    fold_keep (self->job, self->index, g_steal_pointer (&self->reason));
  g_task_return_boolean (task, TRUE);
  g_object_unref (task);
}

static void
on_cancelled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Settling *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (fold_cancel_finish (result, &error))
    fold_settle_async (self->job, self->index, on_settled, task);
  else
    fail (task, error);
}

/**
 * fold_give_up_async:
 * @job: a job
 * @index: one of its disks
 * @reason: (transfer full): why it is not folded back
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Cancels the commit of the disk; the overlay stays on top, unless somebody else has seen to it
 * that it does not. Either way the disk is settled then.
 */
void
fold_give_up_async (Backup *job, guint index, GError *reason, GAsyncReadyCallback callback,
                    gpointer user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);
  Settling *self = g_new0 (Settling, 1);

  self->job = job;
  self->index = index;
  self->reason = guest_error_name (job->guest, reason);
  g_task_set_task_data (task, self, (GDestroyNotify) settling_free);
  fold_cancel_async (job, index, on_cancelled, task);
}

/**
 * fold_give_up_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT, GUEST, INTERNAL
 *
 * Returns: whether the disk is settled
 */
gboolean
fold_give_up_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
