/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to share the disk's flushes, and to keep them away from guests that stand still: what
 * many operations have to write at the same time becomes durable in one transaction. */

#include "engine-private.h"

/* How long writes wait for other guests' windows to close. A window is over in a few milliseconds;
 * one that takes longer, for freezing a busy guest, must not hold up everybody else. */
#define PATIENCE_MS 100

struct _Commit
{
  Operation      *operation;
  OperationState  state;
  gboolean        plan_only;    /* state and steps are another one's to write */
  gint64          finished_us;
  GArray         *announced;    /* (nullable) */
  CommitFunc      func;
  gpointer        user_data;
};

void
commit_free (Commit *commit)
{
  g_object_unref (commit->operation);
  g_clear_pointer (&commit->announced, g_array_unref);
  g_free (commit);
}

static gboolean
write_one (Engine  *self,
           Commit  *commit,
           GError **error)
{
  if (commit->plan_only)
    return operation_update_plan (commit->operation, self->journal, error);

  commit->finished_us = commit->state >= OPERATION_SUCCEEDED ? g_get_real_time () : 0;
  return operation_update (commit->operation, self->journal, commit->state, commit->finished_us,
                           commit->announced, error);
}

static gboolean
write_all (Engine     *self,
           GPtrArray  *commits,
           guint       first,
           guint       n_commits,
           GError    **error)
{
  if (!journal_begin (self->journal, error))
    return FALSE;

  for (guint i = first; i < first + n_commits; i++)
    {
      if (!write_one (self, g_ptr_array_index (commits, i), error))
        {
          journal_rollback (self->journal);
          return FALSE;
        }
    }

  return journal_commit (self->journal, error);
}

gboolean
engine_write (Engine     *self,
              Operation  *operation,
              GError    **error)
{
  if (!journal_begin (self->journal, error))
    return FALSE;

  if (!operation_update (operation, self->journal, operation->state, operation->finished_us, NULL,
                         error))
    {
      journal_rollback (self->journal);
      return FALSE;
    }

  if (!journal_commit (self->journal, error))
    return FALSE;

  operation_written (operation, operation->state, operation->finished_us, NULL);

  return TRUE;
}

static void
end_commit (Commit       *commit,
            const GError *error)
{
  if (error == NULL && !commit->plan_only)
    operation_written (commit->operation, commit->state, commit->finished_us, commit->announced);

  commit->func (commit->user_data, error);
}

static void
flush (Engine *self)
{
  g_autoptr (GPtrArray) commits = g_steal_pointer (&self->commits);
  g_autoptr (GError) error = NULL;
  gboolean together;

  self->commits = g_ptr_array_new_with_free_func ((GDestroyNotify) commit_free);
  together = write_all (self, commits, 0, commits->len, &error);

  for (guint i = 0; i < commits->len; i++)
    {
      g_autoptr (GError) own = NULL;

      /* One that cannot be written must not take the others with it. */
      if (!together && commits->len > 1 && write_all (self, commits, i, 1, &own))
        end_commit (g_ptr_array_index (commits, i), NULL);
      else
        end_commit (g_ptr_array_index (commits, i), own != NULL ? own : error);
    }
}

static gboolean on_due (gpointer user_data);

static void
schedule (Engine *self)
{
  gint64 wait_ms = (self->commit_deadline_us - g_get_monotonic_time ()) / 1000;

  g_clear_handle_id (&self->commit_source, g_source_remove);

  if (self->windows->len > 0 && wait_ms > 0)
    self->commit_source = g_timeout_add_full (G_PRIORITY_DEFAULT, (guint) wait_ms, on_due, self,
                                              NULL);
  else
    self->commit_source = g_idle_add_full (G_PRIORITY_DEFAULT, on_due, self, NULL);
}

static gboolean
on_due (gpointer user_data)
{
  g_autoptr (Engine) self = g_object_ref (user_data);

  self->commit_source = 0;

  if (self->windows->len > 0 && g_get_monotonic_time () < self->commit_deadline_us)
    schedule (self);
  else
    flush (self);

  return G_SOURCE_REMOVE;
}

void
engine_flush_commits (Engine *self)
{
  if (self->commits->len > 0)
    schedule (self);
}

static void
add (Engine *self,
     Commit *commit)
{
  if (self->commits->len == 0)
    self->commit_deadline_us = g_get_monotonic_time () + PATIENCE_MS * 1000;

  g_ptr_array_add (self->commits, commit);

  if (self->commit_source == 0)
    schedule (self);
}
/*
 * @state: the operation has it when the write is durable
 * @announced: (nullable): positions of steps to be written as begun
 * @func: called later, never from within
 */
void
engine_commit (Engine         *self,
               Operation      *operation,
               OperationState  state,
               GArray         *announced,
               CommitFunc      func,
               gpointer        user_data)
{
  Commit *commit = g_new0 (Commit, 1);

  commit->operation = g_object_ref (operation);
  commit->state = state;
  commit->announced = announced != NULL ? g_array_ref (announced) : NULL;
  commit->func = func;
  commit->user_data = user_data;

  add (self, commit);
}

static void
plan_saved (gpointer      user_data,
            const GError *error)
{
  g_autoptr (GTask) task = user_data;

  if (error == NULL)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, g_error_copy (error));
}

/**
 * engine_save_plan_async:
 * @self: the engine
 * @operation: one of its operations that has not finished
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Writes the operation's plan to the journal, as it is at the time of the write. It is for changes
 * that come from outside; what a step adds to the plan is written with the next step.
 */
void
engine_save_plan_async (Engine              *self,
                        Operation           *operation,
                        GAsyncReadyCallback  callback,
                        gpointer             user_data)
{
  Commit *commit = g_new0 (Commit, 1);

  commit->operation = g_object_ref (operation);
  commit->plan_only = TRUE;
  commit->func = plan_saved;
  commit->user_data = g_task_new (self, NULL, callback, user_data);
  add (self, commit);
}

/**
 * engine_save_plan_finish:
 * @self: the engine
 * @result: the result
 * @error: return location: AGENT_ERROR NO_SPACE or INTERNAL
 *
 * Returns: whether the plan is durable
 */
gboolean
engine_save_plan_finish (Engine        *self,
                         GAsyncResult  *result,
                         GError       **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
