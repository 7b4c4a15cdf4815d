/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the form of an image's record: a flat JSON object in which fields and properties stand side
 * by side. */

#include <string.h>

#include "error-private.h"
#include "image-private.h"
#include "json.h"

#define PROPERTIES_MAX 128
#define PROPERTY_NAME_MAX 255

/* The service's own fields; a property can have none of these names. */
static const char *const fields[] = {
  "checksum", "container_format", "created_at", "deleted", "deleted_at", "direct_url",
  "disk_format", "file", "hash_algo", "id", "is_public", "locations", "min_disk", "min_ram", "name",
  "os_hash_algo", "os_hash_value", "os_hidden", "owner", "protected", "schema", "self", "size",
  "status", "stores", "tags", "updated_at", "virtual_size", "visibility", NULL
};

/**
 * glance_image_new:
 *
 * Returns: (transfer full): a record without anything in it
 */
GlanceImage *
glance_image_new (void)
{
  GlanceImage *self = g_new0 (GlanceImage, 1);

  self->properties = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->size = -1;

  return self;
}

/**
 * glance_image_free:
 * @self: (transfer full) (nullable): the record
 */
void
glance_image_free (GlanceImage *self)
{
  if (self == NULL)
    return;

  g_free (self->id);
  g_free (self->name);
  g_free (self->disk_format);
  g_hash_table_unref (self->properties);
  g_free (self->status);
  g_free (self->md5);
  g_free (self->sha512);
  g_free (self);
}

static gboolean
is_field (const char *name)
{
  return g_strv_contains (fields, name) || g_str_has_prefix (name, "os_glance");
}

static gboolean
check_properties (const GlanceImage  *self,
                  GError            **error)
{
  GHashTableIter iter;
  const char *name;

  if (g_hash_table_size (self->properties) > PROPERTIES_MAX)
    {
      glance_set_error (error, GLANCE_ERROR_INVALID,
                        "%u properties for image %s: at most %d are taken",
                        g_hash_table_size (self->properties), self->id, PROPERTIES_MAX);
      return FALSE;
    }

  g_hash_table_iter_init (&iter, self->properties);
  while (g_hash_table_iter_next (&iter, (gpointer *) &name, NULL))
    {
      if (is_field (name) || name[0] == '\0' || strlen (name) > PROPERTY_NAME_MAX)
        {
          glance_set_error (error, GLANCE_ERROR_INVALID,
                            "image %s cannot have a property called \"%s\": "
                            "the name is the service's own, empty or too long", self->id, name);
          return FALSE;
        }
    }

  return TRUE;
}

/**
 * glance_image_to_request:
 * @self: the record; id and disk_format are set
 * @error: GLANCE_ERROR_INVALID when a property has a name that is not to be had, or there are too
 *   many
 *
 * Returns: (transfer full): the JSON that creates it
 */
GBytes *
glance_image_to_request (const GlanceImage  *self,
                         GError            **error)
{
  g_autoptr (JsonBuilder) builder = json_builder_new_immutable ();
  g_autoptr (JsonNode) root = NULL;
  GHashTableIter iter;
  const char *name;
  const char *value;
  char *text;

  if (!g_uuid_string_is_valid (self->id) || self->disk_format == NULL)
    {
      glance_set_error (error, GLANCE_ERROR_INVALID,
                        "an image needs a UUID as its id, and a disk format");
      return NULL;
    }
  if (!check_properties (self, error))
    return NULL;

  json_builder_begin_object (builder);

  g_hash_table_iter_init (&iter, self->properties);
  while (g_hash_table_iter_next (&iter, (gpointer *) &name, (gpointer *) &value))
    {
      json_builder_set_member_name (builder, name);
      json_builder_add_string_value (builder, value);
    }

  json_builder_set_member_name (builder, "id");
  json_builder_add_string_value (builder, self->id);
  if (self->name != NULL)
    {
      json_builder_set_member_name (builder, "name");
      json_builder_add_string_value (builder, self->name);
    }
  json_builder_set_member_name (builder, "disk_format");
  json_builder_add_string_value (builder, self->disk_format);
  json_builder_set_member_name (builder, "container_format");
  json_builder_add_string_value (builder, "bare");
  json_builder_set_member_name (builder, "visibility");
  json_builder_add_string_value (builder, "private");
  json_builder_set_member_name (builder, "os_hidden");
  json_builder_add_boolean_value (builder, self->hidden);
  json_builder_set_member_name (builder, "min_disk");
  json_builder_add_int_value (builder, self->min_disk);
  json_builder_set_member_name (builder, "min_ram");
  json_builder_add_int_value (builder, self->min_ram);

  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, FALSE);

  return g_bytes_new_take (text, strlen (text));
}

