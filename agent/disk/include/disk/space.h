/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Room on file systems: what is to grow, and whether there is enough for it. They block: call them
 * from a worker thread. */

/* What all files on one file system need together. */
typedef struct
{
  guint64  dev;
  char    *folder;              /* of the first of them */
  gint64   need;                /* bytes */
  gint64   left;                /* bytes that are free for anybody but root */
} SpaceNeed;

void       space_need_free (SpaceNeed *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SpaceNeed, space_need_free)

/* Adds @bytes for @path to @needs (of SpaceNeed). @path may be still to be made; a block device
 * needs nothing, for it has its size already. AGENT_ERROR_NOT_FOUND: its folder is not there. */
gboolean   space_add       (GPtrArray *needs, const char *path, gint64 bytes,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Pure. AGENT_ERROR_NO_SPACE when a file system would be left with less than @reserve bytes. */
gboolean   space_check     (GPtrArray *needs, gint64 reserve,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
