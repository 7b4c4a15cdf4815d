/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to take back the preparations of a point that was not taken. It judges by what QEMU
 * and the files say: an overlay that anybody has open stays, and so does the name that leads to
 * it. */

#include "quick-backup.h"

#include <core/error.h>
#include <disk/qcow2.h>

#include "guest-errors.h"
#include "node-batch.h"
#include "point-facts.h"

typedef struct
{
  QuickBackup *job;
  GTask       *step;
} Withdrawal;

/* Ours, and as it was made: nobody has written to it. A crash between making it and writing down its
 * inode leaves only its name and its bytes to know it by. */
static gboolean
is_untouched (const DiskPlan *disk, const FileFacts *overlay)
{
  g_autoptr (GBytes) image = NULL;

  if (disk->overlay_ino != 0
      && (overlay->dev != (guint64) disk->overlay_dev
          || overlay->ino != (guint64) disk->overlay_ino))
    return FALSE;
  image = qcow2_empty_overlay ((guint64) disk->virtual_size, disk->backing_name,
                               disk->active_format, NULL);
  return image != NULL && files_contain (disk->overlay, image);
}

static gboolean
unpublish (const DiskPlan *disk, const FileFacts *overlay, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts published = { 0 };

  if (!files_look (disk->published, &published, &problem))
    {
      if (problem == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (published.dev != overlay->dev || published.ino != overlay->ino)
    return TRUE;
  return disk->device_path != NULL
    ? files_remove (disk->published, overlay->dev, overlay->ino, error)
    : files_publish (disk->layer, disk->published, overlay->ino, error);
}

/* The published name goes back first, so that it never leads nowhere and nobody new comes to the
 * overlay by it. Who came just before still holds it then: the name goes there again. */
static gboolean
withdraw_overlay (const DiskPlan *disk, const FileFacts *overlay, gboolean *kept, GError **error)
{
  gboolean in_use = FALSE;

  if (!unpublish (disk, overlay, error) || !files_in_use (disk->overlay, &in_use, error))
    return FALSE;
  *kept = in_use || !is_untouched (disk, overlay);
  if (*kept)
    return files_publish (disk->overlay, disk->published,
                          disk->device_path == NULL ? (guint64) disk->layer_ino : 0, error);
  return files_remove (disk->overlay, overlay->dev, overlay->ino, error);
}

static gboolean
withdraw_disk (const DiskPlan *disk, const DiskFacts *facts, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts overlay = { 0 };
  gboolean kept = facts->overlay_in_chain;

  if (!kept && files_look (disk->overlay, &overlay, &problem))
    {
      kept = !is_untouched (disk, &overlay);
      if (!kept && !withdraw_overlay (disk, &overlay, &kept, error))
        return FALSE;
    }
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  /* A name for life that nobody came to use. */
  return kept || !disk->link_layer || facts->layer_by_own_name
         || files_remove (disk->layer, (guint64) disk->layer_dev, (guint64) disk->layer_ino, error);
}

static void
withdraw_files (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  QuickBackup *job = task_data;
  GError *error = NULL;

  for (guint i = 0; i < job->disks->len; i++)
    if (!withdraw_disk (g_ptr_array_index (job->disks, i), &job->facts[i], &error))
      {
        g_task_return_error (task, error);
        return;
      }
  g_task_return_boolean (task, TRUE);
}

static void
on_files (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree Withdrawal *call = user_data;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    quick_backup_step_done (call->step);
  else
    quick_backup_step_failed (call->step, error);
}

static void
begin_files (Withdrawal *call)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_files, call);

  g_task_set_task_data (task, call->job, NULL);
  g_task_run_in_thread (task, withdraw_files);
}

static void
on_nodes (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Withdrawal *call = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    begin_files (call);
  else
    {
      quick_backup_step_failed (call->step, guest_error_name (call->job->guest, error));
      g_free (call);
    }
}

static void
on_facts (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Withdrawal *call = user_data;
  QuickBackup *job = call->job;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  GError *error = NULL;
  QmpClient *client;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      quick_backup_step_failed (call->step, error);
      g_free (call);
      return;
    }
  client = job->guest != NULL ? guest_get_client (job->guest) : NULL;
  if (client == NULL)
    {
      begin_files (call);
      return;
    }
  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (!job->facts[i].overlay_in_chain)
        {
          if (disk->naming == NAMING_SWAP)
            {
              g_autofree char *swap = snapshot_swap_job (operation_get_id (job->operation), i);

              qmp_batch_add_tolerant (batch, "job-cancel", qmp_args ("id", "s", swap, NULL));
              qmp_batch_add_tolerant (batch, "job-dismiss", qmp_args ("id", "s", swap, NULL));
            }
          node_batch_delete (batch, disk->overlay_node);
          node_batch_delete (batch, disk->overlay_file_node);
        }
      /* In use they refuse to go, which is right. */
      node_batch_delete (batch, disk->layer_node);
      node_batch_delete (batch, disk->layer_file_node);
      node_batch_delete (batch, disk->unlocked_file_node);
    }
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_nodes, call);
}

void
quick_backup_withdraw (GTask *step, gpointer user_data)
{
  QuickBackup *job = user_data;
  Withdrawal *call;

  /* What has become the chain of the guest is not taken back: the point stays. */
  if (job->point == POINT_TAKEN)
    {
      quick_backup_step_done (step);
      return;
    }
  call = g_new0 (Withdrawal, 1);
  call->job = job;
  call->step = step;
  point_facts_ask (g_task_new (NULL, NULL, on_facts, call), job);
}
