/* SPDX-License-Identifier: Apache-2.0 */

/* Knows all operations: takes new ones, finds old ones, ends those that nobody wants any more. */

#include "claim-private.h"

#include <core/error.h>

G_DEFINE_FINAL_TYPE (Engine, engine, G_TYPE_OBJECT)

static guint operation_signal;
static guint freed_signal;

static void
engine_finalize (GObject *object)
{
  Engine *self = AGENT_ENGINE (object);

  for (guint i = 0; i < self->operations->len; i++)
    {
      Operation *operation = g_ptr_array_index (self->operations, i);

      g_clear_handle_id (&operation->retry_source, g_source_remove);
    }

  g_hash_table_unref (self->by_id);
  g_hash_table_unref (self->by_key);
  g_ptr_array_unref (self->operations);
  g_ptr_array_unref (self->commits);
  g_ptr_array_unref (self->claims);
  g_ptr_array_unref (self->claiming);
  g_ptr_array_unref (self->windows);
  g_ptr_array_unref (self->waiting);
  g_hash_table_unref (self->kinds);
  g_object_unref (self->journal);

  G_OBJECT_CLASS (engine_parent_class)->finalize (object);
}

static void
engine_class_init (EngineClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = engine_finalize;

  /**
   * Engine::operation:
   * @self: the engine
   * @operation: an operation
   *
   * @operation was added, or its state, step or progress moved.
   */
  operation_signal = g_signal_new ("operation", TYPE_ENGINE, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                   NULL, G_TYPE_NONE, 1, TYPE_OPERATION);

  /**
   * Engine::freed:
   * @self: the engine
   * @guest: a guest's id
   *
   * Disks of @guest that were held, and not by somebody who gives way, are not any more.
   */
  freed_signal = g_signal_new ("freed", TYPE_ENGINE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                               G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void
engine_init (Engine *self)
{
  self->kinds = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->operations = g_ptr_array_new_with_free_func (g_object_unref);
  self->by_id = g_hash_table_new (g_str_hash, g_str_equal);
  self->by_key = g_hash_table_new (g_str_hash, g_str_equal);
  self->claims = g_ptr_array_new ();
  self->claiming = g_ptr_array_new_with_free_func (g_object_unref);
  self->windows = g_ptr_array_new ();
  self->waiting = g_ptr_array_new ();
  self->commits = g_ptr_array_new_with_free_func ((GDestroyNotify) commit_free);
}

/**
 * engine_new:
 * @journal: the journal, which operations are written to
 *
 * Returns: (transfer full): an engine that knows no kind of operation yet
 */
Engine *
engine_new (Journal *journal)
{
  Engine *self = g_object_new (TYPE_ENGINE, NULL);

  self->journal = g_object_ref (journal);

  return self;
}

/* What the engine relies on. */
static gboolean
is_sound (const Workflow *workflow)
{
  gboolean patient_is_known = FALSE;

  for (const Step *step = workflow->steps; step->name != NULL; step++)
    {
      gboolean cleaned_is_known = FALSE;

      patient_is_known = patient_is_known || g_strcmp0 (step->name, workflow->patient_from) == 0;

      for (const Step *before = workflow->steps; before != step; before++)
        {
          if (g_str_equal (before->name, step->name))
            return FALSE;

          if (before->when == STEP_FORWARD && g_strcmp0 (before->name, step->cleans_up) == 0)
            cleaned_is_known = TRUE;
        }

      if ((step->when == STEP_FORWARD) != (step->cleans_up == NULL) ||
          (step->when != STEP_FORWARD && !cleaned_is_known))
        return FALSE;
    }

  return workflow->steps[0].name != NULL && workflow->job_new != NULL &&
         workflow->decide != NULL && (workflow->patient_from == NULL || patient_is_known);
}

/**
 * engine_register:
 * @self: the engine
 * @workflow: a kind of operation, which lives as long as the engine; its steps have names of their
 *   own, and those that clean up stand behind the forward step that they clean up after
 * @environment: handed to the workflow's job_new
 *
 * Teaches the engine a kind of operation. All are registered before engine_load().
 */
void
engine_register (Engine         *self,
                 const Workflow *workflow,
                 gpointer        environment)
{
  Registration *registration;

  g_return_if_fail (is_sound (workflow));

  registration = g_new (Registration, 1);
  registration->workflow = workflow;
  registration->environment = environment;
  g_hash_table_replace (self->kinds, g_strdup (workflow->kind), registration);
}

static void
on_operation_changed (Operation *operation,
                      Engine    *self)
{
  g_signal_emit (self, operation_signal, 0, operation);
}

void
engine_add (Engine    *self,
            Operation *operation)
{
  g_ptr_array_add (self->operations, g_object_ref (operation));
  g_hash_table_insert (self->by_id, operation->id, operation);

  if (operation->idempotency_key != NULL)
    g_hash_table_insert (self->by_key, operation->idempotency_key, operation);

  g_signal_connect_object (operation, "changed", G_CALLBACK (on_operation_changed), self, 0);
}

void
engine_freed (Engine     *self,
              const char *guest)
{
  g_signal_emit (self, freed_signal, 0, guest);
}

static gboolean
insert (Engine     *self,
        Run        *run,
        GError    **error)
{
  Operation *operation = run->operation;

  if (!journal_begin (self->journal, error))
    return FALSE;

  if (!operation_insert (operation, self->journal, error) ||
      !operation_update (operation, self->journal, OPERATION_RUNNING, 0, run->announced, error))
    {
      journal_rollback (self->journal);
      return FALSE;
    }

  if (!journal_commit (self->journal, error))
    return FALSE;

  operation_written (operation, OPERATION_RUNNING, 0, run->announced);

  return TRUE;
}

static gboolean
on_submitted (gpointer user_data)
{
  Run *run = user_data;

  if (g_cancellable_is_cancelled (run->operation->cancellable))
    run_advance (run, 0);
  else
    run_start (run);

  return G_SOURCE_REMOVE;
}

/**
 * engine_submit:
 * @self: the engine
 * @kind: a kind that was registered
 * @id: a new UUID, from which the names in @plan derive
 * @claim: (transfer none): holds the disks; the operation keeps it until it has finished
 * @request: (transfer none): what was asked for
 * @plan: (transfer none): what the operation will touch
 * @idempotency_key: (nullable): for engine_repeated()
 * @error: return location
 *
 * Writes the operation to the journal, with its first step as begun, and starts it from the main
 * loop.
 *
 * Returns: (transfer none): the operation; %NULL with an error of the workflow's job_new,
 *   AGENT_ERROR_CONFLICT when @id or @idempotency_key is taken, AGENT_ERROR_NO_SPACE or
 *   AGENT_ERROR_INTERNAL: then nothing was begun
 */
Operation *
engine_submit (Engine      *self,
               const char  *kind,
               const char  *id,
               Claim       *claim,
               JsonObject  *request,
               JsonObject  *plan,
               const char  *idempotency_key,
               GError     **error)
{
  Registration *registration = g_hash_table_lookup (self->kinds, kind);
  g_autoptr (Operation) operation = operation_new (id, kind, claim_get_guest (claim));
  gpointer job;
  Run *run;

  if (registration == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "there are no operations of kind '%s'",
                       kind);
      return NULL;
    }

  operation->disks = g_strdupv (claim_get_disks (claim));
  operation->idempotency_key = g_strdup (idempotency_key);
  operation->started_us = operation->created_us;
  g_clear_pointer (&operation->request, json_object_unref);
  operation->request = json_object_ref (request);
  g_clear_pointer (&operation->plan, json_object_unref);
  operation->plan = json_object_ref (plan);

  if (!operation_set_workflow (operation, registration->workflow, registration->environment, error))
    return NULL;

  job = registration->workflow->job_new (operation, registration->environment, error);

  if (job == NULL)
    return NULL;

  run = run_new (self, operation);
  run->job = job;
  run_announce (run, run_find_first (run));

  if (!insert (self, run, error))
    {
      run_free (run);
      return NULL;
    }

  operation->claim = g_object_ref (claim);
  claim_hold_for (claim, operation);
  engine_add (self, operation);
  operation_changed (operation);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_submitted, run, NULL);

  return operation;
}

