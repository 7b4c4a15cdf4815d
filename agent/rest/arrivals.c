/* SPDX-License-Identifier: Apache-2.0 */

/* Knows who is connected, and who has to go so that others are served.
 *
 * Whoever has not told all of its request keeps us waiting: it may do so for a while, and when
 * there is no room for a newcomer the one that has done it longest goes. Who waits for our answer
 * stays; so of those that ask to wait long only some are let in. */

#include "arrivals.h"

#include <string.h>

#define REQUEST_SECONDS 15      /* from the connection to the end of the request */

#define ARRIVAL "qsnapd-arrival"

/* Those whom libsoup does not know well enough yet to answer them. */
#define LATE \
  "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n" \
  "{\"error\": {\"code\": \"timeout\", \"status\": 408, \"message\": " \
  "\"the request was not complete within 15 s\"}}\n"
#define CROWDED \
  "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\n" \
  "Content-Type: application/json\r\n\r\n" \
  "{\"error\": {\"code\": \"unavailable\", \"status\": 503, \"message\": " \
  "\"too many are connected\", \"hint\": \"Try again later, with fewer connections.\"}}\n"

#define ENDLESS \
  "HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\n" \
  "Content-Type: application/json\r\n\r\n" \
  "{\"error\": {\"code\": \"too-large\", \"status\": 413, \"message\": " \
  "\"the body is larger than 1048576 bytes\"}}\n"

struct _Arrivals
{
  GQueue  reading;              /* of Arrival: those that keep us waiting, the longest first */
  guint   count;
  guint   waits;
  gsize   bytes;
};

struct _Arrival
{
  Arrivals *all;                /* holds a reference */
  SoupServerMessage *message;   /* owns this */
  GList     link;               /* in @reading, while it is there */
  guint     timer;
  gsize     bytes;
  gboolean  reading;
  gboolean  waits;
  gboolean  gone;               /* turned away, and counted no more */
};

static void
arrivals_clear (gpointer data)
{
  Arrivals *self = data;

  g_assert (self->count == 0 && self->waits == 0 && self->bytes == 0);
}

/**
 * arrivals_new:
 *
 * Returns: (transfer full): nobody yet
 */
Arrivals *
arrivals_new (void)
{
  return g_rc_box_new0 (Arrivals);
}

/**
 * arrivals_free:
 * @self: who is connected; those who still are may go later
 */
void
arrivals_free (Arrivals *self)
{
  g_rc_box_release_full (self, arrivals_clear);
}

static void
stop_reading (Arrival *self)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->reading)
    g_queue_unlink (&self->all->reading, &self->link);
  self->reading = FALSE;
}

/* @last_words: said as far as they can be said at once */
static void
turn_away (Arrival    *self,
           const char *last_words)
{
  GSocket *socket = soup_server_message_get_socket (self->message);

  stop_reading (self);
  self->all->count -= !self->gone;
  self->gone = TRUE;
  (void) g_socket_send_with_blocking (socket, last_words, strlen (last_words), FALSE, NULL, NULL);
  g_socket_shutdown (socket, TRUE, TRUE, NULL);
}

static gboolean
on_late (gpointer user_data)
{
  Arrival *self = user_data;

  self->timer = 0;
  /* Who was refused already goes on with its body all the same. */
  turn_away (self, soup_server_message_get_status (self->message) == 0 ? LATE : ENDLESS);
  return G_SOURCE_REMOVE;
}

static void
arrival_free (gpointer data)
{
  Arrival *self = data;

  stop_reading (self);
  self->all->count -= !self->gone;
  self->all->waits -= self->waits;
  self->all->bytes -= self->bytes;
  arrivals_free (self->all);
  g_free (self);
}

/**
 * arrivals_add:
 * @self: who is connected
 * @message: the request of a new connection, of which nothing was read yet
 *
 * When there is no room, another one is turned away that has kept us waiting, or the newcomer where
 * there is none.
 */
void
arrivals_add (Arrivals          *self,
              SoupServerMessage *message)
{
  Arrival *arrival = g_new0 (Arrival, 1);

  arrival->all = g_rc_box_acquire (self);
  arrival->message = message;
  arrival->link.data = arrival;
  g_object_set_data_full (G_OBJECT (message), ARRIVAL, arrival, arrival_free);

  g_queue_push_tail_link (&self->reading, &arrival->link);
  arrival->reading = TRUE;
  arrival->timer = g_timeout_add_seconds (REQUEST_SECONDS, on_late, arrival);
  if (++self->count > ARRIVALS_MAX)
    turn_away (g_queue_peek_head (&self->reading), CROWDED);
}

/**
 * arrival_of:
 * @message: a request
 *
 * Returns: (transfer none): who makes it; lives as long as @message
 */
Arrival *
arrival_of (SoupServerMessage *message)
{
  return g_object_get_data (G_OBJECT (message), ARRIVAL);
}

/**
 * arrival_take_bytes:
 * @self: whose body comes
 * @length: how many more bytes of it
 *
 * Returns: whether they may be kept until it is gone
 */
gboolean
arrival_take_bytes (Arrival *self,
                    gsize    length)
{
  if (self->all->bytes + length > ARRIVALS_BYTES_MAX)
    return FALSE;

  self->bytes += length;
  self->all->bytes += length;
  return TRUE;
}

/**
 * arrival_cut_off:
 * @self: whose body does not end
 */
void
arrival_cut_off (Arrival *self)
{
  turn_away (self, ENDLESS);
}

/**
 * arrival_complete:
 * @self: who has told all of its request
 */
void
arrival_complete (Arrival *self)
{
  stop_reading (self);
}

/**
 * arrival_wait:
 * @self: who asks to wait
 *
 * Returns: whether it may, until it is gone
 */
gboolean
arrival_wait (Arrival *self)
{
  if (self->all->waits >= ARRIVALS_WAITS_MAX)
    return FALSE;

  self->waits = TRUE;
  self->all->waits++;
  return TRUE;
}
