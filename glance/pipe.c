/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how bytes are read, hashed and taken at the same time, in little memory. */

#include <glance/pipe.h>

#include "digest-private.h"
#include "error-private.h"

#define RING_SIZE (4 * 1024 * 1024)
#define STEP_SIZE (256 * 1024)

/* Whoever must be through with the bytes before their room is free. The first ones have the numbers
 * of their hashes. */
enum
{
  TAKER_MD5 = DIGEST_MD5,
  TAKER_SHA512 = DIGEST_SHA512,
  TAKER_CALLER = DIGEST_N,
  TAKERS,
};

struct _GlancePipe
{
  GlanceBody      body;
  GlanceDigest   *digest;
  GlanceProgress  progress;     /* (nullable) */
  gpointer        progress_data;
  GCancellable   *cancellable;  /* (nullable) */
  gulong          handler;

  GThread        *reader;       /* (nullable): these run from one rewind to the next, or the end */
  GThread        *hashers[DIGEST_N];
  char           *ring;         /* byte n of the body is at n % RING_SIZE */

  GMutex          lock;         /* of all that follows; nobody holds it while reading or hashing */
  GCond           more;         /* bytes came, or none will come */
  GCond           room;         /* bytes went, or nobody needs any further */
  gint64          filled;       /* bytes since the last rewind: read, */
  gint64          taken[TAKERS];        /* and done with */
  GError         *failure;      /* (nullable): of the body, after what is filled */
  gboolean        stopping;
  GlancePipeWake  wake;         /* (nullable) */
  gpointer        wake_data;
  gboolean        must_wake;
};

static gboolean
is_over (GlancePipe *self)
{
  return self->stopping || g_cancellable_is_cancelled (self->cancellable);
}

static void
wake_caller (GlancePipe *self)
{
  if (self->must_wake && self->wake != NULL)
    self->wake (self->wake_data);
  self->must_wake = FALSE;
}

/* How many bytes the reader may put behind what is filled, in one piece; 0 when it shall end. */
static gsize
await_room (GlancePipe *self)
{
  gint64 wanted = MIN (STEP_SIZE, self->body.length - self->filled);
  gint64 room = RING_SIZE - self->filled % RING_SIZE;

  g_mutex_lock (&self->lock);
  while (!is_over (self))
    {
      gint64 done = self->filled;

      for (guint i = 0; i < TAKERS; i++)
        done = MIN (done, self->taken[i]);
      if (RING_SIZE - (self->filled - done) >= wanted)
        break;

      g_cond_wait (&self->room, &self->lock);
    }
  if (is_over (self))
    wanted = 0;
  g_mutex_unlock (&self->lock);

  return (gsize) MIN (wanted, room);
}

static void
set_short_error (GlancePipe  *self,
                 GError     **error)
{
  glance_set_error (error, GLANCE_ERROR_INVALID,
                    "what is to be sent ended at byte %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT,
                    self->filled, self->body.length);
}

static gpointer
run_reader (gpointer data)
{
  GlancePipe *self = data;
  gboolean good = TRUE;
  gsize room;

  while (good && (room = await_room (self)) > 0)
    {
      GError *error = NULL;
      gssize got = self->body.read (self->body.data, self->ring + self->filled % RING_SIZE, room,
                                    &error);

      good = got > 0 && (gsize) got <= room;
      if (!good && got >= 0)
        set_short_error (self, &error);

      g_mutex_lock (&self->lock);
      if (good)
        self->filled += got;
      else
        self->failure = error;
      g_cond_broadcast (&self->more);
      wake_caller (self);
      g_mutex_unlock (&self->lock);
    }

  return NULL;
}

/* With the lock held. How many bytes lie in one piece before @taker. */
static gsize
count_ready (GlancePipe *self,
             guint       taker)
{
  gint64 at = self->taken[taker];

  return (gsize) MIN (self->filled - at, RING_SIZE - at % RING_SIZE);
}

static void
take (GlancePipe *self,
      guint       taker,
      gsize       size)
{
  g_mutex_lock (&self->lock);
  self->taken[taker] += (gint64) size;
  g_cond_signal (&self->room);
  g_mutex_unlock (&self->lock);
}

static gsize
await_ready (GlancePipe *self,
             guint       taker)
{
  gsize ready;

  g_mutex_lock (&self->lock);
  while ((ready = count_ready (self, taker)) == 0 && self->failure == NULL && !is_over (self)
         && self->filled < self->body.length)
    g_cond_wait (&self->more, &self->lock);
  if (is_over (self))
    ready = 0;
  g_mutex_unlock (&self->lock);

  return ready;
}

