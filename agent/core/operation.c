/* SPDX-License-Identifier: Apache-2.0 */

/* Knows one operation: what was asked, how far it has come, what came of it. */

#include "operation-private.h"

#include <core/error.h>

#include <string.h>

G_DEFINE_FINAL_TYPE (Operation, operation, G_TYPE_OBJECT)

static guint changed_signal;

#define GAVE_WAY_TO "gave_way_to"      /* in the result: the id of an operation, or of one to be */

static const char *const state_words[] = {
  [OPERATION_QUEUED] = "queued",
  [OPERATION_RUNNING] = "running",
  [OPERATION_SUCCEEDED] = "succeeded",
  [OPERATION_FAILED] = "failed",
  [OPERATION_CANCELLED] = "cancelled",
};

static const char *const step_words[] = {
  [STEP_PENDING] = "pending",
  [STEP_BEGUN] = "running",
  [STEP_DONE] = "done",
  [STEP_FAILED] = "failed",
};

static void
step_record_free (StepRecord *record)
{
  g_free (record->name);
  g_free (record->error);
  g_free (record);
}

static void
operation_finalize (GObject *object)
{
  Operation *self = AGENT_OPERATION (object);

  g_free (self->id);
  g_free (self->kind);
  g_free (self->guest);
  g_strfreev (self->disks);
  g_free (self->idempotency_key);
  g_ptr_array_unref (self->steps);
  json_object_unref (self->request);
  json_object_unref (self->plan);
  json_object_unref (self->result);
  g_clear_error (&self->error);
  g_clear_error (&self->obstacle);
  g_clear_object (&self->claim);
  g_object_unref (self->cancellable);

  G_OBJECT_CLASS (operation_parent_class)->finalize (object);
}

static void
operation_class_init (OperationClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = operation_finalize;

  /**
   * Operation::changed:
   * @self: the operation
   *
   * Its state, step or progress moved.
   */
  changed_signal = g_signal_new ("changed", TYPE_OPERATION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                 G_TYPE_NONE, 0);
}

static void
operation_init (Operation *self)
{
  self->steps = g_ptr_array_new_with_free_func ((GDestroyNotify) step_record_free);
  self->step = -1;
  self->request = json_object_new ();
  self->plan = json_object_new ();
  self->result = json_object_new ();
  self->cancellable = g_cancellable_new ();
  self->created_us = g_get_real_time ();
}

Operation *
operation_new (const char *id,
               const char *kind,
               const char *guest)
{
  Operation *self = g_object_new (TYPE_OPERATION, NULL);

  self->id = g_strdup (id);
  self->kind = g_strdup (kind);
  self->guest = g_strdup (guest);

  return self;
}

StepRecord *
operation_add_step (Operation  *self,
                    const char *name)
{
  StepRecord *record = g_new0 (StepRecord, 1);

  record->name = g_strdup (name);
  g_ptr_array_add (self->steps, record);

  return record;
}

StepRecord *
operation_get_record (Operation *self,
                      guint      position)
{
  return g_ptr_array_index (self->steps, position);
}

int
operation_find_step (Operation  *self,
                     const char *name)
{
  for (guint i = 0; i < self->steps->len; i++)
    {
      if (g_strcmp0 (operation_get_record (self, i)->name, name) == 0)
        return (int) i;
    }

  return -1;
}

gboolean
operation_set_workflow (Operation       *self,
                        const Workflow  *workflow,
                        gpointer         environment,
                        GError         **error)
{
  g_autoptr (GPtrArray) known = g_steal_pointer (&self->steps);

  self->steps = g_ptr_array_new_with_free_func ((GDestroyNotify) step_record_free);

  for (const Step *step = workflow->steps; step->name != NULL; step++)
    {
      StepRecord *record = NULL;

      for (guint i = 0; i < known->len && record == NULL; i++)
        {
          StepRecord *each = g_ptr_array_index (known, i);

          if (g_str_equal (each->name, step->name))
            record = g_ptr_array_steal_index (known, i);
        }

      if (record != NULL)
        g_ptr_array_add (self->steps, record);
      else
        operation_add_step (self, step->name);
    }

  if (known->len > 0)
    {
      StepRecord *stranger = g_ptr_array_index (known, 0);

      agent_set_error (error, AGENT_ERROR_INTERNAL,
                       "let the version of qsnapd that began this operation finish it",
                       "operation %s (%s) has done a step '%s' that this version does not know",
                       self->id, self->kind, stranger->name);
      g_ptr_array_extend_and_steal (self->steps, g_steal_pointer (&known));
      return FALSE;
    }

  self->workflow = workflow;
  self->environment = environment;

  return TRUE;
}

void
operation_take_error (Operation *self,
                      GError    *error)
{
  g_autoptr (GError) later = error;
  g_autoptr (GError) first = g_steal_pointer (&self->error);

  if (first == NULL)
    self->error = g_steal_pointer (&later);
  else if (strstr (first->message, later->message) != NULL)
    self->error = g_steal_pointer (&first);
  else
    self->error = agent_error_new ((AgentError) first->code, agent_error_get_hint (first),
                                   "%s; then %s", first->message, later->message);
}

