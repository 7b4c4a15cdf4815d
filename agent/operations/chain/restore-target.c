/* SPDX-License-Identifier: Apache-2.0 */

/* Knows where a disk goes once its image is here, and how that is remembered. */

#include "restore-steps.h"
#include "revert-plan.h"

#include <core/error.h>

#include "../image-records.h"
#include "../snapshot-plan.h"

static Disk *
find_disk (const RevertDisk *plan, GPtrArray *disks, GError **error)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      const Layer *active = disk_get_active (disk);

      if (active != NULL && active->known
          && file_facts_are (&active->facts, plan->from_dev, plan->from_ino))
        return disk;
    }
  agent_set_error (error, AGENT_ERROR_CONFLICT, "try again",
                   "disk %s has another active layer by now", plan->disk);
  return NULL;
}

/* The layers that came, on what is here. */
static void
open_images (RevertDisk *plan, const Restore *restore, const char *operation)
{
  for (guint i = 0; i < restore->images->len; i++)
    {
      const RestoreImage *image = g_ptr_array_index (restore->images, i);
      g_autofree char *suffix = g_strdup_printf ("-l%u", plan->opens->len);
      g_autofree char *file_suffix = g_strdup_printf ("-l%uf", plan->opens->len);
      g_autofree char *node = snapshot_node_name (operation, 0, suffix);
      g_autofree char *file_node = snapshot_node_name (operation, 0, file_suffix);

      g_ptr_array_add (plan->opens,
                       revert_layer_new (image->path, image->format, (guint64) image->dev,
                                         (guint64) image->ino, node, file_node));
      g_free (plan->to_path);
      g_free (plan->to_format);
      plan->to_path = g_strdup (image->path);
      plan->to_format = g_strdup (image->format);
      plan->to_size = image->virtual_size;
    }
}

/**
 * restore_check_size:
 * @image: an image's id
 * @size: bytes that it shows; 0: not known
 * @disk: the disk of a guest that runs
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * A device keeps its size while its guest runs.
 *
 * Returns: whether the image can be in its place
 */
gboolean
restore_check_size (const char *image, gint64 size, const RevertDisk *disk, GError **error)
{
  if (size <= disk->from_size)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "name the disk that it is meant for (disk); if it is this one, make that larger "
                   "before",
                   "image %s shows %" G_GINT64_FORMAT " bytes, disk %s has %" G_GINT64_FORMAT,
                   image, size, disk->disk, disk->from_size);
  return FALSE;
}

/* A smaller image gets zeros behind it. */
static gboolean
choose_size (Revert *self, RevertDisk *plan, GError **error)
{
  if (!self->offline
      && !restore_check_size (self->restore->image_id, plan->to_size, plan, error))
    return FALSE;
  plan->to_size = MAX (plan->to_size, plan->from_size);
  return TRUE;
}

/* The proof was of some time ago: somebody may have written to the layer while others came. */
static gboolean
check_below (Revert *self, GError **error)
{
  const Restore *restore = self->restore;
  g_autofree char *path = NULL;
  FileFacts facts = { 0 };

  if (!restore_find_proven (self->operations, restore->below_image, &path, &facts, error))
    return FALSE;
  if (path != NULL && file_facts_are (&facts, restore->below_dev, restore->below_ino))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "ask for it again",
                   "%s was changed while the image was fetched", restore->below_path);
  return FALSE;
}

static gboolean
set_target (Revert *self, const ChainLook *look, GError **error)
{
  const Restore *restore = self->restore;
  RevertDisk *plan = g_ptr_array_index (self->disks, 0);
  const char *operation = operation_get_id (self->operation);
  Disk *disk = find_disk (plan, look->inspection->disks, error);

  if (disk == NULL)
    return FALSE;
  g_ptr_array_set_size (plan->opens, 0);
  g_ptr_array_set_size (plan->leaves, 0);
  g_clear_pointer (&plan->base_node, g_free);
  if (restore->below_path == NULL)
    revert_plan_leave_all (plan, disk);
  else if (!check_below (self, error)
           || !revert_plan_target (plan, 0, operation, look, disk, (guint64) restore->below_dev,
                                (guint64) restore->below_ino, restore->below_format, error))
    return FALSE;
  open_images (plan, restore, operation);
  return choose_size (self, plan, error);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  g_autoptr (ChainLook) look = NULL;
  GError *error = NULL;

  look = chain_look_finish (result, &error);
  if (look != NULL && look->offline != self->offline)
    error = agent_error_new (AGENT_ERROR_CONFLICT, "ask for it again",
                             "the guest was %s while its image was fetched",
                             look->offline ? "shut off" : "started");
  else if (look != NULL && set_target (self, look, &error))
    g_clear_error (&error);
  revert_step_over (self, step, error);
}

void
restore_find_target (GTask *step, gpointer job)
{
  Revert *self = job;

  if (self->guest == NULL)
    {
      revert_step_over (self, step, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                                     "the guest is not attached any more"));
      return;
    }
  g_task_set_task_data (step, self, NULL);
  chain_look_async (self->operations, self->guest, g_task_get_cancellable (step), on_looked, step);
}

/* --- remembered --- */

/* So that the disk's next image needs no more than what is written from now on. */
static gboolean
record (Revert *self, const RestoreImage *image, char *parent, GError **error)
{
  const RevertDisk *plan = g_ptr_array_index (self->disks, 0);
  ImageStore *store = operations_get_store (self->operations);
  g_autofree char *held = NULL;
  FileFacts facts = { 0 };
  const UploadPlan upload = {
    .image_id = image->image_id,
    .disk = plan->disk,
    .path = image->path,
    .format = image->format,
    .parent_image = parent,
  };
  const ImageInfo info = { .size = image->size, .md5 = image->md5, .sha512 = image->sha512 };

  /* Another layer that is known to hold it stays the one that is known. */
  if (!restore_find_proven (self->operations, image->image_id, &held, &facts, error))
    return FALSE;
  return held != NULL || !files_look (image->path, &facts, NULL)
         || image_records_add (operations_get_journal (self->operations),
                               image_store_get_name (store),
                               operation_get_guest (self->operation), &upload, &facts, &info,
                               error);
}

/* The image below one of those that came; NULL: it stands alone. */
static char *
parent_of (const Restore *restore, guint index)
{
  const RestoreImage *below = index > 0 ? g_ptr_array_index (restore->images, index - 1) : NULL;

  return below != NULL ? below->image_id : restore->below_image;
}

void
restore_record_image (GTask *step, gpointer job)
{
  Revert *self = job;
  const Restore *restore = self->restore;
  GError *error = NULL;

  for (guint i = 0; self->switched_us != 0 && i < restore->images->len; i++)
    if (!record (self, g_ptr_array_index (restore->images, i), parent_of (restore, i), &error))
      break;
  revert_step_over (self, step, error);
}
