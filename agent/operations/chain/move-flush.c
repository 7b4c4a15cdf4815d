/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how QEMU is brought to write out what it holds of an image: the tables of what a job has
 * just written there. No command of its monitor says just that; a command of the human monitor
 * does, and to a storage daemon, which has none, a node is opened again as it is, which begins with
 * a flush. */

#include "move-run.h"

#include <core/error.h>
#include <string.h>

#include "../guest-errors.h"
#include "../node-batch.h"

typedef struct
{
  MovesJob *job;
  guint     index;
} Flush;

static const ChainFile *
file_of (GTask *task)
{
  Flush *self = g_task_get_task_data (task);

  return chain_move_into (g_ptr_array_index (self->job->moves, self->index));
}

/* --- what the host holds --- */

static void
settle_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (files_settle (task_data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* Of a guest whose disks are not flushed (cache=unsafe), too. */
static void
settle (GTask *task)
{
  g_autoptr (GTask) settling = g_task_new (NULL, NULL, on_settled, g_object_ref (task));

  g_task_set_task_data (settling, g_strdup (file_of (task)->path), g_free);
  g_task_run_in_thread (settling, settle_in_thread);
}

/* --- what QEMU holds --- */

static void
on_reopened (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    settle (task);
  else
    g_task_return_error (task, guest_error_adopt (error));
}

static void
reopen (GTask *task, QmpClient *client, const Layer *layer, QmpNode *node)
{
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  const DiskPlan as_it_is = {
    .detect_zeroes = layer->detect_zeroes,
    .cache_direct = layer->cache_direct,
    .cache_no_flush = layer->cache_no_flush,
  };

  node_batch_reopen (batch, &as_it_is, layer->format, layer->node, layer->file_node,
                     node->backing != NULL ? node->backing->name : NULL);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_reopened,
                       g_object_ref (task));
}

static void
on_printed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (JsonNode) reply = NULL;
  g_autofree char *text = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    {
      g_task_return_error (task, guest_error_adopt (error));
      return;
    }
  /* It says nothing when all is well. */
  if (JSON_NODE_HOLDS_VALUE (reply) && json_node_get_value_type (reply) == G_TYPE_STRING)
    text = g_strstrip (json_node_dup_string (reply));
  if (text != NULL && *text == '\0')
    settle (task);
  else
    g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_GUEST,
                             "QEMU could not flush %s: %.200s", file_of (task)->path,
                             text != NULL ? text : "it gave no answer");
}

static void
print (GTask *task, QmpClient *client, const Layer *layer)
{
  g_autofree char *command = g_strdup_printf ("qemu-io %s flush", layer->node);

  qmp_client_execute_async (client, "human-monitor-command",
                            qmp_args ("command-line", "s", command, NULL),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_printed, g_object_ref (task));
}

static Layer *
find_layer (GPtrArray *disks, const ChainFile *file)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Layer *layer = chain_file_find (file, g_ptr_array_index (disks, i), NULL);

      if (layer != NULL)
        return layer;
    }
  return NULL;
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Flush *self = g_task_get_task_data (task);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;
  QmpClient *client = NULL;
  Layer *layer;
  QmpNode *node;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL)
    client = peer_client (&self->job->pivots.peer, &error);
  if (client == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  layer = find_layer (inspection->disks, file_of (task));
  node = layer != NULL ? qmp_graph_find_node (inspection->graph, layer->node) : NULL;
  if (node == NULL)
    g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_CONFLICT,
                             "%s is not in a chain of the guest any more", file_of (task)->path);
  else if (guest_get_kind (self->job->guest) == GUEST_KIND_STORAGE_DAEMON)
    reopen (task, client, layer, node);
  else
    print (task, client, layer);
}

/**
 * move_flush_async:
 * @job: a job
 * @index: one of its moves, whose job waits before its end
 * @callback: called with the result
 * @user_data: for @callback
 */
void
move_flush_async (MovesJob *job, guint index, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Flush *self = g_new0 (Flush, 1);

  self->job = job;
  self->index = index;
  g_task_set_task_data (task, self, g_free);
  inspect_async (job->guest, NULL, on_inspected, g_object_ref (task));
}

/**
 * move_flush_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE: it is not known whether it was written; GUEST,
 *   CONFLICT, NO_SPACE, INTERNAL: it was not
 *
 * Returns: whether all is on disk
 */
gboolean
move_flush_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
