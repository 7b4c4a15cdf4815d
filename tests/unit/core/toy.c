/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a workflow whose effects can be judged at any moment, and how to break into it. */

#include "toy.h"

#include "support.h"

#include <core/error.h>

#include <stdlib.h>
#include <unistd.h>

typedef struct
{
  Toy       *toy;
  Operation *operation;
  World     *world;
  gboolean   in_window;         /* this process has stopped the guest */
  gboolean   point_taken;       /* a fact */
} Job;

static World *
world_of (Toy       *self,
          Operation *operation)
{
  return &self->worlds[atoi (operation_get_guest (operation) + 1)];
}

/* A point in time at which the process may end. */
static void
pass (Toy *self)
{
  if (++self->n_moments == self->crash_at)
    _exit (TOY_CRASHED);
}

static gboolean
strikes (Fault      *fault,
         const char *step,
         Moment      moment)
{
  if (g_strcmp0 (fault->step, step) != 0 || fault->moment != moment || fault->times == 0)
    return FALSE;

  fault->times--;

  return TRUE;
}

static void
affect (Job        *job,
        const char *step)
{
  World *world = job->world;
  gboolean stood_still = world->frozen || world->stopped;

  if (g_str_equal (step, "create-overlays"))
    world->overlays = TRUE;
  else if (g_str_equal (step, "freeze"))
    world->frozen = TRUE;
  else if (g_str_equal (step, "stop"))
    world->stopped = TRUE;
  else if (g_str_equal (step, "take-point"))
    {
      g_assert_true (world->overlays && world->frozen && world->stopped);
      world->point = TRUE;
    }
  else if (g_str_equal (step, "cont"))
    world->stopped = FALSE;
  else if (g_str_equal (step, "thaw"))
    world->frozen = FALSE;
  else if (g_str_equal (step, "record-point"))
    world->recorded = world->point;
  else if (g_str_equal (step, "create-images"))
    world->image = TRUE;
  else if (g_str_equal (step, "upload"))
    {
      g_assert_true (world->image && world->recorded);
      world->uploaded = TRUE;
    }
  else if (g_str_equal (step, "delete-images"))
    world->image = world->uploaded = FALSE;
  else if (g_str_equal (step, "drop-overlays"))
    world->overlays = world->point;
  else
    g_assert_not_reached ();

  if (!stood_still && (world->frozen || world->stopped))
    {
      job->in_window = TRUE;
      job->toy->n_windows++;
    }
  else if (job->in_window && !world->frozen && !world->stopped)
    {
      job->in_window = FALSE;
      job->toy->n_windows--;
    }
}

/* TRUE when the task is over by it. */
static gboolean
disturb (GTask  *task,
         Job    *job,
         Moment  moment)
{
  const char *step = g_task_get_name (task);

  pass (job->toy);

  if (strikes (&job->toy->cancel, step, moment))
    g_assert_true (engine_cancel (job->toy->engine, job->operation, NULL));

  for (gsize i = 0; i < G_N_ELEMENTS (job->toy->faults); i++)
    {
      if (strikes (&job->toy->faults[i], step, moment))
        {
          job->world->busy = FALSE;
          g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_GUEST, "injected");
          return TRUE;
        }
    }

  if (moment == MOMENT_BEFORE && g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    {
      job->world->busy = FALSE;
      return g_task_return_error_if_cancelled (task);
    }

  return FALSE;
}

static gboolean
work (gpointer user_data)
{
  g_autoptr (GTask) task = g_object_ref (user_data);
  Job *job = g_task_get_task_data (task);

  affect (job, g_task_get_name (task));

  if (!disturb (task, job, MOMENT_AFTER))
    {
      job->world->busy = FALSE;
      g_task_return_boolean (task, TRUE);
    }

  return G_SOURCE_REMOVE;
}

/* Every other step is over before this returns. */
static void
begin (GTask    *task,
       gpointer  user_data)
{
  g_autoptr (GTask) owned = task;
  Job *job = user_data;

  g_assert_false (job->world->busy);
  job->world->busy = TRUE;
  g_task_set_task_data (task, job, NULL);

  if (job->toy->history != NULL)
    g_string_append_printf (job->toy->history, "%s ", g_task_get_name (task));

  if (disturb (task, job, MOMENT_BEFORE))
    return;

  if (job->toy->n_steps++ % 2 == 0)
    work (task);
  else
    g_idle_add_full (G_PRIORITY_DEFAULT, work, g_object_ref (task), g_object_unref);
}

static const Step toy_steps[] = {
  { "create-overlays", begin, STEP_FORWARD,    NULL,              FALSE, NULL },
  { "freeze",          begin, STEP_FORWARD,    NULL,              TRUE, NULL },
  { "stop",            begin, STEP_FORWARD,    NULL,              TRUE, NULL },
  { "take-point",      begin, STEP_FORWARD,    NULL,              TRUE, NULL },
  { "cont",            begin, STEP_ALWAYS,     "stop",            TRUE, NULL },
  { "thaw",            begin, STEP_ALWAYS,     "freeze",          TRUE, NULL },
  { "record-point",    begin, STEP_ALWAYS,     "take-point",      FALSE, NULL },
  { "create-images",   begin, STEP_FORWARD,    NULL,              FALSE, NULL },
  { "upload",          begin, STEP_FORWARD,    NULL,              FALSE, NULL },
  { "delete-images",   begin, STEP_ON_FAILURE, "create-images",   FALSE, NULL },
  { "drop-overlays",   begin, STEP_ON_FAILURE, "create-overlays", FALSE, NULL },
  { NULL,              NULL,  STEP_FORWARD,    NULL,              FALSE, NULL },
};

