/* SPDX-License-Identifier: Apache-2.0 */

/* Knows that steps are told in people's words. */

#include "phases.h"

static void
test_phases (void)
{
  g_assert_cmpstr (phase_of_step ("create-files"), ==, "preparing");
  g_assert_cmpstr (phase_of_step ("take-point"), ==, "freezing");
  g_assert_cmpstr (phase_of_step ("upload"), ==, "uploading");
  g_assert_cmpstr (phase_of_step ("commit-back"), ==, "folding back");
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
  g_test_add_func ("/cli/phases/unknown", test_unknown);
  return g_test_run ();
}