/**
 * engine_repeated:
 * @self: the engine
 * @idempotency_key: (nullable): what the caller calls the request
 * @kind: the workflow that it is for
 * @guest: the guest that it is for
 * @request: what is asked for
 * @error: return location
 *
 * Returns: (transfer none) (nullable): the operation that came of the same request earlier; %NULL
 *   when there was none; %NULL with AGENT_ERROR_CONFLICT when the key stood for another request
 */
Operation *
engine_repeated (Engine      *self,
                 const char  *idempotency_key,
                 const char  *kind,
                 const char  *guest,
                 JsonObject  *request,
                 GError     **error)
{
  g_autoptr (JsonNode) before = NULL;
  g_autoptr (JsonNode) now = NULL;
  Operation *operation;

  if (idempotency_key == NULL)
    return NULL;

  operation = g_hash_table_lookup (self->by_key, idempotency_key);

  if (operation == NULL)
    return NULL;

  before = json_node_init_object (json_node_alloc (), operation->request);
  now = json_node_init_object (json_node_alloc (), request);

  if (g_str_equal (operation->kind, kind) && g_str_equal (operation->guest, guest)
      && json_node_equal (before, now))
    return operation;

  agent_set_error (error, AGENT_ERROR_CONFLICT, "choose a new key for each new request",
                   "the idempotency key '%s' was used for another request, which became operation "
                   "%s", idempotency_key, operation->id);

  return NULL;
}

