/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a disk looks in JSON. */

#include <disk/disk.h>

static void
add_text (JsonBuilder *builder,
          const char  *member,
          const char  *text)
{
  json_builder_set_member_name (builder, member);
  if (text != NULL)
    json_builder_add_string_value (builder, text);
  else
    json_builder_add_null_value (builder);
}

static void
add_flag (JsonBuilder *builder,
          const char  *member,
          gboolean     flag)
{
  json_builder_set_member_name (builder, member);
  json_builder_add_boolean_value (builder, flag);
}

/* -1 stands for unknown. */
static void
add_bytes (JsonBuilder *builder,
           const char  *member,
           gint64       bytes)
{
  json_builder_set_member_name (builder, member);
  if (bytes >= 0)
    json_builder_add_int_value (builder, bytes);
  else
    json_builder_add_null_value (builder);
}

static void
add_layer (JsonBuilder *builder,
           Layer       *layer,
           Layer       *below,
           gboolean     active)
{
  json_builder_begin_object (builder);
  add_text (builder, "path", layer->path);
  add_text (builder, "format", layer->format);
  add_text (builder, "driver", layer->driver);
  add_text (builder, "node", layer->node);
  add_bytes (builder, "virtual_size", layer->virtual_size);
  add_bytes (builder, "allocated", layer->allocated);
  add_flag (builder, "active", active);
  add_flag (builder, "read_only", layer->read_only);
  add_flag (builder, "encrypted", layer->encrypted);
  add_text (builder, "backing", below != NULL ? below->path : NULL);
  json_builder_end_object (builder);
}

/**
 * disk_to_json:
 * @disk: a disk
 *
 * Makes what `GET /v1/guests/{guest}/disks` shows of a disk: `name`, `aliases`, `path` (to start
 * the guest from), `skipped`, `io_status` and `layers`, the active one first. What is unknown is
 * null.
 *
 * Returns: (transfer full): an object
 */
JsonNode *
disk_to_json (Disk *disk)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  add_text (builder, "name", disk->name);
  json_builder_set_member_name (builder, "aliases");
  json_builder_begin_array (builder);
  for (guint i = 0; i < disk->aliases->len; i++)
    json_builder_add_string_value (builder, g_ptr_array_index (disk->aliases, i));
  json_builder_end_array (builder);
  add_text (builder, "path", disk->published);
  add_text (builder, "skipped", disk->skipped);
  add_text (builder, "io_status", disk->io_status);
  json_builder_set_member_name (builder, "layers");
  json_builder_begin_array (builder);
  for (guint i = 0; i < disk->layers->len; i++)
    {
      Layer *below = i + 1 < disk->layers->len ? g_ptr_array_index (disk->layers, i + 1) : NULL;

      add_layer (builder, g_ptr_array_index (disk->layers, i), below, i == 0);
    }
  json_builder_end_array (builder);
  json_builder_end_object (builder);

  return json_builder_get_root (builder);
}
