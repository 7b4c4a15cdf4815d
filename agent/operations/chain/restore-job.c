/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how it is written down what of an image has to be fetched. */

#include "restore.h"

#include "../fields.h"

static const Field restore_fields[] = {
  FIELD (Restore, image_id, FIELD_STRING),
  FIELD (Restore, found, FIELD_BOOLEAN),
  FIELD (Restore, below_path, FIELD_STRING),
  FIELD (Restore, below_image, FIELD_STRING),
  FIELD (Restore, below_format, FIELD_STRING),
  FIELD (Restore, below_dev, FIELD_INT64),
  FIELD (Restore, below_ino, FIELD_INT64),
  { NULL }
};

static const Field image_fields[] = {
  FIELD (RestoreImage, image_id, FIELD_STRING),
  FIELD (RestoreImage, format, FIELD_STRING),
  FIELD (RestoreImage, size, FIELD_INT64),
  FIELD (RestoreImage, md5, FIELD_STRING),
  FIELD (RestoreImage, sha512, FIELD_STRING),
  FIELD (RestoreImage, path, FIELD_STRING),
  FIELD (RestoreImage, part, FIELD_STRING),
  FIELD (RestoreImage, dev, FIELD_INT64),
  FIELD (RestoreImage, ino, FIELD_INT64),
  FIELD (RestoreImage, virtual_size, FIELD_INT64),
  { NULL }
};

/**
 * restore_image_new:
 * @image_id: (nullable): its id
 *
 * Returns: (transfer full): an image to be fetched
 */
RestoreImage *
restore_image_new (const char *image_id)
{
  RestoreImage *self = g_new0 (RestoreImage, 1);

  self->image_id = g_strdup (image_id);
  return self;
}

void
restore_image_free (RestoreImage *self)
{
  g_free (self->image_id);
  g_free (self->format);
  g_free (self->md5);
  g_free (self->sha512);
  g_free (self->path);
  g_free (self->part);
  g_free (self);
}

/**
 * restore_new:
 * @image_id: (nullable): the image that is asked for
 *
 * Returns: (transfer full): nothing known of it yet
 */
Restore *
restore_new (const char *image_id)
{
  Restore *self = g_new0 (Restore, 1);

  self->image_id = g_strdup (image_id);
  self->images = g_ptr_array_new_with_free_func ((GDestroyNotify) restore_image_free);
  return self;
}

void
restore_free (Restore *self)
{
  if (self == NULL)
    return;
  g_free (self->image_id);
  g_ptr_array_unref (self->images);
  g_free (self->below_path);
  g_free (self->below_image);
  g_free (self->below_format);
  g_free (self);
}

/**
 * restore_to_json:
 * @self: what is to be fetched
 *
 * Returns: (transfer full): it, for the journal
 */
JsonNode *
restore_to_json (const Restore *self)
{
  JsonNode *node = fields_to_json (restore_fields, self);
  JsonArray *images = json_array_new ();

  for (guint i = 0; i < self->images->len; i++)
    json_array_add_element (images, fields_to_json (image_fields,
                                                    g_ptr_array_index (self->images, i)));
  json_object_set_array_member (json_node_get_object (node), "images", images);
  return node;
}

/**
 * restore_from_json:
 * @json: what the journal holds
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): what is to be fetched
 */
Restore *
restore_from_json (JsonNode *json, GError **error)
{
  g_autoptr (Restore) self = restore_new (NULL);
  JsonArray *images;

  if (!fields_from_json (restore_fields, self, json, error))
    return NULL;
  images = fields_get_array (json_node_get_object (json), "images", error);
  if (images == NULL)
    return NULL;
  for (guint i = 0; i < json_array_get_length (images); i++)
    {
      RestoreImage *image = restore_image_new (NULL);

      g_ptr_array_add (self->images, image);
      if (!fields_from_json (image_fields, image, json_array_get_element (images, i), error))
        return NULL;
    }
  return g_steal_pointer (&self);
}
