/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a revert is taken back that has moved nothing: its nodes are closed and its files go,
 * as long as they are what we made and nobody has come to use them. */

#include "revert-steps.h"

#include "../guest-errors.h"

/* --- files --- */

/* FALSE with @error. *@free_to_go: it is there, and nobody has it open. */
static gboolean
look_for_users (const char *path, FileFacts *facts, gboolean *free_to_go, GError **error)
{
  g_autoptr (GError) problem = NULL;
  gboolean in_use = FALSE;

  *free_to_go = FALSE;
  if (!files_look (path, facts, &problem))
    {
      if (problem == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (!files_in_use (path, &in_use, error))
    return FALSE;
  *free_to_go = !in_use;
  return TRUE;
}

/* A death amid its making leaves it open whether it is ours: then its bytes tell. */
static gboolean
is_ours (const RevertDisk *disk, const FileFacts *facts)
{
  g_autoptr (GBytes) bytes = NULL;

  if (disk->overlay_ino != 0)
    return file_facts_are (facts, disk->overlay_dev, disk->overlay_ino);
  bytes = revert_overlay_bytes (disk, NULL);
  return bytes != NULL && files_contain (disk->overlay, bytes);
}

static gboolean
leads_to (const char *path, guint64 dev, guint64 ino)
{
  FileFacts facts = { 0 };

  return files_look (path, &facts, NULL)
         && file_facts_are (&facts, (gint64) dev, (gint64) ino);
}

static gboolean
withdraw_disk (const RevertDisk *disk, const RevertFacts *facts, GError **error)
{
  FileFacts overlay = { 0 };
  gboolean free_to_go = FALSE;

  if (disk->overlay == NULL || disk->to_path == NULL)
    return TRUE;
  if (!look_for_users (disk->overlay, &overlay, &free_to_go, error))
    return FALSE;
  if (free_to_go && !facts->overlay_open && is_ours (disk, &overlay)
      && !leads_to (disk->published, overlay.dev, overlay.ino)
      && !files_remove (disk->overlay, overlay.dev, overlay.ino, error))
    return FALSE;
  /* A name for life that nobody came to use; the file has its other one. */
  return !disk->from_linked
         || !leads_to (disk->published, (guint64) disk->from_dev, (guint64) disk->from_ino)
         || files_remove (disk->from_name, (guint64) disk->from_dev, (guint64) disk->from_ino,
                          error);
}

/* What was fetched, and a part of it. */
static gboolean
withdraw_image (const RestoreImage *image, GError **error)
{
  FileFacts facts = { 0 };
  gboolean free_to_go = FALSE;

  if (image->path == NULL || image->ino == 0)
    return TRUE;
  if (!look_for_users (image->path, &facts, &free_to_go, error))
    return FALSE;
  return !free_to_go || !file_facts_are (&facts, image->dev, image->ino)
         || files_remove (image->path, facts.dev, facts.ino, error);
}

static gboolean
withdraw_files (Revert *self, GError **error)
{
  gboolean any_moved = revert_count_moved (self) > 0;

  for (guint i = 0; i < self->disks->len; i++)
    if (!withdraw_disk (g_ptr_array_index (self->disks, i), &self->facts[i], error))
      return FALSE;
  for (guint i = 0; !any_moved && self->restore != NULL && i < self->restore->images->len; i++)
    if (!restore_drop_part (g_ptr_array_index (self->restore->images, i), error)
        || !withdraw_image (g_ptr_array_index (self->restore->images, i), error))
      return FALSE;
  return TRUE;
}

/* --- nodes --- */

static void
on_looked_again (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  GError *error = NULL;

  if (revert_look_finish (result, &error))
    revert_work_async (step, self, withdraw_files);
  else
    revert_step_over (self, step, error);
}

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    revert_look_async (self, on_looked_again, step);
  else
    revert_step_over (self, step, error);
}

static void
close_nodes (Revert *self, GTask *step)
{
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  GError *error = NULL;
  QmpClient *client = peer_client (&self->peer, &error);

  if (client == NULL)
    {
      revert_step_over (self, step, error);
      return;
    }
  for (guint i = 0; i < self->disks->len; i++)
    if (!self->facts[i].overlay_active)
      revert_delete_nodes (batch, g_ptr_array_index (self->disks, i));
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_closed, step);
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  GError *error = NULL;

  if (revert_move_finish (result, &error))
    close_nodes (self, step);
  else
    revert_step_over (self, step, error);
}

/* Nothing is touched while the guest's process lives and does not answer. */
static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  GError *error = NULL;

  if (!revert_look_finish (result, &error))
    revert_step_over (self, step, error);
  else if (self->guest_state == REVERT_GUEST_SAME)
    revert_end_mirrors_async (self, on_ended, step);
  else
    revert_work_async (step, self, withdraw_files);
}

void
revert_withdraw (GTask *step, gpointer job)
{
  g_task_set_task_data (step, job, NULL);
  revert_look_async (job, on_looked, step);
}
