/* SPDX-License-Identifier: Apache-2.0 */

/* Each step fails, each journal write fails, somebody asks for the end at each moment: the world is
 * as promised, and the next operation finds nothing in its way. */

#include "toy.h"

#include "support.h"

#include <core/error.h>

#include <string.h>

typedef struct
{
  char  *folder;
  char  *path;
  World  world;
  Toy    toy;
} Fixture;

static void
set_up (Fixture *fixture)
{
  memset (fixture, 0, sizeof *fixture);
  fixture->folder = folder_new ();
  fixture->path = g_build_filename (fixture->folder, "journal", NULL);
  fixture->toy.worlds = &fixture->world;
}

static void
tear_down (Fixture *fixture)
{
  toy_stop (&fixture->toy);
  folder_remove (fixture->folder);
  g_free (fixture->folder);
  g_free (fixture->path);
}

static const char *
error_message (Operation *operation)
{
  const GError *error = operation_get_error (operation);

  return error != NULL ? error->message : "";
}

static gboolean
is_open (Operation *operation)
{
  return operation_get_state (operation) == OPERATION_RUNNING && operation->obstacle != NULL &&
         !operation->running;
}

/* What the steps have come to, of those that began. */
static char *
show_steps (Fixture *fixture)
{
  g_autoptr (GPtrArray) all = engine_list (fixture->toy.engine, NULL);
  g_autoptr (GString) text = g_string_new (NULL);
  Operation *operation = g_ptr_array_index (all, 0);

  for (guint i = 0; i < operation->steps->len; i++)
    {
      StepRecord *record = operation_get_record (operation, i);

      if (record->begun_us != 0)
        g_string_append_printf (text, "%s %s, ", record->name,
                                step_state_to_string (record->state));
    }

  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* The operation, once more, as a restart would find it. */
static void
check_reloaded (Fixture        *fixture,
                OperationState  state)
{
  g_autofree char *steps = show_steps (fixture);
  g_autofree char *reloaded = NULL;
  g_autoptr (GPtrArray) all = NULL;
  Operation *operation;

  toy_stop (&fixture->toy);
  fixture->toy = (Toy) { .worlds = &fixture->world };
  toy_start (&fixture->toy, fixture->path);
  all = engine_list (fixture->toy.engine, NULL);
  g_assert_cmpuint (all->len, ==, 1);
  operation = g_ptr_array_index (all, 0);
  g_assert_cmpint (operation_get_state (operation), ==, state);
  g_assert_cmpint (operation_get_error (operation) == NULL, ==, state == OPERATION_SUCCEEDED);
  reloaded = show_steps (fixture);
  g_assert_cmpstr (reloaded, ==, steps);
}

static void
test_success (void)
{
  Fixture fixture;
  Operation *operation;

  set_up (&fixture);
  fixture.toy.history = g_string_new (NULL);
  toy_start (&fixture.toy, fixture.path);
  operation = toy_submit (&fixture.toy, 0, NULL);
  toy_run (&fixture.toy);

  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_SUCCEEDED);
  toy_check_world (&fixture.world, OPERATION_SUCCEEDED);
  g_assert_cmpstr (fixture.toy.history->str, ==,
                   "create-overlays freeze stop take-point cont thaw record-point create-images "
                   "upload ");
  g_string_free (fixture.toy.history, TRUE);

  /* Submitted with its first step, the window, three steps behind it, the end. */
  g_assert_cmpuint (fixture.toy.n_writes, ==, 6);
  check_reloaded (&fixture, OPERATION_SUCCEEDED);
  tear_down (&fixture);
}

