/* SPDX-License-Identifier: Apache-2.0 */

/* Knows where a move stands: by the chain as QEMU has it, or by the headers of the files. */

#include "move-run.h"

#include <core/error.h>
#include <disk/links.h>

/* Whether all of the move is in the chain, one upon the other. Layers are counted from the top. */
static gboolean
is_due (const ChainMove *move, Disk *disk)
{
  guint n = move->files->len;
  guint lowest;

  if (chain_file_find (g_ptr_array_index (move->files, 0), disk, &lowest) == NULL
      || lowest + 1 < n)
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!chain_file_is (g_ptr_array_index (move->files, i),
                        g_ptr_array_index (disk->layers, lowest - i)))
      return FALSE;
  if (move->above == NULL)
    return lowest + 1 == n;
  return lowest >= n && chain_file_is (move->above, g_ptr_array_index (disk->layers, lowest - n));
}

static gboolean
is_merged (const ChainMove *move, Disk *disk)
{
  const ChainFile *into = chain_move_into (move);

  for (guint i = 0; i < move->files->len; i++)
    {
      const ChainFile *file = g_ptr_array_index (move->files, i);

      if (file != into && chain_file_find (file, disk, NULL) != NULL)
        return FALSE;
    }
  return TRUE;
}

/**
 * move_stand_in:
 * @move: a move
 * @disks: (element-type Disk): the disks of its guest
 * @disk: (out) (nullable) (transfer none): the disk whose chain it concerns
 *
 * Judges by inodes, whatever QEMU calls its nodes. Pure.
 *
 * Returns: where the move stands
 */
MoveStand
move_stand_in (const ChainMove *move, GPtrArray *disks, Disk **disk)
{
  *disk = NULL;
  for (guint i = 0; i < disks->len && *disk == NULL; i++)
    if (chain_file_find (chain_move_into (move), g_ptr_array_index (disks, i), NULL) != NULL)
      *disk = g_ptr_array_index (disks, i);
  if (*disk == NULL)
    return MOVE_LOST;
  if (is_due (move, *disk))
    return MOVE_DUE;
  return is_merged (move, *disk) ? MOVE_MERGED : MOVE_LOST;
}

/**
 * move_stand_on_disk:
 * @move: a move that is not of the top of its chain downwards
 * @stand: (out): where it stands
 * @error: return location: AGENT_ERROR_CONFLICT when the file is gone
 *
 * The last of a move is the header of what stands above, or of the file that took the data. When
 * it is written, the data is durable. Blocking.
 *
 * Returns: whether it could be seen
 */
gboolean
move_stand_on_disk (const ChainMove *move, MoveStand *stand, GError **error)
{
  gboolean is_commit = move->kind == MOVE_COMMIT;
  const ChainFile *user = is_commit ? move->above : chain_move_into (move);
  const ChainFile *backing = is_commit ? chain_move_into (move) : move->below;
  g_autofree char *folder = g_path_get_dirname (user->path);
  const char *folders[] = { folder, NULL };
  g_autoptr (GPtrArray) links = links_scan (folders, error);
  const ImageLink *link = links != NULL ? links_find (links, (guint64) user->dev,
                                                      (guint64) user->ino) : NULL;

  if (links == NULL)
    return FALSE;
  if (link == NULL)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "%s is not there any more", user->path);
      return FALSE;
    }
  *stand = chain_file_is_below (backing, link) ? MOVE_MERGED : MOVE_DUE;
  return TRUE;
}
