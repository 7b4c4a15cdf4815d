/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what query-named-block-nodes and query-block tell of a node and of a device. */

#include "graph-private.h"

#include <qmp/error.h>

static void
bitmap_free (QmpBitmap *bitmap)
{
  g_free (bitmap->name);
  g_free (bitmap->node);
  g_free (bitmap);
}

static void
node_free (QmpNode *node)
{
  g_free (node->name);
  g_free (node->driver);
  g_free (node->filename);
  g_free (node->backing_filename);
  g_free (node->backing_format);
  g_free (node->detect_zeroes);
  g_ptr_array_unref (node->parents);
  g_ptr_array_unref (node->jobs);
  g_ptr_array_unref (node->bitmaps);
  g_free (node);
}

static void
device_free (QmpDevice *device)
{
  g_free (device->name);
  g_free (device->qdev);
  g_free (device->io_status);
  g_free (device);
}

/* Bitmaps without a name are those that jobs make for themselves: nobody can address them. */
static void
read_bitmaps (QmpNode    *node,
              QmpFields  *fields,
              JsonObject *info)
{
  JsonArray *array = qmp_fields_maybe_array (fields, info, "dirty-bitmaps");
  guint n = array != NULL ? json_array_get_length (array) : 0;

  for (guint i = 0; i < n && fields->error == NULL; i++)
    {
      JsonObject *object = qmp_fields_element (fields, array, i);
      const char *name = object != NULL ? qmp_fields_maybe_text (fields, object, "name") : NULL;
      QmpBitmap *bitmap;

      if (name == NULL)
        continue;

      bitmap = g_new0 (QmpBitmap, 1);
      g_ptr_array_add (node->bitmaps, bitmap);
      bitmap->name = g_strdup (name);
      bitmap->node = g_strdup (node->name);
      bitmap->granularity = qmp_fields_count (fields, object, "granularity");
      bitmap->recording = qmp_fields_flag (fields, object, "recording");
      bitmap->persistent = qmp_fields_flag (fields, object, "persistent");
      bitmap->busy = qmp_fields_flag (fields, object, "busy");
      bitmap->inconsistent = qmp_fields_flag (fields, object, "inconsistent");
    }
}

static void
read_image (QmpNode    *node,
            QmpFields  *fields,
            JsonObject *info)
{
  JsonObject *image = qmp_fields_maybe_object (fields, info, "image");
  JsonObject *specific, *data;

  if (image == NULL)
    {
      qmp_fields_fault (fields, "\"image\" is missing");
      return;
    }

  node->virtual_size = qmp_fields_count (fields, image, "virtual-size");
  node->actual_size = qmp_fields_maybe_count (fields, image, "actual-size", -1);
  node->cluster_size = qmp_fields_maybe_count (fields, image, "cluster-size", 0);
  node->backing_filename = g_strdup (qmp_fields_maybe_text (fields, image, "backing-filename"));
  node->backing_format = g_strdup (qmp_fields_maybe_text (fields, image,
                                                          "backing-filename-format"));

  specific = qmp_fields_maybe_object (fields, image, "format-specific");
  data = specific != NULL ? qmp_fields_maybe_object (fields, specific, "data") : NULL;
  if (data != NULL && g_strcmp0 (node->driver, "qcow2") == 0)
    {
      node->extended_l2 = qmp_fields_flag (fields, data, "extended-l2");
      node->corrupt = qmp_fields_flag (fields, data, "corrupt");
      node->has_data_file = qmp_fields_maybe_text (fields, data, "data-file") != NULL;
    }
}

static void
read_cache (QmpNode    *node,
            QmpFields  *fields,
            JsonObject *info)
{
  JsonObject *cache = qmp_fields_maybe_object (fields, info, "cache");

  if (cache == NULL)
    {
      qmp_fields_fault (fields, "\"cache\" is missing");
      return;
    }

  node->cache_writeback = qmp_fields_flag (fields, cache, "writeback");
  node->cache_direct = qmp_fields_flag (fields, cache, "direct");
  node->cache_no_flush = qmp_fields_flag (fields, cache, "no-flush");
}

static void
read_node (QmpGraph   *graph,
           QmpFields  *fields,
           JsonObject *info)
{
  QmpNode *node = g_new0 (QmpNode, 1);

  node->parents = g_ptr_array_new ();
  node->jobs = g_ptr_array_new_with_free_func (g_free);
  node->bitmaps = g_ptr_array_new_with_free_func ((GDestroyNotify) bitmap_free);
  g_ptr_array_add (graph->nodes, node);

  node->name = g_strdup (qmp_fields_text (fields, info, "node-name"));
  fields->subject = node->name;
  node->driver = g_strdup (qmp_fields_text (fields, info, "drv"));
  node->filename = g_strdup (qmp_fields_text (fields, info, "file"));
  node->read_only = qmp_fields_flag (fields, info, "ro");
  node->encrypted = qmp_fields_flag (fields, info, "encrypted");
  node->detect_zeroes = g_strdup (qmp_fields_text (fields, info, "detect_zeroes"));
  node->auto_named = g_str_has_prefix (node->name, "#block");
  node->is_filter = qmp_driver_is_filter (node->driver);
  read_image (node, fields, info);
  read_cache (node, fields, info);
  read_bitmaps (node, fields, info);

  if (!g_hash_table_insert (graph->by_name, node->name, node))
    qmp_fields_fault (fields, "two nodes have this name");
  fields->subject = NULL;
}

