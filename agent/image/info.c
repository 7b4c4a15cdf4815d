/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what is remembered of an image, and how that is written down. */

#include <image/info.h>

#include <core/error.h>

#define PROPERTIES_MAX 128

/**
 * image_info_new:
 *
 * Returns: (transfer full): an image without anything known of it
 */
ImageInfo *
image_info_new (void)
{
  ImageInfo *self = g_new0 (ImageInfo, 1);

  self->properties = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->size = -1;

  return self;
}

/**
 * image_info_copy:
 * @self: an image
 *
 * Returns: (transfer full): the same, with memory of its own
 */
ImageInfo *
image_info_copy (const ImageInfo *self)
{
  ImageInfo *copy = image_info_new ();
  GHashTableIter iter;
  const char *name;
  const char *value;

  copy->id = g_strdup (self->id);
  copy->name = g_strdup (self->name);
  copy->disk_format = g_strdup (self->disk_format);
  copy->hidden = self->hidden;
  copy->min_disk = self->min_disk;
  copy->min_ram = self->min_ram;
  copy->status = g_strdup (self->status);
  copy->size = self->size;
  copy->md5 = g_strdup (self->md5);
  copy->sha512 = g_strdup (self->sha512);
  copy->created_us = self->created_us;

  g_hash_table_iter_init (&iter, self->properties);
  while (g_hash_table_iter_next (&iter, (gpointer *) &name, (gpointer *) &value))
    image_info_set (copy, name, value);

  return copy;
}

/**
 * image_info_free:
 * @self: (transfer full) (nullable): an image
 */
void
image_info_free (ImageInfo *self)
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

/**
 * image_info_set:
 * @self: an image
 * @property: a name
 * @value: (nullable): what it is; %NULL takes the property away
 */
void
image_info_set (ImageInfo  *self,
                const char *property,
                const char *value)
{
  if (value != NULL)
    g_hash_table_insert (self->properties, g_strdup (property), g_strdup (value));
  else
    g_hash_table_remove (self->properties, property);
}

static void
add_string (JsonBuilder *builder,
            const char  *name,
            const char  *value)
{
  json_builder_set_member_name (builder, name);
  if (value != NULL)
    json_builder_add_string_value (builder, value);
  else
    json_builder_add_null_value (builder);
}

static void
add_time (JsonBuilder *builder,
          const char  *name,
          gint64       time_us)
{
  g_autoptr (GDateTime) seconds = g_date_time_new_from_unix_utc (time_us / G_USEC_PER_SEC);
  g_autoptr (GDateTime) time =
    seconds != NULL ? g_date_time_add (seconds, time_us % G_USEC_PER_SEC) : NULL;
  g_autofree char *text = time != NULL ? g_date_time_format (time, "%Y-%m-%dT%H:%M:%S.%fZ") : NULL;

  add_string (builder, name, text);
}

/* Sorted, so that the same image is written the same way each time. */
static void
add_properties (JsonBuilder *builder,
                GHashTable  *properties)
{
  g_autoptr (GList) names = g_list_sort (g_hash_table_get_keys (properties),
                                         (GCompareFunc) g_strcmp0);

  json_builder_set_member_name (builder, "properties");
  json_builder_begin_object (builder);
  for (GList *l = names; l != NULL; l = l->next)
    add_string (builder, l->data, g_hash_table_lookup (properties, l->data));
  json_builder_end_object (builder);
}

/**
 * image_info_to_json:
 * @self: an image
 *
 * Returns: (transfer full): an object; what is not known yet is null in it
 */
JsonNode *
image_info_to_json (const ImageInfo *self)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);

  add_string (builder, "id", self->id);
  add_string (builder, "name", self->name);
  add_string (builder, "status", self->status);
  add_string (builder, "disk_format", self->disk_format);
  json_builder_set_member_name (builder, "hidden");
  json_builder_add_boolean_value (builder, self->hidden);

  json_builder_set_member_name (builder, "size");
  if (self->size >= 0)
    json_builder_add_int_value (builder, self->size);
  else
    json_builder_add_null_value (builder);
  add_string (builder, "md5", self->md5);
  add_string (builder, "sha512", self->sha512);
  add_time (builder, "created_at", self->created_us);

  json_builder_set_member_name (builder, "min_disk");
  json_builder_add_int_value (builder, self->min_disk);
  json_builder_set_member_name (builder, "min_ram");
  json_builder_add_int_value (builder, self->min_ram);
  add_properties (builder, self->properties);

  json_builder_end_object (builder);

  return json_builder_get_root (builder);
}

