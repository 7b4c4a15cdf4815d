/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the sockets to listen on come into being. */

#include "listen.h"

#include <core/error.h>

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Of clients that are not accepted yet: one on a full TCP queue tries again after a second only. */
#define BACKLOG 512

struct _SocketFile
{
  char  *path;
  dev_t  dev;
  ino_t  ino;
};

static gboolean
set_errno (GError     **error,
           const char  *path,
           const char  *doing,
           int          code)
{
  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "%s: cannot %s: %s", path, doing,
               g_strerror (code));
  return FALSE;
}

/* Nobody may stand at @path but a socket whose listener is dead. */
static gboolean
check_vacant (const char  *path,
              GError     **error)
{
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autoptr (GSocket) probe = NULL;
  g_autoptr (GError) problem = NULL;
  GStatBuf facts;

  if (g_lstat (path, &facts) != 0)
    return errno == ENOENT || set_errno (error, path, "look", errno);

  if (!S_ISSOCK (facts.st_mode))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "Set another socket in [rest].",
                       "%s: there is a file that is no socket", path);
      return FALSE;
    }

  probe = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, error);
  if (probe == NULL)
    return FALSE;
  /* A live listener whose queue is full must not make us wait. */
  g_socket_set_blocking (probe, FALSE);
  if (!g_socket_connect (probe, address, NULL, &problem) &&
      (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED) ||
       g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND)))
    return TRUE;

  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "Stop the other daemon, or set another socket in [rest].",
                   "%s: somebody listens there already", path);
  return FALSE;
}

static gboolean
give_to_group (const char  *path,
               const char  *group,
               GError     **error)
{
  struct group *entry;

  if (group == NULL)
    return TRUE;

  errno = 0;
  entry = getgrnam (group);
  if (entry == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "Make it with: groupadd --system GROUP",
                       "[rest] group: there is no group \"%s\"", group);
      return FALSE;
    }
  if (chown (path, (uid_t) -1, entry->gr_gid) != 0)
    return set_errno (error, path, "give the socket to its group", errno);
  return TRUE;
}

/* Binds at a name of its own first: who finds the socket at @path finds it with its mode, and the
 * old one is replaced in one step. */
static gboolean
bind_at (GSocket      *socket,
         const char   *path,
         const char   *group,
         SocketFile  **file,
         GError      **error)
{
  g_autofree char *temporary = g_strdup_printf ("%s.new", path);
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (temporary);
  gboolean good = FALSE;
  GStatBuf facts;

  /* Who connects to a Unix socket with a full queue and does not block is turned away. */
  g_socket_set_listen_backlog (socket, BACKLOG);
  if (g_unlink (temporary) != 0 && errno != ENOENT)
    return set_errno (error, temporary, "remove the file", errno);
  if (!g_socket_bind (socket, address, TRUE, error))
    return FALSE;

  if (chmod (temporary, 0660) != 0)
    set_errno (error, temporary, "set the mode", errno);
  else if (!give_to_group (temporary, group, error))
    ;
  else if (!g_socket_listen (socket, error))
    ;
  else if (g_lstat (temporary, &facts) != 0)
    set_errno (error, temporary, "look", errno);
  else if (g_rename (temporary, path) != 0)
    set_errno (error, path, "put the socket there", errno);
  else
    good = TRUE;

  if (!good)
    {
      g_unlink (temporary);
      return FALSE;
    }
  *file = g_new0 (SocketFile, 1);
  (*file)->path = g_strdup (path);
  (*file)->dev = facts.st_dev;
  (*file)->ino = facts.st_ino;
  return TRUE;
}

/**
 * listen_unix:
 * @path: where; its folder is made when it is missing
 * @group: (nullable): name of the group that may connect, beside the user we run as
 * @file: (out) (transfer full): what to remove in the end
 * @error: return location
 *
 * Listens on a Unix socket of mode 0660. The socket of a dead daemon is replaced.
 *
 * Returns: (transfer full): the socket, listening; on error %NULL with %AGENT_ERROR_CONFLICT,
 *   %AGENT_ERROR_INVALID or a #GIOErrorEnum
 */
