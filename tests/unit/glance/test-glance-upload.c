/* SPDX-License-Identifier: Apache-2.0 */

/* Each end that an upload can come to, and cancelling at each moment of it. */

#include <glance/digest.h>
#include <glance/error.h>

#include "upload-fixture.h"

#define ID     UPLOAD_ID
#define LENGTH UPLOAD_LENGTH

typedef UploadFixture Fixture;

static void
setup (Fixture       *fixture,
       gconstpointer  data)
{
  const GlanceSettings settings = { .stall_s = 2, .settle_ms = 300, .backoff_ms = 10 };

  upload_fixture_setup (fixture, settings);
}

static void
on_progress (gint64   done,
             gint64   total,
             gpointer user_data)
{
  Fixture *fixture = user_data;

  g_assert_cmpint (total, ==, LENGTH);
  g_assert_cmpint (done, >, 0);
  g_assert_cmpint (done, <=, total);
  if (done <= fixture->told)
    fixture->told_from_start++;
  fixture->told = done;
}

static GlanceImage *
upload (Fixture       *fixture,
        GCancellable  *cancellable,
        GError       **error)
{
  return glance_images_upload (fixture->images, ID, &fixture->body, on_progress, fixture,
                               cancellable,
                               error);
}

/* The image stands, active, and the body went over the wire @puts times. */
static void
assert_uploaded (Fixture *fixture,
                 guint    puts)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  g_autoptr (GlanceImage) image = upload (fixture, NULL, &error);
  g_autofree guint8 *buffer = g_malloc (LENGTH);

  g_assert_no_error (error);
  g_assert_nonnull (image);
  g_assert_cmpstr (image->status, ==, "active");
  g_assert_cmpint (image->size, ==, LENGTH);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, puts);

  g_assert_true (fixture->body.rewind (fixture->body.data, NULL));
  g_assert_cmpint (fixture->body.read (fixture->body.data, buffer, LENGTH, NULL), ==, LENGTH);
  glance_digest_update (digest, buffer, LENGTH);
  g_assert_cmpstr (image->md5, ==, glance_digest_get_md5 (digest));
  g_assert_cmpstr (image->sha512, ==, glance_digest_get_sha512 (digest));
}

/* The upload fails so, after @puts times, and the image is then @status (NULL: deleted). */
static void
assert_fails (Fixture     *fixture,
              GlanceError  code,
              const char  *text,
              guint        puts,
              const char  *status)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceImage) image = upload (fixture, NULL, &error);
  g_autofree char *now = fake_glance_get_status (fixture->fake, ID);

  g_assert_error (error, GLANCE_ERROR, (int) code);
  g_assert_null (image);
  if (g_strstr_len (error->message, -1, text) == NULL)
    g_error ("\"%s\" is not in \"%s\"", text, error->message);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, puts);
  g_assert_cmpstr (now, ==, status);
}

static void
add_fault (Fixture   *fixture,
           FakeFault  fault)
{
  fake_glance_add_fault (fixture->fake, &fault);
}

static void
test_plain (Fixture       *fixture,
            gconstpointer  data)
{
  g_autofree char *id = NULL;

  assert_uploaded (fixture, 1);
  g_assert_cmpint (fixture->told, ==, LENGTH);
  g_assert_cmpuint (fixture->told_from_start, ==, 0);
  g_assert_cmpuint (fake_glance_get_connections (fixture->fake), ==, 1);

  id = fake_glance_get_header (fixture->fake, "x-openstack-request-id");
  g_assert_cmpstr (id, ==, "req-" ID);
}

static void
test_one_byte (Fixture       *fixture,
               gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceImage) image = NULL;

  pattern_init (&fixture->pattern, 1);
  fixture->body = pattern_as_body (&fixture->pattern);
  image = glance_images_upload (fixture->images, ID, &fixture->body, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (image->size, ==, 1);
}

static void
test_empty (Fixture       *fixture,
            gconstpointer  data)
{
  fixture->body.length = 0;
  assert_fails (fixture, GLANCE_ERROR_INVALID, "0 bytes", 0, "queued");
}

static void
test_mute_server (Fixture       *fixture,
                  gconstpointer  data)
{
  gint64 begun = g_get_monotonic_time ();

  fake_glance_be_mute (fixture->fake);
  assert_uploaded (fixture, 1);
  g_assert_cmpint (g_get_monotonic_time () - begun, >, G_USEC_PER_SEC / 2);
  g_assert_cmpint (g_get_monotonic_time () - begun, <, 3 * G_USEC_PER_SEC);
}

