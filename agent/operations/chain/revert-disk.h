/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* What a revert does with one disk. Plain data; all of it is in the journal before the first of it
 * is done. */

/* A layer's file, and what QEMU calls it, or is to. */
typedef struct
{
  char  *path;
  char  *format;
  gint64 dev;
  gint64 ino;
  char  *node;                  /* (nullable): nobody has it open */
  char  *file_node;
} RevertLayer;

typedef struct
{
  char    *disk;
  char    *published;           /* what the guest is started from, before and after */

  char    *root_node;           /* what the device is on: the active node, or a filter above it */
  char    *active_node;
  char    *from_path;           /* the layer that is left behind, as QEMU has it open */
  char    *from_format;
  gint64   from_dev;
  gint64   from_ino;
  gint64   from_size;           /* virtual, bytes */
  char    *from_name;           /* its name for life; NULL until names are chosen */
  gboolean link_from;           /* that has to be given to it */
  gboolean from_linked;         /* and was, by us */
  char    *detect_zeroes;
  gboolean cache_direct;
  gboolean cache_no_flush;

  char    *to_path;             /* the layer that the overlay stands on; NULL until it is fetched */
  char    *to_format;
  gint64   to_size;             /* virtual, bytes: of the overlay */
  char    *base_node;           /* (nullable): what QEMU has open of the chain of @to_path: that
                                 * layer itself, or what is below @opens */
  GPtrArray *opens;             /* of RevertLayer: opened for it, the lowest first */
  GPtrArray *leaves;            /* of RevertLayer: leave the chain, the uppermost first */

  char    *overlay;             /* NULL until names are chosen */
  gint64   overlay_dev;         /* 0 until it is made */
  gint64   overlay_ino;
  char    *overlay_node;
  char    *overlay_file_node;
  char    *job;                 /* the mirror that moves the device */
} RevertDisk;

RevertLayer *revert_layer_new    (const char *path, const char *format, guint64 dev, guint64 ino,
                                  const char *node, const char *file_node);
void         revert_layer_free   (RevertLayer *self);
RevertDisk  *revert_disk_new     (void);
void         revert_disk_free    (RevertDisk *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RevertDisk, revert_disk_free)
JsonNode    *revert_disk_to_json   (const RevertDisk *disk) G_GNUC_WARN_UNUSED_RESULT;
RevertDisk  *revert_disk_from_json (JsonNode *node, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
