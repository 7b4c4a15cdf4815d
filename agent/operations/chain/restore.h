/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* An image of the store that becomes layers beside a disk: what of its chain is not here yet is
 * fetched, the lowest first. */

typedef struct
{
  char    *image_id;
  char    *format;              /* "qcow2" or "raw" */
  gint64   size;                /* bytes, and hashes, as the store has them */
  char    *md5;                 /* (nullable) */
  char    *sha512;              /* (nullable) */
  char    *path;                /* of the layer to be: its name for life */
  char    *part;                /* its name until it is whole: this operation's own */
  gint64   dev;                 /* 0 until it is there, whole */
  gint64   ino;
  gint64   virtual_size;        /* bytes; 0 until it is there */
} RestoreImage;

typedef struct
{
  char      *image_id;          /* that was asked for */
  GPtrArray *images;            /* of RestoreImage: to be fetched, the lowest first */
  gboolean   found;             /* the store was asked, and @images hold */
  char      *below_path;        /* (nullable): the layer here that the lowest stands on, or that
                                 * holds the image already */
  char      *below_image;       /* (nullable): the image that it holds */
  char      *below_format;
  gint64     below_dev;
  gint64     below_ino;
} Restore;

Restore    *restore_new          (const char *image_id);
void        restore_free         (Restore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Restore, restore_free)
RestoreImage *restore_image_new  (const char *image_id);
void        restore_image_free   (RestoreImage *self);
JsonNode   *restore_to_json      (const Restore *self) G_GNUC_WARN_UNUSED_RESULT;
Restore    *restore_from_json    (JsonNode *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- restore-files.c; blocking --- */

/* What a transfer that was cut off has left. */
gboolean    restore_drop_part    (const RestoreImage *self,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
