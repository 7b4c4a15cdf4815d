/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a plain struct becomes a JSON object and comes back. */

#include "fields.h"

#include <core/error.h>

/**
 * fields_to_json:
 * @fields: the struct's members
 * @base: the struct
 *
 * Returns: (transfer full): an object with a member for each of @fields
 */
JsonNode *
fields_to_json (const Field *fields, gconstpointer base)
{
  g_autoptr (JsonObject) object = json_object_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  for (const Field *field = fields; field->name != NULL; field++)
    {
      gconstpointer member = G_STRUCT_MEMBER_P (base, field->offset);

      switch (field->type)
        {
        case FIELD_STRING:
          if (*(char *const *) member != NULL)
            json_object_set_string_member (object, field->name, *(char *const *) member);
          else
            json_object_set_null_member (object, field->name);
          break;
        case FIELD_BOOLEAN:
          json_object_set_boolean_member (object, field->name, *(const gboolean *) member);
          break;
        case FIELD_INT64:
          json_object_set_int_member (object, field->name, *(const gint64 *) member);
          break;
        case FIELD_ENUM:
          json_object_set_int_member (object, field->name, *(const int *) member);
          break;
        default:
          g_assert_not_reached ();
        }
    }
  json_node_take_object (node, g_steal_pointer (&object));
  return node;
}

static gboolean
set_member (const Field *field, gpointer member, JsonNode *value)
{
  GType type = JSON_NODE_HOLDS_VALUE (value) ? json_node_get_value_type (value) : G_TYPE_INVALID;

  switch (field->type)
    {
    case FIELD_STRING:
      if (JSON_NODE_HOLDS_NULL (value))
        return TRUE;
      if (type != G_TYPE_STRING)
        return FALSE;
      *(char **) member = json_node_dup_string (value);
      return TRUE;
    case FIELD_BOOLEAN:
      if (type != G_TYPE_BOOLEAN)
        return FALSE;
      *(gboolean *) member = json_node_get_boolean (value);
      return TRUE;
    case FIELD_INT64:
      if (type != G_TYPE_INT64)
        return FALSE;
      *(gint64 *) member = json_node_get_int (value);
      return TRUE;
    case FIELD_ENUM:
      if (type != G_TYPE_INT64)
        return FALSE;
      *(int *) member = (int) json_node_get_int (value);
      return TRUE;
    default:
      g_assert_not_reached ();
    }
}

/**
 * fields_from_json:
 * @fields: the struct's members
 * @base: (out caller-allocates): the struct, all zero; partly filled on failure
 * @json: what fields_to_json() made
 * @error: return location: AGENT_ERROR_INTERNAL when it is no object, or a member is of another
 *   type; one that is missing stays zero
 *
 * Returns: whether it could be read
 */
gboolean
fields_from_json (const Field *fields, gpointer base, JsonNode *json, GError **error)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT (json) ? json_node_get_object (json) : NULL;

  if (object == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "the journal's plan is no object");
      return FALSE;
    }
  for (const Field *field = fields; field->name != NULL; field++)
    {
      JsonNode *value = json_object_get_member (object, field->name);

      /* A plan of a version before this one does not have all that there is now. */
      if (value != NULL && !set_member (field, G_STRUCT_MEMBER_P (base, field->offset), value))
        {
          agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                           "the journal's plan holds no fit \"%s\"", field->name);
          return FALSE;
        }
    }
  return TRUE;
}

/**
 * fields_get_array:
 * @plan: what the journal holds
 * @member: a member that is to be there
 * @error: return location: AGENT_ERROR_INTERNAL when it is not, or is no list
 *
 * Returns: (transfer none): the list
 */
JsonArray *
fields_get_array (JsonObject *plan, const char *member, GError **error)
{
  JsonNode *node = json_object_get_member (plan, member);

  if (node != NULL && JSON_NODE_HOLDS_ARRAY (node))
    return json_node_get_array (node);
  agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "the journal's plan lacks \"%s\"", member);
  return NULL;
}
