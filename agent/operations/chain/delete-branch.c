/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what of an abandoned branch goes with a point, or is merged: files that no guest has in its
 * chain, as their headers tell which stands on which. */

#include "delete.h"

#include <disk/names.h>

#define DEPTH_MAX 256           /* of images that stand on each other; more is a loop */

static ImageLink *
below_of (Deletion *self, const ImageLink *link)
{
  return link->backing_known ? links_find (self->look.links, link->backing_dev, link->backing_ino)
                             : NULL;
}

static GPtrArray *
on_top_of (Deletion *self, const ImageLink *link)
{
  return links_on (self->look.links, link->facts.dev, link->facts.ino);
}

/* --- who needs a file --- */

/* Somebody besides the disk's own chain and the images that stand on it; (nullable). Its format is
 * as its magic number says: of a raw file that has one all that can be wrong is that it stays. */
static char *
user_of (Deletion *self, Disk *disk, const ImageLink *link)
{
  const Layer layer = { .path = link->path, .known = TRUE, .facts = link->facts };
  ChainLook look = self->look;

  if (link->has_snapshots)
    return g_strdup (CHAIN_NEEDED_BY_SNAPSHOTS);
  look.links = self->obscure;
  return chain_look_user_of (&look, disk, &layer);
}

static gboolean
is_fixed (Deletion *self, Disk *disk, const ImageLink *link)
{
  g_autofree char *user = user_of (self, disk, link);

  return user != NULL || !keep_is_layer_of (disk, link->path)
         || deletion_find (disk, link->facts.dev, link->facts.ino) >= 0;
}

static gboolean
holds_point (Deletion *self, const ImageLink *link)
{
  return points_find_in (self->keep, link->path, &link->facts) != NULL;
}

static gboolean
is_needed (Deletion *self, Disk *disk, const ImageLink *link)
{
  g_autoptr (GPtrArray) children = on_top_of (self, link);

  return children->len > 0 || is_fixed (self, disk, link) || holds_point (self, link);
}

/* --- files that go --- */

static ChainFile *
file_of (const ImageLink *link)
{
  ChainFile *file = g_new0 (ChainFile, 1);

  file->path = g_strdup (link->path);
  file->format = g_strdup (link->format);
  file->dev = (gint64) link->facts.dev;
  file->ino = (gint64) link->facts.ino;
  file->size = (gint64) link->facts.size;
  file->mtime_ns = link->facts.mtime_ns;
  file->born_ns = link->facts.born_ns;
  return file;
}

static void
take_away (Deletion *self, ImageLink *link)
{
  g_ptr_array_add (self->remove, file_of (link));
  g_ptr_array_remove (self->look.links, link);
}

/* --- files that are merged --- */

static PlanLayer *
plan_link (Deletion *self, Disk *disk, const ImageLink *link)
{
  PlanLayer *layer = g_new0 (PlanLayer, 1);
  g_autoptr (GPtrArray) children = on_top_of (self, link);
  gboolean holds = holds_point (self, link);

  layer->allocated = (gint64) link->facts.allocated;
  layer->fixed = is_fixed (self, disk, link) || link->encrypted || link->has_data_file;
  layer->kept = children->len > 1 || holds;
  /* The end of a branch that no point leads to, as a pivot leaves it, is known by its path alone. */
  layer->named = children->len == 0 && !holds;
  return layer;
}

/* The file and its neighbours as a chain, base first, as far as it could be merged with them. */
static GPtrArray *
run_of (Deletion *self, ImageLink *link, guint *index)
{
  GPtrArray *run = g_ptr_array_new ();
  gboolean straight = TRUE;

  for (ImageLink *each = link; each != NULL && straight && run->len < DEPTH_MAX;
       each = below_of (self, each))
    {
      g_autoptr (GPtrArray) children = on_top_of (self, each);

      g_ptr_array_insert (run, 0, each);
      straight = children->len < 2;
    }
  *index = run->len - 1;
  straight = TRUE;
  for (ImageLink *each = link; straight && run->len < 2 * DEPTH_MAX;)
    {
      g_autoptr (GPtrArray) children = on_top_of (self, each);

      straight = children->len == 1;
      if (straight)
        {
          each = g_ptr_array_index (children, 0);
          g_ptr_array_add (run, each);
        }
    }
  return run;
}

/* What a smaller one hides must not be seen again: the data goes up then. */
static void
heed_sizes (GPtrArray *run, GPtrArray *layers, PlannedMove *planned)
{
  const ImageLink *lowest = g_ptr_array_index (run, planned->first);

  for (guint i = planned->first + 1; planned->kind == MOVE_COMMIT && i <= planned->last; i++)
    if (((ImageLink *) g_ptr_array_index (run, i))->virtual_size < lowest->virtual_size)
      {
        planned->kind = MOVE_STREAM;
        planned->bytes = planner_estimate (layers, MOVE_STREAM, planned->first, planned->last);
      }
}

