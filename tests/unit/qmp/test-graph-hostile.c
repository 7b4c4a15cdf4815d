/* SPDX-License-Identifier: Apache-2.0 */

/* The block graph from replies that are long, random, spoilt, or lies. */

#include <string.h>

#include <qmp/error.h>

#include "replies.h"

/* --- sizes and shapes --- */

/* @length format nodes over each other, each with a file node. */
static void
test_deep (gconstpointer data)
{
  guint length = GPOINTER_TO_UINT (data);
  g_autoptr (GString) text = g_string_new ("[");
  g_autoptr (JsonNode) nodes = NULL;
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;
  guint depth = 0;

  for (guint i = 0; i < length; i++)
    {
      g_autofree char *name = g_strdup_printf ("n%u", i);
      g_autofree char *file = g_strdup_printf ("f%u", i);
      g_autofree char *children = NULL;

      children = i + 1 < length
                 ? g_strdup_printf (",\"children\":[{\"child\":\"file\",\"node-name\":\"f%u\"},"
                                    "{\"child\":\"backing\",\"node-name\":\"n%u\"}]", i, i + 1)
                 : g_strdup_printf (",\"children\":[{\"child\":\"file\","
                                    "\"node-name\":\"f%u\"}]", i);
      replies_add_node (text, name, "qcow2", name, "", children);
      replies_add_node (text, file, "file", name, "", ",\"children\":[]");
    }
  g_string_append_c (text, ']');
  nodes = replies_from_text (text->str);

  graph = qmp_graph_parse (nodes, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (qmp_graph_get_nodes (graph)->len, ==, 2 * length);
  for (QmpNode *at = qmp_graph_find_node (graph, "n0"); at != NULL; at = at->backing)
    {
      g_assert_nonnull (at->file);
      g_assert_cmpuint (at->parents->len, ==, depth > 0 ? 1 : 0);
      depth++;
    }
  g_assert_cmpuint (depth, ==, length);
}

#define RANDOM_NODES 12

/* Whether @to can be reached from @from, by the plain definition. */
static gboolean
reaches (gboolean edge[RANDOM_NODES][RANDOM_NODES],
         guint    from,
         guint    to,
         guint    steps)
{
  if (from == to && steps < RANDOM_NODES + 1)
    return TRUE;
  for (guint next = 0; steps > 0 && next < RANDOM_NODES; next++)
    if (edge[from][next] && reaches (edge, next, to, steps - 1))
      return TRUE;
  return FALSE;
}

/* Random edges, with cycles and without: refused exactly when there is a cycle. */
static void
test_random (void)
{
  guint refused = 0, taken = 0;

  for (guint round = 0; round < 400; round++)
    {
      gboolean edge[RANDOM_NODES][RANDOM_NODES] = { { FALSE } };
      g_autoptr (GString) nodes_text = g_string_new ("[");
      g_autoptr (GString) edges_text = g_string_new ("{\"nodes\":[");
      g_autoptr (JsonNode) nodes = NULL;
      g_autoptr (JsonNode) edges = NULL;
      g_autoptr (QmpGraph) graph = NULL;
      g_autoptr (GError) error = NULL;
      gboolean cyclic = FALSE;
      guint n_edges = 0;

      for (guint i = 0; i < RANDOM_NODES; i++)
        {
          g_autofree char *name = g_strdup_printf ("n%u", i);

          replies_add_node (nodes_text, name, "quorum", "", "", "");
          g_string_append_printf (edges_text, "%s{\"id\":%u,\"type\":\"block-driver\","
                                  "\"name\":\"n%u\"}", i > 0 ? "," : "", 100 + i, i);
        }
      g_string_append_c (nodes_text, ']');
      g_string_append (edges_text, "],\"edges\":[");
      for (guint k = 0; k < 10; k++)
        {
          guint parent = (guint) g_test_rand_int_range (0, RANDOM_NODES);
          guint child = (guint) g_test_rand_int_range (0, RANDOM_NODES);

          if (edge[parent][child])
            continue;
          edge[parent][child] = TRUE;
          g_string_append_printf (edges_text, "%s{\"name\":\"children.%u\",\"parent\":%u,"
                                  "\"child\":%u}", n_edges++ > 0 ? "," : "", k, 100 + parent,
                                  100 + child);
        }
      g_string_append (edges_text, "]}");
      for (guint from = 0; from < RANDOM_NODES; from++)
        for (guint to = 0; to < RANDOM_NODES; to++)
          cyclic |= edge[from][to] && reaches (edge, to, from, RANDOM_NODES);

      nodes = replies_from_text (nodes_text->str);
      edges = replies_from_text (edges_text->str);
      graph = qmp_graph_parse (nodes, edges, NULL, &error);
      if (cyclic)
        {
          g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
          g_assert_nonnull (strstr (error->message, "cycle"));
          refused++;
          continue;
        }

      g_assert_no_error (error);
      replies_assert_sound (graph);
      taken++;
      for (guint from = 0; from < RANDOM_NODES; from++)
        for (guint to = 0; to < RANDOM_NODES; to++)
          {
            QmpNode *parent = g_ptr_array_index (qmp_graph_get_nodes (graph), from);
            QmpNode *child = g_ptr_array_index (qmp_graph_get_nodes (graph), to);

            g_assert_true (replies_has_parent (child, parent) == edge[from][to]);
          }
    }

  g_assert_cmpuint (refused, >, 20);
  g_assert_cmpuint (taken, >, 20);
}

/* --- hostile replies --- */

static const char *const odd_values[] = {
  "null", "true", "-1", "42", "9223372036854775807", "0.5", "\"odd\"", "\"\"", "[]", "{}", "[[]]",
  "[{}]", "{\"data\":[]}", NULL                 /* NULL: the value is taken away */
};

static guint n_tried, n_refused;

static void
try_odd (JsonNode *capture)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (QmpGraph) graph = replies_parse (capture, &error);

  n_tried++;
  if (graph != NULL)
    {
      replies_assert_sound (graph);
      return;
    }
  n_refused++;
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_assert_cmpuint (strlen (error->message), >, 20);
}

