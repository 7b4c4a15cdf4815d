/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to take typed members out of a JSON reply, and to say what was wrong with one. */

#include "fields.h"

#include <string.h>

#include <qmp/error.h>

/* What is wrong may be megabytes long. */
#define QUOTE_MAX 400

static void
shorten (char *text)
{
  if (strlen (text) > QUOTE_MAX)
    *g_utf8_find_prev_char (text, text + QUOTE_MAX) = '\0';
}

void
qmp_fields_fault (QmpFields  *self,
                  const char *format,
                  ...)
{
  g_autofree char *subject = NULL;
  g_autofree char *what = NULL;
  va_list args;

  if (self->error != NULL)
    return;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);

  if (self->subject != NULL)
    {
      subject = g_strdup_printf ("\"%s\"", self->subject);
      shorten (subject);
    }
  shorten (what);
  g_set_error (&self->error, QMP_ERROR, QMP_ERROR_PROTOCOL, "Reply of %s: %s%s%s", self->command,
               subject != NULL ? subject : "", subject != NULL ? ": " : "", what);
}

gboolean
qmp_fields_close (QmpFields  *self,
                  GError    **error)
{
  if (self->error == NULL)
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&self->error));
  return FALSE;
}

/* Names a member's type as people who write JSON would. */
static const char *
type_name (JsonNode *node)
{
  switch (json_node_get_node_type (node))
    {
    case JSON_NODE_OBJECT:
      return "an object";
    case JSON_NODE_ARRAY:
      return "an array";
    case JSON_NODE_NULL:
      return "null";
    case JSON_NODE_VALUE:
    default:
      break;
    }

  switch (json_node_get_value_type (node))
    {
    case G_TYPE_STRING:
      return "a string";
    case G_TYPE_BOOLEAN:
      return "a boolean";
    case G_TYPE_INT64:
      return "an integer";
    default:
      return "a number";
    }
}

static void
fault_type (QmpFields  *self,
            const char *member,
            JsonNode   *node,
            const char *wanted)
{
  qmp_fields_fault (self, "\"%s\" is %s, not %s", member, type_name (node), wanted);
}

/* The member, or NULL: when it is absent (a fault if @required), or after a fault. */
static JsonNode *
member_node (QmpFields  *self,
             JsonObject *object,
             const char *member,
             gboolean    required)
{
  JsonNode *node;

  if (self->error != NULL)
    return NULL;

  node = json_object_get_member (object, member);
  if (node == NULL && required)
    qmp_fields_fault (self, "\"%s\" is missing", member);

  return node;
}

JsonArray *
qmp_fields_reply_array (QmpFields *self,
                        JsonNode  *reply)
{
  if (self->error != NULL)
    return NULL;

  if (!JSON_NODE_HOLDS_ARRAY (reply))
    {
      qmp_fields_fault (self, "it is %s, not an array", type_name (reply));
      return NULL;
    }

  return json_node_get_array (reply);
}

JsonObject *
qmp_fields_reply_object (QmpFields *self,
                         JsonNode  *reply)
{
  if (self->error != NULL)
    return NULL;

  if (!JSON_NODE_HOLDS_OBJECT (reply))
    {
      qmp_fields_fault (self, "it is %s, not an object", type_name (reply));
      return NULL;
    }

  return json_node_get_object (reply);
}

JsonObject *
qmp_fields_element (QmpFields *self,
                    JsonArray *array,
                    guint      index)
{
  JsonNode *node;

  if (self->error != NULL)
    return NULL;

  node = json_array_get_element (array, index);
  if (!JSON_NODE_HOLDS_OBJECT (node))
    {
      qmp_fields_fault (self, "element %u is %s, not an object", index, type_name (node));
      return NULL;
    }

  return json_node_get_object (node);
}

static const char *
node_text (QmpFields  *self,
           const char *member,
           JsonNode   *node)
{
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    {
      fault_type (self, member, node, "a string");
      return NULL;
    }

  return json_node_get_string (node);
}

const char *
qmp_fields_maybe_text (QmpFields  *self,
                       JsonObject *object,
                       const char *member)
{
  JsonNode *node = member_node (self, object, member, FALSE);

  return node != NULL ? node_text (self, member, node) : NULL;
}

const char *
qmp_fields_text (QmpFields  *self,
                 JsonObject *object,
                 const char *member)
{
  JsonNode *node = member_node (self, object, member, TRUE);
  const char *text = node != NULL ? node_text (self, member, node) : NULL;

  return text != NULL ? text : "";
}

/* Sizes and counts: QEMU's type is a signed integer, and none of them is ever negative. */
static gint64
node_count (QmpFields  *self,
            const char *member,
            JsonNode   *node)
{
  gint64 value;

  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_INT64)
    {
      fault_type (self, member, node, "an integer");
      return 0;
    }

  value = json_node_get_int (node);
  if (value < 0)
    {
      qmp_fields_fault (self, "\"%s\" is %" G_GINT64_FORMAT ", which no size or count can be",
                        member, value);
      return 0;
    }

  return value;
}

gint64
qmp_fields_count (QmpFields  *self,
                  JsonObject *object,
                  const char *member)
{
  JsonNode *node = member_node (self, object, member, TRUE);

  return node != NULL ? node_count (self, member, node) : 0;
}

gint64
qmp_fields_maybe_count (QmpFields  *self,
                        JsonObject *object,
                        const char *member,
                        gint64      otherwise)
{
  JsonNode *node = member_node (self, object, member, FALSE);

  return node != NULL ? node_count (self, member, node) : otherwise;
}

gboolean
qmp_fields_flag (QmpFields  *self,
                 JsonObject *object,
                 const char *member)
{
  JsonNode *node = member_node (self, object, member, FALSE);

  if (node == NULL)
    return FALSE;

  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    {
      fault_type (self, member, node, "a boolean");
      return FALSE;
    }

  return json_node_get_boolean (node);
}

JsonObject *
qmp_fields_maybe_object (QmpFields  *self,
                         JsonObject *object,
                         const char *member)
{
  JsonNode *node = member_node (self, object, member, FALSE);

  if (node == NULL)
    return NULL;

  if (!JSON_NODE_HOLDS_OBJECT (node))
    {
      fault_type (self, member, node, "an object");
      return NULL;
    }

  return json_node_get_object (node);
}

JsonArray *
qmp_fields_maybe_array (QmpFields  *self,
                        JsonObject *object,
                        const char *member)
{
  JsonNode *node = member_node (self, object, member, FALSE);

  if (node == NULL)
    return NULL;

  if (!JSON_NODE_HOLDS_ARRAY (node))
    {
      fault_type (self, member, node, "an array");
      return NULL;
    }

  return json_node_get_array (node);
}

const char *
qmp_fields_peek_text (JsonObject *object,
                      const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  if (node == NULL || !JSON_NODE_HOLDS_VALUE (node)
      || json_node_get_value_type (node) != G_TYPE_STRING)
    return NULL;

  return json_node_get_string (node);
}
