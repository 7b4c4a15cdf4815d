/* SPDX-License-Identifier: Apache-2.0 */

/* A plan that is changed from outside while its operation runs, and whether that is the moment. */

#include "toy.h"

#include "support.h"

#include <core/error.h>

#include <string.h>

typedef struct
{
  char    *folder;
  char    *path;
  World    world;
  Toy      toy;
  guint    saves;               /* under way */
  guint    saved;
  guint    refused;
  guint    held;                /* times that the guest stood still when something changed */
  gboolean is_mad;              /* it did so for a step that is not held */
} Fixture;

static void
set_up (Fixture       *self,
        gconstpointer  data)
{
  self->folder = folder_new ();
  self->path = g_build_filename (self->folder, "journal", NULL);
  self->toy.worlds = &self->world;
  toy_start (&self->toy, self->path);
}

static void
tear_down (Fixture       *self,
           gconstpointer  data)
{
  toy_stop (&self->toy);
  folder_remove (self->folder);
  g_free (self->folder);
  g_free (self->path);
}

static void
on_saved (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  Fixture *self = user_data;
  g_autoptr (GError) error = NULL;

  self->saves--;
  if (engine_save_plan_finish (AGENT_ENGINE (source), result, &error))
    self->saved++;
  else
    {
      g_assert_error (error, AGENT_ERROR, AGENT_ERROR_NO_SPACE);
      self->refused++;
    }
}

/* Between any two writes of the engine's own. */
static void
save_again (Operation *operation,
            gpointer   user_data)
{
  Fixture *self = user_data;

  if (operation_is_finished (operation))
    return;
  json_object_set_int_member (operation_get_plan (operation), "speed", ++self->saves + self->saved);
  engine_save_plan_async (self->toy.engine, operation, on_saved, self);
}

static gboolean
is_saved (gpointer user_data)
{
  return ((Fixture *) user_data)->saves == 0;
}

static void
take_count (JournalRow *row,
            gpointer    user_data)
{
  *(gint64 *) user_data = journal_row_int64 (row, 0);
}

/* What the engine writes of the operation is what it would have written without. */
static void
test_saved (Fixture       *self,
            gconstpointer  data)
{
  Operation *operation = toy_submit (&self->toy, 0, NULL);
  g_autofree char *id = g_strdup (operation_get_id (operation));
  gint64 undone = -1;
  gint64 last;

  g_signal_connect (operation, "changed", G_CALLBACK (save_again), self);
  toy_run (&self->toy);
  loop_until (is_saved, self);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_SUCCEEDED);
  g_assert_cmpuint (self->saved, >, 5);
  toy_check_world (&self->world, OPERATION_SUCCEEDED);
  last = json_object_get_int_member (operation_get_plan (operation), "speed");

  toy_stop (&self->toy);
  self->toy = (Toy) { .worlds = &self->world };
  toy_start (&self->toy, self->path);
  operation = engine_find (self->toy.engine, id);
  g_assert_cmpint (operation_get_state (operation), ==, OPERATION_SUCCEEDED);
  g_assert_cmpint (json_object_get_int_member (operation_get_plan (operation), "speed"), ==, last);
  g_assert_true (journal_read (self->toy.journal, take_count, &undone, NULL,
                               "SELECT count(*) FROM steps WHERE state NOT IN ('done', 'pending')",
                               ""));
  g_assert_cmpint (undone, ==, 0);
}

/* It is durable when it says so, whatever comes next. */
static void
test_durable (Fixture       *self,
              gconstpointer  data)
{
  Operation *operation = toy_submit (&self->toy, 0, NULL);
  gint64 speed = -1;

  save_again (operation, self);
  loop_until (is_saved, self);
  g_assert_true (journal_read (self->toy.journal, take_count, &speed, NULL,
                               "SELECT json_extract (plan, '$.speed') FROM operations", ""));
  g_assert_cmpint (speed, ==, 1);
  toy_run (&self->toy);
}

/* The operation itself is none the worse for it. */
static void
test_refused (Fixture       *self,
              gconstpointer  data)
{
  Operation *operation = toy_submit (&self->toy, 0, NULL);

  self->toy.refuse_from = self->toy.n_writes + 1;
  self->toy.refuse_times = 1;
  save_again (operation, self);
  loop_until (is_saved, self);
  g_assert_cmpuint (self->refused, ==, 1);
  toy_run (&self->toy);
  g_assert_true (operation_is_finished (operation));
}

static void
look (Operation *operation,
      gpointer   user_data)
{
  Fixture *self = user_data;
  const char *step = operation_get_step (operation);
  gboolean is_held = FALSE;

  for (const Step *each = toy_workflow.steps; each->name != NULL; each++)
    if (g_strcmp0 (each->name, step) == 0)
      is_held = each->held;

  if (!operation_is_finished (operation) &&
      engine_is_holding_for (self->toy.engine, operation) != is_held)
    self->is_mad = TRUE;
  self->held += engine_is_holding_for (self->toy.engine, operation);
}

static void
test_holding (Fixture       *self,
              gconstpointer  data)
{
  Operation *operation = toy_submit (&self->toy, 0, NULL);

  g_signal_connect (operation, "changed", G_CALLBACK (look), self);
  g_assert_false (engine_is_holding_for (self->toy.engine, operation));
  toy_run (&self->toy);
  g_assert_cmpuint (self->held, >, 1);
  g_assert_false (self->is_mad);
  g_assert_false (engine_is_holding_for (self->toy.engine, operation));
}

#define ADD(name, func) g_test_add ("/engine/plan/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("saved", test_saved);
  ADD ("durable", test_durable);
  ADD ("refused", test_refused);
  ADD ("holding", test_holding);
  return g_test_run ();
}
