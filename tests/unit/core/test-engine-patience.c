/* SPDX-License-Identifier: Apache-2.0 */

/* Steps that are patient: one that fails leaves the operation open instead of failing it, and
 * whoever takes it up runs them all again. */

#include "engine-private.h"
#include "support.h"

#include <core/error.h>

#include <string.h>

typedef struct
{
  Journal    *journal;
  Engine     *engine;
  char       *folder;
  const char *fails;            /* (nullable): the step that does, ... */
  guint       times;            /* ... so often */
  GString    *history;
  const char *refused_behind;   /* (nullable): when this was run last, one write is refused */
} Fixture;

static gpointer
job_new (Operation  *operation,
         gpointer    environment,
         GError    **error)
{
  return environment;
}

static void
run_step (GTask    *task,
          gpointer  user_data)
{
  g_autoptr (GTask) owned = task;
  Fixture *self = user_data;

  g_string_append_printf (self->history, "%s ", g_task_get_name (task));
  if (self->times > 0 && g_strcmp0 (g_task_get_name (task), self->fails) == 0)
    {
      self->times--;
      g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE, "injected");
    }
  else
    g_task_return_boolean (task, TRUE);
}

static Recovery
decide (gpointer    user_data,
        const char *last_step,
        gboolean    ended)
{
  return (Recovery) { RECOVERY_RESUME, "fold", "what is folded begins by looking" };
}

static const Step steps[] = {
  { "point",  run_step, STEP_FORWARD, NULL,    FALSE, NULL },
  { "upload", run_step, STEP_FORWARD, NULL,    FALSE, NULL },
  { "fold",   run_step, STEP_ALWAYS,  "point", FALSE, NULL },
  { "pivot",  run_step, STEP_ALWAYS,  "point", TRUE,  NULL },
  { "go-on",  run_step, STEP_ALWAYS,  "point", TRUE,  NULL },
  { "tidy",   run_step, STEP_ALWAYS,  "point", FALSE, NULL },
  { NULL,     NULL,     STEP_FORWARD, NULL,    FALSE, NULL },
};

static const Workflow workflow = {
  .kind = "folding",
  .steps = steps,
  .job_new = job_new,
  .decide = decide,
  .patient_from = "fold",
};

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  g_autofree char *path = NULL;

  self->folder = folder_new ();
  path = g_build_filename (self->folder, "journal", NULL);
  self->journal = journal_open (path, NULL);
  self->engine = engine_new (self->journal);
  engine_register (self->engine, &workflow, self);
  g_assert_true (engine_load (self->engine, NULL));
  self->history = g_string_new (NULL);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  g_clear_object (&self->engine);
  g_clear_object (&self->journal);
  g_string_free (self->history, TRUE);
  folder_remove (self->folder);
  g_free (self->folder);
}

static gboolean
is_idle (gpointer user_data)
{
  return engine_is_idle (((Fixture *) user_data)->engine);
}

/* Until it is over, or open and at rest. */
static void
expect (Fixture        *self,
        Operation      *operation,
        const char     *history,
        OperationState  state)
{
  loop_until (is_idle, self);
  g_assert_cmpstr (self->history->str, ==, history);
  g_assert_cmpint (operation_get_state (operation), ==, state);
  g_string_truncate (self->history, 0);
}

static Operation *
submit_on (Fixture    *self,
           const char *guest,
           const char *disk)
{
  const char *const disks[] = { disk, NULL };
  g_autofree char *id = g_uuid_string_random ();
  g_autoptr (JsonObject) request = json_object_new ();
  g_autoptr (JsonObject) plan = json_object_new ();
  g_autoptr (Claim) claim = engine_claim (self->engine, guest, disks, "a request", NULL);
  g_autoptr (GError) error = NULL;
  Operation *operation;

  operation = engine_submit (self->engine, "folding", id, claim, request, plan, NULL, &error);
  g_assert_no_error (error);
  return operation;
}

static Operation *
submit (Fixture    *self,
        const char *fails,
        guint       times)
{
  self->fails = fails;
  self->times = times;
  return submit_on (self, "g", "vda");
}

/* The guest is away, and comes back: the operation was never said to have failed. */
static void
test_stays_open (Fixture       *self,
                 gconstpointer  data)
{
  Operation *operation = submit (self, "fold", 2);

  expect (self, operation, "point upload fold ", OPERATION_RUNNING);
  g_assert_null (operation_get_error (operation));
  engine_recover (self->engine, "g");
  expect (self, operation, "fold ", OPERATION_RUNNING);
  engine_recover (self->engine, "g");
  expect (self, operation, "fold pivot go-on tidy ", OPERATION_SUCCEEDED);
}

