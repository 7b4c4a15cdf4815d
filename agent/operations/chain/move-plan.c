/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the planner's numbers become moves of files, and what stands in their way: pure
 * functions. */

#include "keep.h"

#include <core/error.h>
#include <disk/names.h>
#include <string.h>

#define MOST_ABOVE_RELATIVE 32

/* --- the chain as the planner takes it --- */

static gboolean
is_kept (const Layer *layer, GPtrArray *keep)
{
  return keep != NULL && layer->known
         && points_find_in (keep, layer->path, &layer->facts) != NULL;
}

/**
 * chain_plan_layers:
 * @ask: what is planned from
 * @disk: a disk of @ask
 * @keep: (nullable) (element-type Point): the points that must stay
 *
 * Returns: (transfer full) (element-type PlanLayer): its layers, base first; good as long as @ask
 */
GPtrArray *
chain_plan_layers (const ChainAsk *ask, Disk *disk, GPtrArray *keep)
{
  GPtrArray *layers = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = disk_layer_from_base (disk, i);
      g_autofree char *user = chain_look_need_of (ask->look, disk, layer);
      PlanLayer *plan = g_new0 (PlanLayer, 1);

      plan->extents = ask->maps != NULL ? g_hash_table_lookup (ask->maps, layer) : NULL;
      plan->allocated = MAX (layer->allocated, 0);
      /* A device that is not the base has nobody who could give it a name. */
      plan->fixed = user != NULL || !layer_is_plain (layer) || (layer->facts.block_device && i > 0);
      plan->kept = i + 1 == disk->layers->len || is_kept (layer, keep);
      g_ptr_array_add (layers, plan);
    }
  return layers;
}

/* --- what is in the way --- */

static gboolean
check_layer (Disk *disk, const Layer *layer, GError **error)
{
  if (layer->path == NULL || !layer->known)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "disk %s: the layer on node %s is no local file or block device that can be "
                     "seen here", disk->name, layer->node);
  else if (layer->encrypted)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "move it with its owner's keys",
                     "disk %s: %s is encrypted: what it holds would come to stand elsewhere in "
                     "plain text", disk->name, layer->path);
  else if (layer->has_data_file)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "convert it to a qcow2 without one",
                     "disk %s: %s keeps its data in another file", disk->name, layer->path);
  else if (!layer_is_plain (layer))
    agent_set_error (error, AGENT_ERROR_CONFLICT, "convert it to qcow2",
                     "disk %s: %s is in the format %s; layers of qcow2 and raw are moved",
                     disk->name, layer->path, layer->format);
  else
    return TRUE;
  return FALSE;
}

/* A filter inside the chain would be left hanging, or be lost. */
static gboolean
check_filters (const ChainAsk *ask, Disk *disk, guint lowest, guint highest, GError **error)
{
  QmpGraph *graph = ask->look->inspection->graph;

  for (guint i = highest; graph != NULL && i > lowest; i--)
    {
      const Layer *layer = disk_layer_from_base (disk, i);
      QmpNode *node = qmp_graph_find_node (graph, layer->node);

      if (node == NULL || node->backing == NULL || !node->backing->is_filter)
        continue;
      agent_set_error (error, AGENT_ERROR_CONFLICT, "take the filter away",
                       "disk %s: between %s and what it stands on is the filter %s (%s), which no "
                       "job can pass", disk->name, layer->path, node->backing->name,
                       node->backing->driver);
      return FALSE;
    }
  return TRUE;
}

/* @user: (transfer full) (nullable): who needs the layer */
static gboolean
check_user (Disk *disk, const Layer *layer, char *user, GError **error)
{
  if (user == NULL)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "choose layers that nobody else needs",
                   "disk %s: %s is needed as it is by %s", disk->name, layer->path, user);
  g_free (user);
  return FALSE;
}

/* A commit changes all that stands on its target, and writes the header above; a stream changes the
 * file that takes the data. */
