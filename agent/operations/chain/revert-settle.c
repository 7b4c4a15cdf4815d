/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what becomes of what a revert leaves behind: a point of its own, or, when that is not
 * wanted, nothing that anybody could still need. */

#include "revert-steps.h"

#include <core/error.h>
#include <disk/names.h>
#include <string.h>

#include "../known-disks.h"

/* --- the branch --- */

/* What somebody has removed meanwhile is not in the point, and the others' point all the same. */
static gboolean
add_to_point (Point *point, const RevertDisk *disk, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts facts = { 0 };
  PointDisk *self;

  if (!files_look (disk->from_name, &facts, &problem))
    {
      if (problem == NULL)
        {
          g_message ("disk %s: %s, which was left behind, is not there any more", disk->disk,
                     disk->from_name);
          return TRUE;
        }
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  self = point_add_disk (point);
  self->disk = g_strdup (disk->disk);
  self->path = g_strdup (disk->from_name);
  self->dev = (guint64) disk->from_dev;
  self->ino = (guint64) disk->from_ino;
  self->born_ns = file_facts_are (&facts, disk->from_dev, disk->from_ino) ? facts.born_ns : 0;
  self->virtual_size = disk->from_size;
  self->allocated = (gint64) facts.allocated;
  self->format = g_strdup (disk->from_format);
  return TRUE;
}

static Point *
make_point (Revert *self, GError **error)
{
  g_autoptr (Point) point = point_new ();

  point->id = g_strdup (operation_get_id (self->operation));
  point->operation = g_strdup (operation_get_id (self->operation));
  point->name = g_strdup (self->branch);
  point->created_us = self->switched_us;
  point->disk_count = self->disks->len;
  for (guint i = 0; i < self->disks->len; i++)
    if (!add_to_point (point, g_ptr_array_index (self->disks, i), error))
      return NULL;
  return g_steal_pointer (&point);
}

static gboolean
record (Revert *self, GError **error)
{
  Journal *journal = operations_get_journal (self->operations);
  g_autoptr (Point) point = make_point (self, error);

  if (point == NULL)
    return FALSE;
  if (point->disks->len == 0)
    return TRUE;
  if (!journal_begin (journal, error))
    return FALSE;
  if (points_add (journal, operation_get_guest (self->operation), point, error))
    {
      if (!journal_commit (journal, error))
        return FALSE;
      json_object_set_string_member (operation_get_result (self->operation), "point", point->id);
      return TRUE;
    }
  journal_rollback (journal);
  return FALSE;
}

/* A guest that is shut off by now is looked at by what is known of it. */
static gboolean
remember_overlays (Revert *self, GError **error)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (self->disks, i);
      FileFacts facts = { 0 };

      if (files_look (disk->overlay, &facts, NULL)
          && file_facts_are (&facts, disk->overlay_dev, disk->overlay_ino)
          && !known_disks_move (operations_get_journal (self->operations),
                                operation_get_guest (self->operation), disk->disk, disk->overlay,
                                &facts, error))
        return FALSE;
    }
  return TRUE;
}

void
revert_record_branch (GTask *step, gpointer job)
{
  Revert *self = job;
  GError *error = NULL;

  if (self->switched_us == 0
      || (remember_overlays (self, &error) && (self->discard || record (self, &error))))
    revert_step_over (self, step, NULL);
  else
    revert_step_over (self, step, error);
}

/* --- discard --- */

typedef struct
{
  Revert    *revert;
  GTask     *step;
  ChainLook *look;
  GPtrArray *unneeded;          /* of RevertLayer, of the plan */
} Discard;

/* Takes @self and @error. */
static void
discard_over (Discard *self, GError *error)
{
  revert_step_over (self->revert, self->step, error);
  g_clear_pointer (&self->look, chain_look_free);
  g_ptr_array_unref (self->unneeded);
  g_free (self);
}

static gboolean
is_of_layer (const RevertLayer *layer, guint64 dev, guint64 ino)
{
  return layer->dev == (gint64) dev && layer->ino == (gint64) ino;
}

static gboolean
is_unneeded (Discard *self, guint64 dev, guint64 ino)
{
  for (guint i = 0; i < self->unneeded->len; i++)
    if (is_of_layer (g_ptr_array_index (self->unneeded, i), dev, ino))
      return TRUE;
  return FALSE;
}

static gboolean
has_point (const ChainLook *look, const RevertLayer *layer)
{
  for (guint i = 0; i < look->points->len; i++)
    {
      const Point *point = g_ptr_array_index (look->points, i);

      for (guint j = 0; j < point->disks->len; j++)
        {
          const PointDisk *disk = g_ptr_array_index (point->disks, j);

          if (is_of_layer (layer, disk->dev, disk->ino))
            return TRUE;
        }
    }
  return FALSE;
}