void
operation_take_obstacle (Operation *self,
                         GError    *error)
{
  g_clear_error (&self->obstacle);
  self->obstacle = error;
}

void
operation_changed (Operation *self)
{
  g_signal_emit (self, changed_signal, 0);
}

/**
 * operation_get_id:
 * @self: the operation
 *
 * Returns: (transfer none): its UUID
 */
const char *
operation_get_id (Operation *self)
{
  return self->id;
}

/**
 * operation_get_kind:
 * @self: the operation
 *
 * Returns: (transfer none): the kind of its workflow, such as "snapshot"
 */
const char *
operation_get_kind (Operation *self)
{
  return self->kind;
}

/**
 * operation_get_guest:
 * @self: the operation
 *
 * Returns: (transfer none): the id of the guest that it works on
 */
const char *
operation_get_guest (Operation *self)
{
  return self->guest;
}

/**
 * operation_get_state:
 * @self: the operation
 *
 * Returns: how far it has come
 */
OperationState
operation_get_state (Operation *self)
{
  return self->state;
}

/**
 * operation_is_finished:
 * @self: the operation
 *
 * Returns: %TRUE when nothing more will happen, which the journal knows by then
 */
gboolean
operation_is_finished (Operation *self)
{
  return self->state >= OPERATION_SUCCEEDED;
}

/**
 * operation_get_step:
 * @self: the operation
 *
 * Returns: (transfer none) (nullable): the name of the step that runs, or ran last
 */
const char *
operation_get_step (Operation *self)
{
  return self->step >= 0 ? operation_get_record (self, (guint) self->step)->name : NULL;
}

/**
 * operation_get_request:
 * @self: the operation
 *
 * Returns: (transfer none): what was asked for; not to be changed
 */
JsonObject *
operation_get_request (Operation *self)
{
  return self->request;
}

/**
 * operation_get_error:
 * @self: the operation
 *
 * Returns: (transfer none) (nullable): the error of AGENT_ERROR that it failed with, or is about to
 */
const GError *
operation_get_error (Operation *self)
{
  return self->error;
}

/**
 * operation_get_cancellable:
 * @self: the operation
 *
 * Returns: (transfer none): cancelled when somebody asked for the operation's end
 */
GCancellable *
operation_get_cancellable (Operation *self)
{
  return self->cancellable;
}

void
operation_note_wanted (Operation  *self,
                       const char *wanted_by)
{
  if (self->error == NULL && !g_cancellable_is_cancelled (self->cancellable))
    json_object_set_string_member (self->result, GAVE_WAY_TO, wanted_by);
}

/**
 * operation_gave_way:
 * @self: the operation
 *
 * Returns: whether it was cancelled because somebody else wanted its disks
 */
gboolean
operation_gave_way (Operation *self)
{
  return self->state == OPERATION_CANCELLED && json_object_has_member (self->result, GAVE_WAY_TO);
}

/**
 * operation_get_plan:
 * @self: the operation
 *
 * Returns: (transfer none): what it will touch; steps may add to it, and it is written to the
 *   journal before the next one begins
 */
JsonObject *
operation_get_plan (Operation *self)
{
  return self->plan;
}

/**
 * operation_get_result:
 * @self: the operation
 *
 * Returns: (transfer none): what came of it, for people; steps may add to it
 */
JsonObject *
operation_get_result (Operation *self)
{
  return self->result;
}

/**
 * operation_set_progress:
 * @self: the operation
 * @done: bytes that are done
 * @total: bytes in all; 0 when that is not known
 *
 * Tells those who watch. The journal is not told.
 */
void
operation_set_progress (Operation *self,
                        gint64     done,
                        gint64     total)
{
  if (self->done == done && self->total == total)
    return;

  self->done = done;
  self->total = total;
  operation_changed (self);
}

/**
 * operation_state_to_string:
 * @state: a state
 *
 * Returns: (transfer none): its word in JSON and in the journal
 */
const char *
operation_state_to_string (OperationState state)
{
  return state_words[state];
}

gboolean
operation_state_from_string (const char     *text,
                             OperationState *state)
{
  for (guint i = 0; i < G_N_ELEMENTS (state_words); i++)
    {
      if (g_strcmp0 (text, state_words[i]) == 0)
        {
          *state = (OperationState) i;
          return TRUE;
        }
    }

  return FALSE;
}

const char *
step_state_to_string (StepState state)
{
  return step_words[state];
}

/* What cannot be read counts as begun: unknown. */
StepState
step_state_from_string (const char *text)
{
  for (guint i = 0; i < G_N_ELEMENTS (step_words); i++)
    {
      if (g_strcmp0 (text, step_words[i]) == 0)
        return (StepState) i;
    }

  return STEP_BEGUN;
}
