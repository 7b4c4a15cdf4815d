/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The socket file that we made. */
typedef struct _SocketFile SocketFile;

/* Listens at @path. AGENT_ERROR_CONFLICT when somebody listens there already. */
GSocket   *listen_unix        (const char *path, const char *group, SocketFile **file,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Removes the file, unless another one stands there by now. */
void       socket_file_remove (SocketFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SocketFile, socket_file_remove)

/* All addresses of HOST:PORT. (element-type GSocketAddress) (transfer full) */
GPtrArray *listen_addresses   (const char *listen, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Listens at one of them. */
GSocket   *listen_tcp         (GSocketAddress *address, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   listen_split_host  (const char *listen, char **host, GError **error)
                               G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
