/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What graph.c, graph-parse.c and graph-edges.c share. */

#include "fields.h"

#include <qmp/graph.h>

G_BEGIN_DECLS

struct _QmpGraph
{
  GObject     parent_instance;

  GPtrArray  *nodes;            /* of QmpNode, owned, in QEMU's order */
  GPtrArray  *devices;          /* of QmpDevice, owned, in QEMU's order */
  GHashTable *by_name;          /* node name -> QmpNode */
};

/* As qmp_graph_parse(). @torn (out) tells an error that comes from replies which contradict each
 * other: the graph changed while it was read, and reading it again may help. */
G_GNUC_INTERNAL
QmpGraph *qmp_graph_parse_replies (JsonNode *named_nodes, JsonNode *edges, JsonNode *devices,
                                   gboolean *torn, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Looks a node up that a reply names; a fault, and @torn, when there is none. */
G_GNUC_INTERNAL
QmpNode  *qmp_graph_resolve (QmpGraph *self, QmpFields *fields, const char *name, gboolean *torn);

/* Puts file, backing and parents into the nodes of @self. */
G_GNUC_INTERNAL
gboolean  qmp_graph_connect (QmpGraph *self, JsonNode *named_nodes, JsonNode *edges,
                             gboolean *torn, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_GNUC_INTERNAL
gboolean  qmp_driver_is_filter (const char *driver);

G_END_DECLS
