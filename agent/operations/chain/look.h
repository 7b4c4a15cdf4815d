/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/links.h>
#include <operations/operations.h>

#include "../inspect.h"
#include "../points.h"

G_BEGIN_DECLS

/* All that a move on a chain is planned from: the disks, live from QEMU or, of a guest that is shut
 * off, from the headers of its images; the points; and who else stands on the layers. */
typedef struct
{
  gboolean    offline;          /* no process has the images open */
  Inspection *inspection;       /* offline: disks alone; no graph (NULL), no jobs */
  GPtrArray  *points;           /* of Point: this guest's */
  GPtrArray  *links;            /* of ImageLink: in the folders of disks, points, configuration */
  GPtrArray  *users;            /* of LayerUser: other guests' */
  const ImageInfo *image;       /* (nullable) (unowned): of the store, where that was asked */
} ChainLook;

/* Somebody else's use of a file: a chain of another attached guest, another disk of this one, or
 * another guest's point. */
typedef struct
{
  char    *path;
  guint64  dev;
  guint64  ino;
  char    *who;                 /* for people: "guest vm2, disk vda" */
} LayerUser;

void       chain_look_free     (ChainLook *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ChainLook, chain_look_free)

/* AGENT_ERROR UNAVAILABLE: not attached, and not known to be shut off (its process lives, its
 * images are locked, or we have never seen its disks). */
void       chain_look_async    (Operations *operations, Guest *guest, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data);
ChainLook *chain_look_finish   (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Who besides the chain of @disk itself needs what the file @layer holds: an image outside that
 * chain that stands on it, or one of @users. NULL: nobody. Pure. (transfer full): for people */
char      *chain_look_user_of  (const ChainLook *self, Disk *disk, const Layer *layer);
/* The same of a file that is to go, or to stand on something else: internal snapshots in it, too,
 * need that it does not. */
char      *chain_look_need_of  (const ChainLook *self, Disk *disk, const Layer *layer);
#define CHAIN_NEEDED_BY_SNAPSHOTS "the internal snapshots in it"
/* The points that live in the layer. (transfer container): of Point */
GPtrArray *chain_look_points_in (const ChainLook *self, const Layer *layer);

G_END_DECLS
