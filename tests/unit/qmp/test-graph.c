/* SPDX-License-Identifier: Apache-2.0 */

/* The block graph from replies that QEMUs gave, and from those that some would give. */

#include <qmp/error.h>

#include "replies.h"

/* --- captured replies --- */

static void
assert_system (QmpGraph *graph)
{
  QmpDevice *disk, *drive, *other;
  QmpNode *top, *mid, *base;
  QmpBitmap *bitmap;

  replies_assert_sound (graph);
  g_assert_cmpuint (qmp_graph_get_nodes (graph)->len, ==, 13);
  g_assert_cmpuint (qmp_graph_get_devices (graph)->len, ==, 3);

  disk = g_ptr_array_index (qmp_graph_get_devices (graph), 0);
  g_assert_cmpstr (disk->name, ==, "d0");
  g_assert_cmpstr (disk->qdev, ==, "/machine/peripheral-anon/device[0]/virtio-backend");
  g_assert_false (disk->removable);
  g_assert_cmpstr (disk->io_status, ==, "ok");

  top = disk->root;
  g_assert_cmpstr (top->driver, ==, "qcow2");
  g_assert_cmpstr (top->filename, ==, "top.q");
  g_assert_cmpstr (top->backing_filename, ==, "mid.q");
  g_assert_cmpstr (top->backing_format, ==, "qcow2");
  g_assert_cmpint (top->virtual_size, ==, 64 << 20);
  g_assert_cmpint (top->cluster_size, ==, 65536);
  g_assert_true (top->auto_named);
  g_assert_false (top->read_only);
  g_assert_false (top->is_filter);
  g_assert_false (top->has_data_file);
  g_assert_true (top->cache_writeback);
  g_assert_cmpuint (top->parents->len, ==, 0);
  g_assert_cmpstr (top->file->driver, ==, "file");
  g_assert_cmpuint (top->bitmaps->len, ==, 1);
  bitmap = g_ptr_array_index (top->bitmaps, 0);
  g_assert_cmpstr (bitmap->name, ==, "keep");
  g_assert_cmpint (bitmap->granularity, ==, 65536);
  g_assert_true (bitmap->persistent && bitmap->recording);
  g_assert_false (bitmap->busy || bitmap->inconsistent);

  mid = top->backing;
  base = mid->backing;
  g_assert_cmpstr (mid->filename, ==, "mid.q");
  g_assert_true (mid->read_only);
  g_assert_true (replies_has_parent (mid, top));
  g_assert_cmpstr (base->driver, ==, "raw");
  g_assert_cmpstr (base->file->driver, ==, "file");
  g_assert_cmpint (base->cluster_size, ==, 0);
  g_assert_null (base->backing);
  g_assert_null (base->file->file);

  drive = g_ptr_array_index (qmp_graph_get_devices (graph), 1);
  g_assert_cmpstr (drive->name, ==, "cd0");
  g_assert_cmpstr (drive->qdev, ==, "cd");
  g_assert_true (drive->removable);
  g_assert_null (drive->root);

  other = g_ptr_array_index (qmp_graph_get_devices (graph), 2);
  g_assert_null (other->name);
  g_assert_cmpstr (other->qdev, ==, "disk1");
  g_assert_cmpstr (other->root->driver, ==, "copy-on-read");
  g_assert_true (other->root->is_filter);
  g_assert_cmpstr (other->root->file->driver, ==, "throttle");
  g_assert_cmpstr (qmp_node_skip_filters (other->root)->name, ==, "ofmt");
  g_assert_false (qmp_graph_find_node (graph, "ofmt")->auto_named);

  g_assert_true (qmp_graph_find_node (graph, "dff")->has_data_file);
  g_assert_null (qmp_graph_find_node (graph, "nobody"));
}

static void
assert_storage (QmpGraph *graph)
{
  QmpNode *top = qmp_graph_find_node (graph, "top");

  replies_assert_sound (graph);
  g_assert_cmpuint (qmp_graph_get_devices (graph)->len, ==, 0);
  g_assert_cmpstr (top->backing->driver, ==, "commit_top");
  g_assert_true (top->backing->is_filter);
  g_assert_null (top->backing->backing);
  g_assert_cmpstr (qmp_node_skip_filters (top->backing)->name, ==, "mid");
  g_assert_cmpstr (top->backing->file->backing->name, ==, "base");
}

static void
test_captured (gconstpointer data)
{
  g_autoptr (JsonNode) capture = replies_load (data);
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpGraph) graph = replies_parse (capture, &error);

  g_assert_no_error (error);
  if (g_str_has_prefix (data, "graph-system"))
    assert_system (graph);
  else
    assert_storage (graph);
}