static void
test_cut_in_body (Fixture       *fixture,
                  gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_IN_BODY, .end = FAKE_RESET,
                                    .becomes = "queued" });
  assert_uploaded (fixture, 2);
  g_assert_cmpuint (fixture->told_from_start, ==, 1);
}

static void
test_cut_always (Fixture       *fixture,
                 gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .times = 100, .moment = FAKE_IN_BODY,
                                    .end = FAKE_RESET, .becomes = "queued" });
  assert_fails (fixture, GLANCE_ERROR_UNAVAILABLE, "after 4 attempts", 4, "queued");
}

static void
test_500_then_good (Fixture       *fixture,
                    gconstpointer  data)
{
  add_fault (fixture,
             (FakeFault) { .method = "PUT", .times = 2, .moment = FAKE_AFTER_BODY, .status = 500,
                                    .text = "<html><body>the disk is on fire</body></html>",
                                    .becomes = "queued" });
  assert_uploaded (fixture, 3);
}

static void
test_500_always (Fixture       *fixture,
                 gconstpointer  data)
{
  add_fault (fixture,
             (FakeFault) { .method = "PUT", .times = 100, .moment = FAKE_AFTER_BODY, .status = 500,
                                    .text = "<html><body>the disk is on fire</body></html>",
                                    .becomes = "queued" });
  assert_fails (fixture, GLANCE_ERROR_SERVER, "the disk is on fire", 4, "queued");
}

static void
test_500_in_body (Fixture       *fixture,
                  gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .times = 100, .moment = FAKE_IN_BODY,
                                    .end = FAKE_ANSWER_AND_CLOSE, .status = 500,
                                    .text = "<html><body>the disk is on fire</body></html>",
                                    .becomes = "queued" });
  assert_fails (fixture, GLANCE_ERROR_SERVER, "the disk is on fire", 4, "queued");
}

/* The text of a refusal that comes while the body is on its way is heard each time, though the
 * other side closes at once. */
static void
test_413_in_body (Fixture       *fixture,
                  gconstpointer  data)
{
  const FakeFault full = { .method = "PUT", .moment = FAKE_IN_BODY, .end = FAKE_ANSWER_AND_CLOSE,
                           .status = 413, .becomes = "queued",
                           .text = "<html><head><title>413</title></head><body><h1>413</h1>"
                                   "Image storage media is full: &lt;none left&gt;</body>" };

  for (guint i = 1; i <= 40; i++)
    {
      fake_glance_add_fault (fixture->fake, &full);
      assert_fails (fixture, GLANCE_ERROR_NO_SPACE, "is full: <none left>", i, "queued");
    }
}

static void
test_413_before_body (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_BEFORE_BODY,
                                    .end = FAKE_ANSWER_AND_CLOSE, .status = 413,
                                    .text = "<html>quota" });
  g_assert_null (upload (fixture, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_NO_SPACE);
  g_assert_cmpuint (glance_error_get_status (error), ==, 413);
  g_assert_cmpstr (glance_error_get_text (error), ==, "quota");
  g_assert_cmpstr (glance_error_get_request_id (error), ==, "req-of-the-fake");
  g_assert_cmpint (fixture->told, ==, 0);
}

static void
test_deleted_meanwhile (Fixture       *fixture,
                        gconstpointer  data)
{
  guint status = GPOINTER_TO_UINT (data);

  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .status = status,
                                    .text = "gone", .becomes = "deleted" });
  assert_fails (fixture, GLANCE_ERROR_NOT_FOUND, "gone", 1, NULL);
}

static void
test_415 (Fixture       *fixture,
          gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .status = 415,
                                    .text = "<html><body>disallowed configuration</body></html>",
                                    .becomes = "queued" });
  assert_fails (fixture, GLANCE_ERROR_REFUSED, "disallowed configuration", 1, NULL);
}

static void
test_409_ours (Fixture       *fixture,
               gconstpointer  data)
{
  assert_uploaded (fixture, 1);
  assert_uploaded (fixture, 2);
}

static void
test_409_others (Fixture       *fixture,
                 gconstpointer  data)
{
  assert_uploaded (fixture, 1);
  fixture->pattern.length -= 1;
  fixture->body.length -= 1;
  g_assert_cmpint (fixture->body.length, ==, LENGTH - 1);
  fixture->told = 0;

  {
    g_autoptr (GError) error = NULL;
    g_autofree char *status = NULL;
    GlanceImage *image = glance_images_upload (fixture->images, ID, &fixture->body, NULL, NULL,
                                               NULL, &error);

    g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_MISMATCH);
    g_assert_null (image);
    status = fake_glance_get_status (fixture->fake, ID);
    g_assert_cmpstr (status, ==, "active");
  }
}