static gboolean
check_users (const ChainAsk *ask, Disk *disk, const PlannedMove *planned, GError **error)
{
  gboolean is_commit = planned->kind == MOVE_COMMIT;
  guint first = is_commit ? planned->first : planned->last;
  guint last = is_commit ? MIN (planned->last + 1, disk->layers->len - 1) : planned->last;

  for (guint i = first; i <= last; i++)
    {
      const Layer *layer = disk_layer_from_base (disk, i);
      gboolean is_merged = i > planned->first && i <= planned->last;
      char *user = is_merged ? chain_look_need_of (ask->look, disk, layer)
                             : chain_look_user_of (ask->look, disk, layer);

      if (!check_user (disk, layer, user, error))
        return FALSE;
    }
  return TRUE;
}

/* Where the target reaches further than a layer above it, the guest would see there what that
 * one has hidden. */
static gboolean
check_sizes (Disk *disk, const PlannedMove *planned, GError **error)
{
  const Layer *into = disk_layer_from_base (disk, planned->first);

  for (guint i = planned->first + 1; i <= planned->last; i++)
    {
      const Layer *layer = disk_layer_from_base (disk, i);

      if (layer->virtual_size < into->virtual_size)
        agent_set_error (error, AGENT_ERROR_CONFLICT, "stream instead",
                         "disk %s: %s is larger than %s, which is above it", disk->name,
                         into->path, layer->path);
      else if (into->facts.block_device && layer->virtual_size > into->virtual_size)
        agent_set_error (error, AGENT_ERROR_CONFLICT, "make the device larger",
                         "disk %s: %s is too small for what %s shows", disk->name, into->path,
                         layer->path);
      else
        continue;
      return FALSE;
    }
  return TRUE;
}

/* Whether @layer, once it is called by the published name, would have what it stands on looked for
 * in another folder. */
static gboolean
leads_elsewhere (const ChainAsk *ask, Disk *disk, const Layer *layer)
{
  const ImageLink *link = links_find (ask->look->links, layer->facts.dev, layer->facts.ino);
  g_autofree char *folder = g_path_get_dirname (layer->path);
  g_autofree char *published = g_path_get_dirname (disk->published);

  return link != NULL && link->backing_relative && g_strcmp0 (layer->format, "raw") != 0
         && (disk_get_active (disk)->linked || strcmp (folder, published) != 0);
}

/* The published name is one more link to the active layer, and its format is what the guest is
 * started with. */
static gboolean
check_name (const ChainAsk *ask, Disk *disk, const Layer *into, GError **error)
{
  const Layer *active = disk_get_active (disk);

  if (disk->published == NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "disk %s has no path to start it from",
                     disk->name);
  else if (into->facts.block_device)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "stream instead",
                     "disk %s: %s is a block device, which cannot be called %s", disk->name,
                     into->path, disk->published);
  else if (into->facts.dev != active->facts.dev)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "stream instead, or name another base",
                     "disk %s: %s is on another filesystem than %s, and cannot be called so",
                     disk->name, into->path, disk->published);
  else if (leads_elsewhere (ask, disk, into))
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "stream instead, or give the header a whole path (qemu-img rebase -u)",
                     "disk %s: the header of %s says from its own folder what it stands on, and by "
                     "the name %s it would be opened in another", disk->name, into->path,
                     disk->published);
  else if (g_strcmp0 (into->format, active->format) != 0
           && !guest_get_config (ask->guest)->allow_format_change)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "stream instead, or attach the guest with allow_format_change",
                     "disk %s: %s is %s and would become %s: whoever starts it as before would see "
                     "garbage", disk->name, disk->published, active->format, into->format);
  else
    return TRUE;
  return FALSE;
}

/* Seen on 7.2 and not on 10.0: "bdrv_co_do_copy_on_readv: Assertion `skip_bytes < pnum' failed",
 * SIGABRT, of a stream into an image with subclusters. No command tells which QEMU has that mended;
 * backing-mask-protocol came with 9.0. */