static gboolean
read_nodes (QmpGraph  *graph,
            JsonNode  *reply,
            GError   **error)
{
  QmpFields fields = { .command = "query-named-block-nodes" };
  JsonArray *array = qmp_fields_reply_array (&fields, reply);
  guint n = array != NULL ? json_array_get_length (array) : 0;

  for (guint i = 0; i < n && fields.error == NULL; i++)
    {
      JsonObject *info = qmp_fields_element (&fields, array, i);

      if (info != NULL)
        read_node (graph, &fields, info);
    }

  return qmp_fields_close (&fields, error);
}

QmpNode *
qmp_graph_resolve (QmpGraph   *self,
                   QmpFields  *fields,
                   const char *name,
                   gboolean   *torn)
{
  QmpNode *node = g_hash_table_lookup (self->by_name, name);

  if (node == NULL && fields->error == NULL)
    {
      qmp_fields_fault (fields, "node \"%s\" is not among those of query-named-block-nodes", name);
      *torn = TRUE;
    }

  return node;
}

static void
read_device (QmpGraph   *graph,
             QmpFields  *fields,
             JsonObject *info,
             gboolean   *torn)
{
  QmpDevice *device = g_new0 (QmpDevice, 1);
  const char *name = qmp_fields_text (fields, info, "device");
  JsonObject *inserted;

  g_ptr_array_add (graph->devices, device);
  device->name = name[0] != '\0' ? g_strdup (name) : NULL;
  device->qdev = g_strdup (qmp_fields_maybe_text (fields, info, "qdev"));
  fields->subject = device->name != NULL ? device->name : device->qdev;
  device->removable = qmp_fields_flag (fields, info, "removable");
  device->tray_open = qmp_fields_flag (fields, info, "tray_open");
  device->io_status = g_strdup (qmp_fields_maybe_text (fields, info, "io-status"));

  inserted = qmp_fields_maybe_object (fields, info, "inserted");
  if (inserted != NULL)
    device->root = qmp_graph_resolve (graph, fields,
                                      qmp_fields_text (fields, inserted, "node-name"), torn);
  fields->subject = NULL;
}

static gboolean
read_devices (QmpGraph  *graph,
              JsonNode  *reply,
              gboolean  *torn,
              GError   **error)
{
  QmpFields fields = { .command = "query-block" };
  JsonArray *array = qmp_fields_reply_array (&fields, reply);
  guint n = array != NULL ? json_array_get_length (array) : 0;

  for (guint i = 0; i < n && fields.error == NULL; i++)
    {
      JsonObject *info = qmp_fields_element (&fields, array, i);

      if (info != NULL)
        read_device (graph, &fields, info, torn);
    }

  return qmp_fields_close (&fields, error);
}

QmpGraph *
qmp_graph_parse_replies (JsonNode  *named_nodes,
                         JsonNode  *edges,
                         JsonNode  *devices,
                         gboolean  *torn,
                         GError   **error)
{
  g_autoptr (QmpGraph) graph = g_object_new (QMP_TYPE_GRAPH, NULL);

  *torn = FALSE;
  graph->nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) node_free);
  graph->devices = g_ptr_array_new_with_free_func ((GDestroyNotify) device_free);
  graph->by_name = g_hash_table_new (g_str_hash, g_str_equal);

  if (!read_nodes (graph, named_nodes, error)
      || !qmp_graph_connect (graph, named_nodes, edges, torn, error)
      || (devices != NULL && !read_devices (graph, devices, torn, error)))
    return NULL;

  return g_steal_pointer (&graph);
}

/**
 * qmp_graph_parse:
 * @named_nodes: the reply of `query-named-block-nodes` with `flat`
 * @edges: (nullable): the reply of `x-debug-query-block-graph`; NULL from a QEMU without it
 * @devices: (nullable): the reply of `query-block`; NULL when there is none
 * @error: where to put an error
 *
 * Makes a graph of replies. Edges are taken from the nodes' own `children` where QEMU tells them
 * (since 10.1), else from @edges, else from file names.
 *
 * Errors: %QMP_ERROR_PROTOCOL for replies that no QEMU would send, or that contradict each other;
 * %QMP_ERROR_UNSUPPORTED when nothing tells the edges surely.
 *
 * Returns: (transfer full): the graph
 */
QmpGraph *
qmp_graph_parse (JsonNode  *named_nodes,
                 JsonNode  *edges,
                 JsonNode  *devices,
                 GError   **error)
{
  gboolean torn;

  g_return_val_if_fail (named_nodes != NULL, NULL);

  return qmp_graph_parse_replies (named_nodes, edges, devices, &torn, error);
}
