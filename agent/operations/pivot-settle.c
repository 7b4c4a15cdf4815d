/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to find out where a disk stands with its pivot, and to put right at once what cannot
 * wait: a job that holds the guest's writes, and a published name that leads elsewhere than the
 * guest writes to. Whatever has happened before, it begins by looking. */

#include "pivot-private.h"

#include <core/error.h>

#include "guest-errors.h"

#define CONCLUDE_MS 60000       /* for what QEMU does at once unless its storage hangs */
#define MOST_LOOKS  8

typedef struct
{
  PivotSet *set;
  Pivot    *pivot;
  PivotHeld *held;              /* (nullable): while a name is moved before a job's pivot */
  guint     looks;
  PivotAction action;           /* that is under way */
  gboolean  has_job;            /* as the last look has found */
  GError   *reason;             /* (nullable): why a disk is given up */
} Settling;

static void look (GTask *task);

static void
settling_free (Settling *self)
{
  g_clear_pointer (&self->held, pivot_held_free);
  g_clear_error (&self->reason);
  g_free (self);
}

static GTask *
settling_new (PivotSet *set, Pivot *pivot, GError *reason, GAsyncReadyCallback callback,
              gpointer user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);
  Settling *self = g_new0 (Settling, 1);

  self->set = set;
  self->pivot = pivot;
  self->reason = reason;
  g_task_set_task_data (task, self, (GDestroyNotify) settling_free);
  return task;
}

void
pivot_verdict_free (PivotVerdict *self)
{
  if (self == NULL)
    return;
  g_free (self->root);
  g_free (self->from_node);
  g_free (self->to_node);
  g_clear_error (&self->reason);
  g_free (self);
}

/* Takes @task and @reason. */
static void
answer (GTask *task, PivotAction action, Disk *disk, GError *reason)
{
  Settling *self = g_task_get_task_data (task);
  PivotVerdict *verdict = g_new0 (PivotVerdict, 1);

  verdict->action = action;
  verdict->reason = reason;
  verdict->has_job = self->has_job;
  if (action == PIVOT_ACTION_BEGIN)
    {
      const Layer *target = pivot_find_target (self->pivot, disk);

      verdict->root = g_strdup (disk->root);
      verdict->from_node = g_strdup (disk_get_active (disk)->node);
      verdict->to_node = g_strdup (target != NULL ? target->node : self->pivot->to_node);
    }
  g_task_return_pointer (task, verdict, (GDestroyNotify) pivot_verdict_free);
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

  /* How a job has ended shows in the graph. */
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
  Settling *self = g_task_get_task_data (user_data);
  GError *error = NULL;

  g_clear_pointer (&self->held, pivot_held_free);
  if (pivot_name_finish (result, &error))
    look (user_data);
  /* The device is where it was. Once it has gone over, what it writes is where no name leads. */
  else if (self->action == PIVOT_ACTION_NAME_BACK
           && g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT))
    answer (user_data, PIVOT_ACTION_KEEP, NULL, error);
  else
    fail (user_data, error);
}

static void
act (GTask *task, Disk *disk, const PivotFacts *facts)
{
  Settling *self = g_task_get_task_data (task);
  const char *reason = NULL;
  PivotAction action = pivot_facts_decide (facts, &reason);

  self->action = action;
  self->has_job = facts->has_job;
  if ((action == PIVOT_ACTION_NAME_BACK || action == PIVOT_ACTION_NAME_ON) && facts->has_job
      && facts->job_state == QMP_JOB_PENDING)
    self->held = pivot_held_new (self->set, self->pivot);
  switch (action)
    {
    case PIVOT_ACTION_FINALIZE:
      pivot_command_async (self->set, self->pivot, "job-finalize", QMP_JOB_CONCLUDED, CONCLUDE_MS,
                           on_told, task);
      break;
    case PIVOT_ACTION_CANCEL:
    case PIVOT_ACTION_DISMISS:
      pivot_cancel_async (self->set, self->pivot, on_told, task);
      break;
    case PIVOT_ACTION_NAME_BACK:
      pivot_publish_async (self->pivot, FALSE, on_published, task);
      break;
    case PIVOT_ACTION_NAME_ON:
      pivot_publish_async (self->pivot, TRUE, on_published, task);
      break;
    case PIVOT_ACTION_KEEP:
      answer (task, action, NULL, agent_error_new (AGENT_ERROR_CONFLICT, NULL, "%s", reason));
      break;
    case PIVOT_ACTION_BEGIN:
    case PIVOT_ACTION_FOLLOW:
    case PIVOT_ACTION_NONE:
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
  g_autoptr (Inspection) inspection = NULL;
  PivotFacts facts;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL)
    {
      facts = pivot_facts_judge (self->pivot, inspection);
      facts.same_process = peer_is_same (&self->set->peer);
      self->pivot->astray = facts.same_process
                            && !pivot_is_open (self->pivot, inspection->disks);
      if (pivot_look_at_name (self->pivot, &facts, &error))
        {
          act (task, pivot_find_disk (self->pivot, inspection->disks), &facts);
          return;
        }
    }
  fail (task, error);
}