static void
test_409_saving_then_active (Fixture       *fixture,
                             gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .status = 409,
                                    .text = "busy", .becomes = "saving", .then = "active" });
  assert_uploaded (fixture, 1);
}

static void
test_saving_for_ever (Fixture       *fixture,
                      gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_IN_BODY, .end = FAKE_RESET,
                                    .becomes = "saving" });
  assert_fails (fixture, GLANCE_ERROR_DEAD, "\"saving\"", 1, NULL);
}

static void
test_saving_then_queued (Fixture       *fixture,
                         gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_IN_BODY, .end = FAKE_RESET,
                                    .becomes = "saving", .then = "queued" });
  assert_uploaded (fixture, 2);
}

static void
test_lost_answer (Fixture       *fixture,
                  gconstpointer  data)
{
  add_fault (fixture,
             (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .end = FAKE_RESET });
  assert_uploaded (fixture, 1);
}

static void
test_stall (Fixture       *fixture,
            gconstpointer  data)
{
  gint64 begun = g_get_monotonic_time ();

  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .end = FAKE_STALL,
                                    .becomes = "queued" });
  assert_uploaded (fixture, 2);
  g_assert_cmpint (g_get_monotonic_time () - begun, >, G_USEC_PER_SEC);
  g_assert_cmpint (g_get_monotonic_time () - begun, <, 6 * G_USEC_PER_SEC);
}

static void
test_wrong_hash (Fixture       *fixture,
                 gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .status = 204,
                                    .spoil = TRUE });
  assert_fails (fixture, GLANCE_ERROR_MISMATCH, "is not what was sent", 1, NULL);
}

static void
test_204_then_saving (Fixture       *fixture,
                      gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .status = 204,
                                    .becomes = "saving", .then = "active" });
  assert_uploaded (fixture, 1);
}

static void
test_204_then_killed (Fixture       *fixture,
                      gconstpointer  data)
{
  add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .status = 204,
                                    .becomes = "killed" });
  assert_fails (fixture, GLANCE_ERROR_DEAD, "\"killed\"", 1, NULL);
}

static void
test_source_fails (Fixture       *fixture,
                   gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->pattern.fails_at = LENGTH / 2;
  g_assert_null (upload (fixture, NULL, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 1);
}

static void
test_source_is_short (Fixture       *fixture,
                      gconstpointer  data)
{
  g_autoptr (GError) error = NULL;

  fixture->pattern.ends_at = LENGTH - 1;
  g_assert_null (upload (fixture, NULL, &error));
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), ==, 1);
}

/* A kept connection that the server closed meanwhile is no failure. */
static void
test_kept_connection_dies (Fixture       *fixture,
                           gconstpointer  data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GlanceImage) image = NULL;

  add_fault (fixture, (FakeFault) { .method = "GET", .moment = FAKE_BEFORE_BODY, .status = 404,
                                    .end = FAKE_ANSWER_AND_CLOSE, .text = "<html>" });
  image = glance_images_get (fixture->images, ID, NULL, &error);
  g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_NOT_FOUND);
  assert_uploaded (fixture, 1);
}

/* Cancelled at each moment: the upload returns soon, says so, and asks nothing further. */

typedef enum
{
  CANCEL_BEFORE,
  CANCEL_BEFORE_CONTINUE,
  CANCEL_READING,
  CANCEL_IN_BODY,
  CANCEL_AFTER_BODY,
  CANCEL_BACK_OFF,
  CANCEL_SETTLING,
  CANCEL_CONFIRMING,
  CANCEL_HASHING,
  CANCEL_N,
} CancelMoment;

