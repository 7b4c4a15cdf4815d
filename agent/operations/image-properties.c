/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what an image says of itself. */

#include "image-properties.h"

#include <core/error.h>
#include <string.h>

#define PROPERTIES_MAX 128      /* Glance's image_property_quota */
#define STORE_OWN      2        /* user_id and owner_id, which a store may add */
#define GIB            ((gint64) 1 << 30)

static void
set_all (ImageInfo *info, JsonObject *strings)
{
  g_autoptr (GList) names = strings != NULL ? json_object_get_members (strings) : NULL;

  for (GList *l = names; l != NULL; l = l->next)
    image_info_set (info, l->data, json_object_get_string_member (strings, l->data));
}

/* The image at the bottom of the chain. */
static char *
dup_base (const char *chain)
{
  const char *last = strrchr (chain, ',');

  return g_strdup (last != NULL ? last + 1 : chain);
}

static void
set_as_nova_does (ImageInfo *info, const UploadPlan *upload, const char *guest_uuid)
{
  g_autofree char *base = dup_base (upload->chain);

  image_info_set (info, "image_type", "snapshot");
  image_info_set (info, "image_location", "snapshot");
  image_info_set (info, "image_state", "available");
  if (guest_uuid != NULL)
    image_info_set (info, "instance_uuid", guest_uuid);
  if (*base != '\0')
    image_info_set (info, "base_image_ref", base);
}

static const char *
kind_of (const UploadPlan *upload)
{
  return upload->layers != NULL ? "full" : upload->has_backing ? "layer" : "base";
}

static void
set_our_own (ImageInfo *info, const UploadPlan *upload, const char *operation, const char *guest)
{
  g_autofree char *size = g_strdup_printf ("%" G_GINT64_FORMAT, upload->virtual_size);

  image_info_set (info, "qsnapd_kind", kind_of (upload));
  image_info_set (info, "qsnapd_guest", guest);
  image_info_set (info, "qsnapd_disk", upload->disk);
  image_info_set (info, "qsnapd_virtual_size", size);
  if (upload->is_point)
    image_info_set (info, "qsnapd_point", operation);
  if (upload->parent_image != NULL)
    {
      image_info_set (info, "qsnapd_parent", upload->parent_image);
      image_info_set (info, "qsnapd_chain", upload->chain);
    }
}

/**
 * image_properties_describe:
 * @upload: an image to be
 * @operation: the operation's id
 * @guest: the guest's id
 * @guest_uuid: (nullable): its UUID
 * @metadata: (nullable): the caller's, for the image of a point
 *
 * Returns: (transfer full): its record
 */
ImageInfo *
image_properties_describe (const UploadPlan *upload, const char *operation, const char *guest,
                           const char *guest_uuid, JsonObject *metadata)
{
  ImageInfo *info = image_info_new ();

  info->id = g_strdup (upload->image_id);
  info->name = g_strdup (upload->name);
  info->disk_format = g_strdup (upload->format);
  info->hidden = upload->has_backing;
  info->min_disk = MAX ((upload->virtual_size + GIB - 1) / GIB, upload->min_disk);
  info->min_ram = upload->min_ram;

  set_all (info, upload->inherited);
  set_as_nova_does (info, upload, guest_uuid);
  if (upload->is_point)
    set_all (info, metadata);
  set_our_own (info, upload, operation, guest);
  return info;
}

/**
 * image_properties_check:
 * @upload: an image to be
 * @metadata: (nullable): the caller's
 * @error: return location: AGENT_ERROR_INVALID
 *
 * Returns: whether a store takes as many properties as it would have
 */
gboolean
image_properties_check (const UploadPlan *upload, JsonObject *metadata, GError **error)
{
  g_autoptr (ImageInfo) info = image_properties_describe (upload, "", "", "", metadata);
  guint n = g_hash_table_size (info->properties) + STORE_OWN;

  if (n <= PROPERTIES_MAX)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, "give it less metadata",
                   "disk %s: its image would have %u properties; a store takes %d", upload->disk, n,
                   PROPERTIES_MAX);
  return FALSE;
}
