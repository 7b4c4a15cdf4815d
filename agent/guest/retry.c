/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when to look for a guest again: after a while that grows with each failure, or when its
 * socket comes. A socket that is not there cannot answer, so then there is no timer at all. */

#include "retry.h"

#include "address.h"
#include "backoff.h"
#include "watch.h"

#include <sys/stat.h>

#define FIRST_MS 100
#define LAST_MS 30000

struct _Retry
{
  char        *monitor;
  RetryFunc    func;
  gpointer     user_data;

  Backoff      backoff;
  guint        timer;
  gint64       begun_us;
  gboolean     trying;
  gboolean     hurry;           /* the socket came during a try, which may have missed it */
  SocketWatch *watch;
};

/**
 * retry_new:
 * @monitor: where the guest is looked for
 * @func: makes a try; called from the main loop
 * @user_data: for @func
 *
 * Returns: (transfer full): nothing to be tried yet
 */
Retry *
retry_new (const char *monitor,
           RetryFunc   func,
           gpointer    user_data)
{
  Retry *self = g_new0 (Retry, 1);

  self->monitor = g_strdup (monitor);
  self->func = func;
  self->user_data = user_data;
  self->backoff = (Backoff) { FIRST_MS, LAST_MS, 0 };

  return self;
}

static void
stop_waiting (Retry *self)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->watch != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->watch, self);
      socket_watch_stop (self->watch);
    }
  g_clear_object (&self->watch);
}

/**
 * retry_free:
 * @self: (transfer full): the retries
 *
 * There will be no other try.
 */
void
retry_free (Retry *self)
{
  stop_waiting (self);
  g_free (self->monitor);
  g_free (self);
}

static gboolean
on_time (gpointer user_data)
{
  Retry *self = user_data;

  self->timer = 0;
  self->func (self->user_data);

  return G_SOURCE_REMOVE;
}

static void
wait_for (Retry *self,
          guint  wait_ms)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  self->timer = g_timeout_add (wait_ms, on_time, self);
}

static void
on_socket (SocketWatch *watch,
           const char  *path,
           gpointer     user_data)
{
  retry_hurry (user_data);
}

/**
 * retry_begin:
 * @self: the retries
 *
 * Says that a try begins.
 */
void
retry_begin (Retry *self)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  self->begun_us = g_get_monotonic_time ();
  self->trying = TRUE;
  self->hurry = FALSE;
}

/**
 * retry_failed:
 * @self: the retries
 *
 * Says that there is no link (any more). Makes another try after the back-off's wait, or when the
 * socket comes.
 */
void
retry_failed (Retry *self)
{
  struct stat status;

  self->trying = FALSE;

  if (self->watch == NULL && address_is_path (self->monitor))
    {
      self->watch = socket_watch_new (self->monitor, SOCKET_WATCH_PATH);
      g_signal_connect (self->watch, "added", G_CALLBACK (on_socket), self);
      socket_watch_start (self->watch);
    }

  /* Looked at after the watch has begun: a socket that comes from now on is seen. */
  if (self->hurry)
    backoff_reset (&self->backoff);
  else if (self->watch != NULL && lstat (self->monitor, &status) != 0)
    return;

  wait_for (self, backoff_next (&self->backoff));
}

/**
 * retry_succeeded:
 * @self: the retries
 *
 * Says that there is a link. It does not end the row of failures; see retry_forgive().
 */
void
retry_succeeded (Retry *self)
{
  self->trying = FALSE;
  stop_waiting (self);
}

/**
 * retry_hurry:
 * @self: the retries
 *
 * Makes the next try now, but never sooner after the last one than the shortest wait.
 */
void
retry_hurry (Retry *self)
{
  gint64 passed_ms = (g_get_monotonic_time () - self->begun_us) / 1000;

  if (self->trying)
    {
      self->hurry = TRUE;
      return;
    }

  backoff_reset (&self->backoff);
  wait_for (self, passed_ms < FIRST_MS ? (guint) (FIRST_MS - passed_ms) : 0);
}

/**
 * retry_forgive:
 * @self: the retries
 *
 * Begins again with the shortest wait.
 */
void
retry_forgive (Retry *self)
{
  backoff_reset (&self->backoff);
}

/**
 * retry_tire:
 * @self: the retries
 *
 * Makes the next wait the longest one, where trying does harm.
 */
void
retry_tire (Retry *self)
{
  self->backoff.next_ms = LAST_MS;
}
