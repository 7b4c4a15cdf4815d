/* SPDX-License-Identifier: Apache-2.0 */

#include "replies.h"

#include <json-glib/json-glib.h>

JsonNode *
replies_load (const char *name)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "qmp", "data", name, NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  return json_node_copy (json_parser_get_root (parser));
}

JsonNode *
replies_get (JsonNode   *capture,
             const char *command)
{
  return json_object_get_member (json_node_get_object (capture), command);
}

QmpGraph *
replies_parse (JsonNode  *capture,
               GError   **error)
{
  return qmp_graph_parse (replies_get (capture, "query-named-block-nodes"),
                          replies_get (capture, "x-debug-query-block-graph"),
                          replies_get (capture, "query-block"), error);
}

void
replies_add_node (GString    *text,
                  const char *name,
                  const char *driver,
                  const char *file,
                  const char *more_image,
                  const char *more)
{
  g_string_append_printf (text,
                          "%s{\"node-name\":\"%s\",\"drv\":\"%s\",\"file\":\"%s\",\"ro\":false,"
                          "\"encrypted\":false,\"detect_zeroes\":\"off\","
                          "\"cache\":{\"writeback\":true,\"direct\":false,\"no-flush\":false},"
                          "\"image\":{\"filename\":\"%s\",\"format\":\"%s\","
                          "\"virtual-size\":1024%s}%s}",
                          text->len > 1 ? "," : "", name, driver, file, file, driver, more_image,
                          more);
}

JsonNode *
replies_from_text (const char *text)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = json_from_string (text, &error);

  g_assert_no_error (error);
  return node;
}

gboolean
replies_has_parent (QmpNode *child,
                    QmpNode *parent)
{
  return g_ptr_array_find (child->parents, parent, NULL);
}

void
replies_assert_sound (QmpGraph *graph)
{
  GPtrArray *nodes = qmp_graph_get_nodes (graph);
  GPtrArray *devices = qmp_graph_get_devices (graph);

  for (guint i = 0; i < nodes->len; i++)
    {
      QmpNode *node = g_ptr_array_index (nodes, i);
      QmpNode *data = qmp_node_skip_filters (node);
      guint depth = 0;

      g_assert_true (qmp_graph_find_node (graph, node->name) == node);
      g_assert_nonnull (node->driver);
      g_assert_nonnull (node->filename);
      g_assert_nonnull (node->detect_zeroes);
      g_assert_cmpint (node->virtual_size, >=, 0);
      g_assert_true (data == NULL || !data->is_filter);
      if (node->file != NULL)
        g_assert_true (replies_has_parent (node->file, node));
      if (node->backing != NULL)
        g_assert_true (replies_has_parent (node->backing, node));
      for (QmpNode *at = node; at != NULL; at = at->backing)
        g_assert_cmpuint (depth++, <, nodes->len);
      for (guint k = 0; k < node->bitmaps->len; k++)
        {
          QmpBitmap *bitmap = g_ptr_array_index (node->bitmaps, k);

          g_assert_nonnull (bitmap->name);
          g_assert_cmpstr (bitmap->node, ==, node->name);
        }
    }
  for (guint i = 0; i < devices->len; i++)
    {
      QmpDevice *device = g_ptr_array_index (devices, i);

      if (device->root != NULL)
        g_assert_true (qmp_graph_find_node (graph, device->root->name) == device->root);
    }
}
