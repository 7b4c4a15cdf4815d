/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal-rebuild.h>

#include "inspect.h"
#include "known-disks.h"
#include "points.h"

G_BEGIN_DECLS

/* What a new journal is made from, and the parts that make it. The rows that could be read are in a
 * journal in memory, which each part changes by the verbs that everybody uses. */

typedef struct
{
  char      *id;
  Guest     *guest;             /* (nullable): the main loop's alone */
  gboolean   is_attached;       /* else its disks are read from headers */
  gboolean   is_busy;           /* something of ours is half done on it, or may be */
  GPtrArray *disks;             /* (nullable): of Disk */
  char      *problem;           /* (nullable): why there are none */
  GPtrArray *remarks;           /* of char *, for people */
  JsonArray *points;            /* what is a point, and by which proof */
  JsonArray *lost;              /* what is none any more, and why */
  guint      n_unseen;          /* of these: whose files are there and could not be looked at */
} RebuildGuest;

typedef struct
{
  Operations     *operations;   /* the main loop's alone */
  gboolean        force;
  gboolean        was_whole;
  JournalSalvage *salvage;
  Journal        *content;      /* of @salvage */
  char           *store;        /* its name */
  GPtrArray      *images;       /* (nullable): of ImageInfo: all that it has */
  GPtrArray      *guests;       /* of RebuildGuest */
  guint           n_images;     /* records that are kept or found */
} Rebuild;

/* Whether layers of which no row is there may be points. */
gboolean      rebuild_may_find      (const Rebuild *self);

/* rebuild-guests.c: all guests that are known anywhere. */
GPtrArray    *rebuild_guests_list   (Rebuild *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Asks those that are attached, one after the other. */
void          rebuild_guests_async  (Rebuild *self, GAsyncReadyCallback callback,
                                     gpointer user_data);
void          rebuild_guests_finish (GAsyncResult *result);
/* Reads the headers of the others, and gives all disks their names. Blocking. */
void          rebuild_guests_read   (Rebuild *self);

/* rebuild-strays.c: jobs of ours that none of @owned (operations' ids) knows are ended. @busy: some
 * are left. */
void          rebuild_strays_async  (Guest *guest, const char *const *owned,
                                     GAsyncReadyCallback callback, gpointer user_data);
/* Returns what was done, for people: (transfer full): of char *. */
GPtrArray    *rebuild_strays_finish (GAsyncResult *result,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* rebuild-points.c: rows that are not proven go; layers that are proven come. Blocking. */
gboolean      rebuild_points_check  (Rebuild *self, RebuildGuest *guest,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean      rebuild_points_find   (Rebuild *self, RebuildGuest *guest,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
void          rebuild_points_tell   (JsonArray *list, const char *id, const char *name,
                                     const char *disk, const char *layer, const char *by,
                                     const char *reason);
/* Of how many disks a point of the guest may be. */
guint         rebuild_count_disks   (const RebuildGuest *guest);
/* Of that layer of a disk and all below it, as FileFacts; FALSE: one cannot be looked at. */
gboolean      rebuild_files_from    (Disk *disk, gint64 dev, gint64 ino, GArray *files);

/* rebuild-images.c: records that the store does not confirm go; layers that are the store's images
 * bit for bit come, with their points. Blocking. */
gboolean      rebuild_images_check  (Rebuild *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Images that are kept stand for no layer any more that may show something else by now. */
gboolean      rebuild_images_unbind (Rebuild *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean      rebuild_images_find   (Rebuild *self, RebuildGuest *guest,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
