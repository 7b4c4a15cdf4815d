/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how overlays are folded back into the layers below them: a pivot for each disk, once no
 * process of ours reads the layers any more. */

#include "backup-steps.h"
#include "fold.h"

#include <core/error.h>

#include "image-records.h"
#include "pivot-steps.h"

/**
 * fold_is_due:
 * @job: a backup
 *
 * Also of a point that was not taken of all disks: those that have their overlays lose them.
 *
 * Returns: whether there is something to be folded back
 */
gboolean
fold_is_due (Backup *job)
{
  gboolean any = job->point != POINT_NOT_TAKEN;

  for (guint i = 0; i < job->disks->len; i++)
    any = any || job->facts[i].overlay_in_chain;
  return job->folds && any;
}

static Pivot *
pivot_of (Backup *job, guint index)
{
  const DiskPlan *disk = g_ptr_array_index (job->disks, index);
  Pivot *pivot = pivot_new ();

  pivot->way = PIVOT_COMMIT;
  pivot->disk = g_strdup (disk->disk);
  pivot->published = g_strdup (disk->published);
  /* A block device is started from by its own name again. */
  pivot->unpublish = disk->device_path != NULL;
  pivot->from_path = g_strdup (disk->overlay);
  pivot->from_dev = disk->overlay_dev;
  pivot->from_ino = disk->overlay_ino;
  pivot->to_path = g_strdup (disk->layer);
  pivot->to_dev = disk->layer_dev;
  pivot->to_ino = disk->layer_ino;
  pivot->job = snapshot_node_name (operation_get_id (job->operation), index, "-fold");
  return pivot;
}

/**
 * fold_prepare:
 * @job: a backup with something to be folded back
 *
 * Gives it its pivots. Which files they are about is known since the overlays were made; what is
 * written down of them may be of a start of the host before.
 */
void
fold_prepare (Backup *job)
{
  GPtrArray *pivots = job->pivots.pivots;

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);
      Pivot *pivot;

      if (i == pivots->len)
        g_ptr_array_add (pivots, pivot_of (job, i));
      pivot = g_ptr_array_index (pivots, i);
      pivot->from_dev = disk->overlay_dev;
      pivot->to_dev = disk->layer_dev;
      if (disk->folded)
        pivot->state = PIVOT_DONE;
    }
}

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Backup *job = g_task_get_task_data (step);
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    pivot_begin (step, &job->pivots);
  else
    backup_step_failed (step, error);
}

/* Also of one whose overlay stays in the end, and which has taken some of it in. */
static gboolean
forget_devices (Backup *job, GError **error)
{
  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (disk->device_path != NULL
          && !image_records_forget_layer (operations_get_journal (job->operations),
                                          disk->layer_dev, disk->layer_ino, error))
        return FALSE;
    }
  return TRUE;
}

/* Before a layer is written to again, no process of ours reads it. */
void
backup_commit_back (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  GError *error = NULL;

  if (!fold_is_due (job))
    {
      backup_step_done (step);
      return;
    }
  /* A guest that still stands for the point is first let go. */
  if (!job->gone_on)
    {
      backup_step_failed (step, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                                 "the guest is not let go of yet"));
      return;
    }
  if (!forget_devices (job, &error))
    {
      backup_step_failed (step, error);
      return;
    }
  fold_prepare (job);
  g_task_set_task_data (step, job, NULL);
  backup_close_sources (g_task_new (NULL, NULL, on_closed, step), job);
}

void
backup_pivot (GTask *step, gpointer user_data)
{
  pivot_move (step, &((Backup *) user_data)->pivots);
}

void
backup_go_on (GTask *step, gpointer user_data)
{
  pivot_go_on (step, &((Backup *) user_data)->pivots);
}

void
backup_speed_up (GTask *step, gpointer user_data)
{
  pivot_speed_up (step, &((Backup *) user_data)->pivots);
}
