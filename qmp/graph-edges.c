/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which node lies on which: the three sources of edges, and what an edge means. */

#include "graph-private.h"

#include <string.h>

#include <qmp/error.h>

typedef struct
{
  QmpNode    *parent;
  const char *name;             /* of the child's place: "file", "backing", "data-file", ... */
  QmpNode    *child;
} QmpEdge;

/* Drivers that QEMU marks as filters and that pass data through unchanged, and the child whose
 * data they pass. Nodes that only look alike (quorum, replication, snapshot-access, raw, luks)
 * show other data than one child has, and are no filters. */
static const struct
{
  const char *driver;
  const char *child;
} filters[] = {
  { "blkdebug",          "image"   },
  { "blklogwrites",      "file"    },
  { "blkreplay",         "image"   },
  { "blkverify",         "raw"     },
  { "commit_top",        "backing" },
  { "compress",          "file"    },
  { "copy-before-write", "file"    },
  { "copy-on-read",      "file"    },
  { "mirror_top",        "backing" },
  { "preallocate",       "file"    },
  { "throttle",          "file"    },
};

/* Drivers that reach storage themselves. Needed for edges from file names alone, where a format
 * node and the protocol node below it have the same file name. */
static const char *const protocols[] = {
  "blkio", "curl", "file", "ftp", "ftps", "gluster", "host_cdrom", "host_device", "http", "https",
  "io_uring", "iscsi", "nbd", "nfs", "null-aio", "null-co", "nvme", "nvme-io_uring", "rbd", "ssh",
  "virtio-blk-vfio-pci", "virtio-blk-vhost-user", "virtio-blk-vhost-vdpa", "vvfat",
  NULL
};

static const char *
filter_child (const char *driver)
{
  for (gsize i = 0; i < G_N_ELEMENTS (filters); i++)
    if (strcmp (filters[i].driver, driver) == 0)
      return filters[i].child;

  return NULL;
}

gboolean
qmp_driver_is_filter (const char *driver)
{
  return filter_child (driver) != NULL;
}

static gboolean
is_protocol (QmpNode *node)
{
  return g_strv_contains (protocols, node->driver);
}

static void
add_edge (GArray     *edges,
          QmpNode    *parent,
          const char *name,
          QmpNode    *child)
{
  QmpEdge edge = { parent, name, child };

  g_array_append_val (edges, edge);
}

/* From the `children` of every node (QEMU 10.1). FALSE: this QEMU does not tell them. */
static gboolean
edges_from_children (QmpGraph  *self,
                     QmpFields *fields,
                     JsonNode  *named_nodes,
                     GArray    *edges,
                     gboolean  *torn)
{
  JsonArray *array = json_node_get_array (named_nodes);

  for (guint i = 0; i < self->nodes->len && fields->error == NULL; i++)
    {
      QmpNode *parent = g_ptr_array_index (self->nodes, i);
      JsonObject *info = json_array_get_object_element (array, i);
      JsonArray *children = qmp_fields_maybe_array (fields, info, "children");

      if (children == NULL)
        return FALSE;

      fields->subject = parent->name;
      for (guint k = 0; k < json_array_get_length (children) && fields->error == NULL; k++)
        {
          JsonObject *child = qmp_fields_element (fields, children, k);
          const char *place = child != NULL ? qmp_fields_text (fields, child, "child") : "";
          const char *name = child != NULL ? qmp_fields_text (fields, child, "node-name") : "";

          add_edge (edges, parent, place, qmp_graph_resolve (self, fields, name, torn));
        }
      fields->subject = NULL;
    }

  return TRUE;
}

/* The nodes of x-debug-query-block-graph by their number in that reply; NULL stands for what is
 * no block node: a job, whose name goes into @jobs under the same number, or the backend of a
 * device. */
static GHashTable *
read_numbers (QmpGraph   *self,
              QmpFields  *fields,
              JsonObject *reply,
              GHashTable *jobs,
              gboolean   *torn)
{
  g_autoptr (GHashTable) numbers =
    g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  JsonArray *array = qmp_fields_maybe_array (fields, reply, "nodes");
  guint n = array != NULL ? json_array_get_length (array) : 0;
  guint found = 0;

  if (array == NULL)
    qmp_fields_fault (fields, "\"nodes\" is missing");

  for (guint i = 0; i < n && fields->error == NULL; i++)
    {
      JsonObject *object = qmp_fields_element (fields, array, i);
      QmpNode *node = NULL;
      const char *type;
      gint64 number;

      if (object == NULL)
        break;

      number = qmp_fields_count (fields, object, "id");
      type = qmp_fields_text (fields, object, "type");
      if (strcmp (type, "block-job") == 0)
        g_hash_table_replace (jobs, g_memdup2 (&number, sizeof number),
                              g_strdup (qmp_fields_text (fields, object, "name")));
      if (strcmp (type, "block-driver") == 0)
        {
          node = qmp_graph_resolve (self, fields, qmp_fields_text (fields, object, "name"), torn);
          found++;
        }

      if (!g_hash_table_insert (numbers, g_memdup2 (&number, sizeof number), node))
        qmp_fields_fault (fields, "two nodes have the id %" G_GINT64_FORMAT, number);
    }

  if (fields->error == NULL && found != self->nodes->len)
    {
      qmp_fields_fault (fields, "it has %u block nodes, and query-named-block-nodes %u", found,
                        self->nodes->len);
      *torn = TRUE;
    }

  return g_steal_pointer (&numbers);
}

