/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a document of ours is read when it may have come from anywhere. */

#include "document.h"

static gboolean
holds (JsonNode *node, GType type)
{
  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type;
}

/**
 * document_object:
 * @node: (nullable): a node
 *
 * Returns: (transfer none) (nullable): the object that it is
 */
JsonObject *
document_object (JsonNode *node)
{
  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

/**
 * document_array:
 * @object: an object
 * @member: a member's name
 *
 * Returns: (transfer none) (nullable): the list that the member is
 */
JsonArray *
document_array (JsonObject *object, const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  return node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}

/**
 * document_text:
 * @object: an object
 * @member: a member's name
 *
 * Returns: (transfer none) (nullable): the text that the member is
 */
const char *
document_text (JsonObject *object, const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  return holds (node, G_TYPE_STRING) ? json_node_get_string (node) : NULL;
}

/**
 * document_flag:
 * @object: an object
 * @member: a member's name
 *
 * Returns: whether the member is true
 */
gboolean
document_flag (JsonObject *object, const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  return holds (node, G_TYPE_BOOLEAN) && json_node_get_boolean (node);
}

/**
 * document_number:
 * @object: an object
 * @member: a member's name
 *
 * Returns: the whole number that the member is, or -1
 */
gint64
document_number (JsonObject *object, const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  return holds (node, G_TYPE_INT64) ? json_node_get_int (node) : -1;
}

/**
 * document_time:
 * @object: an object
 * @member: a member's name
 * @time_us: (out): microseconds since 1970
 *
 * Returns: whether the member is a time
 */
gboolean
document_time (JsonObject *object, const char *member, gint64 *time_us)
{
  const char *text = document_text (object, member);
  g_autoptr (GDateTime) time = text != NULL ? g_date_time_new_from_iso8601 (text, NULL) : NULL;

  if (time == NULL)
    return FALSE;
  *time_us = g_date_time_to_unix (time) * G_USEC_PER_SEC + g_date_time_get_microsecond (time);
  return TRUE;
}

/**
 * document_set_text:
 * @object: an object
 * @member: a member's name
 * @text: (nullable): what it is to be
 */
void
document_set_text (JsonObject *object, const char *member, const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, member, text);
  else
    json_object_set_null_member (object, member);
}

/**
 * document_set_time:
 * @object: an object
 * @member: a member's name
 * @time_us: microseconds since 1970
 */
void
document_set_time (JsonObject *object, const char *member, gint64 time_us)
{
  g_autoptr (GDateTime) second = g_date_time_new_from_unix_utc (time_us / G_USEC_PER_SEC);
  g_autoptr (GDateTime) exact = second != NULL
    ? g_date_time_add (second, time_us % G_USEC_PER_SEC) : NULL;
  g_autofree char *text = exact != NULL ? g_date_time_format (exact, "%FT%T.%fZ") : NULL;

  document_set_text (object, member, text);
}
