/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/disk.h>
#include <image/info.h>
#include <image/source.h>

#include "snapshot-request.h"

G_BEGIN_DECLS

/* One image to be uploaded. */
typedef struct
{
  char    *image_id;
  char    *name;
  char    *disk;
  char    *path;                /* the layer's file, by its name for life */
  gint64   dev;
  gint64   ino;
  gint64   size;                /* bytes and time of change, once it is frozen; 0: not known */
  gint64   mtime_ns;
  char    *format;              /* of the image: the layer's own, or the one asked for */
  GPtrArray *layers;            /* (nullable): of ImageLayer, top first: all that they show goes up;
                                 * NULL: the layer's file as it is */
  JsonObject *inherited;        /* (nullable): strings, of the image that the disk came from */
  gint64   min_ram;             /* MiB: of that image */
  gint64   min_disk;            /* GiB: of that image */
  char    *parent_image;        /* (nullable): it stands alone, or its parent is in no store */
  char    *chain;               /* parents' image ids, nearest first, separated by commas */
  gboolean has_backing;         /* the header names a backing file, to be blanked */
  gboolean is_point;            /* the frozen layer itself; else a parent that was missing */
  gint64   virtual_size;        /* bytes */
} UploadPlan;

void        upload_plan_free      (UploadPlan *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (UploadPlan, upload_plan_free)

JsonNode   *upload_plan_to_json   (const UploadPlan *self) G_GNUC_WARN_UNUSED_RESULT;
UploadPlan *upload_plan_from_json (JsonNode *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* An image that is in the store, and holds with its parents what is seen in a layer. */
typedef struct
{
  char    *image_id;            /* NULL: the layer is spent; below a whole one it needs none */
  char   **parents;             /* ids, nearest first, as far as they are in the store */
  gboolean whole;               /* these are all that it has */
} KnownImage;

KnownImage *known_image_new       (const char *image_id, const char *const *parents,
                                   gboolean whole);
void        known_image_free      (KnownImage *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (KnownImage, known_image_free)

/* "DEV:INO": how @known of upload_plan_disk() finds the layers. */
char       *upload_layer_key      (guint64 dev, guint64 ino);

/* The image that stands for the base of @disk by the caller's word, unless the guest has written to
 * the base since, or it has an image of its own in @known. (nullable) (transfer none) Pure. */
const char *upload_plan_reference (Disk *disk, const SnapshotRequest *request,
                                   gboolean is_written, GHashTable *known);

/* What has to go up so that the point of @disk can be restored: missing parents first, bottom
 * up, then the layer that is about to freeze. Appends UploadPlans to @uploads and what will be
 * known of their layers to @known, which maps upload_layer_key() to KnownImage. @layer: the
 * active layer's name for life; @reference: see above. Pure. AGENT_ERROR_CONFLICT when a parent is
 * in no store and the policy is to require it, or it cannot be uploaded. */
gboolean    upload_plan_disk      (Disk *disk, const char *layer, const SnapshotRequest *request,
                                   const char *reference, const char *guest,
                                   const char *image_name, const char *operation,
                                   GHashTable *known, GPtrArray *uploads,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The one upload of all that @disk will show at the point, over the layer that is about to freeze.
 * Pure. AGENT_ERROR_CONFLICT when a layer cannot be read from outside QEMU. */
gboolean    upload_plan_full      (Disk *disk, const char *layer, const SnapshotRequest *request,
                                   const char *image_name, const char *operation,
                                   GPtrArray *uploads, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What @base, the image that the disk was made from, hands on to the image of a point. */
void        upload_plan_inherit   (UploadPlan *self, const ImageInfo *base);

/* A UUID that derives from the operation's: the same each time it is asked for. */
char       *upload_image_id       (const char *operation, guint index, guint attempt);

G_END_DECLS
