/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the order in which moves are done, and that one which comes to nothing is the last. */

#include "move-run.h"

#include <core/error.h>

typedef struct
{
  MovesJob *job;
  GTask    *step;
  guint     index;              /* of the move under way */
} Run;

static void run_next (Run *self);

static ChainMove *
current (Run *self)
{
  return g_ptr_array_index (self->job->moves, self->index);
}

static void
run_finish (Run *self, GError *error)
{
  MovesJob *job = self->job;

  /* The pivots come last. */
  if (moves_job_is_over (job))
    {
      g_cancellable_cancel (job->called_off);
      job->pivots.cancellable = job->called_off;
    }
  moves_job_save (job, operation_get_plan (job->operation));
  if (error == NULL)
    g_task_return_boolean (self->step, TRUE);
  else
    g_task_return_error (self->step, error);
  g_object_unref (self->step);
  g_free (self);
}

static void
on_run (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Run *self = user_data;
  GError *error = NULL;

  if (!move_run_finish (result, &error))
    {
      run_finish (self, error);
      return;
    }
  self->index++;
  run_next (self);
}

static void
on_offline (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Run *self = user_data;
  GError *error = NULL;

  if (chain_move_offline_finish (result, &error))
    moves_job_merged (self->job, self->index);
  else
    moves_job_fail (self->job, self->index, error);
  self->index++;
  run_next (self);
}

static gboolean
is_for_pivot (const ChainMove *move)
{
  return !move->offline && chain_move_pivots (move);
}

static void
run_next (Run *self)
{
  MovesJob *job = self->job;
  ChainMove *move;

  while (self->index < job->moves->len
         && (current (self)->done || job->fates[self->index].merged
             || is_for_pivot (current (self))))
    {
      if (current (self)->done)
        job->fates[self->index].merged = TRUE;
      self->index++;
    }
  if (self->index == job->moves->len)
    {
      run_finish (self, NULL);
      return;
    }
  move = current (self);
  if (!move->offline)
    move_run_async (job, self->index, on_run, self);
  else if (!moves_job_is_over (job))
    {
      move->begun = TRUE;
      chain_move_offline_async (move, job->operation, operation_get_cancellable (job->operation),
                                on_offline, self);
    }
  else
    {
      moves_job_fail (job, self->index, agent_error_new (AGENT_ERROR_CANCELLED, NULL,
                                                         "it was called off"));
      self->index++;
      run_next (self);
    }
}

static void
on_past (GObject *source, GAsyncResult *result, gpointer user_data)
{
  /* It cannot fail. */
  run_next (user_data);
}

/* A later move has done away with what stood above an earlier one, in a life before: then that one
 * is done, and its header is nowhere to be seen. */
static void
find_past (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  MovesJob *job = task_data;

  for (guint i = 0; i < job->moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (job->moves, i);
      g_autoptr (GError) problem = NULL;
      FileFacts facts = { 0 };

      if (!moves_job_shares_above (job, i))
        continue;
      job->fates[i].merged = (!files_look (move->above->path, &facts, &problem)
                              || !file_facts_are (&facts, move->above->dev, move->above->ino))
                             && problem == NULL;
    }
  g_task_return_boolean (task, TRUE);
}

void
moves_run (GTask *step, gpointer user_data)
{
  Run *self = g_new0 (Run, 1);
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_past, self);

  self->job = user_data;
  self->step = step;
  g_task_set_task_data (task, self->job, NULL);
  g_task_run_in_thread (task, find_past);
}
