/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>
#include <disk/disk.h>

#include "backup.h"

G_BEGIN_DECLS

/* The points that have been taken: rows of the journal. A point is what a guest's disks showed at
 * one moment; for each disk it lives in a layer, and may come to live in another file. Each change
 * is durable when it returns, or with the transaction that the caller has open. */

typedef struct
{
  char    *disk;
  char    *path;                /* of the layer that holds it now */
  guint64  dev;
  guint64  ino;
  gint64   born_ns;             /* of that file; 0: not known */
  gint64   virtual_size;        /* bytes */
  gint64   allocated;           /* bytes of the layer's own, when it was taken or moved */
  char    *format;
  char    *image_id;            /* (nullable): the image that was made of it */
} PointDisk;

typedef struct
{
  char      *id;
  char      *name;
  gint64     created_us;        /* since 1970 */
  char      *operation;
  gboolean   quiesced;
  gboolean   pinned;            /* never folded away to keep chains short */
  guint      disk_count;        /* when it was taken; it may have lost some since; 0: not known */
  JsonNode  *metadata;          /* (nullable) */
  GPtrArray *disks;             /* of PointDisk */
} Point;

Point     *point_new           (void);
void       point_free          (Point *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Point, point_free)
/* An empty one, added to @self. (transfer none) */
PointDisk *point_add_disk      (Point *self);

/* Writes down the point of @job, once however often it is asked. Opens a transaction. */
gboolean   points_record       (Journal *journal, Backup *job,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* One that was not taken by a backup: the branch that a revert leaves, or an import. The same one
 * again is a success. */
gboolean   points_add          (Journal *journal, const char *guest, const Point *point,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   points_set_image    (Journal *journal, const char *point, const char *disk,
                                const char *image_id, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Oldest first. (transfer full): of Point */
GPtrArray *points_list         (Journal *journal, const char *guest,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* By id or name among @points; AGENT_ERROR NOT_FOUND, or CONFLICT for a name that several have.
 * (transfer none) */
Point     *points_find         (GPtrArray *points, const char *name, GError **error);
/* Whether the point of a disk lives in this layer. */
gboolean   point_disk_is_in    (const PointDisk *self, const char *path, const FileFacts *facts);
/* Whether the point lives there, of whichever disk. */
gboolean   point_is_in         (const Point *self, const char *path, const FileFacts *facts);
/* Whether it may be folded away to keep chains short: it is not pinned, and the images of all its
 * disks are in the store. */
gboolean   point_may_be_folded (const Point *self);
/* Of those of @points that live there the first one; NULL: none does. (transfer none) */
Point     *points_find_in      (GPtrArray *points, const char *path, const FileFacts *facts);
/* Brings it up to a file as it is now: from then on @dev and @ino are of no file but its own; an
 * @ino of 0: that is gone. */
void       point_disk_meet     (PointDisk *self, const char *path, const FileFacts *facts);

/* The point is no more; its layers are nobody's. */
gboolean   points_forget       (Journal *journal, const char *point,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The layer is about to hold something else: the points that live in it are none any more for that
 * disk, and none at all once they have no disk left. */
gboolean   points_forget_layer (Journal *journal, const char *guest, guint64 dev, guint64 ino,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same of a file that a guest writes to, for the points of all guests. */
gboolean   points_forget_written (Journal *journal, const FileFacts *file,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What lived in the layer @from lives in the file @path of @format by now. */
gboolean   points_move_layer   (Journal *journal, const char *guest, const FileFacts *from,
                                const char *path, const char *format, const FileFacts *to,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
