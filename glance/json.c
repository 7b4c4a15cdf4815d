/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to read JSON that nobody vouches for. */

#include "json.h"

#include "error-private.h"

/* The answers of the service nest four deep; the parser recurses, so its stack must be
 * protected. */
#define DEPTH_MAX 32

static gboolean
depth_is_sane (const char *data,
               gsize       size)
{
  guint depth = 0;
  gboolean in_string = FALSE;

  for (gsize i = 0; i < size; i++)
    {
      if (in_string)
        {
          if (data[i] == '\\')
            i++;
          else if (data[i] == '"')
            in_string = FALSE;
        }
      else if (data[i] == '"')
        {
          in_string = TRUE;
        }
      else if (data[i] == '[' || data[i] == '{')
        {
          if (++depth > DEPTH_MAX)
            return FALSE;
        }
      else if ((data[i] == ']' || data[i] == '}') && depth > 0)
        {
          depth--;
        }
    }

  return TRUE;
}

/**
 * glance_json_parse:
 * @bytes: the text
 * @error: GLANCE_ERROR_PROTOCOL when it is not a JSON object
 *
 * Returns: (transfer full): a node that holds an object, or %NULL
 */
JsonNode *
glance_json_parse (GBytes  *bytes,
                   GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  g_autoptr (GError) local_error = NULL;
  gsize size = 0;
  const char *data = g_bytes_get_data (bytes, &size);
  JsonNode *root;

  if (size == 0)
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL, "an empty answer where JSON was expected");
      return NULL;
    }

  if (!g_utf8_validate_len (data, size, NULL) || !depth_is_sane (data, size))
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL,
                        "an answer that is not UTF-8, or nested too deeply, "
                        "where JSON was expected");
      return NULL;
    }

  if (!json_parser_load_from_data (parser, data, (gssize) size, &local_error))
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL, "an answer that is not JSON: %s",
                        local_error->message);
      return NULL;
    }

  root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root))
    {
      glance_set_error (error, GLANCE_ERROR_PROTOCOL, "an answer that is not a JSON object");
      return NULL;
    }

  return json_node_ref (root);
}

/**
 * glance_json_get_object:
 * @object: where to look
 * @name: the member
 *
 * Returns: (transfer none) (nullable): the object of that name
 */
JsonObject *
glance_json_get_object (JsonObject *object,
                        const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/**
 * glance_json_get_array:
 * @object: where to look
 * @name: the member
 *
 * Returns: (transfer none) (nullable): the array of that name
 */
JsonArray *
glance_json_get_array (JsonObject *object,
                       const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}

static JsonNode *
get_value (JsonObject *object,
           const char *name,
           GType       type)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type
         ? node : NULL;
}

/**
 * glance_json_get_string:
 * @object: where to look
 * @name: the member
 *
 * Returns: (transfer none) (nullable): the string of that name
 */
const char *
glance_json_get_string (JsonObject *object,
                        const char *name)
{
  JsonNode *node = get_value (object, name, G_TYPE_STRING);

  return node != NULL ? json_node_get_string (node) : NULL;
}

/**
 * glance_json_get_int:
 * @object: where to look
 * @name: the member
 * @fallback: what to return when there is no such integer
 *
 * Returns: the integer of that name
 */
gint64
glance_json_get_int (JsonObject *object,
                     const char *name,
                     gint64      fallback)
{
  JsonNode *node = get_value (object, name, G_TYPE_INT64);

  return node != NULL ? json_node_get_int (node) : fallback;
}

/**
 * glance_json_get_boolean:
 * @object: where to look
 * @name: the member
 *
 * Returns: the boolean of that name; %FALSE when there is none
 */
gboolean
glance_json_get_boolean (JsonObject *object,
                         const char *name)
{
  JsonNode *node = get_value (object, name, G_TYPE_BOOLEAN);

  return node != NULL && json_node_get_boolean (node);
}
