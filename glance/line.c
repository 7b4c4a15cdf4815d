/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a kept connection and its socket. */

#include "line.h"

#include <poll.h>
#include <unistd.h>

/* Never more than the two families of addresses and a connection about to be closed. */
#define SOCKETS_MAX 4

/**
 * line_new:
 *
 * Returns: (transfer full): a line without a connection yet
 */
Line *
line_new (void)
{
  Line *self = g_new0 (Line, 1);

  self->multi = curl_multi_init ();
  curl_multi_setopt (self->multi, CURLMOPT_MAXCONNECTS, 1L);
  self->sockets = g_array_new (FALSE, FALSE, sizeof (curl_socket_t));

  return self;
}

/**
 * line_free:
 * @self: (transfer full): a line that no exchange uses
 */
void
line_free (Line *self)
{
  curl_multi_cleanup (self->multi);
  g_array_unref (self->sockets);
  g_free (self);
}

static int
on_open (void          *user_data,
         curl_socket_t  fd,
         curlsocktype   purpose)
{
  Line *self = user_data;

  g_array_append_val (self->sockets, fd);

  return CURL_SOCKOPT_OK;
}

static int
on_close (void          *user_data,
          curl_socket_t  fd)
{
  Line *self = user_data;

  for (guint i = 0; i < self->sockets->len; i++)
    {
      if (g_array_index (self->sockets, curl_socket_t, i) == fd)
        {
          g_array_remove_index_fast (self->sockets, i);
          break;
        }
    }

  return close (fd);
}

/**
 * line_attach:
 * @self: the line
 * @easy: an exchange that is about to begin
 */
void
line_attach (Line *self,
             CURL *easy)
{
  curl_easy_setopt (easy, CURLOPT_SOCKOPTFUNCTION, on_open);
  curl_easy_setopt (easy, CURLOPT_SOCKOPTDATA, self);
  curl_easy_setopt (easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
  curl_easy_setopt (easy, CURLOPT_CLOSESOCKETDATA, self);
  curl_multi_add_handle (self->multi, easy);
}

/**
 * line_is_readable:
 * @self: the line
 *
 * Returns: whether there is something to read, or the end of it
 */
gboolean
line_is_readable (Line *self)
{
  struct pollfd fds[SOCKETS_MAX];
  guint n = MIN (self->sockets->len, SOCKETS_MAX);

  for (guint i = 0; i < n; i++)
    fds[i] = (struct pollfd) { .fd = g_array_index (self->sockets, curl_socket_t, i),
                              .events = POLLIN };

  return poll (fds, n, 0) > 0;
}
