/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

#include "flat-map.h"

G_BEGIN_DECLS

/* A connection to an NBD server that is ours, but reads what guests wrote. For one thread at a
 * time; everything blocks, and nothing for longer than FLAT_NBD_DEADLINE without an answer. */

/* Milliseconds. */
#define FLAT_NBD_DEADLINE 60000

typedef struct _FlatNbd FlatNbd;

FlatNbd *flat_nbd_connect    (const char *socket, const char *name,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
void     flat_nbd_free       (FlatNbd *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FlatNbd, flat_nbd_free)

FlatMap *flat_nbd_read_map   (FlatNbd *self, GCancellable *cancellable,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Several reads may be under way. Returns what to wait for; -1 on error. @buffer stays until
 * flat_nbd_wait() has returned, or until @self has gone. */
gint64   flat_nbd_begin_read (FlatNbd *self, void *buffer, gsize size, guint64 offset,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean flat_nbd_wait       (FlatNbd *self, gint64 cookie,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