/**
 * engine_find:
 * @self: the engine
 * @id: an operation's id
 *
 * Returns: (transfer none) (nullable): the operation
 */
Operation *
engine_find (Engine     *self,
             const char *id)
{
  return g_hash_table_lookup (self->by_id, id);
}

/**
 * engine_list:
 * @self: the engine
 * @guest: (nullable): a guest's id; %NULL for all
 *
 * Returns: (transfer full) (element-type Operation): the operations, newest first
 */
GPtrArray *
engine_list (Engine     *self,
             const char *guest)
{
  GPtrArray *list = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = self->operations->len; i > 0; i--)
    {
      Operation *operation = g_ptr_array_index (self->operations, i - 1);

      if (guest == NULL || g_str_equal (operation->guest, guest))
        g_ptr_array_add (list, g_object_ref (operation));
    }

  return list;
}

/* One that waits has nobody at work to see the cancellable: the journal remembers for it. Whoever
 * asks again has it tried again. */
static gboolean
cancel_waiting (Engine     *self,
                Operation  *operation,
                GError    **error)
{
  if (operation->error != NULL || operation->complete)
    {
      recovery_start (self, operation);
      return TRUE;
    }

  operation->error = agent_error_new (AGENT_ERROR_CANCELLED, NULL,
                                      "cancelled while it waited for its guest");

  if (!engine_write (self, operation, error))
    {
      g_clear_error (&operation->error);
      return FALSE;
    }

  recovery_start (self, operation);

  return TRUE;
}

/**
 * engine_cancel:
 * @self: the engine
 * @operation: one of its operations
 * @error: return location
 *
 * Asks for the operation's end: the step that runs is told, then all that has begun is cleaned up.
 * An operation whose steps are all done by then succeeds.
 *
 * Returns: %FALSE with AGENT_ERROR_CONFLICT when it is over already, or when the journal cannot be
 *   told with AGENT_ERROR_NO_SPACE or AGENT_ERROR_INTERNAL
 */
gboolean
engine_cancel (Engine     *self,
               Operation  *operation,
               GError    **error)
{
  if (operation_is_finished (operation))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "operation %s is over: it has %s",
                       operation->id, operation_state_to_string (operation->state));
      return FALSE;
    }

  if (!operation->running)
    return cancel_waiting (self, operation, error);

  g_cancellable_cancel (operation->cancellable);

  return TRUE;
}

/**
 * engine_is_idle:
 * @self: the engine
 *
 * Returns: %TRUE when nothing runs; operations that wait for their guest do not count
 */
gboolean
engine_is_idle (Engine *self)
{
  return self->n_running == 0;
}

/**
 * engine_is_holding:
 * @self: the engine
 *
 * Returns: %TRUE while a guest stands still for a held step: not the moment to leave it
 */
gboolean
engine_is_holding (Engine *self)
{
  return self->windows->len > 0;
}
