/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how QEMU is brought to write out what it holds of an image: the tables of what a job has
 * just written there. No command of its monitor says just that. A node is opened again as it is,
 * which begins with a flush, and fails with it. Where that is no good (see can_reopen()) a command
 * of the human monitor flushes, and does not say how that went: then the host tells what it could
 * not write, and the image itself what QEMU has not written (move-proof.c). */

#include "move-run.h"

#include <core/error.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "../guest-errors.h"
#include "../node-batch.h"

typedef struct
{
  MovesJob *job;
  guint     index;
  char     *node;               /* (nullable): what QEMU calls the file, where it is not asked */
  int       fd;                 /* open since before the flush: the host tells of an error once */
  gboolean  untold;             /* how QEMU's flush went */
} Flush;

static const ChainFile *
file_of (GTask *task)
{
  Flush *self = g_task_get_task_data (task);

  return chain_move_into (g_ptr_array_index (self->job->moves, self->index));
}

static void
flush_free (Flush *self)
{
  if (self->fd >= 0)
    close (self->fd);
  g_free (self->node);
  g_free (self);
}

/* --- what the host holds --- */

static void
fail (GTask *task, int code, const char *path, const char *what)
{
  g_autoptr (GError) error = agent_error_new (code == ENOSPC ? AGENT_ERROR_NO_SPACE
                                                             : AGENT_ERROR_INTERNAL,
                                              code == ENOSPC ? "make room, then ask again" : NULL,
                                              "%s %s: %s", path, what, g_strerror (code));

  g_task_return_error (task, g_steal_pointer (&error));
}

static void
settle_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  if (fdatasync (((Flush *) g_task_get_task_data (task_data))->fd) == 0)
    g_task_return_boolean (task, TRUE);
  else
    fail (task, errno, file_of (task_data)->path, "cannot be written out");
}

static void
on_proven (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (move_prove_finish (result, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  const Flush *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_error (task, error);
  else if (self->untold && g_strcmp0 (file_of (task)->format, "raw") != 0)
    move_prove_async (self->job, self->index, on_proven, g_object_ref (task));
  else
    g_task_return_boolean (task, TRUE);
}

/* Of a guest whose disks are not flushed (cache=unsafe), too. */
static void
settle (GTask *task)
{
  g_autoptr (GTask) settling = g_task_new (NULL, NULL, on_settled, g_object_ref (task));

  g_task_set_task_data (settling, task, NULL);
  g_task_run_in_thread (settling, settle_in_thread);
}

/* --- what QEMU holds --- */

static void
on_reopened (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    {
      settle (task);
      return;
    }
  error = guest_error_adopt (error);
  g_prefix_error (&error, "QEMU could not flush %s: ", file_of (task)->path);
  g_task_return_error (task, error);
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
print (GTask *task, QmpClient *client, const char *node)
{
  g_autofree char *command = g_strdup_printf ("qemu-io %s flush", node);
  Flush *self = g_task_get_task_data (task);

  self->untold = TRUE;
  qmp_client_execute_async (client, "human-monitor-command",
                            qmp_args ("command-line", "s", command, NULL),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_printed, g_object_ref (task));
}

/* Opening a node again that QEMU has named itself corrupts it; some die of any. */
static gboolean
can_reopen (Guest *guest, const Inspection *inspection, const Layer *layer)
{
  return guest_get_kind (guest) == GUEST_KIND_STORAGE_DAEMON
         || (!layer->auto_named && !inspection->reopen_kills);
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
  else if (can_reopen (self->job->guest, inspection, layer))
    reopen (task, client, layer, node);
  else
    print (task, client, layer->node);
}

/* --- both --- */

static void
on_opened (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Flush *self = g_task_get_task_data (task);
  QmpClient *client = NULL;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    client = peer_client (&self->job->pivots.peer, &error);
  if (client == NULL)
    g_task_return_error (task, error);
  else if (self->node != NULL)
    print (task, client, self->node);
  else
    inspect_async (self->job->guest, NULL, on_inspected, g_object_ref (task));
}

static void
open_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Flush *self = g_task_get_task_data (task_data);
  const char *path = file_of (task_data)->path;

  self->fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (self->fd >= 0)
    g_task_return_boolean (task, TRUE);
  else
    fail (task, errno, path, "cannot be opened");
}

/**
 * move_flush_async:
 * @job: a job
 * @index: one of its moves, whose job waits before its end
 * @node: (nullable): the node of the file that takes the data, by a look at this very process;
 *   only of one that cannot be opened again
 * @callback: called with the result
 * @user_data: for @callback
 */
void
move_flush_async (MovesJob *job, guint index, const char *node, GAsyncReadyCallback callback,
                  gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Flush *self = g_new0 (Flush, 1);
  g_autoptr (GTask) opening = g_task_new (NULL, NULL, on_opened, g_object_ref (task));

  self->job = job;
  self->index = index;
  self->node = g_strdup (node);
  self->fd = -1;
  g_task_set_task_data (task, self, (GDestroyNotify) flush_free);
  g_task_set_task_data (opening, task, NULL);
  g_task_run_in_thread (opening, open_in_thread);
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
