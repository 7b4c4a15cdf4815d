/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a point needs of QEMU's block graph. The recipes, and what happens to those who leave
 * them, are told in the README beside this file. */

#include "backup-steps.h"

#include <core/error.h>

#include "guest-errors.h"
#include "node-batch.h"

typedef struct
{
  Backup *job;
  GTask       *step;
} BatchCall;

static void
on_batch (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree BatchCall *call = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    backup_step_done (call->step);
  else
    backup_step_failed (call->step, guest_error_name (call->job->guest, error));
}

static void
run_batch (GTask *step, Backup *job, QmpBatch *batch)
{
  GError *error = NULL;
  QmpClient *client;
  BatchCall *call;

  if (qmp_batch_get_size (batch) == 0)
    {
      backup_step_done (step);
      return;
    }
  client = backup_client (job, &error);
  if (client == NULL)
    {
      backup_step_failed (step, error);
      return;
    }
  call = g_new0 (BatchCall, 1);
  call->job = job;
  call->step = step;
  /* Half a batch is worse than a whole one: a cancel waits for its end. */
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_batch, call);
}

/* QEMU has the active layer open as `disk`, which will soon be another file: have it opened by
 * its name for life. Two files with one inode lock each other out, so the first step over is
 * without locks. */
void
backup_adopt_names (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (disk->naming != NAMING_ADOPT)
        continue;
      node_batch_add_file (batch, disk, disk->unlocked_file_node, disk->layer, "off");
      node_batch_reopen (batch, disk, disk->active_format, disk->active_node,
                         disk->unlocked_file_node, disk->below_node);
      node_batch_delete (batch, disk->active_file_node);
      node_batch_lock_layer (batch, disk);
    }
  run_batch (step, job, batch);
}

/* Opens the overlays beside the graph, under nothing yet. */
void
backup_open_overlays (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (disk->naming != NAMING_SWAP)
        node_batch_add_overlay (batch, disk, NULL);
    }
  run_batch (step, job, batch);
}

/* NULL when no disk takes its overlay in the transaction. */
static JsonNode *
transaction_args (Backup *job)
{
  g_autoptr (JsonArray) actions = json_array_new ();
  JsonNode *list;

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (disk->naming != NAMING_SWAP)
        json_array_add_element (actions,
                                qmp_args ("type", "s", "blockdev-snapshot",
                                          "data", "n", qmp_args ("node", "s", disk->active_node,
                                                                 "overlay", "s", disk->overlay_node,
                                                                 NULL),
                                          NULL));
    }
  if (json_array_get_length (actions) == 0)
    return NULL;
  list = json_node_new (JSON_NODE_ARRAY);
  json_node_take_array (list, g_steal_pointer (&actions));
  return qmp_args ("actions", "n", list, NULL);
}

/* Notes that the overlay is on top now; with the last one the point is there. */
void
backup_note_overlay (Backup *job, guint index)
{
  const DiskPlan *disk = g_ptr_array_index (job->disks, index);
  gboolean all = TRUE;

  job->facts[index] = (DiskFacts) {
    .overlay_in_chain = TRUE,
    .named_by_us = TRUE,
    .layer_by_own_name = disk->naming != NAMING_STOP,
  };
  for (guint i = 0; i < job->disks->len; i++)
    all &= job->facts[i].overlay_in_chain;
  if (!all)
    return;
  job->point = POINT_TAKEN;
  job->point_us = g_get_real_time ();
  job->frozen = job->quiesce != NULL && quiesce_still_frozen (job->quiesce);
  backup_save_plan (job, operation_get_plan (job->operation));
}

static void
on_transaction (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree BatchCall *call = user_data;
  Backup *job = call->job;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    {
      /* Anything but a plain no may have happened all the same. */
      if (!guest_error_is_refusal (error))
        job->point = POINT_UNKNOWN;
      backup_step_failed (call->step, guest_error_name (job->guest, error));
      return;
    }
  for (guint i = 0; i < job->disks->len; i++)
    if (((DiskPlan *) g_ptr_array_index (job->disks, i))->naming != NAMING_SWAP)
      backup_note_overlay (job, i);
  backup_step_done (call->step);
}

/* The point: all overlays go on top in one drained section. */
void
backup_take_point (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  JsonNode *args;
  GError *error = NULL;
  QmpClient *client;
  BatchCall *call;

  if (job->quiesce_policy == QUIESCE_REQUIRE && !quiesce_still_frozen (job->quiesce))
    {
      backup_step_failed (step, agent_error_new (AGENT_ERROR_GUEST, NULL,
                                "the guest's filesystems did not stay frozen until the point"));
      return;
    }
  client = backup_client (job, &error);
  if (client == NULL)
    {
      backup_step_failed (step, error);
      return;
    }
  args = transaction_args (job);
  if (args == NULL)
    {
      backup_step_done (step);
      return;
    }
  call = g_new0 (BatchCall, 1);
  call->job = job;
  call->step = step;
  qmp_client_execute_async (client, "transaction", args, GUEST_COMMAND_DEADLINE_MS, NULL,
                            on_transaction, call);
}

/* A mirror that has not come to its end must not copy what the guest writes once it goes on. */
static void
cancel_swap (QmpBatch *batch, const char *operation, guint index)
{
  g_autofree char *swap = snapshot_swap_job (operation, index);

  qmp_batch_add_tolerant (batch, "job-cancel", qmp_args ("id", "s", swap, NULL));
}

/* What a death between the swap and its end has left; nothing, otherwise. */
static void
finish_swap (QmpBatch *batch, const DiskPlan *disk, const char *operation, guint index)
{
  g_autofree char *swap = snapshot_swap_job (operation, index);

  qmp_batch_add_tolerant (batch, "job-dismiss", qmp_args ("id", "s", swap, NULL));
  node_batch_delete (batch, disk->active_node);
  node_batch_delete (batch, disk->active_file_node);
}

/* QEMU still calls the frozen layer `disk`: open it once more by its name for life, and let go
 * of the old node. Nodes that -drive made go by themselves; a user's own stay until they are
 * deleted. What has been done already, as a restart may find it, is left alone. */
void
backup_rename_layers (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);
      const DiskFacts *facts = &job->facts[i];

      if (disk->naming == NAMING_SWAP && !facts->overlay_in_chain && job->same_process)
        cancel_swap (batch, operation_get_id (job->operation), i);
      if (!facts->overlay_in_chain || !facts->named_by_us)
        continue;
      /* A window of this process has done it in "swap-disks". */
      if (disk->naming == NAMING_SWAP && job->window_us == 0)
        finish_swap (batch, disk, operation_get_id (job->operation), i);
      if (disk->naming != NAMING_STOP || facts->layer_by_own_name)
        continue;
      /* Half of it may have been done before a restart. */
      node_batch_delete (batch, disk->layer_node);
      node_batch_delete (batch, disk->layer_file_node);
      node_batch_add_layer (batch, disk, "auto");
      node_batch_reopen (batch, disk, "qcow2", disk->overlay_node, disk->overlay_file_node,
                         disk->layer_node);
      node_batch_delete (batch, disk->active_node);
      node_batch_delete (batch, disk->active_file_node);
    }
  run_batch (step, job, batch);
}
