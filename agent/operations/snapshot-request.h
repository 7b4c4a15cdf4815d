/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef enum
{
  QUIESCE_NONE,
  QUIESCE_TRY,
  QUIESCE_REQUIRE,
} QuiescePolicy;

typedef enum
{
  PARENTS_UPLOAD,
  PARENTS_REQUIRE,
  PARENTS_IGNORE,
} ParentsPolicy;

/* What goes up. */
typedef enum
{
  IMAGE_NONE,
  IMAGE_LAYER,                  /* the frozen layer as it is, with the parents that are missing */
  IMAGE_FULL,                   /* all that the disk shows, as one standalone image */
} ImageContent;

/* What becomes of an overlay that the guest fills as fast as it is folded back. */
typedef enum
{
  LATE_STOP,                    /* the guest stands still for the end of it */
  LATE_THROTTLE,                /* it writes slower until then */
  LATE_LEAVE,                   /* the overlay stays */
} LatePolicy;

typedef enum
{
  REQUEST_SNAPSHOT,             /* a point that stays */
  REQUEST_IMAGE,                /* an image; the overlays are folded back */
} RequestKind;

/* What was asked for when a point is to be taken. */
typedef struct
{
  char          *name;          /* free text, 255 bytes at most */
  RequestKind    kind;
  char         **disks;         /* (nullable): all writable ones, or the first */
  gboolean       first_disk;    /* without @disks: only that */
  QuiescePolicy  quiesce;
  ImageContent   image;
  char          *format;        /* of a full image: "qcow2" or "raw" */
  gint64         deadline_s;    /* until an overlay is late that is folded back */
  LatePolicy     late_policy;
  ParentsPolicy  parents;
  JsonObject    *metadata;      /* (nullable): strings */
  gboolean       allow_format_change;
  gboolean       end_jobs;
  gboolean       keep;          /* never folded away to keep the chain short */
  gint64         max_chain_length;      /* afterwards, in layers; 0: any number */
  char          *overlay_folder;        /* (nullable) */
  GHashTable    *image_refs;    /* disk name, or "*" -> image id */
} SnapshotRequest;

SnapshotRequest *snapshot_request_parse (JsonObject *json, RequestKind kind, const Config *config,
                                         const GuestConfig *guest, GError **error)
                                         G_GNUC_WARN_UNUSED_RESULT;
void             snapshot_request_free  (SnapshotRequest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SnapshotRequest, snapshot_request_free)

/* The image that the base of @disk came from; (nullable). */
const char      *snapshot_request_image_ref (const SnapshotRequest *self, const char *disk);

G_END_DECLS
