/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what has to be done with an overlay that is to be folded back, from how things stand: pure
 * functions. */

#include "fold.h"

#include <string.h>

static gboolean
is_file (const Layer *layer, gint64 dev, gint64 ino)
{
  return layer != NULL && layer->known && ino != 0 && layer->facts.dev == (guint64) dev
         && layer->facts.ino == (guint64) ino;
}

static gboolean
is_overlay (const DiskPlan *plan, const Layer *layer)
{
  return is_file (layer, plan->overlay_dev, plan->overlay_ino);
}

static gboolean
is_frozen_layer (const DiskPlan *plan, const Layer *layer)
{
  return is_file (layer, plan->layer_dev, plan->layer_ino);
}

/**
 * fold_find_disk:
 * @plan: what was done with a disk
 * @disks: (element-type Disk): the guest's disks
 *
 * Returns: (nullable): the one that has the overlay, or the layer, on top
 */
Disk *
fold_find_disk (const DiskPlan *plan, GPtrArray *disks)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      const Layer *active = disk_get_active (disk);

      if (is_overlay (plan, active) || is_frozen_layer (plan, active))
        return disk;
    }
  return NULL;
}

static gboolean
has_overlay (const DiskPlan *plan, GPtrArray *disks)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        if (is_overlay (plan, g_ptr_array_index (disk->layers, j)))
          return TRUE;
    }
  return FALSE;
}

/**
 * fold_facts_judge:
 * @plan: what was done with a disk
 * @disks: (element-type Disk): the guest's disks
 * @jobs: (element-type QmpJobInfo): its jobs
 * @job_id: the id of the disk's commit
 *
 * Returns: how the disk stands; where the published name leads is not known here
 */
FoldFacts
fold_facts_judge (const DiskPlan *plan, GPtrArray *disks, GPtrArray *jobs, const char *job_id)
{
  Disk *disk = fold_find_disk (plan, disks);
  const Layer *active = disk != NULL ? disk_get_active (disk) : NULL;
  const Layer *below = disk != NULL && disk->layers->len > 1 ? g_ptr_array_index (disk->layers, 1)
                                                              : NULL;
  FoldFacts facts = {
    .overlay_active = is_overlay (plan, active),
    .overlay_open = has_overlay (plan, disks),
    .layer_active = is_frozen_layer (plan, active),
  };

  facts.layer_below = facts.overlay_active && is_frozen_layer (plan, below);
  facts.by_own_names = facts.layer_below && strcmp (active->path, plan->overlay) == 0
                       && strcmp (below->path, plan->layer) == 0;
  for (guint i = 0; i < jobs->len; i++)
    {
      const QmpJobInfo *info = g_ptr_array_index (jobs, i);

      if (strcmp (info->id, job_id) != 0)
        continue;
      facts.has_job = TRUE;
      facts.job_state = info->state;
    }
  return facts;
}

/**
 * fold_facts_decide:
 * @facts: how a disk stands
 * @reason: (out): why its overlay stays, for FOLD_ACTION_KEEP
 *
 * Whoever finds the commit before its pivot cannot know that it was told to pivot: a foreign cancel
 * of a commit that is ready ends there too. Only the published name tells: it is moved after our
 * own job-complete alone.
 *
 * Returns: what has to be done next
 */
FoldAction
fold_facts_decide (const FoldFacts *facts, const char **reason)
{
  if (facts->has_job && facts->job_state == QMP_JOB_PENDING)
    return facts->name_on_layer ? FOLD_ACTION_FINALIZE : FOLD_ACTION_CANCEL;
  if (facts->has_job && facts->job_state == QMP_JOB_CONCLUDED)
    return FOLD_ACTION_DISMISS;
  if (facts->layer_active && facts->same_process)
    return facts->name_on_overlay ? FOLD_ACTION_NAME_ON : FOLD_ACTION_NONE;
  if (facts->layer_active && facts->name_on_layer)
    return FOLD_ACTION_NONE;
  if (facts->layer_active)
    *reason = "the guest was started anew from the layer below the overlay, which holds what it "
              "has written since the point";
  else if (!facts->overlay_active)
    *reason = "neither the overlay nor the layer below it is on top of the disk any more";
  else if (!facts->layer_below)
    *reason = "the overlay does not stand on the frozen layer any more";
  else if (!facts->by_own_names || !facts->same_process)
    *reason = "the guest was started anew, from the overlay";
  else if (!facts->name_on_overlay)
    return FOLD_ACTION_NAME_BACK;
  else
    return facts->has_job ? FOLD_ACTION_FOLLOW : FOLD_ACTION_COMMIT;
  return FOLD_ACTION_KEEP;
}