/* What runs when @step fails once. */
static void
test_order (void)
{
  static const struct { const char *step; Moment moment; const char *history; } rows[] = {
    { "create-overlays", MOMENT_BEFORE, "create-overlays drop-overlays " },
    { "freeze", MOMENT_AFTER, "create-overlays freeze thaw drop-overlays " },
    { "stop", MOMENT_BEFORE, "create-overlays freeze stop cont thaw drop-overlays " },
    { "take-point", MOMENT_AFTER,
      "create-overlays freeze stop take-point cont thaw record-point drop-overlays " },
    { "cont", MOMENT_BEFORE,
      "create-overlays freeze stop take-point cont thaw cont record-point drop-overlays " },
    { "upload", MOMENT_AFTER,
      "create-overlays freeze stop take-point cont thaw record-point create-images upload "
      "delete-images drop-overlays " },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      Fixture fixture;

      set_up (&fixture);
      fixture.toy.history = g_string_new (NULL);
      fixture.toy.faults[0] = (Fault) { rows[i].step, rows[i].moment, 1 };
      toy_start (&fixture.toy, fixture.path);
      toy_submit (&fixture.toy, 0, NULL);

      /* "cont" fails with the guest standing still, and is tried again behind a journal write. */
      if (g_str_equal (rows[i].step, "cont"))
        journal_set_hook (fixture.toy.journal, NULL, NULL);

      toy_run (&fixture.toy);
      g_assert_cmpstr (fixture.toy.history->str, ==, rows[i].history);
      g_string_free (fixture.toy.history, TRUE);
      tear_down (&fixture);
    }
}

/* Each step fails, once, on the way forward. */
static void
test_failure (void)
{
  for (const Step *step = toy_workflow.steps; step->when != STEP_ON_FAILURE; step++)
    {
      for (int moment = MOMENT_BEFORE; moment <= MOMENT_AFTER; moment++)
        {
          Fixture fixture;
          Operation *operation;

          set_up (&fixture);
          fixture.toy.faults[0] = (Fault) { step->name, (Moment) moment, 1 };
          toy_start (&fixture.toy, fixture.path);

          if (g_str_equal (step->name, "cont") || g_str_equal (step->name, "thaw"))
            journal_set_hook (fixture.toy.journal, NULL, NULL);

          operation = toy_submit (&fixture.toy, 0, NULL);
          toy_run (&fixture.toy);

          g_assert_cmpint (operation_get_state (operation), ==, OPERATION_FAILED);
          g_assert_error (operation_get_error (operation), AGENT_ERROR, AGENT_ERROR_GUEST);
          g_assert_true (g_str_has_prefix (error_message (operation), step->name));
          toy_check_world (&fixture.world, OPERATION_FAILED);
          check_reloaded (&fixture, OPERATION_FAILED);
          toy_check_again (&fixture.toy, 0);
          tear_down (&fixture);
        }
    }
}

/* Each step fails, and then each cleaning step as well: the operation stays open, and a restart or
 * the guest's return ends it. */
static void
run_two_failures (const char *step,
                  const char *cleaning,
                  gboolean    restart)
{
  Fixture fixture;
  g_autofree char *note = g_strdup_printf ("%s: injected", cleaning);
  g_autoptr (GPtrArray) all = NULL;
  const char *first;
  Operation *operation;

  set_up (&fixture);
  fixture.toy.faults[0] = (Fault) { step, MOMENT_AFTER, 1 };
  fixture.toy.faults[1] = (Fault) { cleaning, MOMENT_BEFORE, G_MAXUINT };
  toy_start (&fixture.toy, fixture.path);
  journal_set_hook (fixture.toy.journal, NULL, NULL);
  operation = toy_submit (&fixture.toy, 0, NULL);
  toy_run (&fixture.toy);

  /* One that always runs may come, and fail, before @step. */
  first = fixture.toy.faults[0].times == 0 ? step : cleaning;

  /* Not every failure needs every cleaning step. */
  if (fixture.toy.faults[1].times < G_MAXUINT)
    {
      g_autoptr (JsonNode) json = operation_to_json (operation);
      g_autofree char *text = json_to_string (json, FALSE);
      g_autoptr (GError) error = NULL;

      g_assert_true (is_open (operation));
      g_assert_nonnull (strstr (text, "\"state\":\"running\""));
      g_assert_nonnull (strstr (text, note));
      g_assert_null (engine_claim (fixture.toy.engine, "g0", NULL, "another", &error));
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);

      if (restart)
        {
          toy_stop (&fixture.toy);
          fixture.toy = (Toy) { .worlds = &fixture.world };
          toy_start (&fixture.toy, fixture.path);
          journal_set_hook (fixture.toy.journal, NULL, NULL);
        }

      fixture.toy.faults[1].times = 0;
      engine_recover (fixture.toy.engine, "another guest");
      g_assert_true (engine_is_idle (fixture.toy.engine));
      engine_recover (fixture.toy.engine, "g0");
      toy_run (&fixture.toy);
    }

  all = engine_list (fixture.toy.engine, NULL);
  operation = g_ptr_array_index (all, 0);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_FAILED);
  g_assert_true (g_str_has_prefix (error_message (operation), first));
  toy_check_world (&fixture.world, OPERATION_FAILED);
  memset (fixture.toy.faults, 0, sizeof fixture.toy.faults);
  toy_check_again (&fixture.toy, 0);
  tear_down (&fixture);
}

