/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a point needs of QEMU's block graph. The recipes, and what happens to those who leave
 * them, are told in the README beside this file. */

#include "quick-backup.h"

#include <core/error.h>

#include "guest-errors.h"

typedef struct
{
  QuickBackup *job;
  GTask       *step;
} BatchCall;

static JsonNode *
cache_options (const DiskPlan *disk)
{
  return qmp_args ("direct", "b", disk->cache_direct,
                   "no-flush", "b", disk->cache_no_flush,
                   NULL);
}

/* A file node; it turns to writing by itself when something above it has to write. */
static void
add_file_node (QmpBatch *batch, const DiskPlan *disk, const char *node, const char *path,
               const char *locking)
{
  qmp_batch_add (batch, "blockdev-add",
                 qmp_args ("driver", "s", "file",
                           "node-name", "s", node,
                           "filename", "s", path,
                           "auto-read-only", "b", TRUE,
                           "locking", "s", locking,
                           "discard", "s", "unmap",
                           "cache", "n", cache_options (disk),
                           NULL));
}

/* The options of a format node that is opened again: what is left out goes back to its default. */
static void
reopen_format_node (QmpBatch *batch, const DiskPlan *disk, const char *driver, const char *node,
                    const char *file_node, const char *backing_node)
{
  g_autoptr (JsonArray) options = json_array_new ();
  JsonNode *list = json_node_new (JSON_NODE_ARRAY);
  gboolean has_backing = g_strcmp0 (driver, "qcow2") == 0;

  json_array_add_element (options,
                          qmp_args ("driver", "s", driver,
                                    "node-name", "s", node,
                                    "file", "s", file_node,
                                    "detect-zeroes", "s", disk->detect_zeroes,
                                    "discard", "s", "unmap",
                                    "cache", "n", cache_options (disk),
                                    has_backing ? "backing" : NULL,
                                    backing_node != NULL ? "s" : "0", backing_node,
                                    NULL));
  json_node_take_array (list, g_steal_pointer (&options));
  qmp_batch_add (batch, "blockdev-reopen", qmp_args ("options", "n", list, NULL));
}

static void
delete_node (QmpBatch *batch, const char *node)
{
  qmp_batch_add_tolerant (batch, "blockdev-del", qmp_args ("node-name", "s", node, NULL));
}

static void
on_batch (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree BatchCall *call = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    quick_backup_step_done (call->step);
  else
    quick_backup_step_failed (call->step, guest_error_name (call->job->guest, error));
}

static void
run_batch (GTask *step, QuickBackup *job, QmpBatch *batch)
{
  GError *error = NULL;
  QmpClient *client;
  BatchCall *call;

  if (qmp_batch_get_size (batch) == 0)
    {
      quick_backup_step_done (step);
      return;
    }
  client = guest_require_client (job->guest, &error);
  if (client == NULL)
    {
      quick_backup_step_failed (step, error);
      return;
    }
  call = g_new0 (BatchCall, 1);
  call->job = job;
  call->step = step;
  /* Half a batch is worse than a whole one: a cancel waits for its end. */
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_batch, call);
}

/* QEMU has the active layer open as `disk`, which will soon be another file: have it opened by its name for life. Two
 * files with one inode lock each other out, so the first step over is without locks. */
void
quick_backup_adopt_names (GTask *step, gpointer user_data)
{
  QuickBackup *job = user_data;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (disk->naming != NAMING_ADOPT)
        continue;
      add_file_node (batch, disk, disk->unlocked_file_node, disk->layer, "off");
      reopen_format_node (batch, disk, disk->active_format, disk->active_node,
                          disk->unlocked_file_node, disk->below_node);
      delete_node (batch, disk->active_file_node);
      add_file_node (batch, disk, disk->layer_file_node, disk->layer, "auto");
      reopen_format_node (batch, disk, disk->active_format, disk->active_node,
                          disk->layer_file_node, disk->below_node);
      delete_node (batch, disk->unlocked_file_node);
    }
  run_batch (step, job, batch);
}

