/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which actions a server takes, and what may stand in them: Nova's limits for names and
 * metadata. What only we know is checked by who does it. */

#include "nova-action.h"

#include <core/error.h>

#include <string.h>

#define NAME_BYTES_MAX      255
#define METADATA_LENGTH_MAX 255         /* characters */
#define METADATA_MAX        128         /* pairs */

/**
 * nova_action_to_string:
 * @action: an action
 *
 * Returns: (transfer none): its name in requests and errors
 */
const char *
nova_action_to_string (NovaAction action)
{
  static const char *const names[] = {
    [NOVA_ACTION_CREATE_IMAGE] = "createImage",
    [NOVA_ACTION_SNAPSHOT] = "snapshot",
    [NOVA_ACTION_REBUILD] = "rebuild",
  };

  return names[action];
}

static gboolean
is_string (JsonNode *node)
{
  return node != NULL && json_node_get_value_type (node) == G_TYPE_STRING;
}

static gboolean
check_name (JsonObject  *members,
            GError     **error)
{
  JsonNode *node = json_object_get_member (members, "name");
  const char *name;
  gsize length;

  if (node == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "'name' is a required property");
      return FALSE;
    }

  name = is_string (node) ? json_node_get_string (node) : "";
  length = strlen (name);
  if (length > 0 && length <= NAME_BYTES_MAX && !g_unichar_isspace (g_utf8_get_char (name)) &&
      !g_unichar_isspace (g_utf8_get_char (g_utf8_prev_char (name + strlen (name)))))
    {
      for (const char *c = name; *c != '\0'; c = g_utf8_next_char (c))
        if (!g_unichar_isprint (g_utf8_get_char (c)))
          length = 0;
      if (length > 0)
        return TRUE;
    }

  agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                   "Invalid input for field/attribute name. It must be a string of 1 to %d "
                   "bytes of printable characters, without white space around it.", NAME_BYTES_MAX);
  return FALSE;
}

static gboolean
is_good_key (const char *key)
{
  gsize length = strlen (key);

  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum (key[i]) && strchr ("-_:. ", key[i]) == NULL)
      return FALSE;
  return length > 0 && length <= METADATA_LENGTH_MAX;
}

static gboolean
check_metadata (JsonNode  *node,
                GError   **error)
{
  JsonObjectIter iter;
  const char *key;
  JsonNode *value;

  if (node == NULL)
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "Invalid input for field/attribute metadata. It must be an object.");
      return FALSE;
    }
  if (json_object_get_size (json_node_get_object (node)) > METADATA_MAX)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "Image metadata limit exceeded: there may be %d items.", METADATA_MAX);
      return FALSE;
    }

  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, &key, &value))
    {
      if (!is_good_key (key))
        {
          agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                           "Invalid input for field/attribute metadata. A key must be 1 to %d of "
                           "the characters a-z A-Z 0-9 - _ : . and space.", METADATA_LENGTH_MAX);
          return FALSE;
        }
      if (!is_string (value) ||
          g_utf8_strlen (json_node_get_string (value), -1) > METADATA_LENGTH_MAX)
        {
          agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                           "Invalid input for field/attribute %s. Its value must be a string of at "
                           "most %d characters.", key, METADATA_LENGTH_MAX);
          return FALSE;
        }
    }
  return TRUE;
}

/* createImage is Nova's: there is nothing to add to it. */
static gboolean
check_members (JsonObject  *members,
               NovaAction   action,
               GError     **error)
{
  JsonNode *image = json_object_get_member (members, "image");
  JsonObjectIter iter;
  const char *member;

  json_object_iter_init (&iter, members);
  while (action == NOVA_ACTION_CREATE_IMAGE && json_object_iter_next (&iter, &member, NULL))
    if (strcmp (member, "name") != 0 && strcmp (member, "metadata") != 0)
      {
        agent_set_error (error, AGENT_ERROR_INVALID, "There are name and metadata.",
                         "Additional properties are not allowed ('%.64s' was unexpected)", member);
        return FALSE;
      }

  if (is_string (image) && strcmp (json_node_get_string (image), "none") == 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "Points without an image are to be had at /v1/guests/{guest}/snapshots.",
                       "Invalid input for field/attribute image. It must be layer or full.");
      return FALSE;
    }
  return check_name (members, error) &&
         check_metadata (json_object_get_member (members, "metadata"), error);
}