static void
test_failing_cleaning (void)
{
  for (const Step *step = toy_workflow.steps; step->when != STEP_ON_FAILURE; step++)
    {
      for (const Step *cleaning = toy_workflow.steps; cleaning->name != NULL; cleaning++)
        {
          if (cleaning->when == STEP_FORWARD || step->when != STEP_FORWARD)
            continue;

          run_two_failures (step->name, cleaning->name, FALSE);
          run_two_failures (step->name, cleaning->name, TRUE);
        }
    }
}

/* Somebody asks for the end in each step. */
static void
test_cancel (void)
{
  for (const Step *step = toy_workflow.steps; step->when != STEP_ON_FAILURE; step++)
    {
      for (int moment = MOMENT_BEFORE; moment <= MOMENT_AFTER; moment++)
        {
          gboolean too_late = g_str_equal (step->name, "upload") && moment == MOMENT_AFTER;
          OperationState expected = too_late ? OPERATION_SUCCEEDED : OPERATION_CANCELLED;
          Fixture fixture;
          Operation *operation;
          g_autoptr (GError) error = NULL;

          set_up (&fixture);
          fixture.toy.cancel = (Fault) { step->name, (Moment) moment, 1 };
          toy_start (&fixture.toy, fixture.path);
          operation = toy_submit (&fixture.toy, 0, NULL);
          toy_run (&fixture.toy);

          g_assert_cmpint (operation_get_state (operation), ==, expected);
          toy_check_world (&fixture.world, expected);

          /* The window was gone through as a whole. */
          g_assert_cmpint (fixture.world.point, ==, !g_str_equal (step->name, "create-overlays"));

          g_assert_false (engine_cancel (fixture.toy.engine, operation, &error));
          g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
          check_reloaded (&fixture, expected);
          toy_check_again (&fixture.toy, 0);
          tear_down (&fixture);
        }
    }
}

/* ... in each cleaning step, when it is no news any more, ... */
static void
test_cancel_while_cleaning (void)
{
  static const char *const steps[] = { "delete-images", "drop-overlays" };

  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      Fixture fixture;
      Operation *operation;

      set_up (&fixture);
      fixture.toy.faults[0] = (Fault) { "upload", MOMENT_BEFORE, 1 };
      fixture.toy.cancel = (Fault) { steps[i], MOMENT_BEFORE, 1 };
      toy_start (&fixture.toy, fixture.path);
      operation = toy_submit (&fixture.toy, 0, NULL);
      toy_run (&fixture.toy);

      g_assert_cmpuint (fixture.toy.cancel.times, ==, 0);
      g_assert_cmpint (operation_get_state (operation), ==, OPERATION_FAILED);
      toy_check_world (&fixture.world, OPERATION_FAILED);
      tear_down (&fixture);
    }
}

/* ... before the first step, and between any two. */
static void
test_cancel_between (void)
{
  gboolean reached = TRUE;

  for (guint n = 1; reached; n++)
    {
      Fixture fixture;
      Operation *operation;
      OperationState expected;

      set_up (&fixture);
      fixture.toy.cancel_at_write = n;
      toy_start (&fixture.toy, fixture.path);
      operation = toy_submit (&fixture.toy, 0, NULL);

      if (n == 1)
        g_assert_true (engine_cancel (fixture.toy.engine, operation, NULL));

      toy_run (&fixture.toy);
      reached = fixture.toy.n_writes >= n;

      /* The write behind the last step comes too late. */
      expected = n < 6 ? OPERATION_CANCELLED : OPERATION_SUCCEEDED;
      g_assert_cmpint (operation_get_state (operation), ==, expected);
      toy_check_world (&fixture.world, expected);
      check_reloaded (&fixture, expected);
      tear_down (&fixture);
    }
}

