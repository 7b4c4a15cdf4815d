/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to take back the preparations of a point that was not taken. It judges by what QEMU
 * and the files say: an overlay that anybody has open stays, and so does the name that leads to
 * it. */

#include "backup-steps.h"

#include <disk/qcow2.h>

#include "guest-errors.h"
#include "node-batch.h"
#include "point-facts.h"

typedef struct
{
  Backup *job;
  GTask       *step;
} Withdrawal;

/* Whether it is the file that we made; a death while files were made leaves only its name and its
 * bytes to know it by. */
static gboolean
is_ours (Backup *job, const DiskPlan *disk, const FileFacts *overlay)
{
  return disk->overlay_ino == 0
    ? !job->files_known : file_facts_are (overlay, disk->overlay_dev, disk->overlay_ino);
}

/* Whether it is as it was made: nobody has written to it. */
static gboolean
is_untouched (const DiskPlan *disk)
{
  g_autoptr (GBytes) image = qcow2_empty_overlay ((guint64) disk->virtual_size, disk->backing_name,
                                                  disk->active_format, NULL);

  return image != NULL && files_contain (disk->overlay, image);
}

/* A mirror that a death of ours has left running copies into the overlay what the guest writes
 * to the layer: nobody's only copy, while the guest has the layer on top. */
static gboolean
holds_copies_alone (const DiskPlan *disk, const DiskFacts *facts)
{
  return disk->naming == NAMING_SWAP && facts->layer_active;
}

/* Whether somebody needs the overlay: who has it open, or has written to it. */
static gboolean
look_for_users (Backup *job, const DiskPlan *disk, const DiskFacts *facts,
                const FileFacts *overlay, gboolean *used, GError **error)
{
  gboolean in_use = FALSE;

  if (!files_in_use (disk->overlay, &in_use, error))
    return FALSE;
  *used = in_use || !is_ours (job, disk, overlay)
          || !(holds_copies_alone (disk, facts) || is_untouched (disk));
  return TRUE;
}

/* @moved: whether the name was on the overlay. */
static gboolean
unpublish (const DiskPlan *disk, const FileFacts *overlay, gboolean *moved, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts published = { 0 };

  *moved = files_look (disk->published, &published, &problem)
           && file_facts_agree (&published, overlay);
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (!*moved)
    return TRUE;
  return disk->device_path != NULL
    ? files_remove (disk->published, overlay->dev, overlay->ino, error)
    : files_publish (disk->layer, disk->published, overlay->ino, error);
}

/* The published name goes back first, so that it never leads nowhere and nobody new comes to the
 * overlay by it. Who came just before holds it by then: the name goes there again. */
static gboolean
withdraw_overlay (Backup *job, const DiskPlan *disk, const DiskFacts *facts,
                  const FileFacts *overlay, gboolean *kept, GError **error)
{
  gboolean moved = FALSE;

  if (!look_for_users (job, disk, facts, overlay, kept, error))
    return FALSE;
  if (*kept)
    return TRUE;
  if (!unpublish (disk, overlay, &moved, error)
      || !look_for_users (job, disk, facts, overlay, kept, error))
    return FALSE;
  if (!*kept)
    return files_remove (disk->overlay, overlay->dev, overlay->ino, error);
  return !moved || disk_plan_publish_overlay (disk, error);
}

static gboolean
withdraw_disk (Backup *job, const DiskPlan *disk, const DiskFacts *facts, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts overlay = { 0 };
  gboolean kept = facts->overlay_in_chain;
  gboolean linked = job->files_known ? disk->layer_linked : disk->link_layer;

  if (!kept && files_look (disk->overlay, &overlay, &problem)
      && !withdraw_overlay (job, disk, facts, &overlay, &kept, error))
    return FALSE;
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  /* A name for life that nobody came to use. */
  return kept || !linked || facts->layer_by_own_name
         || files_remove (disk->layer, (guint64) disk->layer_dev, (guint64) disk->layer_ino, error);
}

static void
withdraw_files (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Backup *job = task_data;
  GError *error = NULL;

  for (guint i = 0; i < job->disks->len; i++)
    if (!withdraw_disk (job, g_ptr_array_index (job->disks, i), &job->facts[i], &error))
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
    backup_step_done (call->step);
  else
    backup_step_failed (call->step, error);
}

static void
withdrawal_failed (Withdrawal *call, GError *error)
{
  backup_step_failed (call->step, error);
  g_free (call);
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
    withdrawal_failed (call, guest_error_name (call->job->guest, error));
}

static void
close_nodes (Withdrawal *call)
{
  Backup *job = call->job;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  QmpClient *client = job->guest != NULL ? guest_get_client (job->guest) : NULL;

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
          node_batch_delete (batch, disk->overlay_node);
          node_batch_delete (batch, disk->overlay_file_node);
        }
      /* In use they refuse to go, which is right. */
      node_batch_delete (batch, disk->layer_node);
      node_batch_delete (batch, disk->layer_file_node);
      if (job->facts[i].unlocked)
        node_batch_lock_layer (batch, disk);
      node_batch_delete (batch, disk->unlocked_file_node);
    }
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_nodes, call);
}

static void
on_swaps_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Withdrawal *call = user_data;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    close_nodes (call);
  else
    withdrawal_failed (call, error);
}

static void
on_facts (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Withdrawal *call = user_data;
  Backup *job = call->job;
  const Peer peer = backup_get_peer (job);
  g_autoptr (GStrvBuilder) swaps = g_strv_builder_new ();
  g_auto (GStrv) ids = NULL;
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      withdrawal_failed (call, error);
      return;
    }
  for (guint i = 0; job->same_process && i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);
      g_autofree char *swap = snapshot_swap_job (operation_get_id (job->operation), i);

      if (disk->naming == NAMING_SWAP && !job->facts[i].overlay_in_chain)
        g_strv_builder_add (swaps, swap);
    }
  ids = g_strv_builder_end (swaps);
  peer_end_jobs (g_task_new (NULL, NULL, on_swaps_ended, call), &peer, (const char *const *) ids);
}

void
backup_withdraw (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  Withdrawal *call;

  /* What has become the chain of the guest is not taken back: the point stays. */
  if (job->point == POINT_TAKEN)
    {
      backup_step_done (step);
      return;
    }
  call = g_new0 (Withdrawal, 1);
  call->job = job;
  call->step = step;
  point_facts_ask (g_task_new (NULL, NULL, on_facts, call), job);
}