static gboolean
is_in_chain (const ChainLook *look, const RevertLayer *layer)
{
  for (guint i = 0; i < look->inspection->disks->len; i++)
    {
      const Disk *disk = g_ptr_array_index (look->inspection->disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        {
          const Layer *open = g_ptr_array_index (disk->layers, j);

          if (open->known && is_of_layer (layer, open->facts.dev, open->facts.ino))
            return TRUE;
        }
    }
  return FALSE;
}

static gboolean
has_user (const ChainLook *look, const RevertLayer *layer)
{
  for (guint i = 0; i < look->users->len; i++)
    {
      const LayerUser *user = g_ptr_array_index (look->users, i);

      if (is_of_layer (layer, user->dev, user->ino))
        return TRUE;
    }
  return FALSE;
}

/* Whether it holds internal snapshots, or an image that is to stay stands on it. */
static gboolean
is_needed (Discard *self, const RevertLayer *layer)
{
  GPtrArray *links = self->look->links;
  const ImageLink *own = links_find (links, (guint64) layer->dev, (guint64) layer->ino);

  if (own != NULL && own->has_snapshots)
    return TRUE;
  for (guint i = 0; i < links->len; i++)
    {
      const ImageLink *link = g_ptr_array_index (links, i);

      if (image_link_may_stand_on (link, layer->path, (guint64) layer->dev, (guint64) layer->ino)
          && !is_unneeded (self, link->facts.dev, link->facts.ino))
        return TRUE;
    }
  return FALSE;
}

/* What has a name of its own was there before the disk's layers: a base that others may have been
 * made from, somewhere that nobody looks at. */
static gboolean
is_named_after (const RevertDisk *disk, const RevertLayer *layer)
{
  g_autofree char *published = NULL;
  guint number;

  return layer->path != NULL && names_split_layer (layer->path, &published, &number)
         && strcmp (published, disk->published) == 0;
}

static void
choose_unneeded (Discard *self, const RevertDisk *disk)
{
  for (guint i = 0; i < disk->leaves->len; i++)
    {
      RevertLayer *layer = g_ptr_array_index (disk->leaves, i);

      /* QEMU may have had it open by the name that leads to the overlay now: there nobody could
       * renew the number of its device. */
      if (i == 0)
        {
          g_free (layer->path);
          layer->path = g_strdup (disk->from_name);
          layer->dev = disk->from_dev;
        }
      if (!is_named_after (disk, layer) || has_point (self->look, layer)
          || is_in_chain (self->look, layer) || has_user (self->look, layer)
          || is_needed (self, layer))
        return;
      g_ptr_array_add (self->unneeded, layer);
    }
}

/* *@in_use: it stays, as somebody reads it. */
static gboolean
remove_layer (const RevertLayer *layer, gboolean *in_use, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts facts = { 0 };

  *in_use = FALSE;
  if (!files_look (layer->path, &facts, &problem))
    {
      if (problem == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  /* Another one has come by its name. */
  if (facts.block_device || !file_facts_are (&facts, layer->dev, layer->ino))
    return TRUE;
  if (!files_in_use (layer->path, in_use, error))
    return FALSE;
  return *in_use || files_remove (layer->path, (guint64) layer->dev, (guint64) layer->ino, error);
}

/* From the uppermost down; what somebody has open needs those below it. */
static gboolean
remove_layers (Discard *self, GPtrArray *leaves, GPtrArray *gone, GError **error)
{
  for (guint i = 0; i < leaves->len; i++)
    {
      RevertLayer *layer = g_ptr_array_index (leaves, i);
      gboolean in_use = FALSE;

      if (!g_ptr_array_find (self->unneeded, layer, NULL))
        return TRUE;
      if (!remove_layer (layer, &in_use, error))
        return FALSE;
      if (in_use)
        return TRUE;
      g_ptr_array_add (gone, layer);
    }
  return TRUE;
}

static void
remove_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Discard *self = task_data;
  g_autoptr (GPtrArray) gone = g_ptr_array_new ();
  GPtrArray *disks = self->revert->disks;
  GError *error = NULL;

  for (guint i = 0; i < disks->len; i++)
    if (!remove_layers (self, ((RevertDisk *) g_ptr_array_index (disks, i))->leaves, gone, &error))
      {
        g_task_return_error (task, error);
        return;
      }
  g_task_return_pointer (task, g_steal_pointer (&gone), (GDestroyNotify) g_ptr_array_unref);
}

/* Those that are in @gone, or those that are not: somebody has them open. */
static void
tell_layers (Discard *self, const char *member, GPtrArray *gone, gboolean in)
{
  g_autoptr (JsonArray) told = json_array_new ();

  for (guint i = 0; i < self->unneeded->len; i++)
    {
      RevertLayer *layer = g_ptr_array_index (self->unneeded, i);

      if (g_ptr_array_find (gone, layer, NULL) == in)
        json_array_add_string_element (told, layer->path);
    }
  if (json_array_get_length (told) > 0)
    json_object_set_array_member (operation_get_result (self->revert->operation), member,
                                  g_steal_pointer (&told));
}

static void
on_removed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Discard *self = user_data;
  g_autoptr (GPtrArray) gone = NULL;
  GError *error = NULL;

  gone = g_task_propagate_pointer (G_TASK (result), &error);
  if (gone == NULL)
    {
      discard_over (self, error);
      return;
    }
  tell_layers (self, "removed", gone, TRUE);
  tell_layers (self, "left", gone, FALSE);
  discard_over (self, NULL);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Discard *self = user_data;
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;

  self->look = chain_look_finish (result, &error);
  if (self->look == NULL)
    {
      discard_over (self, error);
      return;
    }
  for (guint i = 0; i < self->revert->disks->len; i++)
    choose_unneeded (self, g_ptr_array_index (self->revert->disks, i));
  task = g_task_new (NULL, NULL, on_removed, self);
  g_task_set_task_data (task, self, NULL);
  g_task_run_in_thread (task, remove_in_thread);
}

void
revert_discard (GTask *step, gpointer job)
{
  Revert *self = job;
  Discard *call;

  if (self->switched_us == 0 || !self->discard)
    {
      revert_step_over (self, step, NULL);
      return;
    }
  if (self->guest == NULL)
    {
      revert_step_over (self, step,
                        agent_error_new (AGENT_ERROR_UNAVAILABLE, "attach the guest",
                                         "it is not known who needs what was left behind"));
      return;
    }
  call = g_new0 (Discard, 1);
  call->revert = self;
  call->step = step;
  call->unneeded = g_ptr_array_new ();
  chain_look_async (self->operations, self->guest, NULL, on_looked, call);
}
