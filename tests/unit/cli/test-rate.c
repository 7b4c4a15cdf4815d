/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the rate of a transfer and the time left are, by a clock of its own. */

#include "rate.h"

#define MIB    G_GINT64_CONSTANT (1048576)
#define SECOND ((gint64) G_USEC_PER_SEC)

/* @seconds more at @speed bytes per second, measured @times a second. */
static Rate
go_on (Rate   rate,
       gint64 seconds,
       gint64 times,
       gint64 speed)
{
  for (gint64 i = 0; i < seconds * times; i++)
    rate = rate_measure (rate, rate.done + speed / times, rate.time + SECOND / times);
  return rate;
}

static Rate
begin (void)
{
  return rate_measure ((Rate) { 0 }, 0, 1000 * SECOND);
}

static void
assert_about (double value,
              double expected,
              double tolerance)
{
  g_assert_cmpfloat_with_epsilon (value, expected, expected * tolerance);
}

static void
test_nothing_yet (void)
{
  Rate rate = { 0 };

  g_assert_cmpint (rate_seconds_left (rate, 10 * MIB), ==, -1);
  rate = begin ();
  g_assert_cmpint (rate_seconds_left (rate, 10 * MIB), ==, -1);
  rate = go_on (rate, 60, 1, 0);
  g_assert_cmpint (rate_seconds_left (rate, 10 * MIB), ==, -1);
}

static void
test_steady (void)
{
  Rate rate = go_on (begin (), 1, 1, 10 * MIB);

  assert_about (rate.speed, 10 * MIB, 1e-6);
  g_assert_cmpint (rate_seconds_left (rate, 110 * MIB), ==, 10);
  g_assert_cmpint (rate_seconds_left (rate, 10 * MIB), ==, 0);
  g_assert_cmpint (rate_seconds_left (rate, 10 * MIB + 1), <=, 1);
  rate = go_on (rate, 30, 20, 10 * MIB);
  assert_about (rate.speed, 10 * MIB, 1e-6);
}

/* What came before the first byte is not held against it. */
static void
test_late_start (void)
{
  Rate rate = go_on (go_on (begin (), 600, 1, 0), 1, 1, 10 * MIB);

  assert_about (rate.speed, 10 * MIB, 1e-6);
}

static void
test_smoothed (void)
{
  Rate rate = go_on (begin (), 30, 1, 10 * MIB);

  /* A second that was ten times as fast tells little, twenty tell nearly all. */
  assert_about (go_on (rate, 1, 1, 100 * MIB).speed, 25 * MIB, 0.01);
  assert_about (go_on (rate, 20, 1, 100 * MIB).speed, 100 * MIB, 0.05);
}

/* The same transfer, looked at once a second or ten times, has about the same rate. */
static void
test_however_often (void)
{
  Rate seldom = go_on (go_on (begin (), 10, 1, 10 * MIB), 5, 1, 50 * MIB);
  Rate often = go_on (go_on (begin (), 10, 10, 10 * MIB), 5, 10, 50 * MIB);

  assert_about (often.speed, seldom.speed, 0.1);
}

static void
test_stall (void)
{
  Rate rate = go_on (begin (), 10, 1, 10 * MIB);
  gint64 left = rate_seconds_left (rate, 200 * MIB);

  rate = go_on (rate, 5, 1, 0);
  g_assert_cmpint (rate_seconds_left (rate, 200 * MIB), >, left);
  rate = go_on (rate, 600, 1, 0);
  g_assert_cmpint (rate_seconds_left (rate, 200 * MIB), ==, -1);
  rate = go_on (rate, 30, 1, 10 * MIB);
  assert_about (rate.speed, 10 * MIB, 0.05);
}

/* Fewer bytes than before are another transfer's. */
static void
test_another_transfer (void)
{
  Rate rate = go_on (begin (), 10, 1, 10 * MIB);

  rate = rate_measure (rate, MIB, rate.time + SECOND);
  g_assert_cmpint (rate_seconds_left (rate, 200 * MIB), ==, -1);
  rate = go_on (rate, 1, 1, 2 * MIB);
  assert_about (rate.speed, 2 * MIB, 1e-6);
}

static void
test_same_moment (void)
{
  Rate rate = go_on (begin (), 10, 1, 10 * MIB);
  Rate again = rate_measure (rate, rate.done + MIB, rate.time);

  g_assert_cmpint (again.done, ==, rate.done);
  assert_about (again.speed, rate.speed, 1e-9);
  assert_about (go_on (again, 1, 1, 10 * MIB).speed, 10 * MIB, 1e-6);
}

static void
test_extremes (void)
{
  Rate rate = rate_measure (begin (), G_MAXINT64, 1000 * SECOND + 1);

  g_assert_cmpint (rate_seconds_left (rate, G_MAXINT64), ==, 0);
  rate = rate_measure (begin (), 1, 1000 * SECOND + G_USEC_PER_SEC);
  g_assert_cmpint (rate_seconds_left (rate, G_MAXINT64), ==, -1);
  g_assert_cmpint (rate_seconds_left (rate, 0), ==, 0);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/rate/nothing-yet", test_nothing_yet);
  g_test_add_func ("/cli/rate/steady", test_steady);
  g_test_add_func ("/cli/rate/late-start", test_late_start);
  g_test_add_func ("/cli/rate/smoothed", test_smoothed);
  g_test_add_func ("/cli/rate/however-often", test_however_often);
  g_test_add_func ("/cli/rate/stall", test_stall);
  g_test_add_func ("/cli/rate/another-transfer", test_another_transfer);
  g_test_add_func ("/cli/rate/same-moment", test_same_moment);
  g_test_add_func ("/cli/rate/extremes", test_extremes);
  return g_test_run ();
}