static gboolean
check_stream (const ChainAsk *ask, Disk *disk, const Layer *into, GError **error)
{
  QmpFeatures *features = guest_get_features (ask->guest);

  if (!into->extended_l2 || ask->look->offline || features == NULL
      || qmp_features_has_argument (features, "block-commit", "backing-mask-protocol"))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "commit instead, or ask again when the guest is shut off or has QEMU 9.0 or later",
                   "disk %s: %s has subclusters (extended_l2), and this QEMU would die of a stream "
                   "into it", disk->name, into->path);
  return FALSE;
}

static gboolean
check_move (const ChainAsk *ask, Disk *disk, const PlannedMove *planned, GError **error)
{
  guint n = disk->layers->len;
  gboolean is_commit = planned->kind == MOVE_COMMIT;

  if (planned->first >= planned->last || planned->last >= n)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                       "disk %s: there are no layers to be made one", disk->name);
      return FALSE;
    }
  for (guint i = planned->first; i <= planned->last; i++)
    if (!check_layer (disk, disk_layer_from_base (disk, i), error))
      return FALSE;
  /* What is above is written to, too: its header. */
  if (is_commit && planned->last + 1 < n
      && !check_layer (disk, disk_layer_from_base (disk, planned->last + 1), error))
    return FALSE;
  if (!check_users (ask, disk, planned, error))
    return FALSE;
  if (is_commit && planned->last + 1 == n
      && !check_name (ask, disk, disk_layer_from_base (disk, planned->first), error))
    return FALSE;
  return (is_commit ? check_sizes (disk, planned, error)
                    : check_stream (ask, disk, disk_layer_from_base (disk, planned->last), error))
         && check_filters (ask, disk, planned->first > 0 ? planned->first - 1 : 0,
                           MIN (planned->last + 1, n - 1), error);
}

/* --- moves --- */

static ChainFile *
file_of (const Layer *layer)
{
  ChainFile *file = g_new0 (ChainFile, 1);

  file->path = g_strdup (layer->path != NULL ? layer->path : layer->node);
  file->format = g_strdup (layer->format);
  file->dev = layer->known ? (gint64) layer->facts.dev : 0;
  file->ino = layer->known ? (gint64) layer->facts.ino : 0;
  file->size = (gint64) layer->facts.size;
  file->mtime_ns = layer->facts.mtime_ns;
  file->born_ns = layer->known ? layer->facts.born_ns : 0;
  file->node = layer->auto_named ? NULL : g_strdup (layer->node);
  file->file_node = g_strdup (layer->file_node);
  return file;
}

/* What leaves the chain and is needed by others stays, with all that it stands on; so does what was
 * there before the disk's own layers. */
static void
mark_needed (const ChainAsk *ask, Disk *disk, const PlannedMove *planned, ChainMove *move)
{
  gboolean stays = FALSE;

  for (guint i = planned->last; move->kind == MOVE_STREAM && i-- > planned->first;)
    {
      const Layer *layer = disk_layer_from_base (disk, i);
      ChainFile *file = g_ptr_array_index (move->files, i - planned->first);
      g_autofree char *user = chain_look_need_of (ask->look, disk, layer);

      file->stays = stays = stays || user != NULL || layer->facts.block_device
                            || !keep_is_layer_of (disk, layer->path);
    }
}

/* QEMU takes another name than that of the node below for one that somebody has put there, and then
 * calls each node above by the whole chain below that. Where many are above, the time that it needs
 * for its block graph is no longer short: minutes, of 200. Such a chain gets the name that the node
 * has. */
static gboolean
is_deep_below (const ChainMove *move, Disk *disk, const ChainFile *user)
{
  guint n_above = 0;

  return !move->offline && chain_file_find (user, disk, &n_above) != NULL
         && n_above > MOST_ABOVE_RELATIVE;
}

/* Whether what is beside the file is beside it for all who open it: the header that it has says so,
 * and QEMU has not followed a link to it. */
static gboolean
is_named_relative (const ChainAsk *ask, Disk *disk, const ChainFile *user)
{
  const ImageLink *link = links_find (ask->look->links, (guint64) user->dev, (guint64) user->ino);
  const Layer *layer = chain_file_find (user, disk, NULL);

  return link != NULL && link->backing_relative && layer != NULL && !layer->linked;
}

