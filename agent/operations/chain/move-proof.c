/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how it is seen from outside that QEMU has written the tables of what a job has merged,
 * where its own flush tells nothing. All that the merged layers hold must have a place in the file
 * that took it, by the tables that are in that file. */

#include "move-run.h"

#include <core/error.h>
#include <disk/qemu-img.h>

typedef struct
{
  MovesJob *job;
  guint     index;
  guint     next;               /* the file whose map is awaited */
  gint64    size;               /* bytes of what the merged layers show */
  Extents  *merged;             /* what they hold */
} Proof;

static void map_next (GTask *task);

static void
proof_free (gpointer data)
{
  Proof *self = data;

  extents_free (self->merged);
  g_free (self);
}

static const ChainMove *
move_of (GTask *task)
{
  const Proof *self = g_task_get_task_data (task);

  return g_ptr_array_index (self->job->moves, self->index);
}

/**
 * move_missing:
 * @merged: what the merged layers hold
 * @into: what the file that takes it holds by its tables
 * @size: bytes of what the uppermost layer shows: what is held above that is not merged
 *
 * Returns: (transfer full): what has no place in the file
 */
Extents *
move_missing (const Extents *merged, const Extents *into, gint64 size)
{
  Extents *missing = extents_copy (merged);
  g_autoptr (Extents) beyond = extents_new ();

  extents_add (beyond, size, G_MAXINT64 - size);
  extents_subtract (missing, beyond);
  extents_subtract (missing, into);
  return missing;
}

static void
judge (GTask *task, const Extents *into)
{
  const Proof *self = g_task_get_task_data (task);
  g_autoptr (Extents) missing = move_missing (self->merged, into, self->size);
  GError *error = NULL;

  if (extents_count (missing) == 0)
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  agent_set_error (&error, AGENT_ERROR_GUEST, "look at the storage of the image, then ask again",
                   "QEMU has not written its tables of %s: %" G_GINT64_FORMAT " bytes that were "
                   "merged into it cannot be found there, the first at %" G_GINT64_FORMAT,
                   chain_move_into (move_of (task))->path, extents_total (missing),
                   extents_get (missing, 0)->start);
  g_task_return_error (task, error);
}

static gboolean
is_into (GTask *task, guint place)
{
  const ChainMove *move = move_of (task);

  return g_ptr_array_index (move->files, place) == chain_move_into (move);
}

static void
on_into_map (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (Extents) into = NULL;
  GError *error = NULL;

  into = qemu_img_map_finish (result, &error);
  if (into != NULL)
    judge (task, into);
  else
    g_task_return_error (task, error);
}

static void
on_map (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Proof *self = g_task_get_task_data (task);
  g_autoptr (Extents) map = NULL;
  GError *error = NULL;

  map = qemu_img_map_finish (result, &error);
  if (map == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  extents_unite (self->merged, map);
  self->next++;
  map_next (task);
}

/* The file that takes the data comes last. */
static void
map_next (GTask *task)
{
  Proof *self = g_task_get_task_data (task);
  const ChainMove *move = move_of (task);
  GCancellable *cancellable = operation_get_cancellable (self->job->operation);
  const ChainFile *file;

  if (self->next < move->files->len && is_into (task, self->next))
    self->next++;
  if (self->next == move->files->len)
    {
      file = chain_move_into (move);
      qemu_img_map_async (file->path, file->format, cancellable, on_into_map, g_object_ref (task));
      return;
    }
  file = g_ptr_array_index (move->files, self->next);
  qemu_img_map_async (file->path, file->format, cancellable, on_map, g_object_ref (task));
}

static void
on_size (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Proof *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->size = g_task_propagate_int (G_TASK (result), &error);
  if (error != NULL)
    g_task_return_error (task, error);
  else
    map_next (task);
}

/* What the names stand for now: the maps are read by them. */
static gboolean
are_there (const ChainMove *move, GError **error)
{
  for (guint i = 0; i < move->files->len; i++)
    {
      const ChainFile *file = g_ptr_array_index (move->files, i);
      FileFacts facts = { 0 };

      if (!files_look (file->path, &facts, error))
        {
          if (*error == NULL)
            agent_set_error (error, AGENT_ERROR_CONFLICT, "ask again", "%s is no more",
                             file->path);
          return FALSE;
        }
      if (!file_facts_are (&facts, file->dev, file->ino))
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, "ask again",
                           "%s is not the file any more that it was", file->path);
          return FALSE;
        }
    }
  return TRUE;
}

static void
size_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  const ChainMove *move = move_of (task_data);
  const ChainFile *upper = chain_move_upper (move);
  g_autoptr (ImageLink) link = NULL;
  GError *error = NULL;

  if (are_there (move, &error))
    link = image_link_read (upper->path, upper->format, &error);
  if (link != NULL)
    g_task_return_int (task, link->virtual_size);
  else
    g_task_return_error (task, error);
}

/**
 * move_prove_async:
 * @job: a job
 * @index: one of its moves, into a qcow2 image; its job waits before its end
 * @callback: called with the result
 * @user_data: for @callback
 *
 * The layers that are merged are frozen, so their maps are exact; what a guest writes or discards
 * meanwhile keeps its place in the tables. The cost follows the data of these layers.
 */
void
move_prove_async (MovesJob *job, guint index, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Proof *self = g_new0 (Proof, 1);
  g_autoptr (GTask) sizing = g_task_new (NULL, NULL, on_size, g_object_ref (task));

  self->job = job;
  self->index = index;
  self->merged = extents_new ();
  g_task_set_task_data (task, self, proof_free);
  g_task_set_task_data (sizing, task, NULL);
  g_task_run_in_thread (sizing, size_in_thread);
}

/**
 * move_prove_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR GUEST: it has not; CONFLICT: the files are others; errors as
 *   of qemu-img.h: it is not known
 *
 * Returns: whether QEMU has written its tables
 */
gboolean
move_prove_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
