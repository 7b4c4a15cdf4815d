/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how an operation is taken up again: what the journal says of it, then the facts, then the
 * workflow's decision. */

#include "engine-private.h"

#include <core/error.h>

/* The last step that may have begun; -1 for none. */
static int
find_last_begun (Operation *operation)
{
  for (int i = (int) operation->steps->len - 1; i >= 0; i--)
    {
      if (operation_get_record (operation, (guint) i)->begun_us != 0)
        return i;
    }

  return -1;
}

static gboolean
is_due_forward (Run *run,
                int  position)
{
  const Step *step = &run->workflow->steps[position];

  return step->when == STEP_FORWARD &&
         (step->is_needed == NULL || step->is_needed (run->job));
}

static void
resume (Run        *run,
        const char *name)
{
  int from = operation_find_step (run->operation, name);

  if (from < 0)
    {
      run_leave_open (run, agent_error_new (AGENT_ERROR_INTERNAL, NULL,
                                            "%s has no step '%s' to be resumed from",
                                            run->operation->kind, name), FALSE);
      return;
    }

  for (int i = 0; i < (int) run->operation->steps->len; i++)
    {
      StepRecord *record = operation_get_record (run->operation, (guint) i);

      /* What is behind counts as done, even what never began: the facts say that the world is past
       * it. What is ahead has to be done again, and whoever cleans up after it must still be told
       * that it had begun. */
      if (record->begun_us == 0 && i < from && is_due_forward (run, i))
        record->begun_us = g_get_real_time ();
      if (record->begun_us == 0)
        continue;

      if (i < from && record->state != STEP_DONE)
        {
          record->state = STEP_DONE;
          record->ended_us = g_get_real_time ();
          record->changed = TRUE;
        }
      else if (i >= from && record->state != STEP_BEGUN)
        {
          record->state = STEP_BEGUN;
          record->changed = TRUE;
        }
    }

  run_advance (run, from);
}

static void
undo (Run        *run,
      const char *reason)
{
  run_fail (run, agent_error_new (AGENT_ERROR_UNAVAILABLE, "ask for it again",
                                  "interrupted by a restart of the daemon: %s", reason));
  run_advance (run, 0);
}

/* The job has forgotten what they saw. */
static void
begin_patient_again (Run *run)
{
  Operation *operation = run->operation;
  int from = run->workflow->patient_from != NULL
             ? operation_find_step (operation, run->workflow->patient_from)
             : (int) operation->steps->len;

  for (int i = from; i < (int) operation->steps->len; i++)
    {
      StepRecord *record = operation_get_record (operation, (guint) i);

      if (run->workflow->steps[i].when != STEP_ALWAYS || record->state != STEP_DONE)
        continue;

      record->state = STEP_BEGUN;
      record->changed = TRUE;
    }
}

static void
act_on_facts (Run *run)
{
  Operation *operation = run->operation;
  int last = find_last_begun (operation);
  Recovery recovery;

  if (operation->error != NULL)
    {
      run->cleaning = TRUE;
      begin_patient_again (run);
      run_advance (run, 0);
      return;
    }

  if (last < 0)
    {
      undo (run, "no step had begun");
      return;
    }

  recovery = run->workflow->decide (run->job, operation_get_record (operation, (guint) last)->name,
                                    operation_get_record (operation, (guint) last)->state ==
                                    STEP_DONE);

  g_debug ("operation %s (%s): last step %s, decided %u: %s", operation->id, operation->kind,
           operation_get_record (operation, (guint) last)->name, recovery.action, recovery.reason);

  switch (recovery.action)
    {
    case RECOVERY_RESUME:
      resume (run, recovery.step);
      break;
    case RECOVERY_UNDO:
      undo (run, recovery.reason);
      break;
    case RECOVERY_WAIT:
      run_leave_open (run, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL, "waiting: %s",
                                            recovery.reason), FALSE);
      break;
    }
}

static gboolean
facts_over (gpointer user_data)
{
  Run *run = user_data;
  GError *error = g_steal_pointer (&run->step_error);

  if (error != NULL)
    {
      g_prefix_error (&error, "asking how things stand: ");
      run_leave_open (run, agent_error_adopt (error), TRUE);
    }
  else
    act_on_facts (run);

  return G_SOURCE_REMOVE;
}

static void
on_facts (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  Run *run = user_data;

  if (!g_task_propagate_boolean (G_TASK (result), &run->step_error) && run->step_error == NULL)
    run->step_error = agent_error_new (AGENT_ERROR_INTERNAL, NULL, "no reason was given");

  g_idle_add_full (G_PRIORITY_DEFAULT, facts_over, run, NULL);
}

/* Takes up an operation that is open and at rest. */
void
recovery_start (Engine    *engine,
                Operation *operation)
{
  GError *error = NULL;
  Run *run;

  /* Then its obstacle says so already. */
  if (operation->workflow == NULL)
    return;

  run = run_new (engine, operation);
  run->cleaning = operation->error != NULL;

  /* All is done, and only the journal could not be told. */
  if (operation->complete || (run->cleaning && !run_is_due (run, 0)))
    {
      run_advance (run, (int) operation->steps->len);
      return;
    }

  run->job = run->workflow->job_new (operation, operation->environment, &error);

  if (run->job == NULL)
    {
      run_leave_open (run, agent_error_adopt (error), FALSE);
      return;
    }

  if (run->workflow->gather_facts == NULL)
    {
      g_idle_add_full (G_PRIORITY_DEFAULT, facts_over, run, NULL);
      return;
    }

  run->workflow->gather_facts (g_task_new (operation, NULL, on_facts, run), run->job);
}

/**
 * engine_recover:
 * @self: the engine
 * @guest: (nullable): the guest that is there now; %NULL for all
 *
 * Takes up the open operations of @guest. Those that run already go on undisturbed.
 */
void
engine_recover (Engine     *self,
                const char *guest)
{
  g_autoptr (GPtrArray) all = engine_list (self, guest);

  for (guint i = all->len; i > 0; i--)
    {
      Operation *operation = g_ptr_array_index (all, i - 1);

      if (operation_is_finished (operation))
        continue;

      /* The guest may have come back just behind the back of a run that found it gone. */
      if (operation->running)
        operation->asked_again = TRUE;
      else
        recovery_start (self, operation);
    }
}