/* Opens the overlays beside the graph, under nothing yet. */
void
quick_backup_open_overlays (GTask *step, gpointer user_data)
{
  QuickBackup *job = user_data;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      add_file_node (batch, disk, disk->overlay_file_node, disk->overlay, "auto");
      qmp_batch_add (batch, "blockdev-add",
                     qmp_args ("driver", "s", "qcow2",
                               "node-name", "s", disk->overlay_node,
                               "file", "s", disk->overlay_file_node,
                               "backing", "0",
                               "detect-zeroes", "s", disk->detect_zeroes,
                               "discard", "s", "unmap",
                               "cache", "n", cache_options (disk),
                               NULL));
    }
  run_batch (step, job, batch);
}

static JsonNode *
transaction_args (QuickBackup *job)
{
  g_autoptr (JsonArray) actions = json_array_new ();
  JsonNode *list = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      json_array_add_element (actions,
                              qmp_args ("type", "s", "blockdev-snapshot",
                                        "data", "n", qmp_args ("node", "s", disk->active_node,
                                                               "overlay", "s", disk->overlay_node,
                                                               NULL),
                                        NULL));
    }
  json_node_take_array (list, g_steal_pointer (&actions));
  return qmp_args ("actions", "n", list, NULL);
}

static void
on_transaction (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree BatchCall *call = user_data;
  QuickBackup *job = call->job;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply != NULL)
    {
      job->point = POINT_TAKEN;
      job->point_us = g_get_real_time ();
      job->frozen = job->quiesce != NULL && quiesce_still_frozen (job->quiesce);
      for (guint i = 0; i < job->disks->len; i++)
        job->facts[i] = (DiskFacts) { .overlay_in_chain = TRUE, .named_by_us = TRUE };
      quick_backup_save_plan (job, operation_get_plan (job->operation));
      quick_backup_step_done (call->step);
      return;
    }
  /* Anything but a plain no may have happened all the same. */
  job->point = guest_error_is_refusal (error) ? POINT_NOT_TAKEN : POINT_UNKNOWN;
  quick_backup_step_failed (call->step, guest_error_name (job->guest, error));
}

/* The point: all overlays go on top in one drained section. */
void
quick_backup_take_point (GTask *step, gpointer user_data)
{
  QuickBackup *job = user_data;
  GError *error = NULL;
  QmpClient *client;
  BatchCall *call;

  job->point = POINT_NOT_TAKEN;
  if (job->quiesce_policy == QUIESCE_REQUIRE && !quiesce_still_frozen (job->quiesce))
    {
      quick_backup_step_failed (step, agent_error_new (AGENT_ERROR_GUEST, NULL,
                                "the guest's filesystems did not stay frozen until the point"));
      return;
    }
  client = guest_require_client (job->guest, &error);
  if (client == NULL)
    {
      quick_backup_step_failed (step, error);
      return;
    }
  call = g_new0 (BatchCall, 1);
  call->job = job;
  call->step = step;
  qmp_client_execute_async (client, "transaction", transaction_args (job),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_transaction, call);
}

/* QEMU still calls the frozen layer `disk`: open it once more by its name for life, and let go of the old node. A file
 * node that is plainly read-only would make every later commit into it fail, hence auto-read-only. */
static void
rename_layer (QmpBatch *batch, const DiskPlan *disk)
{
  gboolean has_backing = g_strcmp0 (disk->active_format, "qcow2") == 0;

  add_file_node (batch, disk, disk->layer_file_node, disk->layer, "auto");
  qmp_batch_add (batch, "blockdev-add",
                 qmp_args ("driver", "s", disk->active_format,
                           "node-name", "s", disk->layer_node,
                           "file", "s", disk->layer_file_node,
                           "read-only", "b", TRUE,
                           "cache", "n", cache_options (disk),
                           has_backing ? "backing" : NULL,
                           disk->below_node != NULL ? "s" : "0", disk->below_node,
                           NULL));
  reopen_format_node (batch, disk, "qcow2", disk->overlay_node, disk->overlay_file_node,
                      disk->layer_node);
  /* Nodes that -drive made have gone by themselves; a user's own stay until they are deleted. */
  delete_node (batch, disk->active_node);
  delete_node (batch, disk->active_file_node);
}

/* Once the point is there. What has been done already, as a restart may find it, is left alone. */
void
quick_backup_rename_layers (GTask *step, gpointer user_data)
{
  QuickBackup *job = user_data;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  for (guint i = 0; job->point == POINT_TAKEN && i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (disk->naming == NAMING_STOP && !job->facts[i].layer_by_own_name
          && job->facts[i].named_by_us)
        rename_layer (batch, disk);
    }
  run_batch (step, job, batch);
}
