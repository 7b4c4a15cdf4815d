/* SPDX-License-Identifier: Apache-2.0 */

/* Knows where people are told what came of a disk, or of an image. */

#include "told.h"

/**
 * told_find:
 * @operation: an operation
 * @list: a list of objects in its result
 * @member: a member of theirs
 * @value: what it is to be
 *
 * Returns: (transfer none) (nullable): the first such object; %NULL also when there is no list yet
 */
JsonObject *
told_find (Operation *operation, const char *list, const char *member, const char *value)
{
  JsonNode *node = json_object_get_member (operation_get_result (operation), list);
  JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node)
                                                                  : NULL;

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      JsonObject *object = json_array_get_object_element (array, i);

      if (g_strcmp0 (json_object_get_string_member_with_default (object, member, NULL), value)
          == 0)
        return object;
    }
  return NULL;
}
