/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to find out what became of a point, and what an interrupted quick backup has to do. */

#include "backup-steps.h"

#include <string.h>

#include "guest-errors.h"
#include "inspect.h"
#include "point-facts.h"

/* The layer of a device's chain that is the file (@dev, @ino), however QEMU calls it. */
static Layer *
find_layer (GPtrArray *disks, gint64 dev, gint64 ino)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        {
          Layer *layer = g_ptr_array_index (disk->layers, j);

          if (layer->known && file_facts_are (&layer->facts, dev, ino))
            return layer;
        }
    }
  return NULL;
}

static gboolean
is_active (GPtrArray *disks, const Layer *layer)
{
  for (guint i = 0; i < disks->len; i++)
    if (disk_get_active (g_ptr_array_index (disks, i)) == layer)
      return TRUE;
  return FALSE;
}

/**
 * point_facts_judge:
 * @job: a job, whose facts are filled in
 * @disks: (element-type Disk): how the guest's disks stand
 *
 * Judges by inodes, not by names: a QEMU that was started anew from the published name has our
 * overlay under a
 * node name of its own, and the point is there all the same. Pure.
 */
void
point_facts_judge (Backup *job, GPtrArray *disks)
{
  guint taken = 0;

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);
      Layer *overlay = find_layer (disks, disk->overlay_dev, disk->overlay_ino);
      Layer *layer = find_layer (disks, disk->layer_dev, disk->layer_ino);
      DiskFacts *facts = &job->facts[i];

      facts->overlay_in_chain = overlay != NULL;
      facts->named_by_us = overlay != NULL && strcmp (overlay->node, disk->overlay_node) == 0;
      facts->layer_active = layer != NULL && is_active (disks, layer);
      facts->unlocked = layer != NULL && strcmp (layer->file_node, disk->unlocked_file_node) == 0;
      facts->layer_by_own_name = layer != NULL && strcmp (layer->path, disk->layer) == 0;
      taken += facts->overlay_in_chain ? 1 : 0;
    }
  /* What was taken stays taken, even if a disk has been unplugged since. */
  job->point = taken == job->disks->len || job->point_us != 0 ? POINT_TAKEN : POINT_NOT_TAKEN;
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Backup *job = g_task_get_task_data (step);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection == NULL)
    {
      backup_step_failed (step, error);
      return;
    }
  point_facts_judge (job, inspection->disks);
  backup_step_done (step);
}

/**
 * point_facts_ask:
 * @step: (transfer full): returned when @job knows whether its point is there
 * @job: the job
 *
 * Asks QEMU and the files. AGENT_ERROR_UNAVAILABLE while the guest's process lives and does not
 * answer: it may have the overlays open.
 */
void
point_facts_ask (GTask *step, Backup *job)
{
  GError *error = NULL;

  job->same_process = FALSE;
  memset (job->facts, 0, sizeof (DiskFacts) * job->disks->len);
  if (guest_require_client (job->guest, &error) != NULL)
    {
      job->same_process = backup_is_same_process (job);
      g_task_set_task_data (step, job, NULL);
      inspect_async (job->guest, NULL, on_inspected, step);
    }
  else if (backup_guest_is_gone (job))
    {
      g_error_free (error);
      job->point = job->point_us != 0 ? POINT_TAKEN : POINT_NOT_TAKEN;
      backup_step_done (step);
    }
  else
    backup_step_failed (step, error);
}

void
backup_gather_facts (GTask *step, gpointer user_data)
{
  Backup *job = user_data;

  job->taken_up = TRUE;
  if (job->released && job->point_us != 0 && !job->folds)
    {
      /* What is left to do needs no guest. */
      job->point = POINT_TAKEN;
      job->same_process = FALSE;
      backup_step_done (step);
    }
  else
    point_facts_ask (step, job);
}

/* Where a backup goes on whose point is there. */
static const char *
taken_up_from (Backup *job, const char *last_step, gboolean ended)
{
  if (strcmp (last_step, "check-quiesce") == 0
      || (ended && strcmp (last_step, "record-point") == 0))
    return "check-quiesce";
  return job->released ? "record-point" : "rename-layers";
}

/**
 * backup_decide_point:
 * @job: the job with its facts
 * @last_step: the last step that had begun
 * @ended: whether it had ended
 *
 * What becomes of a backup that was cut off about its point. Before the point, all is undone; after
 * it, all is finished. Pure.
 *
 * Returns: the decision
 */
Recovery
backup_decide_point (Backup *job, const char *last_step, gboolean ended)
{
  static const char *const cleaning[] = { "delete-images", "withdraw", NULL };

  if (g_strv_contains (cleaning, last_step) && job->point != POINT_UNKNOWN)
    return (Recovery) { RECOVERY_UNDO, NULL, "it was being undone" };
  switch (job->point)
    {
    case POINT_UNKNOWN:
      return (Recovery) { RECOVERY_WAIT, NULL,
                          "the guest has to be asked whether its point is there" };
    case POINT_TAKEN:
      return (Recovery) { RECOVERY_RESUME, taken_up_from (job, last_step, ended),
                          "the point was taken" };
    case POINT_NOT_TAKEN:
    default:
      return (Recovery) { RECOVERY_UNDO, NULL, "the point was not taken" };
    }
}