/* The guest has ended: nobody writes to the disk, and the name leads to where its writes are. Where
 * it was taken away, a copy has all of them; a layer's device has a name of its own. */
static void
look_without_guest (GTask *task)
{
  const Pivot *pivot = ((Settling *) g_task_get_task_data (task))->pivot;
  PivotFacts facts = { 0 };
  GError *error = NULL;

  if (!pivot_look_at_name (pivot, &facts, &error))
    fail (task, error);
  else if (facts.name_on_to && (!pivot->unpublish || pivot->way == PIVOT_MIRROR))
    answer (task, PIVOT_ACTION_NONE, NULL, NULL);
  else
    answer (task, PIVOT_ACTION_KEEP, NULL,
            agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                             "the guest ended before it had gone over"));
}

static void
look (GTask *task)
{
  Settling *self = g_task_get_task_data (task);

  self->has_job = FALSE;
  if (self->looks++ == MOST_LOOKS)
    fail (task, agent_error_new (AGENT_ERROR_CONFLICT, "end whoever else works on its jobs",
                                 "the job of disk %s does not come to rest", self->pivot->disk));
  else if (peer_is_gone (&self->set->peer))
    look_without_guest (task);
  else
    inspect_async (self->set->peer.guest, NULL, on_inspected, task);
}

/**
 * pivot_settle_async:
 * @set: pivots
 * @pivot: one of them
 * @callback: called with the result
 * @user_data: for @callback
 */
void
pivot_settle_async (PivotSet *set, Pivot *pivot, GAsyncReadyCallback callback, gpointer user_data)
{
  look (settling_new (set, pivot, NULL, callback, user_data));
}

/**
 * pivot_settle_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT, GUEST, INTERNAL
 *
 * Returns: (transfer full): what is to be done, one of PIVOT_ACTION NONE, BEGIN, FOLLOW, KEEP
 */
PivotVerdict *
pivot_settle_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* --- giving a disk up --- */

static void
on_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Settling *self = g_task_get_task_data (task);
  g_autoptr (PivotVerdict) verdict = NULL;
  GError *error = NULL;

  verdict = pivot_settle_finish (result, &error);
  if (verdict == NULL)
    {
      fail (task, error);
      return;
    }
  /* Somebody else may have had it pivot. */
  if (verdict->action == PIVOT_ACTION_NONE)
    self->pivot->state = PIVOT_DONE;
  else
    pivot_keep (self->set, self->pivot, g_steal_pointer (&self->reason));
  g_task_return_boolean (task, TRUE);
  g_object_unref (task);
}

static void
on_cancelled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Settling *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (pivot_cancel_finish (result, &error))
    pivot_settle_async (self->set, self->pivot, on_settled, task);
  else
    fail (task, error);
}

/**
 * pivot_give_up_async:
 * @set: pivots
 * @pivot: one of them
 * @reason: (transfer full): why the device does not go over
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Cancels the job of the disk; the device stays where it is, unless somebody else has seen to it
 * that it does not. Either way the disk is settled then.
 */
void
pivot_give_up_async (PivotSet *set, Pivot *pivot, GError *reason, GAsyncReadyCallback callback,
                     gpointer user_data)
{
  GTask *task = settling_new (set, pivot, guest_error_name (set->peer.guest, reason), callback,
                              user_data);

  pivot_cancel_async (set, pivot, on_cancelled, task);
}

/**
 * pivot_give_up_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT, GUEST, INTERNAL
 *
 * Returns: whether the disk is settled
 */
gboolean
pivot_give_up_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
