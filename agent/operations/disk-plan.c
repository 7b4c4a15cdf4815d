/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the plan for one disk of a point, as the journal keeps it. */

#include "disk-plan.h"

#include "fields.h"

#include <disk/files.h>

void
disk_plan_free (DiskPlan *self)
{
  if (self == NULL)
    return;
  g_free (self->disk);
  g_free (self->published);
  g_free (self->device_path);
  g_free (self->root_node);
  g_free (self->active_path);
  g_free (self->active_node);
  g_free (self->active_file_node);
  g_free (self->active_format);
  g_free (self->below_node);
  g_free (self->detect_zeroes);
  g_free (self->layer);
  g_free (self->overlay);
  g_free (self->backing_name);
  g_free (self->overlay_node);
  g_free (self->overlay_file_node);
  g_free (self->layer_node);
  g_free (self->layer_file_node);
  g_free (self->unlocked_file_node);
  g_free (self);
}

/**
 * naming_needs_stop:
 * @naming: how a disk's name is kept right
 *
 * Returns: whether the guest's CPUs are stopped for it
 */
gboolean
naming_needs_stop (Naming naming)
{
  return naming == NAMING_STOP || naming == NAMING_SWAP;
}

/**
 * disk_plan_publish_overlay:
 * @disk: a disk whose overlay is there
 * @error: return location: AGENT_ERROR_CONFLICT, NO_SPACE, INTERNAL
 *
 * Blocks.
 *
 * Returns: whether the published name leads to the overlay, durably
 */
gboolean
disk_plan_publish_overlay (const DiskPlan *disk, GError **error)
{
  guint64 old = disk->device_path == NULL ? (guint64) disk->layer_ino : 0;

  return files_publish (disk->overlay, disk->published, old, error);
}

static const Field disk_plan_fields[] = {
  FIELD (DiskPlan, disk, FIELD_STRING),
  FIELD (DiskPlan, naming, FIELD_ENUM),
  FIELD (DiskPlan, published, FIELD_STRING),
  FIELD (DiskPlan, device_path, FIELD_STRING),
  FIELD (DiskPlan, root_node, FIELD_STRING),
  FIELD (DiskPlan, active_path, FIELD_STRING),
  FIELD (DiskPlan, active_node, FIELD_STRING),
  FIELD (DiskPlan, active_file_node, FIELD_STRING),
  FIELD (DiskPlan, active_format, FIELD_STRING),
  FIELD (DiskPlan, below_node, FIELD_STRING),
  FIELD (DiskPlan, virtual_size, FIELD_INT64),
  FIELD (DiskPlan, detect_zeroes, FIELD_STRING),
  FIELD (DiskPlan, cache_direct, FIELD_BOOLEAN),
  FIELD (DiskPlan, cache_no_flush, FIELD_BOOLEAN),
  FIELD (DiskPlan, layer, FIELD_STRING),
  FIELD (DiskPlan, link_layer, FIELD_BOOLEAN),
  FIELD (DiskPlan, layer_linked, FIELD_BOOLEAN),
  FIELD (DiskPlan, layer_dev, FIELD_INT64),
  FIELD (DiskPlan, layer_ino, FIELD_INT64),
  FIELD (DiskPlan, layer_mtime_ns, FIELD_INT64),
  FIELD (DiskPlan, overlay, FIELD_STRING),
  FIELD (DiskPlan, backing_name, FIELD_STRING),
  FIELD (DiskPlan, overlay_dev, FIELD_INT64),
  FIELD (DiskPlan, overlay_ino, FIELD_INT64),
  FIELD (DiskPlan, folded, FIELD_BOOLEAN),
  FIELD (DiskPlan, is_no_point, FIELD_BOOLEAN),
  FIELD (DiskPlan, overlay_node, FIELD_STRING),
  FIELD (DiskPlan, overlay_file_node, FIELD_STRING),
  FIELD (DiskPlan, layer_node, FIELD_STRING),
  FIELD (DiskPlan, layer_file_node, FIELD_STRING),
  FIELD (DiskPlan, unlocked_file_node, FIELD_STRING),
  { NULL }
};

/**
 * disk_plan_to_json:
 * @self: a plan
 *
 * Returns: (transfer full): the plan for the journal
 */
JsonNode *
disk_plan_to_json (const DiskPlan *self)
{
  return fields_to_json (disk_plan_fields, self);
}

/**
 * disk_plan_from_json:
 * @json: what the journal holds
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): the plan
 */
DiskPlan *
disk_plan_from_json (JsonNode *json, GError **error)
{
  g_autoptr (DiskPlan) self = g_new0 (DiskPlan, 1);

  if (!fields_from_json (disk_plan_fields, self, json, error))
    return NULL;
  return g_steal_pointer (&self);
}