/* Clients send some members along that change nothing here, since a guest's name, addresses and
 * metadata are not ours. Of what a user would count on, only that it is not wanted may be said. */
static gboolean
check_rebuild_member (const char  *member,
                      JsonNode    *value,
                      GError     **error)
{
  static const char *const passed_over[] = {
    "imageRef", "name", "description", "metadata", "OS-DCF:diskConfig", "accessIPv4", "accessIPv6",
    NULL
  };
  static const char *const refused[] = {
    "preserve_ephemeral", "adminPass", "key_name", "user_data", "trusted_image_certificates", NULL
  };
  gboolean is_off = JSON_NODE_HOLDS_NULL (value) ||
                    (json_node_get_value_type (value) == G_TYPE_BOOLEAN &&
                     !json_node_get_boolean (value));

  if (g_strv_contains (passed_over, member) || (is_off && g_strv_contains (refused, member)))
    return TRUE;

  agent_set_error (error, AGENT_ERROR_INVALID,
                   "The guest gets what the image holds; nothing in it is changed.",
                   "Additional properties are not allowed ('%.64s' has no meaning here)", member);
  return FALSE;
}

/* What a restore is asked for. (transfer full) */
static JsonObject *
parse_rebuild (JsonObject  *members,
               GError     **error)
{
  JsonNode *image = json_object_get_member (members, "imageRef");
  JsonObject *wish;
  JsonObjectIter iter;
  const char *member;
  JsonNode *value;

  if (image == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "'imageRef' is a required property");
      return NULL;
    }
  if (!is_string (image) || json_node_get_string (image)[0] == '\0')
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "Invalid input for field/attribute imageRef. It must be an image's id.");
      return NULL;
    }

  json_object_iter_init (&iter, members);
  while (json_object_iter_next (&iter, &member, &value))
    if (!check_rebuild_member (member, value, error))
      return NULL;
  if (!check_metadata (json_object_get_member (members, "metadata"), error))
    return NULL;

  wish = json_object_new ();
  json_object_set_string_member (wish, "image", json_node_get_string (image));
  return wish;
}

/**
 * nova_action_parse:
 * @body: the body of a request
 * @action: (out): what is to be done
 * @error: return location
 *
 * Returns: (transfer full): how; else %NULL with %AGENT_ERROR_INVALID
 */
JsonObject *
nova_action_parse (JsonObject  *body,
                   NovaAction  *action,
                   GError     **error)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;

  json_object_iter_init (&iter, body);
  if (json_object_get_size (body) != 1 || !json_object_iter_next (&iter, &name, &value))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "Name one action: {\"createImage\": {...}}.",
                       "Malformed request body: it has %u actions", json_object_get_size (body));
      return NULL;
    }

  for (*action = NOVA_ACTION_CREATE_IMAGE; *action <= NOVA_ACTION_REBUILD; (*action)++)
    if (strcmp (nova_action_to_string (*action), name) == 0)
      break;
  if (*action > NOVA_ACTION_REBUILD)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "There are createImage, snapshot and rebuild.",
                       "There is no such action: %.64s", name);
      return NULL;
    }
  if (!JSON_NODE_HOLDS_OBJECT (value))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "Invalid input for field/attribute %s. It must be an object.", name);
      return NULL;
    }
  if (*action == NOVA_ACTION_REBUILD)
    return parse_rebuild (json_node_get_object (value), error);
  if (!check_members (json_node_get_object (value), *action, error))
    return NULL;
  return json_object_ref (json_node_get_object (value));
}
