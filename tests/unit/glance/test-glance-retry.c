/* SPDX-License-Identifier: Apache-2.0 */

/* How often, how long and how soon a service is asked again. */

#include <glance/error.h>
#include <string.h>

#include "upload-fixture.h"

#define ID      UPLOAD_ID
#define BUSY(n) "Retry-After: " n "\r\n"

typedef UploadFixture Fixture;

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  const GlanceSettings settings = { .stall_s = 2, .settle_ms = 300, .backoff_ms = 10 };

  upload_fixture_setup (fixture, settings);
}

static double
seconds_since (gint64 begun)
{
  return (double) (g_get_monotonic_time () - begun) / G_USEC_PER_SEC;
}

static void
add_fault (Fixture   *fixture,
           FakeFault  fault)
{
  fake_glance_add_fault (fixture->fake, &fault);
}

/* What follows fails after @attempts, and what is said contains @text. */
static void
assert_get_fails (Fixture     *fixture,
                  GlanceError  code,
                  const char  *text,
                  guint        attempts)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (glance_images_get (fixture->images, ID, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, (int) code);
  if (strstr (error->message, text) == NULL)
    g_error ("\"%s\" is not in \"%s\"", text, error->message);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "GET"), ==, attempts);
}

typedef struct
{
  const char *name;
  guint       status;
  const char *headers;
  double      least;            /* seconds until the answer is here */
  double      most;
} Wait;

static const Wait waits[] = {
  { "429-seconds",   429, BUSY ("1"), 1, 2 },
  { "503-seconds",   503, BUSY ("1"), 1, 2 },
  { "date",          503, "Date: Fri, 20 Nov 2009 20:00:00 GMT\r\n" BUSY (
      "Fri, 20 Nov 2009 20:00:01 GMT"), 1, 2 },
  { "date-is-past",  503, BUSY ("Fri, 20 Nov 2009 20:00:00 GMT"), 0, 0.5 },
  { "not-at-all",    503, NULL, 0, 0.5 },
  { "zero",          503, BUSY ("0"), 0, 0.5 },
  { "negative",      503, BUSY ("-7"), 0, 0.5 },
  { "garbage",       503, BUSY ("soon, perhaps"), 0, 0.5 },
  { "empty",         503, BUSY (""), 0, 0.5 },
};

/* It is asked again when it wants to be asked, not before; nonsense is passed over. */
static void
test_wait (Fixture       *fixture,
           gconstpointer  data)
{
  const Wait *wait = data;
  gint64 begun = g_get_monotonic_time ();
  g_autoptr (GlanceImage) image = NULL;
  g_autoptr (GError) error = NULL;

  add_fault (fixture, (FakeFault) { .method = "GET", .moment = FAKE_BEFORE_BODY,
                                    .status = wait->status, .headers = wait->headers });
  image = glance_images_get (fixture->images, ID, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (image);
  g_assert_cmpfloat (seconds_since (begun), >=, wait->least);
  g_assert_cmpfloat (seconds_since (begun), <, wait->most);
}

static const char *const endless[] = {
  BUSY ("100000"), BUSY ("99999999999999999999999999"), BUSY ("Fri, 20 Nov 2199 20:00:00 GMT"),
};

/* No request waits for so long: it says at once what the service said. */
static void
test_too_long (Fixture       *fixture,
               gconstpointer  data)
{
  gint64 begun = g_get_monotonic_time ();

  add_fault (fixture, (FakeFault) { .method = "GET", .moment = FAKE_BEFORE_BODY, .status = 503,
                                    .headers = data, .text = "<html><body>in maintenance</body>" });
  assert_get_fails (fixture, GLANCE_ERROR_UNAVAILABLE, "503: in maintenance", 1);
  g_assert_cmpfloat (seconds_since (begun), <, 1);
}

static void
test_attempts_are_told (Fixture       *fixture,
                        gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "GET", .times = 100, .moment = FAKE_BEFORE_BODY,
                                    .status = 502, .text = "bad gateway" });
  assert_get_fails (fixture, GLANCE_ERROR_UNAVAILABLE,
                    "given up after 4 attempts: cannot read image " ID ": the image service "
                    "answered 502: bad gateway", 4);
}

