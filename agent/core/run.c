/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the order in which the steps of a table run, and what the journal is told between them.
 *
 *   advance --> commit --> start --> (the step) --> step_over --+--> advance
 *      |                     ^                                  |
 *      |                     +------- next one is held ---------+
 *      +--> finish --> commit --> end
 *
 * Each arrow through the main loop: nothing here recurses, however fast a step is.
 */

#include "engine-private.h"

#include <core/error.h>

#define RETRY_FIRST_S 5
#define RETRY_MOST_S  300

typedef struct
{
  Engine    *engine;
  Operation *operation;
} Retry;

static const Step *
step_at (Run *self,
         int  position)
{
  return &self->workflow->steps[position];
}

static int
n_steps (Run *self)
{
  return (int) self->operation->steps->len;
}

static gboolean
has_begun (Run        *self,
           const char *name)
{
  int position = operation_find_step (self->operation, name);

  return operation_get_record (self->operation, (guint) position)->begun_us != 0;
}

static gboolean
is_due (Run *self,
        int  position)
{
  const Step *step = step_at (self, position);

  if (!self->cleaning && step->when == STEP_FORWARD)
    return step->is_needed == NULL || step->is_needed (self->job);

  if (!self->cleaning)
    return step->when == STEP_ALWAYS && has_begun (self, step->cleans_up);

  return step->when != STEP_FORWARD && !self->tried[position] &&
         operation_get_record (self->operation, (guint) position)->state != STEP_DONE &&
         has_begun (self, step->cleans_up);
}

/* -1 for none. */
static int
find_due (Run *self,
          int  from)
{
  for (int i = from; i < n_steps (self); i++)
    {
      if (is_due (self, i))
        return i;
    }

  return -1;
}

gboolean
run_is_due (Run *self,
            int  from)
{
  return find_due (self, from) >= 0;
}

/* A plan that needs no step at all is a mistake of who made it. */
int
run_find_first (Run *self)
{
  int first = find_due (self, 0);

  g_assert (first >= 0);

  return first;
}

/* The last of the steps that stand in one window with @position. */
static int
end_of_window (Run *self,
               int  position)
{
  while (step_at (self, position)->held && position + 1 < n_steps (self) &&
         step_at (self, position + 1)->held)
    position++;

  return position;
}

Run *
run_new (Engine    *engine,
         Operation *operation)
{
  Run *self = g_new0 (Run, 1);

  self->engine = g_object_ref (engine);
  self->operation = g_object_ref (operation);
  self->workflow = operation->workflow;
  self->at = -1;
  self->tried = g_new0 (gboolean, operation->steps->len + 1);
  self->announced = g_array_new (FALSE, FALSE, sizeof (guint));

  operation->running = TRUE;
  operation->asked_again = FALSE;
  engine->n_running++;

  g_clear_handle_id (&operation->retry_source, g_source_remove);

  return self;
}

void
run_free (Run *self)
{
  if (self->job != NULL && self->workflow->job_free != NULL)
    self->workflow->job_free (self->job);

  self->operation->running = FALSE;
  self->engine->n_running--;

  g_object_unref (self->operation);
  g_object_unref (self->engine);
  g_array_unref (self->announced);
  g_clear_error (&self->step_error);
  g_clear_error (&self->left);
  g_free (self->tried);
  g_free (self);
}

static void
end_finished (Run *self)
{
  g_autoptr (Engine) engine = g_object_ref (self->engine);
  g_autoptr (Operation) operation = g_object_ref (self->operation);

  run_free (self);

  g_clear_error (&operation->obstacle);
  g_clear_object (&operation->claim);
  engine->n_finished++;
  operation_changed (operation);
  engine_prune (engine);
}

static gboolean
on_retry (gpointer user_data)
{
  Retry *retry = user_data;

  retry->operation->retry_source = 0;
  recovery_start (retry->engine, retry->operation);

  return G_SOURCE_REMOVE;
}

/* The guest may be there all the time, and nobody ask for recovery: a full disk, a store that is
 * away. */
static void
plan_retry (Engine    *engine,
            Operation *operation)
{
  Retry *retry = g_new (Retry, 1);

  /* Neither is kept: an engine that goes removes the source. */
  retry->engine = engine;
  retry->operation = operation;

  operation->retry_delay_s = operation->retry_delay_s == 0
                             ? RETRY_FIRST_S : MIN (operation->retry_delay_s * 2, RETRY_MOST_S);
  operation->retry_source = g_timeout_add_seconds_full (G_PRIORITY_DEFAULT,
                                                        operation->retry_delay_s, on_retry, retry,
                                                        g_free);
}

