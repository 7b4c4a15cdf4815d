/* SPDX-License-Identifier: Apache-2.0 */

/* What a monitor says of its block graph, and the disks that are made of it. The input is three
 * answers, one behind the other, each ended by a zero byte. */

#include "fuzz.h"

#include <disk/disk.h>
#include <string.h>

static JsonNode *
next_answer (const guint8 **data, gsize *size)
{
  const guint8 *end = *size > 0 ? memchr (*data, 0, *size) : NULL;
  gsize length = end != NULL ? (gsize) (end - *data) : *size;
  g_autofree char *text = g_strndup (length > 0 ? (const char *) *data : "", length);
  JsonNode *node = g_utf8_validate (text, -1, NULL) ? json_from_string (text, NULL) : NULL;

  *data += MIN (*size, length + 1);
  *size -= MIN (*size, length + 1);
  return node;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (JsonNode) nodes = next_answer (&data, &size);
  g_autoptr (JsonNode) edges = next_answer (&data, &size);
  g_autoptr (JsonNode) devices = next_answer (&data, &size);
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GPtrArray) disks = NULL;
  g_autoptr (GError) error = NULL;

  if (nodes == NULL)
    return 0;
  graph = qmp_graph_parse (nodes, edges, devices, &error);
  fuzz_check_told (graph, error);
  if (graph == NULL)
    return 0;
  disks = disks_from_graph (graph, "/nowhere", NULL);
  for (guint i = 0; i < disks->len; i++)
    {
      g_autoptr (JsonNode) told = disk_to_json (g_ptr_array_index (disks, i));

      g_assert_true (JSON_NODE_HOLDS_OBJECT (told));
    }
  return 0;
}
