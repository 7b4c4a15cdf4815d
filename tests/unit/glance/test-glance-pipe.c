/* SPDX-License-Identifier: Apache-2.0 */

/* The pipe: bytes and hashes are right whatever the sizes of the pieces, memory is bounded, and it
 * can be rewound, cancelled and freed at any moment. */

#include <glance/error.h>
#include <glance/pipe.h>

#include "pattern.h"

#define MIB  (1024 * 1024)
#define RING (4 * MIB)

/* A body between a pattern and the pipe, which watches. */
typedef struct
{
  Pattern  pattern;
  gsize    piece;               /* the most that a read gives; 0: what is asked for */
  gpointer taken;               /* atomic: bytes, by the taker */

  GMutex   lock;
  GCond    changed;
  gint64   gate;                /* reads from here on wait until it is moved; -1: none do */
  gboolean at_gate;
  guint    woken;
} Body;

static gssize
body_read (gpointer   data,
           void      *buffer,
           gsize      size,
           GError   **error)
{
  Body *self = data;
  GlanceBody pattern = pattern_as_body (&self->pattern);

  /* No byte is overwritten that was not taken. */
  g_assert_cmpint (self->pattern.position + (gint64) size
                   - (gint64) (gintptr) g_atomic_pointer_get (&self->taken), <=, RING);

  g_mutex_lock (&self->lock);
  while (self->gate >= 0 && self->pattern.position >= self->gate)
    {
      self->at_gate = TRUE;
      g_cond_broadcast (&self->changed);
      g_cond_wait (&self->changed, &self->lock);
    }
  g_mutex_unlock (&self->lock);

  return pattern.read (pattern.data, buffer, self->piece > 0 ? MIN (size, self->piece) : size,
                       error);
}

static gboolean
body_rewind (gpointer   data,
             GError   **error)
{
  Body *self = data;
  GlanceBody pattern = pattern_as_body (&self->pattern);

  g_atomic_pointer_set (&self->taken, NULL);

  return pattern.rewind (pattern.data, error);
}

static GlanceBody
body_init (Body   *self,
           gint64  length)
{
  *self = (Body) { .gate = -1 };
  pattern_init (&self->pattern, length);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);

  return (GlanceBody) { .length = length, .read = body_read, .rewind = body_rewind,
                        .data = self };
}

static void
body_clear (Body *self)
{
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
}