void
run_leave_open (Run      *self,
                GError   *obstacle,
                gboolean  retry)
{
  g_autoptr (Engine) engine = g_object_ref (self->engine);
  g_autoptr (Operation) operation = g_object_ref (self->operation);

  g_debug ("operation %s (%s) of guest '%s' stays open: %s", operation->id, operation->kind,
           operation->guest, obstacle->message);

  operation_take_obstacle (operation, obstacle);
  run_free (self);
  operation_changed (operation);

  if (operation->asked_again)
    recovery_start (engine, operation);
  else if (retry)
    plan_retry (engine, operation);
}

void
run_fail (Run    *self,
          GError *error)
{
  operation_take_error (self->operation, error);
  self->cleaning = TRUE;
}

void
run_announce (Run *self,
              int  from)
{
  int last = end_of_window (self, from);

  self->at = from;
  g_clear_pointer (&self->announced, g_array_unref);
  self->announced = g_array_new (FALSE, FALSE, sizeof (guint));

  for (int i = from; i <= last; i++)
    {
      guint position = (guint) i;

      /* Forward, what cleans up after a step of the same window is due by then. */
      if (is_due (self, i) || (!self->cleaning && step_at (self, i)->when == STEP_ALWAYS))
        g_array_append_val (self->announced, position);
    }
}

static GError *
step_error_new (Run        *self,
                const char *how,
                GError     *error)
{
  g_autoptr (GError) adopted = agent_error_adopt (error);

  return agent_error_new ((AgentError) adopted->code, agent_error_get_hint (adopted), "%s%s: %s",
                          step_at (self, self->at)->name, how, adopted->message);
}

static void
on_finished (gpointer      user_data,
             const GError *error)
{
  Run *self = user_data;

  if (error != NULL)
    run_leave_open (self, g_error_copy (error), TRUE);
  else
    end_finished (self);
}

static void
on_left_open (gpointer      user_data,
              const GError *error)
{
  Run *self = user_data;

  run_leave_open (self, g_steal_pointer (&self->left), TRUE);
}

static void
finish (Run *self)
{
  Operation *operation = self->operation;
  OperationState state = OPERATION_SUCCEEDED;

  if (!self->cleaning)
    operation->complete = TRUE;
  else if (self->left != NULL)
    {
      engine_commit (self->engine, operation, OPERATION_RUNNING, NULL, on_left_open, self);
      return;
    }
  else
    state = g_error_matches (operation->error, AGENT_ERROR, AGENT_ERROR_CANCELLED)
            ? OPERATION_CANCELLED : OPERATION_FAILED;

  engine_commit (self->engine, operation, state, NULL, on_finished, self);
}

/* What patience is for has begun: its steps begin by looking, and are all run again by whoever
 * takes the operation up. Nothing can be given back any more, so a write that fails must not make a
 * failure of what is done. But no guest is brought to a halt that nobody would know of. */
static gboolean
is_past_return (Run *self)
{
  const Step *step = step_at (self, self->at);

  return self->workflow->patient_from != NULL && !(step->held && step->when == STEP_FORWARD)
         && self->at > operation_find_step (self->operation, self->workflow->patient_from);
}

static void
on_announced (gpointer      user_data,
              const GError *error)
{
  Run *self = user_data;

  if (error == NULL)
    {
      run_start (self);
      return;
    }

  if (self->cleaning)
    {
      /* What cleans up has to run all the more; whether the journal learns of it shows at the end.
       * */
      operation_take_error (self->operation, g_error_copy (error));
      run_start (self);
      return;
    }

  if (is_past_return (self))
    {
      g_info ("operation %s: %s begins, though it is not written down: %s", self->operation->id,
              step_at (self, self->at)->name, error->message);
      run_start (self);
      return;
    }

  run_fail (self, step_error_new (self, " was not begun", g_error_copy (error)));
  run_advance (self, 0);
}

void
run_advance (Run *self,
             int  from)
{
  int next = find_due (self, from);

  if (next >= 0 && !self->cleaning && g_cancellable_is_cancelled (self->operation->cancellable))
    {
      run_fail (self, agent_error_new (AGENT_ERROR_CANCELLED, NULL, "cancelled before %s",
                                       step_at (self, next)->name));
      next = find_due (self, 0);
    }

  if (next < 0)
    {
      finish (self);
      return;
    }

  run_announce (self, next);
  engine_commit (self->engine, self->operation, OPERATION_RUNNING, self->announced, on_announced,
                 self);
}