static ChainMove *
move_of (Disk *disk, GPtrArray *run, const PlannedMove *planned)
{
  guint writes = planned->kind == MOVE_COMMIT ? planned->last + 1 : planned->last;
  ChainMove *move = g_new0 (ChainMove, 1);
  const ChainFile *user, *backing;

  move->kind = planned->kind;
  move->disk = g_strdup (disk->name);
  move->offline = TRUE;
  move->estimate = planned->bytes;
  move->files = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_file_free);
  for (guint i = planned->first; i <= planned->last; i++)
    g_ptr_array_add (move->files, file_of (g_ptr_array_index (run, i)));
  if (planned->first > 0)
    move->below = file_of (g_ptr_array_index (run, planned->first - 1));
  if (planned->last + 1 < run->len)
    move->above = file_of (g_ptr_array_index (run, planned->last + 1));

  user = planned->kind == MOVE_COMMIT ? move->above : chain_move_into (move);
  backing = planned->kind == MOVE_COMMIT ? chain_move_into (move) : move->below;
  if (user != NULL && backing != NULL)
    {
      move->backing_name = ((ImageLink *) g_ptr_array_index (run, writes))->backing_relative
        ? names_backing (user->path, backing->path) : g_strdup (backing->path);
      move->backing_format = g_strdup (backing->format);
    }
  return move;
}

static gboolean
merge (Deletion *self, Disk *disk, ImageLink *link, GError **reason)
{
  guint index;
  g_autoptr (GPtrArray) run = run_of (self, link, &index);
  g_autoptr (GPtrArray) layers = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) children = on_top_of (self, g_ptr_array_index (run, run->len - 1));
  g_autofree PlannedMove *planned = NULL;

  for (guint i = 0; i < run->len; i++)
    g_ptr_array_add (layers, plan_link (self, disk, g_ptr_array_index (run, i)));
  /* Several stand on the uppermost: none of their headers is written. */
  if (children->len > 1)
    {
      PlanLayer *above = g_new0 (PlanLayer, 1);

      above->fixed = above->kept = TRUE;
      g_ptr_array_add (layers, above);
    }
  planned = planner_delete (layers, index, reason);
  if (planned == NULL)
    return FALSE;
  heed_sizes (run, layers, planned);
  g_ptr_array_add (self->moves, move_of (disk, run, planned));
  return TRUE;
}

/* --- what becomes of a file that no point lives in any more --- */

/* It was kept for what stood on it, and less does now. That it stays has been told when its point
 * went. */
static void
tidy (Deletion *self, Disk *disk, ImageLink *link)
{
  gint index = deletion_find (disk, link->facts.dev, link->facts.ino);
  g_autoptr (GPtrArray) children = on_top_of (self, link);
  g_autoptr (GError) reason = NULL;

  if (!keep_is_layer_of (disk, link->path) || holds_point (self, link))
    return;
  if (index >= 0 ? !deletion_in_chain (self, disk, (guint) index, &reason)
                 : children->len == 1 && !merge (self, disk, link, &reason))
    g_debug ("%s stays: %s", link->path, reason->message);
}

static void
remove_with_below (Deletion *self, Disk *disk, ImageLink *link)
{
  ImageLink *below = below_of (self, link);

  take_away (self, link);
  while (below != NULL && !is_needed (self, disk, below))
    {
      ImageLink *next = below_of (self, below);

      take_away (self, below);
      below = next;
    }
  if (below != NULL)
    tidy (self, disk, below);
}

/**
 * deletion_in_branch:
 * @self: a deletion
 * @disk: the disk whose branch it is
 * @link: (transfer none): the file
 */
void
deletion_in_branch (Deletion *self, Disk *disk, ImageLink *link)
{
  g_autofree char *user = user_of (self, disk, link);
  Point *other = points_find_in (self->keep, link->path, &link->facts);
  g_autoptr (GPtrArray) children = on_top_of (self, link);
  g_autoptr (GError) reason = NULL;

  if (other != NULL)
    deletion_tell (self, disk, link->path, "point \"%s\" lives in it too", other->name);
  else if (user != NULL)
    deletion_tell (self, disk, link->path, "it is needed as it is by %s", user);
  else if (!keep_is_layer_of (disk, link->path))
    deletion_tell (self, disk, link->path, "it is not named as a layer of this disk");
  else if (children->len == 0)
    remove_with_below (self, disk, link);
  else if (children->len > 1)
    deletion_tell (self, disk, link->path, "%u other images stand on it", children->len);
  else if (!merge (self, disk, link, &reason))
    deletion_tell (self, disk, link->path, "%s", reason->message);
}
