/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to ask a QEMU for its block graph without killing it.
 *
 * query-named-block-nodes, flat or not, kills QEMU (SIGSEGV) while a stream job stands concluded
 * and is not dismissed: the job still holds its copy-on-read filter, which has lost its child.
 * Measured on 7.2.22 and 10.0.2, system emulator and storage daemon. query-jobs, query-block and
 * x-debug-query-block-graph are harmless in that state. So query-jobs goes first, and such a job
 * is an error that names it. What remains is a stream job that concludes between the two commands;
 * only a job started with auto-dismiss off and auto-finalize on can do that. */

#include "deadline.h"
#include "graph-private.h"

#include <qmp/batch.h>
#include <qmp/error.h>
#include <qmp/job.h>

/* How often replies that contradict each other are asked for again: the graph changes between two
 * commands only when a job ends or another client acts just then. */
#define READ_ATTEMPTS 5

G_DEFINE_FINAL_TYPE (QmpGraph, qmp_graph, G_TYPE_OBJECT)

static void
qmp_graph_finalize (GObject *object)
{
  QmpGraph *self = QMP_GRAPH (object);

  g_clear_pointer (&self->by_name, g_hash_table_unref);
  g_clear_pointer (&self->devices, g_ptr_array_unref);
  g_clear_pointer (&self->nodes, g_ptr_array_unref);

  G_OBJECT_CLASS (qmp_graph_parent_class)->finalize (object);
}

static void
qmp_graph_class_init (QmpGraphClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = qmp_graph_finalize;
}

static void
qmp_graph_init (QmpGraph *self)
{
}

/**
 * qmp_graph_get_nodes:
 * @self: a graph
 *
 * Returns: (transfer none) (element-type QmpNode): all nodes, in QEMU's order
 */
GPtrArray *
qmp_graph_get_nodes (QmpGraph *self)
{
  g_return_val_if_fail (QMP_IS_GRAPH (self), NULL);

  return self->nodes;
}

/**
 * qmp_graph_get_devices:
 * @self: a graph
 *
 * Returns: (transfer none) (element-type QmpDevice): all devices, empty drives included; none for
 *   a storage daemon
 */
GPtrArray *
qmp_graph_get_devices (QmpGraph *self)
{
  g_return_val_if_fail (QMP_IS_GRAPH (self), NULL);

  return self->devices;
}

/**
 * qmp_graph_find_node:
 * @self: a graph
 * @name: a node name
 *
 * Returns: (transfer none) (nullable): the node called @name
 */
QmpNode *
qmp_graph_find_node (QmpGraph   *self,
                     const char *name)
{
  g_return_val_if_fail (QMP_IS_GRAPH (self), NULL);
  g_return_val_if_fail (name != NULL, NULL);

  return g_hash_table_lookup (self->by_name, name);
}

/**
 * qmp_node_skip_filters:
 * @node: (nullable): a node
 *
 * Goes down from @node until a node that is no filter. Graphs have no cycles: this ends.
 *
 * Returns: (transfer none) (nullable): that node; NULL below a filter without a child
 */
QmpNode *
qmp_node_skip_filters (QmpNode *node)
{
  while (node != NULL && node->is_filter)
    node = node->file;

  return node;
}

typedef enum
{
  REPLY_NODES,
  REPLY_EDGES,
  REPLY_DEVICES,
  N_REPLIES,
} Reply;

typedef struct
{
  QmpClient *client;
  gint64     deadline;          /* see deadline.h */
  guint      attempt;
  guint      pending;           /* replies still to come */
  JsonNode  *replies[N_REPLIES];
  GError    *error;             /* (nullable): the first that went wrong */
} Reading;

static void
reading_clear (Reading *reading)
{
  for (guint i = 0; i < N_REPLIES; i++)
    g_clear_pointer (&reading->replies[i], json_node_unref);
  g_clear_error (&reading->error);
}

static void
reading_free (Reading *reading)
{
  reading_clear (reading);
  g_object_unref (reading->client);
  g_free (reading);
}

static void ask_jobs (GTask *task);

/* All three replies are there, or what failed. */
static void
conclude (GTask *task)
{
  Reading *reading = g_task_get_task_data (task);
  g_autoptr (QmpGraph) graph = NULL;
  g_autoptr (GError) error = NULL;
  gboolean torn = FALSE;

  if (reading->error != NULL)
    {
      g_task_return_error (task, g_steal_pointer (&reading->error));
      return;
    }

  graph = qmp_graph_parse_replies (reading->replies[REPLY_NODES], reading->replies[REPLY_EDGES],
                                   reading->replies[REPLY_DEVICES], &torn, &error);
  if (graph != NULL)
    g_task_return_pointer (task, g_steal_pointer (&graph), g_object_unref);
  else if (torn && ++reading->attempt < READ_ATTEMPTS)
    ask_jobs (task);
  else
    g_task_return_error (task, g_steal_pointer (&error));
}