static gint64
parse_time (const char *text)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = text != NULL ? g_date_time_new_from_iso8601 (text, utc) : NULL;

  if (time == NULL)
    return 0;

  return g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);
}

static void
take_property (JsonObject *object,
               const char *name,
               JsonNode   *node,
               gpointer    user_data)
{
  GlanceImage *self = user_data;
  const char *value = glance_json_get_string (object, name);

  if (value != NULL && !is_field (name))
    g_hash_table_insert (self->properties, g_strdup (name), g_strdup (value));
}

/**
 * glance_image_from_json:
 * @object: a record of the service
 * @error: GLANCE_ERROR_PROTOCOL when it has no id, no status or a size that cannot be
 *
 * Properties that are not strings are left out.
 *
 * Returns: (transfer full): the record
 */
GlanceImage *
glance_image_from_json (JsonObject  *object,
                        GError     **error)
{
  g_autoptr (GlanceImage) self = glance_image_new ();
  JsonNode *size = json_object_get_member (object, "size");

  self->id = g_strdup (glance_json_get_string (object, "id"));
  self->status = g_strdup (glance_json_get_string (object, "status"));
  if (self->id == NULL || self->id[0] == '\0' || self->status == NULL)
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL, "an image without an id or without a status");
      return NULL;
    }

  self->size = glance_json_get_int (object, "size", -1);
  if (size != NULL && !JSON_NODE_HOLDS_NULL (size) && self->size < 0)
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL, "image %s has a size that is no size",
                        self->id);
      return NULL;
    }

  self->name = g_strdup (glance_json_get_string (object, "name"));
  self->disk_format = g_strdup (glance_json_get_string (object, "disk_format"));
  self->hidden = glance_json_get_boolean (object, "os_hidden");
  self->min_disk = glance_json_get_int (object, "min_disk", 0);
  self->min_ram = glance_json_get_int (object, "min_ram", 0);
  self->created_us = parse_time (glance_json_get_string (object, "created_at"));
  self->md5 = g_strdup (glance_json_get_string (object, "checksum"));
  if (g_strcmp0 (glance_json_get_string (object, "os_hash_algo"), "sha512") == 0)
    self->sha512 = g_strdup (glance_json_get_string (object, "os_hash_value"));
  json_object_foreach_member (object, take_property, self);

  return g_steal_pointer (&self);
}

/**
 * glance_image_is_made_of:
 * @found: what the service has
 * @wanted: what was sent to create it
 *
 * The service may add properties (an owner's quota, a store's own), so only those that were sent
 * are compared.
 *
 * Returns: whether @found may have been created by sending @wanted
 */
gboolean
glance_image_is_made_of (const GlanceImage *found,
                         const GlanceImage *wanted)
{
  GHashTableIter iter;
  const char *name;
  const char *value;

  g_hash_table_iter_init (&iter, wanted->properties);
  while (g_hash_table_iter_next (&iter, (gpointer *) &name, (gpointer *) &value))
    {
      if (g_strcmp0 (g_hash_table_lookup (found->properties, name), value) != 0)
        return FALSE;
    }

  return g_strcmp0 (found->id, wanted->id) == 0
         && g_strcmp0 (found->name, wanted->name) == 0
         && g_strcmp0 (found->disk_format, wanted->disk_format) == 0;
}
