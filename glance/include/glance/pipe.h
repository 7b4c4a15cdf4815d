/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <glance/body.h>
#include <glance/digest.h>

G_BEGIN_DECLS

/* The bytes of a body on their way to one who takes them, read ahead and hashed meanwhile by
 * threads that end with the pipe. All calls are made by one thread, which is the taker's.
 *
 *   body --reader--> | ring of 4 MiB | --> md5
 *                    |               | --> sha512
 *                    |               | --> the taker: peek, skip
 *
 * Room is free again once all three are through with it. An error of the body comes to the taker
 * behind the bytes that were read before it. */

typedef struct _GlancePipe GlancePipe;

/* Called by any thread; must neither wait nor call the pipe. */
typedef void (*GlancePipeWake) (gpointer user_data);

GlancePipe *glance_pipe_new          (const GlanceBody *body, GlanceDigest *digest,
                                      GCancellable *cancellable);
void        glance_pipe_free         (GlancePipe *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GlancePipe, glance_pipe_free)

void        glance_pipe_set_progress (GlancePipe *self, GlanceProgress progress,
                                      gpointer user_data);
gint64      glance_pipe_get_length   (GlancePipe *self);        /* bytes */
gint64      glance_pipe_get_left     (GlancePipe *self);        /* bytes not taken yet */

/* To the front; at first, and again for each further attempt. */
gboolean    glance_pipe_rewind       (GlancePipe *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The bytes that lie ready, 0 when there are none now, -1 on error. */
gssize      glance_pipe_peek         (GlancePipe *self, const char **data,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
void        glance_pipe_skip         (GlancePipe *self, gsize size);

/* Until there are some... */
gboolean    glance_pipe_wait         (GlancePipe *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* ...or be called then, once for each peek that found none. */
void        glance_pipe_set_wake     (GlancePipe *self, GlancePipeWake wake, gpointer user_data);

/* Takes what is left; then the digest has all bytes. */
gboolean    glance_pipe_finish       (GlancePipe *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
