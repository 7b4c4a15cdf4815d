/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a member of a request is read that may be of any type. */

#include "request-members.h"

#include <core/error.h>

static gboolean
is_type (JsonNode *node, GType type)
{
  return JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type;
}

/**
 * request_has_only:
 * @json: a request
 * @members: (array zero-terminated=1): the members that it may have
 * @error: return location: AGENT_ERROR_INVALID names the one that it may not have
 *
 * Returns: whether it has no other
 */
gboolean
request_has_only (JsonObject *json, const char *const *members, GError **error)
{
  g_autoptr (GList) names = json_object_get_members (json);

  for (GList *l = names; l != NULL; l = l->next)
    if (!g_strv_contains (members, l->data))
      {
        g_autofree char *known = g_strjoinv (", ", (char **) members);

        agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                         "\"%.40s\" is not known here; known are %s", (const char *) l->data,
                         known);
        return FALSE;
      }
  return TRUE;
}

/**
 * request_text:
 * @json: a request
 * @member: a member's name
 * @text: (inout) (nullable): freed and replaced when the member is there
 * @error: return location: AGENT_ERROR_INVALID
 *
 * Returns: whether it is a string, or not there
 */
gboolean
request_text (JsonObject *json, const char *member, char **text, GError **error)
{
  JsonNode *node = json_object_get_member (json, member);

  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  if (!is_type (node, G_TYPE_STRING))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"%s\" must be a string", member);
      return FALSE;
    }
  g_free (*text);
  *text = json_node_dup_string (node);
  return TRUE;
}

/**
 * request_flag:
 * @json: a request
 * @member: a member's name
 * @flag: (inout): set when the member is there
 * @error: return location: AGENT_ERROR_INVALID
 *
 * Returns: whether it is a boolean, or not there
 */
gboolean
request_flag (JsonObject *json, const char *member, gboolean *flag, GError **error)
{
  JsonNode *node = json_object_get_member (json, member);

  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  if (!is_type (node, G_TYPE_BOOLEAN))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"%s\" must be true or false", member);
      return FALSE;
    }
  *flag = json_node_get_boolean (node);
  return TRUE;
}

/**
 * request_number:
 * @json: a request
 * @member: a member's name
 * @least: the smallest that it may be
 * @most: the largest
 * @unit: what is counted, for people
 * @number: (inout): set when the member is there
 * @error: return location: AGENT_ERROR_INVALID
 *
 * Returns: whether it is such a number, or not there
 */
gboolean
request_number (JsonObject *json, const char *member, gint64 least, gint64 most, const char *unit,
                gint64 *number, GError **error)
{
  JsonNode *node = json_object_get_member (json, member);

  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  if (!is_type (node, G_TYPE_INT64) || json_node_get_int (node) < least
      || json_node_get_int (node) > most)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"%s\" must be a number of %s from %" G_GINT64_FORMAT " to %"
                       G_GINT64_FORMAT, member, unit, least, most);
      return FALSE;
    }
  *number = json_node_get_int (node);
  return TRUE;
}

/**
 * request_word:
 * @json: a request
 * @member: a member's name
 * @words: (array zero-terminated=1): what it may be
 * @fallback: what it is when it is not there
 * @index: (out): which of @words it is
 * @error: return location: AGENT_ERROR_INVALID
 *
 * Returns: whether it is one of them
 */
gboolean
request_word (JsonObject *json, const char *member, const char *const *words, const char *fallback,
              guint *index, GError **error)
{
  g_autofree char *text = g_strdup (fallback);

  if (!request_text (json, member, &text, error))
    return FALSE;
  for (guint i = 0; words[i] != NULL; i++)
    if (g_strcmp0 (text, words[i]) == 0)
      {
        *index = i;
        return TRUE;
      }

  g_autofree char *choice = g_strjoinv (", ", (char **) words);
  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"%s\" must be one of %s", member, choice);
  return FALSE;
}

/**
 * request_names:
 * @json: a request
 * @member: a member's name
 * @names: (out) (transfer full) (nullable) (array zero-terminated=1): what it lists; %NULL when it
 *   is not there
 * @error: return location: AGENT_ERROR_INVALID
 *
 * Returns: whether it is a list of strings that is not empty, or not there
 */
gboolean
request_names (JsonObject *json, const char *member, char ***names, GError **error)
{
  JsonNode *node = json_object_get_member (json, member);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  JsonArray *array;

  *names = NULL;
  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  array = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      JsonNode *element = json_array_get_element (array, i);

      if (is_type (element, G_TYPE_STRING))
        g_strv_builder_add (builder, json_node_get_string (element));
      else
        array = NULL;
    }
  if (array != NULL && json_array_get_length (array) > 0)
    {
      *names = g_strv_builder_end (builder);
      return TRUE;
    }
  agent_set_error (error, AGENT_ERROR_INVALID, "leave it out for all of them",
                   "\"%s\" must be a list of names", member);
  return FALSE;
}