/* Puts every odd value in the place of every value below @node, one at a time. */
static void
spoil (JsonNode *capture,
       JsonNode *node)
{
  if (JSON_NODE_HOLDS_OBJECT (node))
    {
      JsonObject *object = json_node_get_object (node);
      g_autoptr (GList) names = json_object_get_members (object);

      for (GList *l = names; l != NULL; l = l->next)
        {
          g_autofree char *name = g_strdup (l->data);
          JsonNode *good = json_node_copy (json_object_get_member (object, name));

          for (guint i = 0; i < G_N_ELEMENTS (odd_values); i++)
            {
              if (odd_values[i] != NULL)
                json_object_set_member (object, name, replies_from_text (odd_values[i]));
              else
                json_object_remove_member (object, name);
              if (node != capture || odd_values[i] != NULL)
                try_odd (capture);
            }
          json_object_set_member (object, name, good);
          spoil (capture, good);
        }
    }
  else if (JSON_NODE_HOLDS_ARRAY (node))
    {
      JsonArray *array = json_node_get_array (node);

      /* The first few elements stand for all: they have the same form. */
      for (guint i = 0; i < MIN (json_array_get_length (array), 3); i++)
        spoil (capture, json_array_get_element (array, i));
    }
}

static void
test_spoilt (gconstpointer data)
{
  g_autoptr (JsonNode) capture = replies_load (data);

  n_tried = n_refused = 0;
  spoil (capture, capture);
  g_assert_cmpuint (n_tried, >, 500);
  g_assert_cmpuint (n_refused, >, n_tried / 5);
  g_assert_cmpuint (n_refused, <, n_tried);
}

