/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what has to be done with a device that is to go to another file, from how things stand:
 * pure functions. */

#include "pivot-facts.h"

#include <string.h>

static gboolean
is_from (const Pivot *pivot, const Layer *layer)
{
  return layer != NULL && layer->known
         && file_facts_are (&layer->facts, pivot->from_dev, pivot->from_ino);
}

/* What is no file here is known by its node. */
static gboolean
is_to (const Pivot *pivot, const Layer *layer)
{
  if (layer == NULL)
    return FALSE;
  if (pivot->to_ino == 0)
    return g_strcmp0 (layer->node, pivot->to_node) == 0;
  return layer->known && file_facts_are (&layer->facts, pivot->to_dev, pivot->to_ino);
}

Disk *
pivot_find_disk (const Pivot *pivot, GPtrArray *disks)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      const Layer *active = disk_get_active (disk);

      if (is_from (pivot, active) || (pivot->way != PIVOT_COPY && is_to (pivot, active)))
        return disk;
    }
  return NULL;
}

/**
 * pivot_is_open:
 * @self: a pivot
 * @disks: (element-type Disk): the guest's disks
 *
 * Returns: whether what the device was on is in the chain of any of them
 */
gboolean
pivot_is_open (const Pivot *self, GPtrArray *disks)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        if (is_from (self, g_ptr_array_index (disk->layers, j)))
          return TRUE;
    }
  return FALSE;
}

/**
 * pivot_find_target:
 * @self: a pivot
 * @disk: (nullable): the disk as it stands
 *
 * Returns: (nullable) (transfer none): the layer below the active one that is the target
 */
const Layer *
pivot_find_target (const Pivot *self, Disk *disk)
{
  for (guint i = 1; disk != NULL && i < disk->layers->len; i++)
    if (is_to (self, g_ptr_array_index (disk->layers, i)))
      return g_ptr_array_index (disk->layers, i);
  return NULL;
}

/* The published name moves away from what QEMU has open by it; only what is left may be so, as it
 * is never opened again. */
static gboolean
stays_as_opened (const Pivot *pivot, const Layer *active, const Layer *target)
{
  return (g_strcmp0 (active->path, pivot->from_path) == 0
          || g_strcmp0 (active->path, pivot->published) == 0)
         && (target == NULL || g_strcmp0 (target->path, pivot->to_path) == 0);
}

/**
 * pivot_facts_judge:
 * @pivot: what is to be done with a disk
 * @inspection: how the guest's disks and jobs stand
 *
 * Returns: how the disk stands; where the published name leads is not known here
 */
PivotFacts
pivot_facts_judge (const Pivot *pivot, const Inspection *inspection)
{
  Disk *disk = pivot_find_disk (pivot, inspection->disks);
  const Layer *active = disk != NULL ? disk_get_active (disk) : NULL;
  const Layer *target = NULL;
  PivotFacts facts = {
    .from_active = is_from (pivot, active),
    .to_active = is_to (pivot, active),
    .stays = pivot->way == PIVOT_COPY,
    .spent = pivot->once && !pivot->untried,
  };

  if (pivot->way == PIVOT_COMMIT)
    {
      target = facts.from_active ? pivot_find_target (pivot, disk) : NULL;
      facts.to_in_reach = target != NULL;
    }
  else
    facts.to_in_reach = inspection->graph != NULL && pivot->to_node != NULL
                        && qmp_graph_find_node (inspection->graph, pivot->to_node) != NULL;
  facts.by_own_names = facts.from_active && facts.to_in_reach
                       && stays_as_opened (pivot, active, target);
  for (guint i = 0; i < inspection->jobs->len; i++)
    {
      const QmpJobInfo *info = g_ptr_array_index (inspection->jobs, i);

      if (strcmp (info->id, pivot->job) != 0)
        continue;
      facts.has_job = TRUE;
      facts.job_state = info->state;
      facts.job_failed = info->error != NULL;
    }
  return facts;
}

static PivotAction
decide_keep (const PivotFacts *facts, const char **reason)
{
  if (facts->to_active)
    *reason = "the guest was started anew from the file that it was to go to; what it has written "
              "before is in the one that it was to leave";
  else if (!facts->from_active)
    *reason = "neither the file that it was to leave nor the one that it was to go to is on top of "
              "the disk any more";
  else if (!facts->same_process)
    *reason = "the guest was started anew before it had gone over";
  else if (!facts->to_in_reach)
    *reason = "what is on top of the disk does not stand on the target any more, or that is closed";
  else
    *reason = "QEMU has the disk's files open by names that do not stay with them";
  return PIVOT_ACTION_KEEP;
}

/* A copy that ended well has ended as one, while the device is where it was. */
static PivotAction
decide_copy (const PivotFacts *facts, const char **reason)
{
  if (facts->has_job && facts->job_state == QMP_JOB_PENDING)
    return PIVOT_ACTION_CANCEL;
  if (facts->has_job && facts->job_state == QMP_JOB_CONCLUDED)
    return facts->job_failed || !facts->from_active ? PIVOT_ACTION_DISMISS : PIVOT_ACTION_NONE;
  if (!facts->from_active || !facts->same_process || !facts->to_in_reach)
    return decide_keep (facts, reason);
  if (facts->has_job || !facts->spent)
    return facts->has_job ? PIVOT_ACTION_FOLLOW : PIVOT_ACTION_BEGIN;
  *reason = "it was cut off, and what was written meanwhile would be missing";
  return PIVOT_ACTION_KEEP;
}

/**
 * pivot_facts_decide:
 * @facts: how a disk stands
 * @reason: (out): why the device stays, for PIVOT_ACTION_KEEP
 *
 * Whoever finds the job before its pivot cannot know that it was told to pivot: a foreign cancel
 * of one that is ready ends there too. Only the published name tells: it is moved after our own
 * job-complete alone.
 *
 * Returns: what has to be done next
 */
PivotAction
pivot_facts_decide (const PivotFacts *facts, const char **reason)
{
  if (facts->stays)
    return decide_copy (facts, reason);
  if (facts->has_job && facts->job_state == QMP_JOB_PENDING)
    return facts->name_on_to ? PIVOT_ACTION_FINALIZE : PIVOT_ACTION_CANCEL;
  if (facts->has_job && facts->job_state == QMP_JOB_CONCLUDED)
    return PIVOT_ACTION_DISMISS;
  if (facts->to_active && facts->same_process)
    return facts->name_on_from ? PIVOT_ACTION_NAME_ON : PIVOT_ACTION_NONE;
  if (facts->to_active && facts->name_on_to)
    return PIVOT_ACTION_NONE;
  if (!facts->from_active || !facts->to_in_reach || !facts->by_own_names || !facts->same_process)
    return decide_keep (facts, reason);
  if (!facts->name_on_from)
    return PIVOT_ACTION_NAME_BACK;
  return facts->has_job ? PIVOT_ACTION_FOLLOW : PIVOT_ACTION_BEGIN;
}
