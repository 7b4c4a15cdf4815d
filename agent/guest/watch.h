/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Unix sockets that come and go in the file system. */

#define TYPE_SOCKET_WATCH (socket_watch_get_type ())
G_DECLARE_FINAL_TYPE (SocketWatch, socket_watch, AGENT, SOCKET_WATCH, GObject)

/* Signals "added" and "removed" (SocketWatch *self, const char *path). A socket that
 * was made anew is removed and added. */

typedef enum
{
  SOCKET_WATCH_PATTERN,         /* a glob pattern, of sockets or of folders of sockets */
  SOCKET_WATCH_PATH,            /* one path, to the letter; only what changes is told */
} SocketWatchKind;

SocketWatch *socket_watch_new   (const char *pattern, SocketWatchKind kind);
void         socket_watch_start (SocketWatch *self);
void         socket_watch_stop  (SocketWatch *self);

const char  *socket_watch_get_pattern (SocketWatch *self);
/* Whether a socket at @path is one of those. */
gboolean     socket_watch_matches     (SocketWatch *self, const char *path);
/* Tells "added" of all that are there once more. */
void         socket_watch_repeat      (SocketWatch *self);

G_END_DECLS
