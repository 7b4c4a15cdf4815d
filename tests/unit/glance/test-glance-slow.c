/* SPDX-License-Identifier: Apache-2.0 */

/* Uploads of bytes that come more slowly than they could be sent. */

#include <glance/error.h>

#include "upload-fixture.h"

#define LENGTH UPLOAD_LENGTH

typedef UploadFixture Fixture;

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  const GlanceSettings settings = { .stall_s = 1, .settle_ms = 300, .backoff_ms = 10 };

  upload_fixture_setup (fixture, settings);
}

static GlanceImage *
upload (Fixture       *fixture,
        GCancellable  *cancellable,
        GError       **error)
{
  return glance_images_upload (fixture->images, UPLOAD_ID, &fixture->body, NULL, NULL, cancellable,
                               error);
}

/* Longer than the longest silence on the line, all in all. */
static void
test_slow (Fixture       *fixture,
           gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceImage) image = NULL;
  gint64 begun = g_get_monotonic_time ();

  fixture->pattern.pause_us = 120000;
  image = upload (fixture, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (image->size, ==, LENGTH);
  g_assert_cmpint (g_get_monotonic_time () - begun, >, G_USEC_PER_SEC);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 1);
}

/* The request begins with the first bytes, however long they take. */
static void
test_late_start (Fixture       *fixture,
                 gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceImage) image = NULL;

  pattern_init (&fixture->pattern, 517);
  fixture->body = pattern_as_body (&fixture->pattern);
  fixture->pattern.pause_us = 3 * G_USEC_PER_SEC / 2;
  image = upload (fixture, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (image->size, ==, 517);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 1);
}

/* A refusal is heard while there is nothing to send. */
static void
test_refused (Fixture       *fixture,
              gconstpointer  data)
{
  const FakeFault full = { .method = "PUT", .moment = FAKE_IN_BODY, .end = FAKE_ANSWER_AND_CLOSE,
                           .status = 413, .becomes = "queued", .text = "<html>no room" };
  g_autoptr (GError) error = NULL;

  fixture->pattern.pause_us = 100000;
  fake_glance_add_fault (fixture->fake, &full);
  g_assert_null (upload (fixture, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_NO_SPACE);
  g_assert_cmpstr (glance_error_get_text (error), ==, "no room");
  g_assert_cmpint (fixture->pattern.position, <, LENGTH);
}

/* Bytes that stay away are told apart from a service that stands still. */
static void
test_stall (Fixture       *fixture,
            gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->pattern.pause_us = 3 * G_USEC_PER_SEC / 2;
  g_assert_null (upload (fixture, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_TIMEOUT);
  g_assert_nonnull (g_strstr_len (error->message, -1, "from what is to be sent"));
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 4);
}

static void
test_cancel (Fixture       *fixture,
             gconstpointer  data)
{
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread = cancel_after (cancellable, 300);

  fixture->pattern.pause_us = 200000;
  g_assert_null (upload (fixture, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (fixture->pattern.position, <, LENGTH);
  g_thread_join (thread);
}

static void
add (const char  *name,
     void       (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/glance/slow/", name, NULL);

  g_test_add (path, Fixture, NULL, setup, test, upload_fixture_teardown);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  add ("slow", test_slow);
  add ("late-start", test_late_start);
  add ("refused", test_refused);
  add ("stall", test_stall);
  add ("cancel", test_cancel);

  return g_test_run ();
}
