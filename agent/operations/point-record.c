/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a point, once taken, is written down. */

#include "backup-steps.h"

#include <core/error.h>

#include "points.h"

/* When a death of ours has lost the moment: the last write of the frozen layers cannot be later. */
static gint64
last_write_us (Backup *job)
{
  gint64 last = 0;

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);
      FileFacts facts = { 0 };

      if (files_look (disk->layer, &facts, NULL))
        last = MAX (last, facts.mtime_ns / 1000);
    }
  return last;
}

/* What a file is known by that nobody has written to since. A device tells nothing. */
static void
note_file (const char *path, gint64 *size, gint64 *mtime_ns)
{
  FileFacts facts = { 0 };

  if (*mtime_ns != 0 || !files_look (path, &facts, NULL) || facts.block_device)
    return;
  *size = (gint64) facts.size;
  *mtime_ns = facts.mtime_ns;
}

/* Of the frozen layers alone: others may use those below, and somebody touch them. */
static void
note_files (Backup *job)
{
  gint64 size;

  for (guint i = 0; i < job->disks->len; i++)
    {
      DiskPlan *disk = g_ptr_array_index (job->disks, i);

      note_file (disk->layer, &size, &disk->layer_mtime_ns);
    }
  for (guint i = 0; i < job->uploads->len; i++)
    {
      UploadPlan *upload = g_ptr_array_index (job->uploads, i);
      ImageLayer *frozen = upload->layers != NULL ? g_ptr_array_index (upload->layers, 0) : NULL;

      if (frozen != NULL)
        note_file (frozen->path, &frozen->size, &frozen->mtime_ns);
      else if (upload->is_point)
        note_file (upload->path, &upload->size, &upload->mtime_ns);
    }
}

static void
tell_result (Backup *job)
{
  JsonObject *result = operation_get_result (job->operation);
  g_autoptr (JsonArray) disks = json_array_new ();
  static const char *const words[] = { "not asked", "no", "no" };

  if (!job->folds)
    json_object_set_string_member (result, "point", operation_get_id (job->operation));
  json_object_set_string_member (result, "quiesced",
                                 job->frozen ? "yes" : words[job->quiesce_policy]);
  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *plan = g_ptr_array_index (job->disks, i);
      JsonObject *disk = json_object_new ();

      json_object_set_string_member (disk, "disk", plan->disk);
      json_object_set_string_member (disk, "path", plan->published);
      json_object_set_string_member (disk, "layer", plan->layer);
      json_object_set_string_member (disk, "overlay", plan->overlay);
      json_array_add_object_element (disks, disk);
    }
  json_object_set_array_member (result, "disks", g_steal_pointer (&disks));
}

void
backup_record_point (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  GError *error = NULL;

  if (job->point == POINT_TAKEN && job->point_us == 0)
    job->point_us = last_write_us (job);
  if (job->point == POINT_UNKNOWN)
    backup_step_failed (step, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                               "it is not known whether QEMU took the point"));
  else if (job->point == POINT_NOT_TAKEN)
    backup_step_done (step);
  /* What is folded back is no point that stays. */
  else if (job->folds || points_record (operations_get_journal (job->operations), job, &error))
    {
      tell_result (job);
      note_files (job);
      backup_save_plan (job, operation_get_plan (job->operation));
      backup_step_done (step);
    }
  else
    backup_step_failed (step, error);
}
