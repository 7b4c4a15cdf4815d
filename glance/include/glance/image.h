/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* An image's record, as the service keeps it. Plain data. */
typedef struct
{
  char       *id;               /* a UUID */
  char       *name;             /* (nullable) */
  char       *disk_format;      /* (nullable): "qcow2", "raw", ... */
  gboolean    hidden;
  gint64      min_disk;         /* GiB */
  gint64      min_ram;          /* MiB */
  GHashTable *properties;       /* string -> string: all that are not named here */

  char       *status;           /* "queued", "saving", "active", ... */
  gint64      size;             /* bytes; -1 before the upload */
  char       *md5;              /* (nullable), hex */
  char       *sha512;           /* (nullable), hex */
  gint64      created_us;       /* microseconds since the epoch */
} GlanceImage;

GlanceImage *glance_image_new  (void);
void         glance_image_free (GlanceImage *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GlanceImage, glance_image_free)

G_END_DECLS