/* A service that does not answer is not asked as often as one that refuses. */
static void
test_silence (Fixture       *fixture,
              gconstpointer  data)
{
  gint64 begun = g_get_monotonic_time ();

  add_fault (fixture, (FakeFault) { .method = "GET", .times = 100, .moment = FAKE_BEFORE_BODY,
                                    .end = FAKE_STALL });
  assert_get_fails (fixture, GLANCE_ERROR_TIMEOUT, "given up after 2 attempts", 2);
  g_assert_cmpfloat (seconds_since (begun), >=, 4);
  g_assert_cmpfloat (seconds_since (begun), <, 6);
}

/* An answer that never ends, though it always goes on, is none. */
static void
test_drip (Fixture       *fixture,
           gconstpointer  data)
{
  gint64 begun = g_get_monotonic_time ();

  add_fault (fixture, (FakeFault) { .method = "GET", .times = 100, .moment = FAKE_BEFORE_BODY,
                                    .end = FAKE_DRIP });
  assert_get_fails (fixture, GLANCE_ERROR_TIMEOUT, "given up after 2 attempts", 2);
  g_assert_cmpfloat (seconds_since (begun), <, 6);
}

static void
test_endless_headers (Fixture       *fixture,
                      gconstpointer  data)
{
  gint64 begun = g_get_monotonic_time ();

  add_fault (fixture, (FakeFault) { .method = "GET", .moment = FAKE_BEFORE_BODY,
                                    .end = FAKE_ENDLESS_HEADERS });
  assert_get_fails (fixture, GLANCE_ERROR_PROTOCOL, "headers are larger than 256 KiB", 1);
  g_assert_cmpfloat (seconds_since (begun), <, 2);
}

static GlanceImage *
upload (Fixture  *fixture,
        GError  **error)
{
  return glance_images_upload (fixture->images, ID, &fixture->body, NULL, NULL, NULL, error);
}

static void
test_upload_waits (Fixture       *fixture,
                   gconstpointer  data)
{
  gint64 begun = g_get_monotonic_time ();
  g_autoptr (GlanceImage) image = NULL;
  g_autoptr (GError) error = NULL;

  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_BEFORE_BODY, .status = 503,
                                    .end = FAKE_ANSWER_AND_CLOSE, .headers = BUSY ("1"),
                                    .becomes = "queued" });
  image = upload (fixture, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (image->status, ==, "active");
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 2);
  g_assert_cmpfloat (seconds_since (begun), >=, 1);
}

static void
test_429_upload (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GlanceImage) image = NULL;
  g_autoptr (GError) error = NULL;

  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_BEFORE_BODY, .status = 429,
                                    .end = FAKE_ANSWER_AND_CLOSE, .becomes = "queued" });
  image = upload (fixture, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 2);
}

/* Whatever is tried again and waited for, a transfer ends at its deadline. */
static void
test_deadline (Fixture       *fixture,
               gconstpointer  data)
{
  const GlanceSettings settings = { .stall_s = 30, .settle_ms = 300, .backoff_ms = 10,
                                    .deadline_s = 1 };
  gint64 begun = g_get_monotonic_time ();
  g_autoptr (GError) error = NULL;

  upload_fixture_setup (fixture, settings);
  add_fault (fixture, (FakeFault) { .method = "PUT", .times = 100, .moment = FAKE_IN_BODY,
                                    .end = FAKE_STALL, .becomes = "queued" });
  g_assert_null (upload (fixture, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_TIMEOUT);
  g_assert_cmpfloat (seconds_since (begun), >=, 1);
  g_assert_cmpfloat (seconds_since (begun), <, 4);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 1);
}

static void
add (const char    *name,
     gconstpointer  data,
     void         (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/glance/retry/", name, NULL);

  g_test_add (path, Fixture, data, test == test_deadline ? NULL : setup, test,
              upload_fixture_teardown);
}

int
main (int    argc,
      char **argv)
{
  static const char *const too_long[] = { "too-long", "far-too-long", "too-late" };

  g_test_init (&argc, &argv, NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (waits); i++)
    add (waits[i].name, &waits[i], test_wait);
  for (gsize i = 0; i < G_N_ELEMENTS (endless); i++)
    add (too_long[i], endless[i], test_too_long);
  add ("attempts-are-told", NULL, test_attempts_are_told);
  add ("silence", NULL, test_silence);
  add ("drip", NULL, test_drip);
  add ("endless-headers", NULL, test_endless_headers);
  add ("upload-waits", NULL, test_upload_waits);
  add ("upload-429", NULL, test_429_upload);
  add ("deadline", NULL, test_deadline);

  return g_test_run ();
}
