/* SPDX-License-Identifier: Apache-2.0 */

/* How much a peer may say that nobody has asked for. */

#include "meter.h"

#include <qmp/error.h>

static void
test_many (void)
{
  g_autoptr (GError) error = NULL;
  QmpMeter meter = { 0, 0, 0 };

  for (guint i = 0; i < QMP_METER_EVENTS; i++)
    {
      gboolean good = qmp_meter_count (&meter, 1, &error);

      g_assert_no_error (error);
      g_assert_true (good);
    }
  g_assert_false (qmp_meter_count (&meter, 1, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_FLOOD);
}

static void
test_large (void)
{
  g_autoptr (GError) error = NULL;
  QmpMeter meter = { 0, 0, 0 };

  g_assert_true (qmp_meter_count (&meter, QMP_METER_BYTES, &error));
  g_assert_false (qmp_meter_count (&meter, 1, &error));
  g_assert_error (error, QMP_ERROR, QMP_ERROR_FLOOD);
}

/* What was said long ago is forgotten. */
static void
test_slow (void)
{
  g_autoptr (GError) error = NULL;
  QmpMeter meter = { 0, 0, 0 };

  g_assert_true (qmp_meter_count (&meter, QMP_METER_BYTES, &error));
  meter.begun_us -= QMP_METER_SECONDS * G_TIME_SPAN_SECOND + 1;
  g_assert_true (qmp_meter_count (&meter, QMP_METER_BYTES, &error));
  g_assert_no_error (error);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/meter/many", test_many);
  g_test_add_func ("/meter/large", test_large);
  g_test_add_func ("/meter/slow", test_slow);

  return g_test_run ();
}
