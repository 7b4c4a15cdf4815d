/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to look into an answer of QEMU's that is not trusted to be of its form. */

#include "reply.h"

/**
 * reply_text:
 * @node: an answer, or a part of one
 * @member: a member of it
 *
 * Returns: (transfer none) (nullable): its text
 */
const char *
reply_text (JsonNode *node, const char *member)
{
  JsonNode *value = JSON_NODE_HOLDS_OBJECT (node)
    ? json_object_get_member (json_node_get_object (node), member) : NULL;

  return value != NULL && JSON_NODE_HOLDS_VALUE (value)
         && json_node_get_value_type (value) == G_TYPE_STRING ? json_node_get_string (value) : NULL;
}