/* The journal refuses the nth write, and @times - 1 more behind it. @step fails, if it is not NULL.
 * */
static gboolean
run_refused_write (guint       n,
                   guint       times,
                   const char *step)
{
  Fixture fixture;
  Operation *operation;
  OperationState state;
  gboolean reached;

  set_up (&fixture);
  fixture.toy.refuse_from = n;
  fixture.toy.refuse_times = times;
  fixture.toy.faults[0] = (Fault) { step, MOMENT_AFTER, 1 };
  toy_start (&fixture.toy, fixture.path);
  operation = toy_submit (&fixture.toy, 0, NULL);

  /* Not in the journal, so it never was. */
  if (n == 1)
    {
      World untouched = { 0 };

      g_assert_null (operation);
      g_assert_true (engine_is_idle (fixture.toy.engine));
      g_assert_cmpmem (&fixture.world, sizeof (World), &untouched, sizeof (World));
    }
  else
    {
      toy_run (&fixture.toy);

      if (fixture.toy.n_writes >= n)
        g_assert_true (is_open (operation) || times == 1);

      /* The work is done, whether or not the journal could be told. */
      toy_check_world (&fixture.world, operation_get_error (operation) == NULL
                                       ? OPERATION_SUCCEEDED : OPERATION_FAILED);
    }

  reached = fixture.toy.n_writes >= n;
  fixture.toy.refuse_times = 0;

  if (n > 1)
    {
      guint n_steps = fixture.toy.n_steps;

      engine_recover (fixture.toy.engine, NULL);
      toy_run (&fixture.toy);
      g_assert_cmpuint (fixture.toy.n_steps, ==, n_steps);
      state = operation_get_state (operation);
      g_assert_true (operation_is_finished (operation));
      toy_check_world (&fixture.world, state);

      if (!reached && step == NULL)
        g_assert_cmpint (state, ==, OPERATION_SUCCEEDED);

      check_reloaded (&fixture, state);
    }

  fixture.toy.faults[0].times = 0;
  toy_check_again (&fixture.toy, 0);
  tear_down (&fixture);

  return reached;
}

static void
test_refused_writes (void)
{
  static const char *const steps[] = { NULL, "take-point", "upload" };

  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      guint n = 1;

      while (run_refused_write (n, 1, steps[i]) && run_refused_write (n, G_MAXUINT, steps[i]))
        n++;

      g_assert_cmpuint (n, >, 5);
    }
}

static gboolean
is_finished (gpointer user_data)
{
  return operation_is_finished (user_data);
}

/* Nobody asks for recovery, as the guest was there all the time: the engine tries again by itself.
 * */
static void
test_retry (void)
{
  Fixture fixture;
  Operation *operation;

  set_up (&fixture);
  fixture.toy.faults[0] = (Fault) { "upload", MOMENT_BEFORE, 1 };
  fixture.toy.faults[1] = (Fault) { "delete-images", MOMENT_BEFORE, 1 };
  toy_start (&fixture.toy, fixture.path);
  operation = toy_submit (&fixture.toy, 0, NULL);
  toy_run (&fixture.toy);
  g_assert_true (is_open (operation));

  loop_until (is_finished, operation);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_FAILED);
  toy_check_world (&fixture.world, OPERATION_FAILED);
  tear_down (&fixture);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/engine/faults/success", test_success);
  g_test_add_func ("/engine/faults/order", test_order);
  g_test_add_func ("/engine/faults/failure", test_failure);
  g_test_add_func ("/engine/faults/failing-cleaning", test_failing_cleaning);
  g_test_add_func ("/engine/faults/cancel", test_cancel);
  g_test_add_func ("/engine/faults/cancel-while-cleaning", test_cancel_while_cleaning);
  g_test_add_func ("/engine/faults/cancel-between", test_cancel_between);
  g_test_add_func ("/engine/faults/refused-writes", test_refused_writes);
  g_test_add_func ("/engine/faults/retry", test_retry);

  return g_test_run ();
}
