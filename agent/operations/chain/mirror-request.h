/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>
#include <json-glib/json-glib.h>

#include "../snapshot-request.h"

G_BEGIN_DECLS

typedef enum
{
  MIRROR_TO_FILE,               /* a new one, made by us */
  MIRROR_TO_DEVICE,             /* a block device that is there */
  MIRROR_TO_NBD,                /* an export that is there */
} MirrorTarget;

/* What is asked for. */
typedef struct
{
  char         *disk;
  MirrorTarget  target;
  char         *path;           /* of the file, the device, or an NBD server's socket (nullable) */
  char         *nbd_host;       /* (nullable) */
  char         *nbd_port;       /* (nullable) */
  char         *nbd_export;     /* (nullable) */
  char         *format;         /* "qcow2" or "raw" */
  char         *sync;           /* "full", "top" or "none" */
  char         *copy_mode;      /* "background" or "write-blocking" */
  char         *on_error;       /* "report", "stop" or "enospc" */
  gboolean      pivots;
  QuiescePolicy quiesce;
  gint64        speed;          /* bytes a second; 0: as fast as it goes */
  gint64        deadline_s;     /* until it is late */
  LatePolicy    late_policy;
  gboolean      allow_path_change;
  gboolean      allow_format_change;
} MirrorRequest;

/* @config: (nullable): what deadlines are when the request is silent; without it they are not of
 * use. Pure. AGENT_ERROR_INVALID. */
MirrorRequest *mirror_request_parse (JsonObject *json, const Config *config,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
void           mirror_request_free  (MirrorRequest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MirrorRequest, mirror_request_free)

G_END_DECLS