static void
take_reply (GTask        *task,
            GAsyncResult *result,
            Reply         which,
            gboolean      may_be_unknown)
{
  Reading *reading = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;

  reading->replies[which] = qmp_client_execute_finish (reading->client, result, &error);
  if (error != NULL && reading->error == NULL
      && !(may_be_unknown && g_error_matches (error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND)))
    {
      g_prefix_error (&error, "Cannot read the block graph: ");
      reading->error = g_steal_pointer (&error);
    }

  if (--reading->pending == 0)
    conclude (task);
}

static void
nodes_came (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;

  take_reply (task, result, REPLY_NODES, FALSE);
}

/* A QEMU may lack the command, or be told to hide what is unstable. */
static void
edges_came (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;

  take_reply (task, result, REPLY_EDGES, TRUE);
}

/* A storage daemon has no devices: it says so, or does not know the command. */
static void
devices_came (GObject      *source,
              GAsyncResult *result,
              gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;

  take_reply (task, result, REPLY_DEVICES, TRUE);
}

/* In one go, so that QEMU has the least time to change between them. */
static void
ask_graph (GTask *task)
{
  Reading *reading = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);
  guint left = qmp_deadline_left (reading->deadline);

  reading_clear (reading);
  reading->pending = N_REPLIES;
  qmp_client_execute_async (reading->client, "query-named-block-nodes",
                            qmp_args ("flat", "b", TRUE, NULL), left, cancellable, nodes_came,
                            g_object_ref (task));
  qmp_client_execute_async (reading->client, "x-debug-query-block-graph", NULL, left, cancellable,
                            edges_came, g_object_ref (task));
  qmp_client_execute_async (reading->client, "query-block", NULL, left, cancellable, devices_came,
                            g_object_ref (task));
}

static void
jobs_came (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GPtrArray) jobs = NULL;
  g_autoptr (GError) error = NULL;

  jobs = qmp_jobs_query_finish (result, &error);
  if (jobs == NULL)
    {
      g_prefix_error (&error, "Cannot read the block graph: ");
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  for (guint i = 0; i < jobs->len; i++)
    {
      const QmpJobInfo *job = g_ptr_array_index (jobs, i);

      if (job->state == QMP_JOB_CONCLUDED && g_strcmp0 (job->type, "stream") == 0)
        {
          g_task_return_new_error (task, QMP_ERROR, QMP_ERROR_JOB,
                                   "Cannot read the block graph: stream job \"%s\" is concluded "
                                   "and not dismissed, and QEMU would crash when asked for its "
                                   "block nodes now; dismiss that job first (job-dismiss)",
                                   job->id);
          return;
        }
    }

  ask_graph (task);
}

static void
ask_jobs (GTask *task)
{
  Reading *reading = g_task_get_task_data (task);

  qmp_jobs_query_async (reading->client, qmp_deadline_left (reading->deadline),
                        g_task_get_cancellable (task), jobs_came, g_object_ref (task));
}

/**
 * qmp_graph_read_async:
 * @client: a monitor
 * @deadline_ms: how long all of it may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait
 * @callback: called when the graph is there
 * @user_data: for @callback
 *
 * Reads the block graph as it is now. Cost is linear in the number of nodes.
 */
void
qmp_graph_read_async (QmpClient           *client,
                      guint                deadline_ms,
                      GCancellable        *cancellable,
                      GAsyncReadyCallback  callback,
                      gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  Reading *reading;

  g_return_if_fail (QMP_IS_CLIENT (client));

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_check_cancellable (task, FALSE);
  reading = g_new0 (Reading, 1);
  reading->client = g_object_ref (client);
  reading->deadline = qmp_deadline_begin (deadline_ms);
  g_task_set_task_data (task, reading, (GDestroyNotify) reading_free);

  ask_jobs (task);
}

/**
 * qmp_graph_read_finish:
 * @result: what the callback was given
 * @error: where to put an error
 *
 * Errors: %QMP_ERROR_JOB when a concluded stream job makes the question deadly (the message names
 * the job to dismiss); those of qmp_graph_parse(); those of qmp_client_execute_finish().
 *
 * Returns: (transfer full): the graph
 */
QmpGraph *
qmp_graph_read_finish (GAsyncResult  *result,
                       GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
