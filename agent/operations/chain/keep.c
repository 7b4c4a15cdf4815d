/* SPDX-License-Identifier: Apache-2.0 */

/* Knows whose a layer is, and what else may be done with it: pure functions. */

#include "keep.h"

#include <disk/names.h>

/**
 * keep_point_disk:
 * @point: a point
 * @disk: one of the guest's disks
 *
 * Returns: (nullable) (transfer none): what the point is of that disk
 */
PointDisk *
keep_point_disk (const Point *point, Disk *disk)
{
  for (guint i = 0; i < point->disks->len; i++)
    {
      PointDisk *found = g_ptr_array_index (point->disks, i);

      if (g_str_equal (found->disk, disk->name)
          || g_ptr_array_find_with_equal_func (disk->aliases, found->disk, g_str_equal, NULL))
        return found;
    }
  return NULL;
}

/**
 * keep_is_layer_of:
 * @disk: a disk
 * @path: (nullable): a file
 *
 * Returns: whether the file is named as one of the disk's layers are: from its published name
 */
gboolean
keep_is_layer_of (Disk *disk, const char *path)
{
  g_autofree char *published = NULL;

  if (path == NULL || disk->published == NULL)
    return FALSE;
  if (g_str_equal (path, disk->published))
    return TRUE;
  return names_split_layer (path, &published, NULL) && g_str_equal (published, disk->published);
}

static gboolean
is_possible (const ChainAsk *ask, Disk *disk, PlannedMove *move, GError **reason)
{
  g_autoptr (GPtrArray) one = g_ptr_array_new ();
  g_autoptr (GPtrArray) moves = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_move_free);

  g_ptr_array_add (one, move);
  return chain_moves_of_disk (ask, disk, one, moves, reason);
}

/**
 * keep_possible:
 * @ask: what is planned from
 * @disk: a disk of @ask
 * @layers: (element-type PlanLayer): its layers
 * @planned: (element-type PlannedMove): moves of them
 * @reason: return location: AGENT_ERROR_CONFLICT where one of the moves is left out
 *
 * A stream may be possible where a commit is not: one of the layers is smaller than the one that
 * its data would go down into.
 *
 * Returns: (transfer full) (element-type PlannedMove): the moves that can be done
 */
GPtrArray *
keep_possible (const ChainAsk *ask, Disk *disk, GPtrArray *layers, GPtrArray *planned,
               GError **reason)
{
  GPtrArray *possible = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < planned->len; i++)
    {
      g_autofree PlannedMove *move = g_memdup2 (g_ptr_array_index (planned, i), sizeof *move);
      g_autoptr (GError) failure = NULL;

      if (is_possible (ask, disk, move, &failure))
        {
          g_ptr_array_add (possible, g_steal_pointer (&move));
          continue;
        }
      if (move->kind == MOVE_COMMIT)
        {
          move->kind = MOVE_STREAM;
          move->bytes = planner_estimate (layers, MOVE_STREAM, move->first, move->last);
          if (is_possible (ask, disk, move, NULL))
            {
              g_ptr_array_add (possible, g_steal_pointer (&move));
              continue;
            }
        }
      if (reason != NULL && *reason == NULL)
        *reason = g_steal_pointer (&failure);
    }
  return possible;
}