static gboolean
is_patient (Run *self)
{
  return self->workflow->patient_from != NULL && step_at (self, self->at)->when == STEP_ALWAYS &&
         self->at >= operation_find_step (self->operation, self->workflow->patient_from);
}

/* Takes the step's error. */
static void
leave (Run *self)
{
  GError *failure = step_error_new (self, "", g_steal_pointer (&self->step_error));

  if (self->cleaning)
    operation_take_error (self->operation, g_error_copy (failure));

  if (self->left == NULL)
    self->left = failure;
  else
    g_error_free (failure);
}

/* An error of a step on the way forward. One who asked for the end is not told that it failed. */
static GError *
explain_failure (Run    *self,
                 GError *error)
{
  g_autoptr (GError) failure = step_error_new (self, "", error);
  gboolean says_cancelled = g_error_matches (failure, AGENT_ERROR, AGENT_ERROR_CANCELLED);

  if (g_cancellable_is_cancelled (self->operation->cancellable))
    return says_cancelled
           ? agent_error_new (AGENT_ERROR_CANCELLED, NULL, "cancelled during %s",
                              step_at (self, self->at)->name)
           : agent_error_new (AGENT_ERROR_CANCELLED, agent_error_get_hint (failure),
                              "cancelled; %s", failure->message);

  if (says_cancelled)
    return agent_error_new (AGENT_ERROR_INTERNAL, NULL, "%s, though nobody asked for it",
                            failure->message);

  return g_steal_pointer (&failure);
}

static gboolean
step_over (gpointer user_data)
{
  Run *self = user_data;
  const Step *step = step_at (self, self->at);
  StepRecord *record = operation_get_record (self->operation, (guint) self->at);
  gboolean failed = self->step_error != NULL;
  int next;

  record->state = failed ? STEP_FAILED : STEP_DONE;
  record->ended_us = g_get_real_time ();
  record->changed = TRUE;
  self->tried[self->at] = self->cleaning;

  if (failed)
    {
      g_free (record->error);
      record->error = g_strdup (self->step_error->message);

      if (self->cleaning || is_patient (self))
        leave (self);
      else
        run_fail (self, explain_failure (self, g_steal_pointer (&self->step_error)));
    }

  /* While the guest stands still, on to the next at once: no write, no cancel. */
  next = find_due (self, self->at + 1);

  if (step->held && next >= 0 && next <= end_of_window (self, self->at))
    {
      self->at = next;
      run_start (self);
    }
  else
    {
      window_leave (self);

      if (self->left != NULL && !self->cleaning)
        engine_commit (self->engine, self->operation, OPERATION_RUNNING, NULL, on_left_open, self);
      else
        run_advance (self, self->cleaning ? 0 : self->at + 1);
    }

  return G_SOURCE_REMOVE;
}

static void
on_step_returned (GObject      *source,
                  GAsyncResult *result,
                  gpointer      user_data)
{
  Run *self = user_data;

  if (!g_task_propagate_boolean (G_TASK (result), &self->step_error) && self->step_error == NULL)
    self->step_error = agent_error_new (AGENT_ERROR_INTERNAL, NULL, "failed without saying why");

  /* Not from here: the step's own code may still be below us on the stack. */
  g_idle_add_full (G_PRIORITY_DEFAULT, step_over, self, NULL);
}

void
run_start (Run *self)
{
  const Step *step = step_at (self, self->at);
  StepRecord *record = operation_get_record (self->operation, (guint) self->at);
  gboolean stoppable = step->when == STEP_FORWARD && !step->held;
  GTask *task;

  if (step->held && !window_enter (self))
    return;

  record->state = STEP_BEGUN;
  record->begun_us = g_get_real_time ();
  record->ended_us = 0;
  record->changed = TRUE;
  g_clear_pointer (&record->error, g_free);
  self->operation->step = self->at;
  operation_changed (self->operation);

  task = g_task_new (self->operation, stoppable ? self->operation->cancellable : NULL,
                     on_step_returned, self);
  g_task_set_name (task, step->name);

  /* The step says itself how it ended: work that is done when the cancel comes counts as done. */
  g_task_set_check_cancellable (task, FALSE);
  step->start (task, self->job);
}
