/* SPDX-License-Identifier: Apache-2.0 */

/* Knows that steps are told in people's words. */

#include "phases.h"

#include <backup.h>
#include <chain/mirror.h>
#include <chain/moves.h>
#include <chain/revert.h>

/* What the workflows really have. */
static void
test_every_step (void)
{
  const Workflow *const workflows[] = {
    &quick_backup_workflow, &full_image_workflow, &chain_commit_workflow, &chain_mirror_workflow,
    &revert_workflow, &restore_workflow,
  };

  for (gsize i = 0; i < G_N_ELEMENTS (workflows); i++)
    for (const Step *step = workflows[i]->steps; step->name != NULL; step++)
      {
        g_test_message ("%s", step->name);
        g_assert_nonnull (phase_of_step (step->name));
      }
}

static void
test_phases (void)
{
  g_assert_cmpstr (phase_of_step ("create-files"), ==, "preparing");
  g_assert_cmpstr (phase_of_step ("take-point"), ==, "freezing");
  g_assert_cmpstr (phase_of_step ("upload"), ==, "uploading");
  g_assert_cmpstr (phase_of_step ("commit-back"), ==, "folding back");
  g_assert_cmpstr (phase_of_step ("run-moves"), ==, "merging layers");
  g_assert_cmpstr (phase_of_step ("fetch"), ==, "downloading");
  g_assert_cmpstr (phase_of_step ("withdraw"), ==, "undoing");
}

static void
test_unknown (void)
{
  g_assert_null (phase_of_step ("tomorrow"));
  g_assert_null (phase_of_step (""));
  g_assert_null (phase_of_step ("uploa"));
  g_assert_null (phase_of_step ("uploads"));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/phases/known", test_phases);
  g_test_add_func ("/cli/phases/every-step", test_every_step);
  g_test_add_func ("/cli/phases/unknown", test_unknown);
  return g_test_run ();
}