static QmpNode *
find_number (QmpFields  *fields,
             GHashTable *numbers,
             JsonObject *edge,
             const char *member)
{
  gint64 number = qmp_fields_count (fields, edge, member);
  gpointer node = NULL;

  if (fields->error == NULL && !g_hash_table_lookup_extended (numbers, &number, NULL, &node))
    qmp_fields_fault (fields, "an edge's \"%s\" is %" G_GINT64_FORMAT ", which no node has", member,
                      number);

  return node;
}

/* A job holds the nodes that it works on; nothing else tells which those are. */
static void
add_job (GHashTable *jobs,
         QmpFields  *fields,
         JsonObject *edge,
         QmpNode    *node)
{
  gint64 number = qmp_fields_count (fields, edge, "parent");
  const char *name = g_hash_table_lookup (jobs, &number);

  if (name != NULL && !g_ptr_array_find_with_equal_func (node->jobs, name, g_str_equal, NULL))
    g_ptr_array_add (node->jobs, g_strdup (name));
}

/* From x-debug-query-block-graph (QEMU 4.0), which for a long time was the only command that told
 * edges exactly. Its name calls it unstable; its form has not changed since. */
static void
edges_from_debug (QmpGraph  *self,
                  QmpFields *fields,
                  JsonNode  *reply,
                  GArray    *edges,
                  gboolean  *torn)
{
  JsonObject *object = qmp_fields_reply_object (fields, reply);
  g_autoptr (GHashTable) jobs =
    g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_autoptr (GHashTable) numbers = NULL;
  JsonArray *array;

  if (object == NULL)
    return;

  numbers = read_numbers (self, fields, object, jobs, torn);
  array = qmp_fields_maybe_array (fields, object, "edges");
  if (array == NULL)
    {
      qmp_fields_fault (fields, "\"edges\" is missing");
      return;
    }

  for (guint i = 0; i < json_array_get_length (array) && fields->error == NULL; i++)
    {
      JsonObject *edge = qmp_fields_element (fields, array, i);
      QmpNode *parent, *child;

      if (edge == NULL)
        return;

      parent = find_number (fields, numbers, edge, "parent");
      child = find_number (fields, numbers, edge, "child");
      if (fields->error == NULL && child == NULL)
        qmp_fields_fault (fields, "the child of an edge is no block node");
      if (parent != NULL && child != NULL)
        add_edge (edges, parent, qmp_fields_text (fields, edge, "name"), child);
      else if (child != NULL)
        add_job (jobs, fields, edge, child);
    }
}

/* The only node with this file name whose being a protocol is @protocol; *@unsure is set when
 * there are several. */
static QmpNode *
find_by_file (GHashTable *by_file,
              const char *filename,
              gboolean    protocol,
              gboolean   *unsure)
{
  GPtrArray *candidates = g_hash_table_lookup (by_file, filename);
  QmpNode *found = NULL;

  for (guint i = 0; candidates != NULL && i < candidates->len; i++)
    {
      QmpNode *node = g_ptr_array_index (candidates, i);

      if (is_protocol (node) != protocol)
        continue;
      if (found != NULL)
        *unsure = TRUE;
      found = node;
    }

  return found;
}

/* The backing file's name seen from where QEMU runs, not from the overlay's folder. */
static const char *
resolved_backing (JsonObject *info)
{
  QmpFields fields = { .command = "query-named-block-nodes" };
  JsonObject *image = qmp_fields_maybe_object (&fields, info, "image");
  const char *name = qmp_fields_maybe_text (&fields, image, "full-backing-filename");

  g_clear_error (&fields.error);
  return name != NULL ? name : "";
}

/* From file names, for a QEMU that tells edges in no other way. A guess would be worse than no
 * answer (files are deleted by this graph), so any doubt is an error. */
