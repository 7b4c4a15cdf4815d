/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "keep.h"

G_BEGIN_DECLS

/* How a point is taken away; pure. */

typedef struct
{
  ChainAsk   ask;               /* with a look of our own: @look */
  ChainLook  look;              /* without the files that go: only they stood on others */
  GPtrArray *obscure;           /* of ImageLink: those that nobody can tell what they stand on */
  GPtrArray *keep;              /* of Point: all others */
  GPtrArray *moves;             /* of ChainMove */
  GPtrArray *remove;            /* of ChainFile: files that only go, the uppermost first */
  JsonArray *kept;              /* files that stay though nobody sees them, and why */
} Deletion;

/* Says that the file stays. @format: why, for people. */
void       deletion_tell      (Deletion *self, Disk *disk, const char *path, const char *format,
                               ...) G_GNUC_PRINTF (4, 5);

/* The view from the layer of that number (from the base) goes; @reason, when that cannot be. Others
 * that nobody needs go with it. AGENT_ERROR_CONFLICT */
gboolean   deletion_in_chain  (Deletion *self, Disk *disk, guint index,
                               GError **reason) G_GNUC_WARN_UNUSED_RESULT;
/* The number of the layer that the file is; -1: it is in no chain of @disk. */
gint       deletion_find      (Disk *disk, guint64 dev, guint64 ino);

/* delete-branch.c */
/* The same for a file beside the chain; what cannot be is told. */
void       deletion_in_branch (Deletion *self, Disk *disk, ImageLink *link);

G_END_DECLS
