/* SPDX-License-Identifier: Apache-2.0 */

/* The states of a server, from what QEMU and the engine say. */

#include "nova-state.h"

#include <backup.h>

static void
test_run_states (void)
{
  static const struct { const char *run_state, *vm_state, *status; int power_state; } states[] = {
    { "running",        "active",    "ACTIVE",    1 },
    { "paused",         "paused",    "PAUSED",    3 },
    { "prelaunch",      "paused",    "PAUSED",    3 },
    { "io-error",       "paused",    "PAUSED",    3 },
    { "suspended",      "suspended", "SUSPENDED", 7 },
    { "shutdown",       "stopped",   "SHUTOFF",   4 },
    { "guest-panicked", "stopped",   "SHUTOFF",   6 },
    { "inmigrate",      "active",    "MIGRATING", 3 },
    { "postmigrate",    "active",    "MIGRATING", 3 },
    { "something-new",  "active",    "ACTIVE",    0 },
    { NULL,             "active",    "ACTIVE",    0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (states); i++)
    {
      NovaState state = nova_state_of_guest (TRUE, states[i].run_state);
      NovaState away = nova_state_of_guest (FALSE, states[i].run_state);

      g_test_message ("%s", states[i].run_state);
      g_assert_cmpstr (state.vm_state, ==, states[i].vm_state);
      g_assert_cmpint (state.power_state, ==, states[i].power_state);
      g_assert_cmpstr (nova_state_to_status (&state), ==, states[i].status);
      g_assert_true (nova_state_has_image (&state));

      g_assert_cmpstr (nova_state_to_status (&away), ==, "ERROR");
      g_assert_cmpstr (away.vm_state, ==, "error");
      g_assert_null (away.task_state);
      g_assert_false (nova_state_has_image (&away));
    }
}

/* A task changes nothing in what the server is. */
static void
test_status_during_a_task (void)
{
  NovaState state = nova_state_of_guest (TRUE, "running");

  state.task_state = "image_uploading";
  g_assert_cmpstr (nova_state_to_status (&state), ==, "ACTIVE");
}

/* Of the steps that the workflows really have, but those that follow a failure. */
static void
test_tasks_in_order (gconstpointer data)
{
  static const char *const order[] = {
    "image_snapshot_pending", "image_snapshot", "image_pending_upload", "image_uploading"
  };
  const Workflow *workflow = data;
  gboolean is_image = workflow == &full_image_workflow;
  guint reached = 0, seen = 1;

  g_assert_cmpstr (nova_task_of_operation (workflow->kind, OPERATION_QUEUED, NULL), ==, order[0]);
  g_assert_cmpstr (nova_task_of_operation (workflow->kind, OPERATION_RUNNING, NULL), ==, order[0]);
  g_assert_cmpstr (nova_task_of_operation (workflow->kind, OPERATION_RUNNING, "create-images"), ==,
                   order[is_image ? 0 : 2]);

  for (const Step *step = workflow->steps; step->name != NULL; step++)
    {
      const char *task = nova_task_of_operation (workflow->kind, OPERATION_RUNNING, step->name);

      if (step->when == STEP_ON_FAILURE)
        continue;
      g_test_message ("%s: %s", step->name, task);
      if (g_strcmp0 (task, order[reached]) != 0)
        {
          reached++;
          seen++;
          g_assert_cmpuint (reached, <, G_N_ELEMENTS (order));
        }
      g_assert_cmpstr (task, ==, order[reached]);
    }
  g_assert_cmpuint (seen, ==, G_N_ELEMENTS (order));

  g_assert_cmpstr (nova_task_of_operation (workflow->kind, OPERATION_RUNNING, "publish-early"), ==,
                   order[0]);
  g_assert_cmpstr (nova_task_of_operation (workflow->kind, OPERATION_RUNNING, "settle-caches"), ==,
                   order[1]);
  g_assert_cmpstr (nova_task_of_operation (workflow->kind, OPERATION_RUNNING, "check-quiesce"), ==,
                   order[1]);
  g_assert_cmpstr (nova_task_of_operation (workflow->kind, OPERATION_RUNNING, "open-sources"), ==,
                   order[2]);
  g_assert_cmpstr (nova_task_of_operation (workflow->kind, OPERATION_RUNNING, "upload"), ==,
                   order[3]);
}

static void
test_no_task (void)
{
  static const OperationState over[] = {
    OPERATION_SUCCEEDED, OPERATION_FAILED, OPERATION_CANCELLED
  };

  for (gsize i = 0; i < G_N_ELEMENTS (over); i++)
    {
      g_assert_null (nova_task_of_operation ("image", over[i], "upload"));
      g_assert_null (nova_task_of_operation ("snapshot", over[i], NULL));
    }
  g_assert_null (nova_task_of_operation ("commit", OPERATION_RUNNING, "upload"));
}

static void
test_rebuild (void)
{
  static const struct { OperationState state; const char *step; } running[] = {
    { OPERATION_QUEUED, NULL }, { OPERATION_RUNNING, NULL }, { OPERATION_RUNNING, "create-files" },
    { OPERATION_RUNNING, "upload" }, { OPERATION_RUNNING, "something-new" },
  };
  NovaState state = nova_state_of_guest (TRUE, "running");

  for (gsize i = 0; i < G_N_ELEMENTS (running); i++)
    g_assert_cmpstr (nova_task_of_operation ("restore", running[i].state, running[i].step), ==,
                     "rebuilding");
  g_assert_null (nova_task_of_operation ("restore", OPERATION_SUCCEEDED, "create-files"));
  g_assert_null (nova_task_of_operation ("restore", OPERATION_FAILED, NULL));
  g_assert_null (nova_task_of_operation ("revert", OPERATION_RUNNING, "create-files"));

  state.task_state = "rebuilding";
  g_assert_cmpstr (nova_state_to_status (&state), ==, "REBUILD");
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nova-state/run-states", test_run_states);
  g_test_add_func ("/nova-state/status-during-a-task", test_status_during_a_task);
  g_test_add_data_func ("/nova-state/tasks-in-order/image", &full_image_workflow,
                        test_tasks_in_order);
  g_test_add_data_func ("/nova-state/tasks-in-order/snapshot", &quick_backup_workflow,
                        test_tasks_in_order);
  g_test_add_func ("/nova-state/no-task", test_no_task);
  g_test_add_func ("/nova-state/rebuild", test_rebuild);
  return g_test_run ();
}