/* In a window the rest of it runs all the same: the guest must not be left standing. */
static void
test_window_is_closed (Fixture       *self,
                       gconstpointer  data)
{
  Operation *operation = submit (self, "pivot", 1);

  expect (self, operation, "point upload fold pivot go-on ", OPERATION_RUNNING);
  engine_recover (self->engine, "g");
  expect (self, operation, "fold pivot go-on tidy ", OPERATION_SUCCEEDED);
}

/* What was done of it before has to be done again: the job has forgotten what it saw. */
static void
test_done_again (Fixture       *self,
                 gconstpointer  data)
{
  Operation *operation = submit (self, "upload", 1);
  gboolean failed = FALSE;

  /* The upload fails, and then the last of the cleaning. */
  while (!failed)
    {
      g_main_context_iteration (NULL, TRUE);
      failed = operation_get_error (operation) != NULL;
    }
  self->fails = "tidy";
  self->times = 1;
  expect (self, operation, "point upload fold pivot go-on tidy ", OPERATION_RUNNING);
  engine_recover (self->engine, "g");
  expect (self, operation, "fold pivot go-on tidy ", OPERATION_FAILED);
}

/* What one operation has stopped, another one on the same guest must not let go. */
static void
test_one_window_a_guest (Fixture       *self,
                         gconstpointer  data)
{
  static const char *const disks[] = { "vda", "vdb", "vdc", NULL };
  g_auto (GStrv) steps_run = NULL;
  guint windows = 0;

  for (guint i = 0; disks[i] != NULL; i++)
    submit_on (self, "g", disks[i]);
  loop_until (is_idle, self);
  steps_run = g_strsplit (self->history->str, " ", -1);
  for (guint i = 0; steps_run[i] != NULL; i++)
    if (g_str_equal (steps_run[i], "pivot"))
      {
        g_assert_cmpstr (steps_run[i + 1], ==, "go-on");
        windows++;
      }
  g_assert_cmpuint (windows, ==, 3);
}

/* Those of different guests go side by side. */
static void
test_windows_of_guests (Fixture       *self,
                        gconstpointer  data)
{
  submit_on (self, "g", "vda");
  submit_on (self, "h", "vda");
  loop_until (is_idle, self);
  g_assert_nonnull (strstr (self->history->str, "pivot pivot go-on go-on"));
}

static gboolean
on_write (Journal   *journal,
          gpointer   user_data,
          GError   **error)
{
  Fixture *self = user_data;

  if (self->refused_behind == NULL || !g_str_has_suffix (self->history->str, self->refused_behind))
    return TRUE;
  self->refused_behind = NULL;
  agent_set_error (error, AGENT_ERROR_NO_SPACE, NULL, "the journal refuses");
  return FALSE;
}

/* A write that fails between steps that are patient makes no failure of what is done; one before
 * them all does. */
static void
test_refused_write (Fixture       *self,
                    gconstpointer  data)
{
  Operation *operation;

  journal_set_hook (self->journal, on_write, self);
  self->refused_behind = "fold ";
  operation = submit (self, NULL, 0);
  expect (self, operation, "point upload fold pivot go-on tidy ", OPERATION_SUCCEEDED);
  g_assert_null (operation_get_error (operation));
  g_assert_null (self->refused_behind);

  self->refused_behind = "go-on ";
  operation = submit (self, NULL, 0);
  expect (self, operation, "point upload fold pivot go-on tidy ", OPERATION_SUCCEEDED);

  self->refused_behind = "upload ";
  operation = submit (self, NULL, 0);
  expect (self, operation, "point upload fold pivot go-on tidy ", OPERATION_FAILED);
  journal_set_hook (self->journal, NULL, NULL);
}

#define ADD(name, func) \
  g_test_add ("/engine/patience/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("stays-open", test_stays_open);
  ADD ("window-is-closed", test_window_is_closed);
  ADD ("done-again", test_done_again);
  ADD ("refused-write", test_refused_write);
  ADD ("one-window-a-guest", test_one_window_a_guest);
  ADD ("windows-of-guests", test_windows_of_guests);
  return g_test_run ();
}
