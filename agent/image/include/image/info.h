/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* An image as a store knows it. Plain data. */
typedef struct
{
  char       *id;               /* a UUID, chosen by us */
  char       *name;
  char       *disk_format;      /* "qcow2" or "raw" */
  gboolean    hidden;           /* not listed to people who look for something to boot */
  gint64      min_disk;         /* GiB */
  gint64      min_ram;          /* MiB */
  GHashTable *properties;       /* string -> string, 128 at most */

  char       *status;           /* "queued", "saving", "active", ... */
  gint64      size;             /* bytes; -1 before the upload */
  char       *md5;              /* (nullable), hex */
  char       *sha512;           /* (nullable), hex */
  gint64      created_us;       /* microseconds since the epoch */
} ImageInfo;

ImageInfo *image_info_new       (void);
ImageInfo *image_info_copy      (const ImageInfo *self);
void       image_info_free      (ImageInfo *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageInfo, image_info_free)

void       image_info_set       (ImageInfo *self, const char *property, const char *value);
/* As REST shows it, and as the folder store keeps it. */
JsonNode  *image_info_to_json   (const ImageInfo *self) G_GNUC_WARN_UNUSED_RESULT;
ImageInfo *image_info_from_json (JsonNode *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