static void
body_open (Body *self)
{
  g_mutex_lock (&self->lock);
  self->gate = -1;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* Takes up to @size bytes, which must be those of the pattern; returns how many. */
static gsize
take (GlancePipe  *pipe,
      Body        *body,
      gsize        size,
      GError     **error)
{
  gint64 at = glance_pipe_get_length (pipe) - glance_pipe_get_left (pipe);
  const char *data = NULL;
  gssize ready = glance_pipe_wait (pipe, error) ? glance_pipe_peek (pipe, &data, error) : -1;
  gsize n = ready < 0 ? 0 : MIN ((gsize) ready, size);

  for (gsize i = 0; i < n; i++)
    {
      gint64 position = at + (gint64) i;

      if ((guint8) data[i] != (guint8) (position * 7 + (position >> 9)))
        g_error ("byte %" G_GINT64_FORMAT " is not what was read", position);
    }

  g_atomic_pointer_set (&body->taken, (gpointer) (gintptr) (at + (gint64) n));
  glance_pipe_skip (pipe, n);

  return n;
}

static void
take_all (GlancePipe *pipe,
          Body       *body,
          gsize       piece)
{
  g_autoptr (GError) error = NULL;

  while (glance_pipe_get_left (pipe) > 0)
    {
      g_assert_cmpuint (take (pipe, body, piece, &error), >, 0);
      g_assert_no_error (error);
    }
}

/* What the hashes are when nothing else is at it. */
static void
assert_digest (GlanceDigest *digest,
               gint64        length)
{
  g_autofree guint8 *data = g_malloc ((gsize) length);
  g_autofree char *md5 = NULL;
  g_autofree char *sha512 = NULL;
  Pattern pattern;
  GlanceBody body;

  pattern_init (&pattern, length);
  body = pattern_as_body (&pattern);
  g_assert_cmpint (body.read (body.data, data, (gsize) length, NULL), ==, length);
  md5 = g_compute_checksum_for_data (G_CHECKSUM_MD5, data, (gsize) length);
  sha512 = g_compute_checksum_for_data (G_CHECKSUM_SHA512, data, (gsize) length);

  g_assert_cmpint (glance_digest_get_size (digest), ==, length);
  g_assert_cmpstr (glance_digest_get_md5 (digest), ==, md5);
  g_assert_cmpstr (glance_digest_get_sha512 (digest), ==, sha512);
}

static void
test_digest (void)
{
  g_autoptr (GlanceDigest) digest = glance_digest_new ();

  for (guint i = 0; i < 2; i++)
    {
      glance_digest_reset (digest);
      g_assert_cmpint (glance_digest_get_size (digest), ==, 0);
      g_assert_cmpstr (glance_digest_get_md5 (digest), ==, "d41d8cd98f00b204e9800998ecf8427e");

      glance_digest_reset (digest);
      glance_digest_update (digest, "a", 1);
      glance_digest_update (digest, "", 0);
      glance_digest_update (digest, "bc", 2);
      g_assert_cmpint (glance_digest_get_size (digest), ==, 3);
      g_assert_cmpstr (glance_digest_get_md5 (digest), ==, "900150983cd24fb0d6963f7d28e17f72");
      g_assert_cmpstr (glance_digest_get_sha512 (digest), ==,
                       "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                       "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
    }
}

static void
test_sizes (void)
{
  const gint64 lengths[] = { 1, 2, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, RING - 1, RING,
                             RING + 1, 2 * RING + 517 };
  const gsize pieces[] = { 0, 4099, 256 * 1024 - 1 };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      for (guint k = 0; k < 2 * G_N_ELEMENTS (pieces); k++)
        {
          Body body;
          const GlanceBody source = body_init (&body, lengths[i]);
          g_autoptr (GlanceDigest) digest = glance_digest_new ();
          g_autoptr (GlancePipe) pipe = glance_pipe_new (&source, digest, NULL);
          g_autoptr (GError) error = NULL;

          body.piece = pieces[k / 2];
          g_assert_true (glance_pipe_rewind (pipe, &error));
          g_assert_cmpint (glance_pipe_get_left (pipe), ==, lengths[i]);
          take_all (pipe, &body, k % 2 == 0 ? G_MAXSIZE : 10007);
          g_assert_true (glance_pipe_finish (pipe, &error));
          g_assert_no_error (error);
          assert_digest (digest, lengths[i]);

          g_clear_pointer (&pipe, glance_pipe_free);
          body_clear (&body);
        }
    }
}

/* Finishing takes what nobody else took, from wherever that begins. */
static void
test_finish (void)
{
  for (gint64 before = 0; before <= 6 * MIB; before += 2 * MIB)
    {
      Body body;
      const GlanceBody source = body_init (&body, 6 * MIB);
      g_autoptr (GlanceDigest) digest = glance_digest_new ();
      g_autoptr (GlancePipe) pipe = glance_pipe_new (&source, digest, NULL);
      g_autoptr (GError) error = NULL;

      g_assert_true (glance_pipe_rewind (pipe, &error));
      while (6 * MIB - glance_pipe_get_left (pipe) < before)
        g_assert_cmpuint (take (pipe, &body, 99991, &error), >, 0);

      /* What finish takes is not counted in the body. */
      g_atomic_pointer_set (&body.taken, (gpointer) (gintptr) (6 * MIB));
      g_assert_true (glance_pipe_finish (pipe, &error));
      g_assert_true (glance_pipe_finish (pipe, &error));
      assert_digest (digest, 6 * MIB);
      g_assert_cmpuint (body.pattern.rewinds, ==, 1);

      g_clear_pointer (&pipe, glance_pipe_free);
      body_clear (&body);
    }
}

static void
test_rewind (void)
{
  Body body;
  const GlanceBody source = body_init (&body, RING + 517);
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  g_autoptr (GlancePipe) pipe = glance_pipe_new (&source, digest, NULL);
  g_autoptr (GError) error = NULL;
  guint rewinds = 0;

  for (gint64 at = 0; at <= RING; at += MIB / 2)
    {
      g_assert_true (glance_pipe_rewind (pipe, &error));
      g_assert_cmpuint (body.pattern.rewinds, ==, rewinds + 1);
      /* Nothing was taken: nothing is read again. */
      g_assert_true (glance_pipe_rewind (pipe, &error));
      g_assert_cmpuint (body.pattern.rewinds, ==, ++rewinds);

      for (gint64 taken = 0; taken <= at; )
        taken += (gint64) take (pipe, &body, 65537, &error);
    }

  g_assert_true (glance_pipe_rewind (pipe, &error));
  take_all (pipe, &body, G_MAXSIZE);
  g_assert_true (glance_pipe_finish (pipe, &error));
  assert_digest (digest, RING + 517);

  g_assert_true (glance_pipe_rewind (pipe, &error));
  take_all (pipe, &body, G_MAXSIZE);
  g_assert_true (glance_pipe_finish (pipe, &error));
  assert_digest (digest, RING + 517);
  g_assert_no_error (error);

  g_clear_pointer (&pipe, glance_pipe_free);
  body_clear (&body);
}

/* An error comes behind the bytes before it, and does not outlive a rewind. */
static void
test_failure (gconstpointer data)
{
  gboolean is_short = GPOINTER_TO_UINT (data);
  const gint64 moments[] = { 0, 1, 300001, RING, RING + 300001 };

  for (guint i = 0; i < G_N_ELEMENTS (moments); i++)
    {
      Body body;
      const GlanceBody source = body_init (&body, 2 * RING);
      g_autoptr (GlanceDigest) digest = glance_digest_new ();
      g_autoptr (GlancePipe) pipe = glance_pipe_new (&source, digest, NULL);
      g_autoptr (GError) error = NULL;
      gint64 taken = 0;
      gsize n;

      body.piece = moments[i] > 1 ? 100000 : 1;
      if (is_short)
        body.pattern.ends_at = moments[i];
      else
        body.pattern.fails_at = moments[i];

      if (glance_pipe_rewind (pipe, &error))
        {
          while ((n = take (pipe, &body, G_MAXSIZE, &error)) > 0)
            taken += (gint64) n;
        }
      g_assert_cmpint (taken, >=, moments[i]);
      g_assert_cmpint (taken, <, moments[i] + 100000);
      if (is_short)
        g_assert_error (error, GLANCE_ERROR, GLANCE_ERROR_INVALID);
      else
        g_assert_error (error, G_IO_ERROR, G_IO_ERROR_FAILED);

      g_clear_error (&error);
      g_assert_false (glance_pipe_finish (pipe, &error));
      g_assert_nonnull (error);
      g_clear_error (&error);

      body.pattern.ends_at = -1;
      body.pattern.fails_at = -1;
      body.piece = 0;
      g_assert_true (glance_pipe_rewind (pipe, &error));
      take_all (pipe, &body, G_MAXSIZE);
      g_assert_true (glance_pipe_finish (pipe, &error));
      assert_digest (digest, 2 * RING);

      g_clear_pointer (&pipe, glance_pipe_free);
      body_clear (&body);
    }
}

static gpointer
cancel_at_gate (gpointer data)
{
  Body *body = data;

  g_mutex_lock (&body->lock);
  while (!body->at_gate)
    g_cond_wait (&body->changed, &body->lock);
  g_mutex_unlock (&body->lock);

  g_cancellable_cancel (body->pattern.cancellable);

  return NULL;
}

/* Cancelled while the body does not answer: the waiting ends all the same. */
static void
test_cancel (void)
{
  const gint64 gates[] = { 0, 300001, RING + 1 };

  for (guint i = 0; i < G_N_ELEMENTS (gates); i++)
    {
      Body body;
      const GlanceBody source = body_init (&body, 2 * RING);
      g_autoptr (GlanceDigest) digest = glance_digest_new ();
      g_autoptr (GCancellable) cancellable = g_cancellable_new ();
      g_autoptr (GlancePipe) pipe = glance_pipe_new (&source, digest, cancellable);
      g_autoptr (GError) error = NULL;
      GThread *thread;

      body.gate = gates[i];
      body.pattern.cancellable = cancellable;
      thread = g_thread_new ("cancel", cancel_at_gate, &body);

      if (glance_pipe_rewind (pipe, &error))
        {
          while (take (pipe, &body, G_MAXSIZE, &error) > 0)
            ;
        }
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
      g_assert_false (glance_pipe_finish (pipe, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

      g_thread_join (thread);
      body_open (&body);
      g_clear_pointer (&pipe, glance_pipe_free);
      body_clear (&body);
    }
}

static void
test_free (void)
{
  for (gint64 at = -1; at <= 2 * RING; at += MIB)
    {
      Body body;
      const GlanceBody source = body_init (&body, 2 * RING);
      g_autoptr (GlanceDigest) digest = glance_digest_new ();
      g_autoptr (GlancePipe) pipe = glance_pipe_new (&source, digest, NULL);
      g_autoptr (GError) error = NULL;

      if (at >= 0)
        g_assert_true (glance_pipe_rewind (pipe, &error));
      for (gint64 taken = 0; taken < at && glance_pipe_get_left (pipe) > 0; )
        taken += (gint64) take (pipe, &body, 99991, &error);

      g_clear_pointer (&pipe, glance_pipe_free);
      body_clear (&body);
    }
}

static void
on_wake (gpointer data)
{
  Body *body = data;

  g_mutex_lock (&body->lock);
  body->woken++;
  g_cond_broadcast (&body->changed);
  g_mutex_unlock (&body->lock);
}

/* Who does not wait is called when there is something, once for each time that there was nothing;
 * bytes, an error or a cancellation. */
static void
test_wake (void)
{
  Body body;
  const GlanceBody source = body_init (&body, 3 * MIB);
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GlancePipe) pipe = glance_pipe_new (&source, digest, cancellable);
  g_autoptr (GError) error = NULL;
  const char *data = NULL;
  gint64 deadline = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
  gssize n;

  body.gate = MIB;
  glance_pipe_set_wake (pipe, on_wake, &body);
  g_assert_true (glance_pipe_rewind (pipe, &error));
  while (take (pipe, &body, G_MAXSIZE, &error) > 0 && glance_pipe_get_left (pipe) > 2 * MIB)
    ;
  g_assert_cmpint (glance_pipe_peek (pipe, &data, &error), ==, 0);
  body.woken = 0;

  body_open (&body);
  g_mutex_lock (&body.lock);
  while (body.woken == 0)
    g_assert_true (g_cond_wait_until (&body.changed, &body.lock, deadline));
  g_mutex_unlock (&body.lock);

  n = glance_pipe_peek (pipe, &data, &error);
  g_assert_cmpint (n, >, 0);
  take_all (pipe, &body, G_MAXSIZE);
  g_assert_cmpint (glance_pipe_peek (pipe, &data, &error), ==, 0);

  body.woken = 0;
  g_cancellable_cancel (cancellable);
  g_assert_cmpuint (body.woken, ==, 1);
  g_assert_cmpint (glance_pipe_peek (pipe, &data, &error), ==, -1);
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  g_clear_pointer (&pipe, glance_pipe_free);
  body_clear (&body);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/glance/digest", test_digest);
  g_test_add_func ("/glance/pipe/sizes", test_sizes);
  g_test_add_func ("/glance/pipe/finish", test_finish);
  g_test_add_func ("/glance/pipe/rewind", test_rewind);
  g_test_add_data_func ("/glance/pipe/failure", GUINT_TO_POINTER (FALSE), test_failure);
  g_test_add_data_func ("/glance/pipe/short", GUINT_TO_POINTER (TRUE), test_failure);
  g_test_add_func ("/glance/pipe/cancel", test_cancel);
  g_test_add_func ("/glance/pipe/free", test_free);
  g_test_add_func ("/glance/pipe/wake", test_wake);

  return g_test_run ();
}
