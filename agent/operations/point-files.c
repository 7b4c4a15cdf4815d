/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a point needs of files: layers with names for life, new overlays, and the published
 * name. All of it blocks, so each step is one trip to a worker thread, which alone touches the
 * plans meanwhile. */

#include "backup-steps.h"

#include <core/error.h>
#include <disk/qcow2.h>

typedef gboolean (*DiskWork) (Backup *job, DiskPlan *disk, GError **error);

typedef struct
{
  Backup *job;
  DiskWork     work;
} FileWork;

static void
work_on_disks (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  FileWork *files = task_data;
  GError *error = NULL;

  for (guint i = 0; i < files->job->disks->len; i++)
    if (!files->work (files->job, g_ptr_array_index (files->job->disks, i), &error))
      {
        g_task_return_error (task, error);
        return;
      }
  g_task_return_boolean (task, TRUE);
}

static void
on_worked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  FileWork *files = g_task_get_task_data (G_TASK (result));
  GError *error = NULL;

  backup_save_plan (files->job, operation_get_plan (files->job->operation));
  if (g_task_propagate_boolean (G_TASK (result), &error))
    backup_step_done (step);
  else
    backup_step_failed (step, error);
}

static void
run_on_disks (GTask *step, Backup *job, DiskWork work)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_worked, step);
  FileWork *files = g_new0 (FileWork, 1);

  files->job = job;
  files->work = work;
  g_task_set_task_data (task, files, g_free);
  g_task_run_in_thread (task, work_on_disks);
}

static gboolean
create_disk_files (Backup *job, DiskPlan *disk, GError **error)
{
  g_autoptr (GBytes) image = NULL;
  FileFacts facts = { 0 };
  g_autoptr (GError) problem = NULL;
  gboolean is_there = disk->link_layer && files_look (disk->layer, &facts, &problem);
  gboolean ok;

  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  /* Before: a name may have come into being that is not known to be durable. */
  disk->layer_linked = disk->link_layer && !is_there;
  if (disk->link_layer
      && !files_link (disk->active_path, disk->layer, (guint64) disk->layer_dev,
                      (guint64) disk->layer_ino, error))
    return FALSE;

  image = qcow2_empty_overlay ((guint64) disk->virtual_size, disk->backing_name,
                               disk->active_format, error);
  facts = (FileFacts) { 0 };
  ok = image != NULL && files_create (disk->overlay, image, disk->layer, &facts, error);
  disk->overlay_dev = (gint64) facts.dev;
  disk->overlay_ino = (gint64) facts.ino;
  return ok;
}

/* Gives the layers their names for life and makes the overlays. Whether this comes to its end or
 * not, the plan knows afterwards what is ours; only a death in it leaves that open. */
void
backup_create_files (GTask *step, gpointer user_data)
{
  Backup *job = user_data;

  job->files_known = TRUE;
  run_on_disks (step, job, create_disk_files);
}

static gboolean
publish_disk_early (Backup *job, DiskPlan *disk, GError **error)
{
  return naming_needs_stop (disk->naming) || disk_plan_publish_overlay (disk, error);
}

/* The overlay is still empty: whoever starts from it now reads through to the layer below. */
void
backup_publish_early (GTask *step, gpointer job)
{
  run_on_disks (step, job, publish_disk_early);
}

static gboolean
settle_disk (Backup *job, DiskPlan *disk, GError **error)
{
  return files_settle (disk->layer, error);
}

/* QEMU flushes in the midst of its transaction: what is dirty in the host's cache goes out
 * before that. */
void
backup_settle_caches (GTask *step, gpointer job)
{
  run_on_disks (step, job, settle_disk);
}

static gboolean
publish_disk_late (Backup *job, DiskPlan *disk, GError **error)
{
  guint index;

  return !g_ptr_array_find (job->disks, disk, &index) || !job->facts[index].overlay_in_chain
         || !naming_needs_stop (disk->naming) || disk_plan_publish_overlay (disk, error);
}

/* The guest stands still: nothing it is told after this can be missing from the name. A disk
 * that has got its overlay is published whatever became of the others. */
void
backup_publish_late (GTask *step, gpointer user_data)
{
  Backup *job = user_data;

  if (job->point == POINT_UNKNOWN)
    backup_step_failed (step, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                               "it is not known whether QEMU took the point"));
  else if (backup_needs_stop (job))
    run_on_disks (step, job, publish_disk_late);
  else
    backup_step_done (step);
}
