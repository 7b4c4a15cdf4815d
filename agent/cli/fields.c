/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to look into JSON that may be of another form than expected. */

#include "fields.h"

static JsonNode *
member (JsonObject *object,
        const char *name)
{
  return object != NULL ? json_object_get_member (object, name) : NULL;
}

/**
 * field_text:
 * @object: (nullable): an object
 * @name: a member
 *
 * Returns: (transfer none) (nullable): the member if it is a string
 */
const char *
field_text (JsonObject *object,
            const char *name)
{
  JsonNode *node = member (object, name);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_STRING
         ? json_node_get_string (node) : NULL;
}

/**
 * field_int:
 * @object: (nullable): an object
 * @name: a member
 * @fallback: what to say where there is no such integer
 *
 * Returns: the member if it is an integer, else @fallback
 */
gint64
field_int (JsonObject *object,
           const char *name,
           gint64      fallback)
{
  JsonNode *node = member (object, name);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node)
                                                                         : fallback;
}

/**
 * field_bool:
 * @object: (nullable): an object
 * @name: a member
 *
 * Returns: whether the member is true
 */
gboolean
field_bool (JsonObject *object,
            const char *name)
{
  JsonNode *node = member (object, name);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_BOOLEAN &&
         json_node_get_boolean (node);
}

/**
 * field_object:
 * @object: (nullable): an object
 * @name: a member
 *
 * Returns: (transfer none) (nullable): the member if it is an object
 */
JsonObject *
field_object (JsonObject *object,
              const char *name)
{
  JsonNode *node = member (object, name);

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/**
 * field_array:
 * @object: (nullable): an object
 * @name: a member
 *
 * Returns: (transfer none) (nullable): the member if it is an array
 */
JsonArray *
field_array (JsonObject *object,
             const char *name)
{
  JsonNode *node = member (object, name);

  return node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}

/**
 * array_length:
 * @array: (nullable): an array
 *
 * Returns: its length; 0 for none
 */
guint
array_length (JsonArray *array)
{
  return array != NULL ? json_array_get_length (array) : 0;
}

/**
 * array_object:
 * @array: an array
 * @index: below its length
 *
 * Returns: (transfer none) (nullable): the element if it is an object
 */
JsonObject *
array_object (JsonArray *array,
              guint      index)
{
  JsonNode *node = json_array_get_element (array, index);

  return JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/**
 * array_text:
 * @array: an array
 * @index: below its length
 *
 * Returns: (transfer none) (nullable): the element if it is a string
 */
const char *
array_text (JsonArray *array,
            guint      index)
{
  JsonNode *node = json_array_get_element (array, index);

  return JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING
         ? json_node_get_string (node) : NULL;
}