static gboolean
edges_from_names (QmpGraph  *self,
                  JsonNode  *named_nodes,
                  GArray    *edges,
                  GError   **error)
{
  JsonArray *array = json_node_get_array (named_nodes);
  g_autoptr (GHashTable) by_file =
    g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) g_ptr_array_unref);

  for (guint i = 0; i < self->nodes->len; i++)
    {
      QmpNode *node = g_ptr_array_index (self->nodes, i);
      GPtrArray *same = g_hash_table_lookup (by_file, node->filename);

      if (same == NULL)
        {
          same = g_ptr_array_new ();
          g_hash_table_insert (by_file, node->filename, same);
        }
      g_ptr_array_add (same, node);
    }

  for (guint i = 0; i < self->nodes->len; i++)
    {
      QmpNode *node = g_ptr_array_index (self->nodes, i);
      QmpNode *file, *backing = NULL;
      gboolean unsure = FALSE;

      if (is_protocol (node))
        continue;

      file = find_by_file (by_file, node->filename, TRUE, &unsure);
      if (node->backing_filename != NULL)
        {
          JsonObject *info = json_array_get_object_element (array, i);

          backing = find_by_file (by_file, resolved_backing (info), FALSE, &unsure);
          if (backing == NULL)
            unsure = TRUE;
        }

      if (node->is_filter || file == NULL || unsure)
        {
          g_set_error (error, QMP_ERROR, QMP_ERROR_UNSUPPORTED,
                       "This QEMU tells the edges of its block graph neither by `children` nor by "
                       "x-debug-query-block-graph, and file names do not say what lies below "
                       "node \"%s\"", node->name);
          return FALSE;
        }

      add_edge (edges, node, "file", file);
      if (backing != NULL)
        add_edge (edges, node, "backing", backing);
    }

  return TRUE;
}

static void
apply_edge (QmpFields *fields,
            QmpEdge   *edge)
{
  const char *data_child = filter_child (edge->parent->driver);
  QmpNode **place = NULL;

  if (strcmp (edge->name, data_child != NULL ? data_child : "file") == 0)
    place = &edge->parent->file;
  else if (strcmp (edge->name, "backing") == 0)
    place = &edge->parent->backing;
  else if (strcmp (edge->name, "data-file") == 0)
    edge->parent->has_data_file = TRUE;

  if (place != NULL && *place != NULL)
    qmp_fields_fault (fields, "node \"%s\" has two children \"%s\"", edge->parent->name,
                      edge->name);
  else if (place != NULL)
    *place = edge->child;

  g_ptr_array_add (edge->child->parents, edge->parent);
}

/* Takes nodes away from the top, each once all its parents are gone; what is left in the end lies
 * on or below a cycle. Whoever walks the graph later need not think of cycles. */
static void
refuse_cycles (QmpGraph  *self,
               QmpFields *fields,
               GArray    *edges)
{
  g_autoptr (GHashTable) children = g_hash_table_new_full (NULL, NULL, NULL,
                                                           (GDestroyNotify) g_ptr_array_unref);
  g_autoptr (GHashTable) waiting = g_hash_table_new (NULL, NULL);
  g_autoptr (GPtrArray) free_nodes = g_ptr_array_new ();
  guint taken = 0;

  for (guint i = 0; i < self->nodes->len; i++)
    {
      QmpNode *node = g_ptr_array_index (self->nodes, i);

      g_hash_table_insert (children, node, g_ptr_array_new ());
      g_hash_table_insert (waiting, node, GUINT_TO_POINTER (node->parents->len));
      if (node->parents->len == 0)
        g_ptr_array_add (free_nodes, node);
    }
  for (guint i = 0; i < edges->len; i++)
    {
      QmpEdge *edge = &g_array_index (edges, QmpEdge, i);

      g_ptr_array_add (g_hash_table_lookup (children, edge->parent), edge->child);
    }

  for (; free_nodes->len > 0; taken++)
    {
      QmpNode *node = g_ptr_array_steal_index_fast (free_nodes, free_nodes->len - 1);
      GPtrArray *below = g_hash_table_lookup (children, node);

      for (guint i = 0; i < below->len; i++)
        {
          QmpNode *child = g_ptr_array_index (below, i);
          guint left = GPOINTER_TO_UINT (g_hash_table_lookup (waiting, child)) - 1;

          g_hash_table_insert (waiting, child, GUINT_TO_POINTER (left));
          if (left == 0)
            g_ptr_array_add (free_nodes, child);
        }
    }

  for (guint i = 0; taken < self->nodes->len && i < self->nodes->len; i++)
    {
      QmpNode *node = g_ptr_array_index (self->nodes, i);

      if (g_hash_table_lookup (waiting, node) != NULL)
        qmp_fields_fault (fields, "node \"%s\" lies on or below a cycle", node->name);
    }
}

gboolean
qmp_graph_connect (QmpGraph  *self,
                   JsonNode  *named_nodes,
                   JsonNode  *edges_reply,
                   gboolean  *torn,
                   GError   **error)
{
  g_autoptr (GArray) edges = g_array_new (FALSE, FALSE, sizeof (QmpEdge));
  QmpFields fields = { .command = "query-named-block-nodes" };

  if (!edges_from_children (self, &fields, named_nodes, edges, torn) && fields.error == NULL)
    {
      g_array_set_size (edges, 0);
      if (edges_reply != NULL)
        {
          fields.command = "x-debug-query-block-graph";
          edges_from_debug (self, &fields, edges_reply, edges, torn);
        }
      else if (!edges_from_names (self, named_nodes, edges, error))
        return FALSE;
    }

  for (guint i = 0; i < edges->len && fields.error == NULL; i++)
    apply_edge (&fields, &g_array_index (edges, QmpEdge, i));
  if (fields.error == NULL)
    refuse_cycles (self, &fields, edges);

  return qmp_fields_close (&fields, error);
}