static gpointer
run_hasher (GlancePipe *self,
            DigestHash  hash)
{
  gsize ready;

  while ((ready = await_ready (self, hash)) > 0)
    {
      gsize n = MIN (ready, STEP_SIZE);

      digest_add (self->digest, hash, self->ring + self->taken[hash] % RING_SIZE, n);
      take (self, hash, n);
    }

  return NULL;
}

static gpointer
run_md5 (gpointer data)
{
  return run_hasher (data, DIGEST_MD5);
}

static gpointer
run_sha512 (gpointer data)
{
  return run_hasher (data, DIGEST_SHA512);
}

static void
join (GlancePipe *self)
{
  g_clear_pointer (&self->reader, g_thread_join);
  for (guint i = 0; i < DIGEST_N; i++)
    g_clear_pointer (&self->hashers[i], g_thread_join);
}

static void
wake_all (GlancePipe *self)
{
  g_cond_broadcast (&self->more);
  g_cond_broadcast (&self->room);
  wake_caller (self);
}

static void
stop (GlancePipe *self)
{
  g_mutex_lock (&self->lock);
  self->stopping = TRUE;
  wake_all (self);
  g_mutex_unlock (&self->lock);

  join (self);
  self->stopping = FALSE;
}

static gboolean
start (GlancePipe  *self,
       GError     **error)
{
  self->reader = g_thread_try_new ("pipe reader", run_reader, self, error);
  if (self->reader != NULL)
    self->hashers[DIGEST_MD5] = g_thread_try_new ("pipe md5", run_md5, self, error);
  if (self->hashers[DIGEST_MD5] != NULL)
    self->hashers[DIGEST_SHA512] = g_thread_try_new ("pipe sha512", run_sha512, self, error);
  if (self->hashers[DIGEST_SHA512] != NULL)
    return TRUE;

  stop (self);

  return FALSE;
}

static void
on_cancelled (GCancellable *cancellable,
              GlancePipe   *self)
{
  g_mutex_lock (&self->lock);
  wake_all (self);
  g_mutex_unlock (&self->lock);
}

/**
 * glance_pipe_new:
 * @body: the bytes; used by one thread at a time. Its own deadlines bound how long a rewind, a
 *   finish and the end of the pipe may wait for a read that is under way
 * @digest: gets all bytes; not touched by others until glance_pipe_finish() said %TRUE
 * @cancellable: (nullable): ends every wait at once, for good
 *
 * Returns: (transfer full): a pipe that wants to be rewound first; @body and @digest outlive it
 */
GlancePipe *
glance_pipe_new (const GlanceBody *body,
                 GlanceDigest     *digest,
                 GCancellable     *cancellable)
{
  GlancePipe *self = g_new0 (GlancePipe, 1);

  self->body = *body;
  self->digest = digest;
  self->ring = g_malloc (RING_SIZE);
  g_mutex_init (&self->lock);
  g_cond_init (&self->more);
  g_cond_init (&self->room);

  if (cancellable != NULL)
    {
      self->cancellable = g_object_ref (cancellable);
      self->handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), self, NULL);
    }

  return self;
}

/**
 * glance_pipe_free:
 * @self: (transfer full) (nullable): the pipe
 *
 * At any moment. Waits for a read that is under way.
 */
void
glance_pipe_free (GlancePipe *self)
{
  if (self == NULL)
    return;

  stop (self);
  g_cancellable_disconnect (self->cancellable, self->handler);

  g_clear_object (&self->cancellable);
  g_clear_error (&self->failure);
  g_cond_clear (&self->room);
  g_cond_clear (&self->more);
  g_mutex_clear (&self->lock);
  g_free (self->ring);
  g_free (self);
}

/**
 * glance_pipe_set_progress:
 * @self: the pipe
 * @progress: (nullable): told by glance_pipe_skip() how many bytes were taken
 * @user_data: for @progress
 */
void
glance_pipe_set_progress (GlancePipe     *self,
                          GlanceProgress  progress,
                          gpointer        user_data)
{
  self->progress = progress;
  self->progress_data = user_data;
}

/**
 * glance_pipe_get_length:
 * @self: the pipe
 *
 * Returns: the bytes of the body
 */
gint64
glance_pipe_get_length (GlancePipe *self)
{
  return self->body.length;
}

/**
 * glance_pipe_get_left:
 * @self: the pipe
 *
 * Returns: how many bytes were not taken yet
 */