static void
name_backing (const ChainAsk *ask, ChainMove *move, Disk *disk)
{
  const ChainFile *user = move->kind == MOVE_COMMIT ? move->above : chain_move_into (move);
  const ChainFile *backing = move->kind == MOVE_COMMIT ? chain_move_into (move) : move->below;

  g_clear_pointer (&move->backing_name, g_free);
  g_clear_pointer (&move->backing_format, g_free);
  if (user == NULL || backing == NULL)
    return;
  move->backing_name = is_deep_below (move, disk, user) || !is_named_relative (ask, disk, user)
    ? g_strdup (backing->path) : names_backing (user->path, backing->path);
  move->backing_format = g_strdup (backing->format);
}

static ChainMove *
move_of (const ChainAsk *ask, Disk *disk, const PlannedMove *planned)
{
  ChainMove *move = g_new0 (ChainMove, 1);

  move->kind = planned->kind;
  move->disk = g_strdup (disk->name);
  move->published = g_strdup (disk->published);
  move->offline = ask->look->offline;
  move->speed = json_object_get_int_member_with_default (ask->request, "speed", 0);
  move->estimate = planned->bytes;
  move->files = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_file_free);
  for (guint i = planned->first; i <= planned->last; i++)
    g_ptr_array_add (move->files, file_of (disk_layer_from_base (disk, i)));
  if (planned->first > 0)
    move->below = file_of (disk_layer_from_base (disk, planned->first - 1));
  if (planned->last + 1 < disk->layers->len)
    move->above = file_of (disk_layer_from_base (disk, planned->last + 1));
  mark_needed (ask, disk, planned, move);
  name_backing (ask, move, disk);
  return move;
}

/* What @file has become once @earlier is done. */
static void
follow (const ChainMove *earlier, ChainFile **file)
{
  const ChainFile *into = chain_move_into (earlier);

  for (guint i = 0; *file != NULL && i < earlier->files->len; i++)
    {
      const ChainFile *merged = g_ptr_array_index (earlier->files, i);

      if (merged->dev != (*file)->dev || merged->ino != (*file)->ino || merged == into)
        continue;
      chain_file_free (*file);
      *file = chain_file_copy (into);
      return;
    }
}

/* Of moves that stand next to each other the later one finds what the earlier one has left. */
static void
join (const ChainAsk *ask, GPtrArray *moves, guint from, Disk *disk)
{
  for (guint i = from; i < moves->len; i++)
    {
      ChainMove *move = g_ptr_array_index (moves, i);

      for (guint j = from; j < i; j++)
        {
          follow (g_ptr_array_index (moves, j), &move->below);
          follow (g_ptr_array_index (moves, j), &move->above);
        }
      name_backing (ask, move, disk);
    }
}

static gboolean
overlap (GPtrArray *planned, guint index)
{
  const PlannedMove *move = g_ptr_array_index (planned, index);

  for (guint i = 0; i < index; i++)
    {
      const PlannedMove *other = g_ptr_array_index (planned, i);

      if (move->first <= other->last && other->first <= move->last)
        return TRUE;
    }
  return FALSE;
}

/**
 * chain_moves_of_disk:
 * @ask: what is planned from
 * @disk: a disk of @ask
 * @planned: (element-type PlannedMove): moves of its layers, which are counted from the base
 * @moves: (element-type ChainMove): they are appended here
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether they can be done; @moves is as it was otherwise
 */
gboolean
chain_moves_of_disk (const ChainAsk *ask, Disk *disk, GPtrArray *planned, GPtrArray *moves,
                     GError **error)
{
  guint before = moves->len;

  for (guint i = 0; i < planned->len; i++)
    {
      const PlannedMove *each = g_ptr_array_index (planned, i);

      if (!check_move (ask, disk, each, error) || overlap (planned, i))
        {
          if (error != NULL && *error == NULL)
            agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                             "disk %s: moves that overlap cannot be done", disk->name);
          g_ptr_array_set_size (moves, (int) before);
          return FALSE;
        }
      g_ptr_array_add (moves, move_of (ask, disk, each));
    }
  join (ask, moves, before, disk);
  return TRUE;
}