/* Writes the edges of x-debug-query-block-graph into the nodes, as QEMU 10.1 does itself. */
static void
move_edges_to_children (JsonNode *capture)
{
  JsonObject *graph = json_node_get_object (replies_get (capture, "x-debug-query-block-graph"));
  JsonArray *numbers = json_object_get_array_member (graph, "nodes");
  JsonArray *edges = json_object_get_array_member (graph, "edges");
  JsonArray *nodes = json_node_get_array (replies_get (capture, "query-named-block-nodes"));
  g_autoptr (GHashTable) names = g_hash_table_new (NULL, NULL);
  g_autoptr (GHashTable) children = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < json_array_get_length (nodes); i++)
    {
      JsonObject *node = json_array_get_object_element (nodes, i);
      JsonArray *array = json_array_new ();

      json_object_set_array_member (node, "children", array);
      g_hash_table_insert (children, (char *) json_object_get_string_member (node, "node-name"),
                           array);
    }
  for (guint i = 0; i < json_array_get_length (numbers); i++)
    {
      JsonObject *node = json_array_get_object_element (numbers, i);

      g_hash_table_insert (names, GSIZE_TO_POINTER (json_object_get_int_member (node, "id")),
                           (char *) json_object_get_string_member (node, "name"));
    }
  for (guint i = 0; i < json_array_get_length (edges); i++)
    {
      JsonObject *edge = json_array_get_object_element (edges, i);
      gpointer parent = g_hash_table_lookup (names, GSIZE_TO_POINTER (
        json_object_get_int_member (edge, "parent")));
      gpointer child = g_hash_table_lookup (names, GSIZE_TO_POINTER (
        json_object_get_int_member (edge, "child")));
      JsonArray *array = g_hash_table_lookup (children, parent);
      JsonObject *object;

      if (array == NULL)
        continue;
      object = json_object_new ();
      json_object_set_string_member (object, "child", json_object_get_string_member (edge, "name"));
      json_object_set_string_member (object, "node-name", child);
      json_array_add_object_element (array, object);
    }
  json_object_remove_member (json_node_get_object (capture), "x-debug-query-block-graph");
}

static void
test_children (gconstpointer data)
{
  g_autoptr (JsonNode) capture = replies_load (data);
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  move_edges_to_children (capture);
  graph = replies_parse (capture, &error);
  g_assert_no_error (error);
  if (g_str_has_prefix (data, "graph-system"))
    assert_system (graph);
  else
    assert_storage (graph);
}

/* --- edges from file names --- */

static void
test_names (void)
{
  g_autoptr (GString) text = g_string_new ("[");
  g_autoptr (JsonNode) nodes = NULL;
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  replies_add_node (text, "top", "qcow2", "/d/top.q",
            ",\"backing-filename\":\"base.q\",\"full-backing-filename\":\"/d/base.q\"", "");
  replies_add_node (text, "topf", "file", "/d/top.q", "", "");
  replies_add_node (text, "base", "qcow2", "/d/base.q", "", "");
  replies_add_node (text, "basef", "host_device", "/d/base.q", "", "");
  g_string_append_c (text, ']');
  nodes = replies_from_text (text->str);

  graph = qmp_graph_parse (nodes, NULL, NULL, &error);
  g_assert_no_error (error);
  replies_assert_sound (graph);
  g_assert_cmpstr (qmp_graph_find_node (graph, "top")->file->name, ==, "topf");
  g_assert_cmpstr (qmp_graph_find_node (graph, "top")->backing->name, ==, "base");
  g_assert_cmpstr (qmp_graph_find_node (graph, "base")->file->name, ==, "basef");
  g_assert_null (qmp_graph_find_node (graph, "base")->backing);
  g_assert_null (qmp_graph_find_node (graph, "topf")->file);
}

/* A guess would be worse than no answer. */
static void
test_names_in_doubt (void)
{
  const char *const doubts[][3] = {
    { "base2", "qcow2", "/d/base.q" },          /* opened twice */
    { "topf2", "file", "/d/top.q" },
    { "lone", "qcow2", "/d/lone.q" },           /* no file below */
    { "filter", "throttle", "/d/base.q" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (doubts); i++)
    {
      g_autoptr (GString) text = g_string_new ("[");
      g_autoptr (JsonNode) nodes = NULL;
      g_autoptr (QmpGraph) graph = NULL;
      g_autoptr (GError) error = NULL;

      replies_add_node (text, "top", "qcow2", "/d/top.q",
                ",\"backing-filename\":\"base.q\",\"full-backing-filename\":\"/d/base.q\"", "");
      replies_add_node (text, "topf", "file", "/d/top.q", "", "");
      replies_add_node (text, "base", "qcow2", "/d/base.q", "", "");
      replies_add_node (text, "basef", "file", "/d/base.q", "", "");
      replies_add_node (text, doubts[i][0], doubts[i][1], doubts[i][2], "", "");
      g_string_append_c (text, ']');
      nodes = replies_from_text (text->str);

      graph = qmp_graph_parse (nodes, NULL, NULL, &error);
      g_assert_error (error, QMP_ERROR, QMP_ERROR_UNSUPPORTED);
      g_assert_null (graph);
    }
}

int
main (int    argc,
      char **argv)
{
  static const char *const captures[] = {
    "graph-system-7.2.json", "graph-system-10.0.json", "graph-storage-7.2.json",
    "graph-storage-10.0.json",
  };

  g_test_init (&argc, &argv, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (captures); i++)
    {
      g_autofree char *captured = g_strconcat ("/graph/captured/", captures[i], NULL);
      g_autofree char *children = g_strconcat ("/graph/children/", captures[i], NULL);

      g_test_add_data_func (captured, captures[i], test_captured);
      g_test_add_data_func (children, captures[i], test_children);
    }
  g_test_add_func ("/graph/names", test_names);
  g_test_add_func ("/graph/names-in-doubt", test_names_in_doubt);

  return g_test_run ();
}
