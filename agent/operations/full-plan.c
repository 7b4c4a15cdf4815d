/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which layers make up a disk, and what its image takes over from the one that it was made
 * from: pure functions. */

#include "upload-plan.h"

#include <core/error.h>
#include <string.h>

static gboolean
check_readable (Disk *disk, const Layer *layer, GError **error)
{
  if (layer->path == NULL || !layer->known)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "take a quick backup of it instead",
                     "disk %s: the layer on node %s (driver %s) is no local file or block device: "
                     "it is not read from here", disk->name, layer->node, layer->driver);
  else if (strcmp (layer->format, "qcow2") != 0 && strcmp (layer->format, "raw") != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "convert it to qcow2",
                     "disk %s: %s is in the format %s; qcow2 and raw layers are read", disk->name,
                     layer->path, layer->format);
  else if (layer->has_data_file || layer->encrypted)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "take the point without an image (image: none)",
                     "disk %s: %s %s, which a full image does not read", disk->name, layer->path,
                     layer->encrypted ? "is encrypted" : "keeps its data in an external file");
  else
    return TRUE;
  return FALSE;
}

/* Properties that Nova does not hand on to a snapshot, and ours, which tell of one image alone. */
static gboolean
is_handed_on (const char *property)
{
  static const char *const never[] = {
    "cache_in_nova", "bittorrent", "img_signature", "img_signature_hash_method",
    "img_signature_key_type", "img_signature_certificate_uuid", "cinder_encryption_key_id",
    "cinder_encryption_key_deletion_policy", "block_device_mapping", "bdm_v2", "root_device_name",
    "mappings", "os_hidden", "stores", "direct_url", "locations", "owner_specified.openstack.md5",
    "owner_specified.openstack.sha256", "owner_specified.openstack.object",
    /* What says whose a snapshot is: the base may be one of somebody else's. */
    "instance_uuid", "owner_id", "user_id", "owner_project_name", "owner_user_name", "boot_roles",
    NULL
  };

  return !g_strv_contains (never, property) && !g_str_has_prefix (property, "os_glance")
         && !g_str_has_prefix (property, "qsnapd_");
}

/**
 * upload_plan_inherit:
 * @self: the upload of a point
 * @base: the image that its disk was made from
 *
 * Takes over what Nova takes over from the image that a guest was made from.
 */
void
upload_plan_inherit (UploadPlan *self, const ImageInfo *base)
{
  GHashTableIter iter;
  gpointer name, value;

  self->inherited = json_object_new ();
  g_hash_table_iter_init (&iter, base->properties);
  while (g_hash_table_iter_next (&iter, &name, &value))
    if (is_handed_on (name))
      json_object_set_string_member (self->inherited, name, value);
  self->min_ram = base->min_ram;
  self->min_disk = base->min_disk;
}

/**
 * upload_plan_full:
 * @disk: a disk whose active layer is about to freeze
 * @layer: that layer's name for life
 * @request: the request
 * @image_name: the image's name
 * @operation: the operation's id
 * @uploads: (element-type UploadPlan): appended to
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether all layers can be read
 */
gboolean
upload_plan_full (Disk *disk, const char *layer, const SnapshotRequest *request,
                  const char *image_name, const char *operation, GPtrArray *uploads,
                  GError **error)
{
  const char *reference = snapshot_request_image_ref (request, disk->name);
  Layer *active = disk_get_active (disk);
  g_autoptr (UploadPlan) self = g_new0 (UploadPlan, 1);

  self->layers = g_ptr_array_new_with_free_func ((GDestroyNotify) image_layer_free);
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *each = g_ptr_array_index (disk->layers, i);

      if (!check_readable (disk, each, error))
        return FALSE;
      g_ptr_array_add (self->layers, image_layer_new (i == 0 ? layer : each->path, each->facts.dev,
                                                      each->facts.ino, each->format));
    }
  self->is_point = TRUE;
  self->image_id = upload_image_id (operation, uploads->len, 0);
  self->name = g_strdup (image_name);
  self->disk = g_strdup (disk->name);
  self->path = g_strdup (layer);
  self->dev = (gint64) active->facts.dev;
  self->ino = (gint64) active->facts.ino;
  self->format = g_strdup (request->format);
  self->chain = g_strdup (reference != NULL ? reference : "");
  self->virtual_size = active->virtual_size;
  g_ptr_array_add (uploads, g_steal_pointer (&self));
  return TRUE;
}
