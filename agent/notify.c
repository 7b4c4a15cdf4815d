/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the datagram of sd_notify(3). */

#include "notify.h"

#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>

#include <string.h>

/**
 * notify_manager:
 * @state: what to tell
 *
 * Tells the service manager, if there is one. Whether it listens is its own affair.
 */
void
notify_manager (const char *state)
{
  const char *path = g_getenv ("NOTIFY_SOCKET");
  g_autoptr (GSocket) socket = NULL;
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GError) error = NULL;

  if (path == NULL || (path[0] != '/' && path[0] != '@'))
    return;

  address = path[0] == '@'
            ? g_unix_socket_address_new_with_type (path + 1, -1, G_UNIX_SOCKET_ADDRESS_ABSTRACT)
            : g_unix_socket_address_new (path);
  socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_DATAGRAM, 0, &error);
  if (socket == NULL || g_socket_send_to (socket, address, state, strlen (state), NULL, &error) < 0)
    g_warning ("cannot tell the service manager \"%s\": %s", state, error->message);
}