static const struct
{
  const char *name;
  const char *nodes;            /* names, separated by blanks */
  const char *edges;
  const char *devices;
  const char *message;
} lies[] = {
  { "no-array", NULL, NULL, NULL, "it is an object, not an array" },
  { "twice", "a a", NULL, NULL, "two nodes have this name" },
  { "edge-to-nobody", "a", "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"a\"}],"
    "\"edges\":[{\"name\":\"file\",\"parent\":1,\"child\":7}]}", NULL, "7, which no node has" },
  { "id-twice", "a b", "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"a\"},"
    "{\"id\":1,\"type\":\"block-driver\",\"name\":\"b\"}],\"edges\":[]}", NULL,
    "two nodes have the id 1" },
  { "unknown-node", "a", "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"z\"}],"
    "\"edges\":[]}", NULL, "node \"z\" is not among those of query-named-block-nodes" },
  { "fewer-nodes", "a b", "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"a\"}],"
    "\"edges\":[]}", NULL, "it has 1 block nodes, and query-named-block-nodes 2" },
  { "job-as-child", "a", "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"a\"},"
    "{\"id\":2,\"type\":\"block-job\",\"name\":\"j\"}],"
    "\"edges\":[{\"name\":\"file\",\"parent\":1,\"child\":2}]}", NULL, "is no block node" },
  { "two-files", "a b c", "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"a\"},"
    "{\"id\":2,\"type\":\"block-driver\",\"name\":\"b\"},"
    "{\"id\":3,\"type\":\"block-driver\",\"name\":\"c\"}],"
    "\"edges\":[{\"name\":\"file\",\"parent\":1,\"child\":2},"
    "{\"name\":\"file\",\"parent\":1,\"child\":3}]}", NULL, "two children \"file\"" },
  { "own-parent", "a", "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"a\"}],"
    "\"edges\":[{\"name\":\"backing\",\"parent\":1,\"child\":1}]}", NULL, "cycle" },
  { "device-on-nobody", "a", "{\"nodes\":[{\"id\":1,\"type\":\"block-driver\",\"name\":\"a\"}],"
    "\"edges\":[]}", "[{\"device\":\"d\",\"removable\":false,\"inserted\":{\"node-name\":\"z\"}}]",
    "\"d\": node \"z\" is not among those" },
};

static void
test_lie (gconstpointer data)
{
  guint which = GPOINTER_TO_UINT (data);
  g_autoptr (GString) text = g_string_new ("[");
  g_autoptr (JsonNode) nodes = NULL;
  g_autoptr (JsonNode) edges = NULL;
  g_autoptr (JsonNode) devices = NULL;
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;

  if (lies[which].edges != NULL)
    edges = replies_from_text (lies[which].edges);
  if (lies[which].devices != NULL)
    devices = replies_from_text (lies[which].devices);
  if (lies[which].nodes != NULL)
    {
      g_auto (GStrv) names = g_strsplit (lies[which].nodes, " ", -1);

      for (guint i = 0; names[i] != NULL; i++)
        replies_add_node (text, names[i], "qcow2", names[i], "", "");
      g_string_append_c (text, ']');
    }
  else
    g_string_assign (text, "{}");
  nodes = replies_from_text (text->str);

  graph = qmp_graph_parse (nodes, edges, devices, &error);
  g_assert_null (graph);
  g_assert_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, lies[which].message));
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
      g_autofree char *spoilt = g_strconcat ("/graph/spoilt/", captures[i], NULL);

      g_test_add_data_func (spoilt, captures[i], test_spoilt);
    }
  g_test_add_data_func ("/graph/deep/300", GUINT_TO_POINTER (300), test_deep);
  g_test_add_data_func ("/graph/deep/20000", GUINT_TO_POINTER (20000), test_deep);
  g_test_add_func ("/graph/random", test_random);
  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree char *path = g_strconcat ("/graph/lie/", lies[i].name, NULL);

      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_lie);
    }

  return g_test_run ();
}
