/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* How a disk's name is kept right while a point is taken (see the README beside this file). */
typedef enum
{
  /* QEMU knows the active layer by its name for life: the new overlay is published before the
   * point. */
  NAMING_LATER,
  /* QEMU knows it as `disk`, but its node has a name of its own: it is opened again by its name
   * for life first. */
  NAMING_ADOPT,
  /* QEMU knows it as `disk` and made the node's name up: publish while the guest is stopped. */
  NAMING_STOP,
  /* The same where blockdev-reopen would kill QEMU: the device is moved onto the overlay by a
   * mirror of nothing. */
  NAMING_SWAP,
} Naming;

/* The published name changes while the guest is stopped. */
gboolean   naming_needs_stop   (Naming naming);

/* What will be done with one disk. All of it is in the journal before the first of it is done. */
typedef struct
{
  char    *disk;
  Naming   naming;
  char    *published;           /* what the guest is started from, afterwards as before */
  char    *device_path;         /* (nullable): the block device that was the disk so far */

  char    *root_node;           /* what the device is on: the active node, or a filter above it */
  char    *active_path;         /* as QEMU has it open now */
  char    *active_node;
  char    *active_file_node;
  char    *active_format;
  char    *below_node;          /* (nullable): the node under the active one */
  gint64   virtual_size;        /* bytes */
  char    *detect_zeroes;
  gboolean cache_direct;
  gboolean cache_no_flush;

  char    *layer;               /* the active layer's name for life */
  gboolean link_layer;          /* it has to be given */
  gboolean layer_linked;        /* and was given by us */
  gint64   layer_dev;
  gint64   layer_ino;
  gint64   layer_mtime_ns;      /* at the point, when it is to be folded back */

  char    *overlay;
  char    *backing_name;        /* as the overlay's header says it */
  gint64   overlay_dev;         /* 0 until it is made */
  gint64   overlay_ino;

  gboolean folded;              /* it is done, and the overlay is gone */
  gboolean is_no_point;         /* the layer holds what came after the point too */

  char    *overlay_node;        /* our nodes, named after the operation */
  char    *overlay_file_node;
  char    *layer_node;
  char    *layer_file_node;
  char    *unlocked_file_node;
} DiskPlan;

void       disk_plan_free      (DiskPlan *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (DiskPlan, disk_plan_free)

JsonNode  *disk_plan_to_json   (const DiskPlan *self) G_GNUC_WARN_UNUSED_RESULT;
DiskPlan  *disk_plan_from_json (JsonNode *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Makes the published name of a disk lead to its overlay. Blocking. */
gboolean   disk_plan_publish_overlay (const DiskPlan *disk, GError **error)
                                      G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
