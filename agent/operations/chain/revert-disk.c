/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a revert has to remember of a disk, and how that is written down and read again. */

#include "revert-disk.h"

#include "../fields.h"

static const Field layer_fields[] = {
  FIELD (RevertLayer, path, FIELD_STRING),
  FIELD (RevertLayer, format, FIELD_STRING),
  FIELD (RevertLayer, dev, FIELD_INT64),
  FIELD (RevertLayer, ino, FIELD_INT64),
  FIELD (RevertLayer, node, FIELD_STRING),
  FIELD (RevertLayer, file_node, FIELD_STRING),
  { NULL }
};

static const Field disk_fields[] = {
  FIELD (RevertDisk, disk, FIELD_STRING),
  FIELD (RevertDisk, published, FIELD_STRING),
  FIELD (RevertDisk, root_node, FIELD_STRING),
  FIELD (RevertDisk, active_node, FIELD_STRING),
  FIELD (RevertDisk, from_path, FIELD_STRING),
  FIELD (RevertDisk, from_format, FIELD_STRING),
  FIELD (RevertDisk, from_dev, FIELD_INT64),
  FIELD (RevertDisk, from_ino, FIELD_INT64),
  FIELD (RevertDisk, from_size, FIELD_INT64),
  FIELD (RevertDisk, from_name, FIELD_STRING),
  FIELD (RevertDisk, link_from, FIELD_BOOLEAN),
  FIELD (RevertDisk, from_linked, FIELD_BOOLEAN),
  FIELD (RevertDisk, detect_zeroes, FIELD_STRING),
  FIELD (RevertDisk, cache_direct, FIELD_BOOLEAN),
  FIELD (RevertDisk, cache_no_flush, FIELD_BOOLEAN),
  FIELD (RevertDisk, to_path, FIELD_STRING),
  FIELD (RevertDisk, to_format, FIELD_STRING),
  FIELD (RevertDisk, to_size, FIELD_INT64),
  FIELD (RevertDisk, base_node, FIELD_STRING),
  FIELD (RevertDisk, overlay, FIELD_STRING),
  FIELD (RevertDisk, overlay_dev, FIELD_INT64),
  FIELD (RevertDisk, overlay_ino, FIELD_INT64),
  FIELD (RevertDisk, overlay_node, FIELD_STRING),
  FIELD (RevertDisk, overlay_file_node, FIELD_STRING),
  FIELD (RevertDisk, job, FIELD_STRING),
  { NULL }
};

/**
 * revert_layer_new:
 * @path: its name for life
 * @format: its format
 * @dev: the device that it is on
 * @ino: its inode
 * @node: (nullable): what QEMU calls it, or is to
 * @file_node: (nullable): and its file
 *
 * Returns: (transfer full): the layer
 */
RevertLayer *
revert_layer_new (const char *path, const char *format, guint64 dev, guint64 ino, const char *node,
                  const char *file_node)
{
  RevertLayer *self = g_new0 (RevertLayer, 1);

  self->path = g_strdup (path);
  self->format = g_strdup (format);
  self->dev = (gint64) dev;
  self->ino = (gint64) ino;
  self->node = g_strdup (node);
  self->file_node = g_strdup (file_node);
  return self;
}

void
revert_layer_free (RevertLayer *self)
{
  g_free (self->path);
  g_free (self->format);
  g_free (self->node);
  g_free (self->file_node);
  g_free (self);
}

/**
 * revert_disk_new:
 *
 * Returns: (transfer full): nothing known of it yet
 */
RevertDisk *
revert_disk_new (void)
{
  RevertDisk *self = g_new0 (RevertDisk, 1);

  self->opens = g_ptr_array_new_with_free_func ((GDestroyNotify) revert_layer_free);
  self->leaves = g_ptr_array_new_with_free_func ((GDestroyNotify) revert_layer_free);
  return self;
}

void
revert_disk_free (RevertDisk *self)
{
  if (self == NULL)
    return;
  g_free (self->disk);
  g_free (self->published);
  g_free (self->root_node);
  g_free (self->active_node);
  g_free (self->from_path);
  g_free (self->from_format);
  g_free (self->from_name);
  g_free (self->detect_zeroes);
  g_free (self->to_path);
  g_free (self->to_format);
  g_free (self->base_node);
  g_ptr_array_unref (self->opens);
  g_ptr_array_unref (self->leaves);
  g_free (self->overlay);
  g_free (self->overlay_node);
  g_free (self->overlay_file_node);
  g_free (self->job);
  g_free (self);
}

static void
set_layers (JsonObject *object, const char *member, GPtrArray *layers)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < layers->len; i++)
    json_array_add_element (array, fields_to_json (layer_fields, g_ptr_array_index (layers, i)));
  json_object_set_array_member (object, member, array);
}

static gboolean
get_layers (JsonObject *object, const char *member, GPtrArray *layers, GError **error)
{
  JsonArray *array = fields_get_array (object, member, error);

  if (array == NULL)
    return FALSE;
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      RevertLayer *layer = g_new0 (RevertLayer, 1);

      g_ptr_array_add (layers, layer);
      if (!fields_from_json (layer_fields, layer, json_array_get_element (array, i), error))
        return FALSE;
    }
  return TRUE;
}

/**
 * revert_disk_to_json:
 * @disk: a disk
 *
 * Returns: (transfer full): it, for the journal
 */
JsonNode *
revert_disk_to_json (const RevertDisk *disk)
{
  JsonNode *node = fields_to_json (disk_fields, disk);

  set_layers (json_node_get_object (node), "opens", disk->opens);
  set_layers (json_node_get_object (node), "leaves", disk->leaves);
  return node;
}

/**
 * revert_disk_from_json:
 * @node: what the journal holds
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): the disk
 */
RevertDisk *
revert_disk_from_json (JsonNode *node, GError **error)
{
  g_autoptr (RevertDisk) disk = revert_disk_new ();

  if (!fields_from_json (disk_fields, disk, node, error)
      || !get_layers (json_node_get_object (node), "opens", disk->opens, error)
      || !get_layers (json_node_get_object (node), "leaves", disk->leaves, error))
    return NULL;
  return g_steal_pointer (&disk);
}
