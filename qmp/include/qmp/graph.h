/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/client.h>

G_BEGIN_DECLS

/* What QEMU's block layer looks like at one moment: nodes, the edges between them, and the devices
 * above. Plain data, owned by the QmpGraph; pointers stay valid as long as it does. */

typedef struct _QmpNode QmpNode;

typedef struct
{
  char    *name;
  char    *node;                /* the node it is on */
  gint64   granularity;         /* bytes */
  gboolean recording;
  gboolean persistent;
  gboolean busy;
  gboolean inconsistent;
} QmpBitmap;

struct _QmpNode
{
  char      *name;
  char      *driver;            /* "qcow2", "raw", "file", "host_device", "throttle", ... */
  char      *filename;          /* as QEMU names it: may be relative, or "json:{...}" */
  gboolean   read_only;
  gboolean   is_filter;         /* passes data through unchanged: throttle, copy-on-read, ... */
  gboolean   auto_named;        /* QEMU made the name up ("#block..."): it differs at every start */
  gboolean   encrypted;
  gint64     virtual_size;      /* bytes */
  gint64     actual_size;       /* bytes on disk; -1 when QEMU does not know */
  gint64     cluster_size;      /* bytes; 0 when the driver has none */
  char      *backing_filename;  /* (nullable): as the header says it */
  char      *backing_format;    /* (nullable): as the header says it */
  gboolean   extended_l2;
  gboolean   has_data_file;
  gboolean   corrupt;
  char      *detect_zeroes;     /* "off", "on" or "unmap" */
  gboolean   cache_direct;
  gboolean   cache_no_flush;
  gboolean   cache_writeback;
  QmpNode   *file;              /* (nullable): below a format: its file; below a filter: its data,
                                 * whatever QEMU calls that child */
  QmpNode   *backing;           /* (nullable): of a format; may be a filter */
  GPtrArray *parents;           /* of QmpNode, by any edge: data files and logs count too */
  GPtrArray *jobs;              /* of char *: the block jobs that hold it; empty where QEMU tells no
                                 * such edges */
  GPtrArray *bitmaps;           /* of QmpBitmap: those with a name */
};

typedef struct
{
  char      *name;              /* (nullable): -drive's id; NULL or none for -blockdev guests */
  char      *qdev;              /* (nullable): the device's id, or its path when it has none */
  QmpNode   *root;              /* (nullable): NULL when the drive is empty */
  gboolean   removable;
  gboolean   tray_open;
  char      *io_status;         /* (nullable): "ok", "failed" or "nospace" */
} QmpDevice;

#define QMP_TYPE_GRAPH (qmp_graph_get_type ())
G_DECLARE_FINAL_TYPE (QmpGraph, qmp_graph, QMP, GRAPH, GObject)

void       qmp_graph_read_async    (QmpClient *client, guint deadline_ms, GCancellable *cancellable,
                                    GAsyncReadyCallback callback, gpointer user_data);
QmpGraph  *qmp_graph_read_finish   (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The pure part: the replies of query-named-block-nodes, x-debug-query-block-graph and query-block
 * (the last two nullable). A graph that was made has no cycles. */
QmpGraph  *qmp_graph_parse         (JsonNode *named_nodes, JsonNode *edges, JsonNode *devices,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

GPtrArray *qmp_graph_get_nodes     (QmpGraph *self);
GPtrArray *qmp_graph_get_devices   (QmpGraph *self);
QmpNode   *qmp_graph_find_node     (QmpGraph *self, const char *name);
QmpNode   *qmp_node_skip_filters   (QmpNode *node);

G_END_DECLS
