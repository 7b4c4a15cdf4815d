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

/* What was asked for when a point is to be taken. */
typedef struct
{
  char          *name;          /* free text, 255 bytes at most */
  char         **disks;         /* (nullable): all writable ones */
  QuiescePolicy  quiesce;
  gboolean       upload;        /* image: layer */
  ParentsPolicy  parents;
  JsonObject    *metadata;      /* (nullable): strings */
  gboolean       allow_format_change;
  gboolean       end_jobs;
  char          *overlay_folder;        /* (nullable) */
  GHashTable    *image_refs;    /* disk name, or "*" -> image id */
} SnapshotRequest;

SnapshotRequest *snapshot_request_parse (JsonObject *json, const Config *config,
                                         const GuestConfig *guest,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;
void             snapshot_request_free  (SnapshotRequest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (SnapshotRequest, snapshot_request_free)

/* The image that the base of @disk came from; (nullable). */
const char      *snapshot_request_image_ref (const SnapshotRequest *self, const char *disk);

G_END_DECLS