static void
test_cancel (Fixture       *fixture,
             gconstpointer  data)
{
  const GlanceSettings settings = { .stall_s = 2, .settle_ms = 30000, .backoff_ms = 30000 };
  CancelMoment moment = GPOINTER_TO_UINT (data);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  GThread *thread = NULL;
  GlanceImage *image;
  gint64 begun;
  guint puts = 1;

  upload_fixture_setup (fixture, settings);
  fixture->pattern.cancellable = cancellable;

  switch (moment)
    {
    case CANCEL_BEFORE:
      g_cancellable_cancel (cancellable);
      puts = 0;
      break;
    case CANCEL_BEFORE_CONTINUE:
      add_fault (fixture,
                 (FakeFault) { .method = "PUT", .moment = FAKE_BEFORE_BODY, .end = FAKE_STALL,
                                        .cancel = cancellable });
      break;
    case CANCEL_READING:
      fixture->pattern.cancels_at = LENGTH / 3;
      break;
    case CANCEL_IN_BODY:
      add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_IN_BODY, .end = FAKE_STALL,
                                        .cancel = cancellable });
      break;
    case CANCEL_AFTER_BODY:
      add_fault (fixture,
                 (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .end = FAKE_STALL,
                                        .cancel = cancellable });
      break;
    case CANCEL_BACK_OFF:
      add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .status = 500,
                                        .becomes = "queued" });
      thread = cancel_after (cancellable, 150);
      break;
    case CANCEL_SETTLING:
      add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_AFTER_BODY, .status = 204,
                                        .becomes = "saving" });
      thread = cancel_after (cancellable, 150);
      break;
    case CANCEL_CONFIRMING:
      add_fault (fixture,
                 (FakeFault) { .method = "GET", .moment = FAKE_BEFORE_BODY, .end = FAKE_STALL,
                                        .cancel = cancellable });
      break;
    case CANCEL_HASHING:
      add_fault (fixture, (FakeFault) { .method = "PUT", .moment = FAKE_BEFORE_BODY, .status = 409,
                                        .text = "<html>", .becomes = "active" });
      fixture->pattern.cancels_at = LENGTH / 3;
      break;
    case CANCEL_N:
    default:
      g_assert_not_reached ();
    }

  begun = g_get_monotonic_time ();
  image = upload (fixture, cancellable, &error);
  g_assert_cmpint (g_get_monotonic_time () - begun, <, 1500000);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_null (image);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "PUT"), <=, puts);
  g_assert_cmpuint (fake_glance_count (fixture->fake, "DELETE"), ==, 0);
  g_clear_pointer (&thread, g_thread_join);
}

static void
add (const char    *name,
     gconstpointer  data,
     void         (*test) (Fixture *, gconstpointer))
{
  g_autofree char *path = g_strconcat ("/glance/upload/", name, NULL);

  g_test_add (path, Fixture, data, setup, test, upload_fixture_teardown);
}

int
main (int    argc,
      char **argv)
{
  static const char *const moments[CANCEL_N] = {
    "before", "before-continue", "reading", "in-body", "after-body", "back-off", "settling",
    "confirming",
    "hashing",
  };

  g_test_init (&argc, &argv, NULL);

  add ("plain", NULL, test_plain);
  add ("one-byte", NULL, test_one_byte);
  add ("empty", NULL, test_empty);
  add ("mute-server", NULL, test_mute_server);
  add ("cut-in-body", NULL, test_cut_in_body);
  add ("cut-always", NULL, test_cut_always);
  add ("500-then-good", NULL, test_500_then_good);
  add ("500-always", NULL, test_500_always);
  add ("500-in-body", NULL, test_500_in_body);
  add ("413-in-body", NULL, test_413_in_body);
  add ("413-before-body", NULL, test_413_before_body);
  add ("404", GUINT_TO_POINTER (404), test_deleted_meanwhile);
  add ("410", GUINT_TO_POINTER (410), test_deleted_meanwhile);
  add ("415", NULL, test_415);
  add ("409-ours", NULL, test_409_ours);
  add ("409-others", NULL, test_409_others);
  add ("409-saving-then-active", NULL, test_409_saving_then_active);
  add ("saving-for-ever", NULL, test_saving_for_ever);
  add ("saving-then-queued", NULL, test_saving_then_queued);
  add ("lost-answer", NULL, test_lost_answer);
  add ("stall", NULL, test_stall);
  add ("wrong-hash", NULL, test_wrong_hash);
  add ("204-then-saving", NULL, test_204_then_saving);
  add ("204-then-killed", NULL, test_204_then_killed);
  add ("source-fails", NULL, test_source_fails);
  add ("source-is-short", NULL, test_source_is_short);
  add ("kept-connection-dies", NULL, test_kept_connection_dies);

  for (guint moment = 0; moment < CANCEL_N; moment++)
    {
      g_autofree char *path = g_strconcat ("/glance/upload/cancel/", moments[moment], NULL);

      g_test_add (path, Fixture, GUINT_TO_POINTER (moment), NULL, test_cancel,
                  upload_fixture_teardown);
    }

  return g_test_run ();
}