GSocket *
listen_unix (const char  *path,
             const char  *group,
             SocketFile **file,
             GError     **error)
{
  g_autoptr (GSocket) socket = NULL;
  g_autofree char *folder = g_path_get_dirname (path);

  if (strlen (path) + strlen (".new") >= sizeof ((struct sockaddr_un *) NULL)->sun_path)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "Set a shorter one in [rest].",
                       "%s: too long for the name of a Unix socket", path);
      return NULL;
    }
  if (g_mkdir_with_parents (folder, 0755) != 0)
    {
      set_errno (error, folder, "make the folder", errno);
      return NULL;
    }

  socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, error);
  if (socket == NULL || !check_vacant (path, error) || !bind_at (socket, path, group, file, error))
    return NULL;
  return g_steal_pointer (&socket);
}

/**
 * socket_file_remove:
 * @file: (transfer full): what listen_unix() gave
 *
 * Removes the file, unless another one stands there by now.
 */
void
socket_file_remove (SocketFile *file)
{
  GStatBuf facts;

  if (g_lstat (file->path, &facts) == 0 && facts.st_dev == file->dev && facts.st_ino == file->ino)
    g_unlink (file->path);
  g_free (file->path);
  g_free (file);
}

static GSocketConnectable *
parse_listen (const char  *listen,
              GError     **error)
{
  g_autoptr (GError) problem = NULL;
  GSocketConnectable *where = g_network_address_parse (listen, 0, &problem);

  if (where != NULL && g_network_address_get_port (G_NETWORK_ADDRESS (where)) != 0)
    return where;

  g_clear_object (&where);
  agent_set_error (error, AGENT_ERROR_INVALID,
                   "Write HOST:PORT, such as 127.0.0.1:9191 or [::1]:9191.",
                   "[rest] listen: \"%s\" is no host and port", listen);
  return NULL;
}

/**
 * listen_split_host:
 * @listen: HOST:PORT, an IPv6 address in brackets
 * @host: (out) (transfer full): the host, without brackets
 * @error: return location
 *
 * Returns: whether @listen is of that form; else %AGENT_ERROR_INVALID
 */
gboolean
listen_split_host (const char  *listen,
                   char       **host,
                   GError     **error)
{
  g_autoptr (GSocketConnectable) where = parse_listen (listen, error);

  if (where == NULL)
    return FALSE;
  *host = g_strdup (g_network_address_get_hostname (G_NETWORK_ADDRESS (where)));
  return TRUE;
}

/**
 * listen_addresses:
 * @listen: HOST:PORT
 * @error: return location
 *
 * Asks the resolver, and waits for it; of use while starting only.
 *
 * Returns: (transfer full) (element-type GSocketAddress): all addresses of @listen, at least one
 */
GPtrArray *
listen_addresses (const char  *listen,
                  GError     **error)
{
  g_autoptr (GSocketConnectable) where = parse_listen (listen, error);
  g_autoptr (GSocketAddressEnumerator) addresses = NULL;
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GError) problem = NULL;
  GSocketAddress *address;

  if (where == NULL)
    return NULL;

  addresses = g_socket_connectable_enumerate (where);
  while ((address = g_socket_address_enumerator_next (addresses, NULL, &problem)) != NULL)
    g_ptr_array_add (found, address);

  if (problem != NULL || found->len == 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "[rest] listen: no address of %s: %s",
                       listen, problem != NULL ? problem->message : "the resolver knows none");
      return NULL;
    }
  return g_steal_pointer (&found);
}

/**
 * listen_tcp:
 * @address: one of those of listen_addresses()
 * @error: return location
 *
 * Returns: (transfer full): the socket, listening; on error %NULL with a #GIOErrorEnum
 */
GSocket *
listen_tcp (GSocketAddress  *address,
            GError         **error)
{
  g_autoptr (GSocket) socket = g_socket_new (g_socket_address_get_family (address),
                                             G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, error);

  if (socket == NULL)
    return NULL;
  g_socket_set_listen_backlog (socket, BACKLOG);
  if (!g_socket_bind (socket, address, TRUE, error) || !g_socket_listen (socket, error))
    return NULL;
  return g_steal_pointer (&socket);
}
