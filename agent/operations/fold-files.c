/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what is left to do once overlays are folded back: those that nobody needs any more go, and
 * of those that stay the point is written down. */

#include "backup-steps.h"
#include "fold.h"

#include <core/error.h>

#include "guest-errors.h"
#include "image-records.h"
#include "node-batch.h"
#include "pivot-facts.h"
#include "points.h"
#include "told.h"

typedef struct
{
  Backup *job;
  GTask  *step;
} Removal;

static gboolean
is_back (Backup *job, guint index)
{
  const Pivot *pivot = g_ptr_array_index (job->pivots.pivots, index);

  return pivot->state == PIVOT_DONE;
}

static void
removal_finish (Removal *self, GError *error)
{
  backup_save_plan (self->job, operation_get_plan (self->job->operation));
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, guest_error_name (self->job->guest, error));
  g_free (self);
}

static void
tell_folded (Backup *job)
{
  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);
      JsonObject *told = told_find (job->operation, "disks", "disk", disk->disk);

      if (told == NULL)
        continue;
      json_object_set_boolean_member (told, "folded", disk->folded);
      if (!disk->folded)
        continue;
      json_object_remove_member (told, "overlay");
      json_object_remove_member (told, "kept");
    }
}

/* A commit that came to nothing may have begun: then the layer holds some of what came after the
 * point, and is none any more. */
static gboolean
is_point (const DiskPlan *disk)
{
  FileFacts facts = { 0 };

  return !disk->folded && disk->layer_mtime_ns != 0 && files_look (disk->layer, &facts, NULL)
         && facts.mtime_ns == disk->layer_mtime_ns;
}

/* Points are what is left of the disks whose overlays stay. */
static gboolean
record_kept (Backup *job, GError **error)
{
  Journal *journal = operations_get_journal (job->operations);
  gboolean any = FALSE;

  if (job->point == POINT_NOT_TAKEN)
    return TRUE;
  for (guint i = 0; i < job->disks->len; i++)
    {
      DiskPlan *disk = g_ptr_array_index (job->disks, i);

      disk->is_no_point = !is_point (disk);
      any = any || !disk->is_no_point;
    }
  if (!any)
    return TRUE;
  if (!points_record (journal, job, error))
    return FALSE;
  json_object_set_string_member (operation_get_result (job->operation), "point",
                                 operation_get_id (job->operation));
  for (guint i = 0; i < job->uploads->len; i++)
    {
      const UploadPlan *upload = g_ptr_array_index (job->uploads, i);
      gint64 size;

      if (!image_records_size (journal, upload->image_id, &size, error))
        return FALSE;
      if (size < 0)
        continue;
      if (!points_set_image (journal, operation_get_id (job->operation), upload->disk,
                             upload->image_id, error))
        return FALSE;
    }
  return TRUE;
}

/* Gone already is as good: a death of ours may have come just after it went. But only where the
 * name leads to the layer; a folder that was moved away looks the same. */
static gboolean
remove_overlay (DiskPlan *disk, const Pivot *pivot, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts overlay = { 0 };
  PivotFacts facts = { 0 };
  gboolean in_use = FALSE;
  gboolean is_there = files_look (disk->overlay, &overlay, &problem);

  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (!pivot_look_at_name (pivot, &facts, error)
      || (is_there && !files_in_use (disk->overlay, &in_use, error)))
    return FALSE;
  if (in_use || facts.name_on_from || (!is_there && !facts.name_on_to))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "%s %s", disk->overlay,
                       in_use ? "is still open somewhere"
                       : is_there ? "is still what the guest would be started from"
                       : "is gone, and so is the name of the disk");
      return FALSE;
    }
  disk->folded = !is_there || files_remove (disk->overlay, (guint64) disk->overlay_dev,
                                            (guint64) disk->overlay_ino, error);
  return disk->folded;
}

static void
remove_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Backup *job = task_data;
  GError *error = NULL;

  for (guint i = 0; i < job->disks->len; i++)
    {
      DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (!is_back (job, i) || disk->folded
          || remove_overlay (disk, g_ptr_array_index (job->pivots.pivots, i), &error))
        continue;
      g_task_return_error (task, error);
      return;
    }
  g_task_return_boolean (task, TRUE);
}

static void
on_removed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Removal *self = user_data;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    {
      tell_folded (self->job);
      record_kept (self->job, &error);
    }
  removal_finish (self, error);
}

static void
remove_files (Removal *self)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_removed, self);

  g_task_set_task_data (task, self->job, NULL);
  g_task_run_in_thread (task, remove_in_thread);
}

/* The graph has the last word on what a commit has come to. */
static gboolean
check_graph (Backup *job, Inspection *inspection, GError **error)
{
  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (!is_back (job, i) || disk->folded
          || !pivot_is_open (g_ptr_array_index (job->pivots.pivots, i), inspection->disks))
        continue;
      agent_set_error (error, AGENT_ERROR_GUEST, "it is tried again",
                       "disk %s: its commit has ended, and QEMU still has %s in the chain",
                       disk->disk, disk->overlay);
      return FALSE;
    }
  return TRUE;
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Removal *self = user_data;
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL && check_graph (self->job, inspection, &error))
    remove_files (self);
  else
    removal_finish (self, error);
}

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Removal *self = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    inspect_async (self->job->guest, NULL, on_inspected, self);
  else
    removal_finish (self, error);
}

/* QEMU keeps what was opened for it; what anybody uses refuses to go, and the graph shows it. */
static void
close_nodes (Removal *self, QmpClient *client)
{
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  for (guint i = 0; i < self->job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (self->job->disks, i);
      const Pivot *pivot = g_ptr_array_index (self->job->pivots.pivots, i);

      if (!is_back (self->job, i))
        continue;
      qmp_batch_add_tolerant (batch, "job-dismiss", qmp_args ("id", "s", pivot->job, NULL));
      node_batch_delete (batch, disk->overlay_node);
      node_batch_delete (batch, disk->overlay_file_node);
    }
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_closed, self);
}

void
backup_delete_overlays (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  Removal *self = g_new0 (Removal, 1);
  GError *error = NULL;
  QmpClient *client = NULL;

  self->job = job;
  self->step = step;
  if (!fold_is_due (job))
    {
      removal_finish (self, NULL);
      return;
    }
  fold_prepare (job);
  if (!pivot_set_settled (&job->pivots, &error))
    removal_finish (self, error);
  else if (backup_guest_is_gone (job))
    remove_files (self);
  else if ((client = guest_require_client (job->guest, &error)) != NULL)
    close_nodes (self, client);
  else
    removal_finish (self, error);
}