/* A member of type @type, or null, or none: then @out stays as it is. */
static gboolean
take_member (JsonObject  *object,
             const char  *name,
             GType        type,
             JsonNode   **out,
             GError     **error)
{
  JsonNode *node = json_object_get_member (object, name);

  *out = NULL;
  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;

  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != type)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"%s\" of an image is not a %s", name,
                       type == G_TYPE_STRING  ? "string"
                       : type == G_TYPE_INT64 ? "whole number" : "boolean");
      return FALSE;
    }

  *out = node;

  return TRUE;
}

static gboolean
take_string (JsonObject  *object,
             const char  *name,
             char       **out,
             GError     **error)
{
  JsonNode *node;

  if (!take_member (object, name, G_TYPE_STRING, &node, error))
    return FALSE;

  if (node != NULL)
    *out = json_node_dup_string (node);

  return TRUE;
}

static gboolean
take_int (JsonObject  *object,
          const char  *name,
          gint64      *out,
          GError     **error)
{
  JsonNode *node;

  if (!take_member (object, name, G_TYPE_INT64, &node, error))
    return FALSE;

  if (node != NULL && json_node_get_int (node) < 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"%s\" of an image is negative", name);
      return FALSE;
    }
  if (node != NULL)
    *out = json_node_get_int (node);

  return TRUE;
}

static gboolean
take_hidden (JsonObject  *object,
             gboolean    *out,
             GError     **error)
{
  JsonNode *node;

  if (!take_member (object, "hidden", G_TYPE_BOOLEAN, &node, error))
    return FALSE;

  if (node != NULL)
    *out = json_node_get_boolean (node);

  return TRUE;
}

static gboolean
take_time (JsonObject  *object,
           const char  *name,
           gint64      *out,
           GError     **error)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = NULL;
  g_autofree char *text = NULL;

  if (!take_string (object, name, &text, error))
    return FALSE;
  if (text == NULL)
    return TRUE;

  time = g_date_time_new_from_iso8601 (text, utc);
  if (time == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"%s\" of an image is not a time of ISO 8601", name);
      return FALSE;
    }

  *out = g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);

  return TRUE;
}

static gboolean
take_properties (ImageInfo   *self,
                 JsonObject  *object,
                 GError     **error)
{
  JsonNode *node = json_object_get_member (object, "properties");
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;

  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;

  if (!JSON_NODE_HOLDS_OBJECT (node)
      || json_object_get_size (json_node_get_object (node)) > PROPERTIES_MAX)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"properties\" of an image is not an object of at most %d members",
                       PROPERTIES_MAX);
      return FALSE;
    }

  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, &name, &value))
    {
      if (!JSON_NODE_HOLDS_VALUE (value) || json_node_get_value_type (value) != G_TYPE_STRING)
        {
          agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                           "property \"%s\" of an image is not a string",
                           name);
          return FALSE;
        }
      image_info_set (self, name, json_node_get_string (value));
    }

  return TRUE;
}

/**
 * image_info_from_json:
 * @json: what image_info_to_json() made, or somebody says it did
 * @error: AGENT_ERROR_INVALID, with what is wrong in it
 *
 * Members that are not known are left out; those that are must have the right type.
 *
 * Returns: (transfer full): the image
 */
ImageInfo *
image_info_from_json (JsonNode  *json,
                      GError   **error)
{
  g_autoptr (ImageInfo) self = image_info_new ();
  JsonObject *object;

  if (json == NULL || !JSON_NODE_HOLDS_OBJECT (json))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "an image is written as a JSON object");
      return NULL;
    }

  object = json_node_get_object (json);
  if (!take_string (object, "id", &self->id, error)
      || !take_string (object, "name", &self->name, error)
      || !take_string (object, "status", &self->status, error)
      || !take_string (object, "disk_format", &self->disk_format, error)
      || !take_hidden (object, &self->hidden, error)
      || !take_int (object, "size", &self->size, error)
      || !take_string (object, "md5", &self->md5, error)
      || !take_string (object, "sha512", &self->sha512, error)
      || !take_time (object, "created_at", &self->created_us, error)
      || !take_int (object, "min_disk", &self->min_disk, error)
      || !take_int (object, "min_ram", &self->min_ram, error)
      || !take_properties (self, object, error))
    return NULL;

  if (self->id == NULL || self->status == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "an image needs an \"id\" and a \"status\"");
      return NULL;
    }

  return g_steal_pointer (&self);
}