static gpointer
job_new (Operation  *operation,
         gpointer    environment,
         GError    **error)
{
  Job *job = g_new0 (Job, 1);

  job->toy = environment;
  job->operation = operation;
  job->world = world_of (environment, operation);

  return job;
}

static void
gather_facts (GTask    *task,
              gpointer  user_data)
{
  g_autoptr (GTask) owned = task;
  Job *job = user_data;

  pass (job->toy);
  job->point_taken = job->world->point;
  g_task_return_boolean (task, TRUE);
}

static Recovery
decide (gpointer    user_data,
        const char *last_step,
        gboolean    ended)
{
  Job *job = user_data;

  if (g_str_equal (last_step, "create-overlays"))
    return (Recovery) { RECOVERY_UNDO, NULL, "nothing was taken yet" };

  if (g_str_equal (last_step, "thaw"))
    return job->point_taken
           ? (Recovery) { RECOVERY_RESUME, "cont", "the point is there" }
           : (Recovery) { RECOVERY_UNDO, NULL, "the point was not taken" };

  if (g_str_equal (last_step, "record-point"))
    return (Recovery) { RECOVERY_RESUME, "record-point", "the point is there" };

  g_assert_true (g_str_equal (last_step, "create-images") || g_str_equal (last_step, "upload"));

  return (Recovery) { RECOVERY_RESUME, "create-images", "to be uploaded again" };
}

const Workflow toy_workflow = {
  .kind = "toy",
  .steps = toy_steps,
  .job_new = job_new,
  .job_free = g_free,
  .gather_facts = gather_facts,
  .decide = decide,
};

static gboolean
on_write (Journal   *journal,
          gpointer   user_data,
          GError   **error)
{
  Toy *self = user_data;

  /* The I/O of a guest stands still: not now. */
  g_assert_cmpuint (self->n_windows, ==, 0);

  pass (self);
  self->n_writes++;

  if (self->n_writes == self->cancel_at_write)
    {
      g_autoptr (GPtrArray) all = engine_list (self->engine, NULL);

      if (all->len > 0)
        g_assert_true (engine_cancel (self->engine, g_ptr_array_index (all, 0), NULL));
    }

  if (self->n_writes < self->refuse_from ||
      self->n_writes - self->refuse_from >= self->refuse_times)
    return TRUE;

  agent_set_error (error, AGENT_ERROR_NO_SPACE, NULL, "the journal refuses");

  return FALSE;
}

void
toy_start (Toy        *self,
           const char *path)
{
  g_autoptr (GError) error = NULL;

  self->journal = journal_open (path, &error);
  g_assert_no_error (error);
  self->engine = engine_new (self->journal);
  engine_register (self->engine, &toy_workflow, self);
  g_assert_true (engine_load (self->engine, &error));
  g_assert_no_error (error);
  journal_set_hook (self->journal, on_write, self);
}

void
toy_stop (Toy *self)
{
  g_clear_object (&self->engine);
  g_clear_object (&self->journal);
}

Operation *
toy_submit (Toy        *self,
            guint       guest,
            const char *key)
{
  static const char *const disks[] = { "vda", NULL };
  g_autofree char *name = g_strdup_printf ("g%u", guest);
  g_autofree char *id = g_uuid_string_random ();
  g_autoptr (JsonObject) request = json_object_new ();
  g_autoptr (JsonObject) plan = json_object_new ();
  g_autoptr (Claim) claim = NULL;
  g_autoptr (GError) error = NULL;
  Operation *operation;

  claim = engine_claim (self->engine, name, disks, "a request", &error);
  g_assert_no_error (error);
  operation = engine_submit (self->engine, "toy", id, claim, request, plan, key, &error);

  if (operation == NULL)
    g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);

  return operation;
}

static gboolean
is_idle (gpointer user_data)
{
  Toy *self = user_data;

  return engine_is_idle (self->engine);
}

void
toy_run (Toy *self)
{
  loop_until (is_idle, self);
}

void
toy_check_world (const World    *world,
                 OperationState  state)
{
  g_assert_false (world->busy);
  g_assert_false (world->frozen);
  g_assert_false (world->stopped);
  g_assert_cmpint (world->recorded, ==, world->point);
  g_assert_cmpint (world->overlays, ==, world->point);
  g_assert_cmpint (world->image, ==, state == OPERATION_SUCCEEDED);
  g_assert_cmpint (world->uploaded, ==, state == OPERATION_SUCCEEDED);

  if (state == OPERATION_SUCCEEDED)
    g_assert_true (world->point);
}

void
toy_check_again (Toy   *self,
                 guint  guest)
{
  Operation *operation;

  self->worlds[guest] = (World) { 0 };
  operation = toy_submit (self, guest, NULL);
  g_assert_nonnull (operation);
  toy_run (self);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_SUCCEEDED);
  toy_check_world (&self->worlds[guest], OPERATION_SUCCEEDED);
}