gint64
glance_pipe_get_left (GlancePipe *self)
{
  return self->body.length - self->taken[TAKER_CALLER];
}

/**
 * glance_pipe_rewind:
 * @self: the pipe
 * @error: what the body said; G_IO_ERROR_CANCELLED; G_THREAD_ERROR
 *
 * The hashes start anew as well. Bytes that were read, but not taken, are not read again.
 *
 * Returns: whether the first bytes lie ready: who has to deliver them without a pause may begin
 */
gboolean
glance_pipe_rewind (GlancePipe  *self,
                    GError     **error)
{
  gboolean fresh = self->reader != NULL && self->taken[TAKER_CALLER] == 0;

  g_mutex_lock (&self->lock);
  fresh = fresh && self->failure == NULL;
  g_mutex_unlock (&self->lock);

  if (!fresh)
    {
      stop (self);

      glance_digest_reset (self->digest);
      self->filled = 0;
      for (guint i = 0; i < TAKERS; i++)
        self->taken[i] = 0;
      g_clear_error (&self->failure);

      if (!self->body.rewind (self->body.data, error) || !start (self, error))
        return FALSE;
    }

  return glance_pipe_wait (self, error);
}

/**
 * glance_pipe_peek:
 * @self: the pipe, rewound
 * @data: (out): the next bytes, which stay there until they are skipped
 * @error: what the body said; GLANCE_ERROR_INVALID when it was shorter than its length;
 *   G_IO_ERROR_CANCELLED
 *
 * Does not wait.
 *
 * Returns: how many bytes; 0 at the end, or when none are there now; -1 on error
 */
gssize
glance_pipe_peek (GlancePipe  *self,
                  const char **data,
                  GError     **error)
{
  gssize ready;

  if (g_cancellable_set_error_if_cancelled (self->cancellable, error))
    return -1;

  g_mutex_lock (&self->lock);
  ready = (gssize) count_ready (self, TAKER_CALLER);
  self->must_wake = ready == 0;
  if (ready > 0)
    {
      *data = self->ring + self->taken[TAKER_CALLER] % RING_SIZE;
    }
  else if (self->failure != NULL)
    {
      g_propagate_error (error, g_error_copy (self->failure));
      ready = -1;
    }
  g_mutex_unlock (&self->lock);

  return ready;
}

/**
 * glance_pipe_skip:
 * @self: the pipe
 * @size: of the bytes that glance_pipe_peek() has shown, how many are taken
 */
void
glance_pipe_skip (GlancePipe *self,
                  gsize       size)
{
  take (self, TAKER_CALLER, size);

  if (self->progress != NULL)
    self->progress (self->taken[TAKER_CALLER], self->body.length, self->progress_data);
}

/**
 * glance_pipe_wait:
 * @self: the pipe, rewound
 * @error: as for glance_pipe_peek()
 *
 * Returns: whether there is something to peek at, or all was taken
 */
gboolean
glance_pipe_wait (GlancePipe  *self,
                  GError     **error)
{
  const char *data;

  await_ready (self, TAKER_CALLER);

  return glance_pipe_peek (self, &data, error) >= 0;
}

/**
 * glance_pipe_set_wake:
 * @self: the pipe
 * @wake: (nullable): called when something came after a peek that found nothing: bytes, an error,
 *   or that it was cancelled
 * @user_data: for @wake, which is not called any more once this has returned with another
 */
void
glance_pipe_set_wake (GlancePipe     *self,
                      GlancePipeWake  wake,
                      gpointer        user_data)
{
  g_mutex_lock (&self->lock);
  self->wake = wake;
  self->wake_data = user_data;
  g_mutex_unlock (&self->lock);
}

/**
 * glance_pipe_finish:
 * @self: the pipe, rewound
 * @error: as for glance_pipe_peek()
 *
 * Takes what is left, and waits for the hashes.
 *
 * Returns: whether the digest has all bytes of the body, and may be looked at
 */
gboolean
glance_pipe_finish (GlancePipe  *self,
                    GError     **error)
{
  while (glance_pipe_get_left (self) > 0)
    {
      const char *data;
      gssize n = glance_pipe_wait (self, error) ? glance_pipe_peek (self, &data, error) : -1;

      if (n < 0)
        return FALSE;
      glance_pipe_skip (self, (gsize) n);
    }

  join (self);

  /* Cancelled, the hashes may have stopped before the end. */
  return !g_cancellable_set_error_if_cancelled (self->cancellable, error);
}
