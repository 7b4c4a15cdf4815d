/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which images have to be fetched: from the one that is asked for down through its parents,
 * until one stands alone, or a layer is here that holds what the image holds. */

#include "restore-steps.h"

#include <core/error.h>
#include <string.h>

#include "../image-records.h"

typedef struct
{
  Revert    *revert;
  GTask     *step;
  ChainLook *look;
  char      *next;              /* the id of the image that is asked for now */
} Search;

static void ask_next (Search *self);

/* Takes @self and @error. */
static void
search_over (Search *self, GError *error)
{
  self->revert->restore->found = error == NULL;
  revert_step_over (self->revert, self->step, error);
  g_clear_pointer (&self->look, chain_look_free);
  g_free (self->next);
  g_free (self);
}

/**
 * restore_check_image:
 * @info: an image's record
 * @parent: (out) (nullable) (transfer none): the image that it stands on
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether it can become a layer
 */
gboolean
restore_check_image (const ImageInfo *info, const char **parent, GError **error)
{
  gboolean is_raw = g_strcmp0 (info->disk_format, "raw") == 0;

  *parent = g_hash_table_lookup (info->properties, "qsnapd_parent");
  if (g_strcmp0 (info->status, "active") != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "image %s is \"%s\"", info->id,
                     info->status);
  else if (!is_raw && g_strcmp0 (info->disk_format, "qcow2") != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "convert it to qcow2",
                     "image %s is in the format %s", info->id, info->disk_format);
  else if (info->size <= 0 || (info->md5 == NULL && info->sha512 == NULL))
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "image %s has no bytes, or no hash that they could be compared with",
                     info->id);
  else if (*parent != NULL && (is_raw || !g_uuid_string_is_valid (*parent)))
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "image %s names a parent (qsnapd_parent) that it cannot stand on", info->id);
  else
    return TRUE;
  return FALSE;
}

/* --- a layer that is here --- */

static gboolean
point_in (const ChainLook *look, const FileFacts *facts, const PointDisk **found)
{
  for (guint i = 0; i < look->points->len; i++)
    {
      const Point *point = g_ptr_array_index (look->points, i);

      for (guint j = 0; j < point->disks->len; j++)
        {
          *found = g_ptr_array_index (point->disks, j);
          if ((*found)->dev == facts->dev && (*found)->ino == facts->ino)
            return TRUE;
        }
    }
  return FALSE;
}

/* Its format as QEMU, or the journal, has it: a header is no proof. NULL when somebody writes to
 * the file, nobody knows, or it is another disk's, which is not claimed. */
static const char *
format_of (const ChainLook *look, const char *name, const FileFacts *facts)
{
  const PointDisk *point_disk;

  for (guint i = 0; i < look->inspection->disks->len; i++)
    {
      const Disk *disk = g_ptr_array_index (look->inspection->disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        {
          const Layer *layer = g_ptr_array_index (disk->layers, j);

          if (layer->known && file_facts_agree (&layer->facts, facts))
            return j > 0 && strcmp (disk->name, name) == 0 ? layer->format : NULL;
        }
    }
  return point_in (look, facts, &point_disk) && strcmp (point_disk->disk, name) == 0
    ? point_disk->format : NULL;
}

/**
 * restore_find_proven:
 * @operations: the operations
 * @image_id: an image
 * @path: (out) (nullable): a layer that shows what it holds; %NULL: none is known, or it is not
 *   any more what it was
 * @facts: (out caller-allocates): the layer's file
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: whether the journal could be read
 */
gboolean
restore_find_proven (Operations *operations, const char *image_id, char **path, FileFacts *facts,
                     GError **error)
{
  g_autofree char *found = NULL;
  FileFacts recorded = { 0 };

  *path = NULL;
  if (!image_records_find_layer (operations_get_journal (operations),
                                 image_store_get_name (operations_get_store (operations)),
                                 image_id, &found, &recorded, error))
    return FALSE;
  if (found != NULL && files_look (found, facts, NULL) && !facts->block_device
      && file_facts_agree (facts, &recorded)
      && facts->size == recorded.size && facts->mtime_ns == recorded.mtime_ns)
    *path = g_steal_pointer (&found);
  return TRUE;
}

static gboolean
is_beside (const RevertDisk *disk, const char *path)
{
  g_autofree char *here = g_path_get_dirname (disk->published);
  g_autofree char *there = g_path_get_dirname (path);

  return strcmp (here, there) == 0;
}

/* FALSE without error when no layer here is proven to hold the image. */
static gboolean
find_here (Search *self, GError **error)
{
  Restore *restore = self->revert->restore;
  const RevertDisk *disk = g_ptr_array_index (self->revert->disks, 0);
  g_autofree char *path = NULL;
  FileFacts facts = { 0 };
  const char *format;

  if (!restore_find_proven (self->revert->operations, self->next, &path, &facts, error)
      || path == NULL || !is_beside (disk, path))
    return FALSE;
  format = format_of (self->look, disk->disk, &facts);
  if (format == NULL)
    return FALSE;
  restore->below_path = g_steal_pointer (&path);
  restore->below_image = g_strdup (self->next);
  restore->below_format = g_strdup (format);
  restore->below_dev = (gint64) facts.dev;
  restore->below_ino = (gint64) facts.ino;
  return TRUE;
}

/* --- from image to image --- */

static gboolean
is_listed (const Restore *restore, const char *id)
{
  for (guint i = 0; i < restore->images->len; i++)
    if (g_ascii_strcasecmp (((RestoreImage *) g_ptr_array_index (restore->images, i))->image_id, id)
        == 0)
      return TRUE;
  return FALSE;
}

/* Takes @next: (nullable): the id of a parent. */
static void
go_on (Search *self, char *next)
{
  Restore *restore = self->revert->restore;

  g_free (self->next);
  self->next = next;
  if (next == NULL)
    search_over (self, NULL);
  else if (is_listed (restore, next) || restore->images->len > IMAGE_PARENTS_MAX + 1)
    search_over (self, agent_error_new (AGENT_ERROR_CONFLICT, NULL,
                                        "the parents of image %s do not come to an end",
                                        restore->image_id));
  else
    ask_next (self);
}

/* Uploaded without its parents, it shows what its guest saw only where that layer itself is. */
static gboolean
check_not_alone (const ImageInfo *info, const char *parent, GError **error)
{
  if (parent != NULL
      || g_strcmp0 (g_hash_table_lookup (info->properties, "qsnapd_kind"), "layer") != 0)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                   "image %s is a layer alone: what it stands on was in no store (parents: ignore)",
                   info->id);
  return FALSE;
}

static void
on_image (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Search *self = user_data;
  g_autoptr (ImageInfo) info = NULL;
  const char *parent;
  RestoreImage *image;
  GError *error = NULL;

  info = image_store_get_finish (AGENT_IMAGE_STORE (source), result, &error);
  if (info == NULL || !restore_check_image (info, &parent, &error)
      || !check_not_alone (info, parent, &error))
    {
      search_over (self, error);
      return;
    }
  image = restore_image_new (info->id);
  image->format = g_strdup (info->disk_format);
  image->size = info->size;
  image->md5 = g_strdup (info->md5);
  image->sha512 = g_strdup (info->sha512);
  g_ptr_array_insert (self->revert->restore->images, 0, image);
  go_on (self, g_strdup (parent));
}

static void
ask_next (Search *self)
{
  Revert *revert = self->revert;
  GError *error = NULL;

  if (find_here (self, &error) || error != NULL)
    search_over (self, error);
  else
    image_store_get_async (operations_get_store (revert->operations), self->next,
                           g_task_get_cancellable (self->step), on_image, self);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Search *self = user_data;
  GError *error = NULL;

  self->look = chain_look_finish (result, &error);
  if (self->look == NULL)
    search_over (self, error);
  else
    ask_next (self);
}

void
restore_find_image (GTask *step, gpointer job)
{
  Revert *revert = job;
  Restore *restore = revert->restore;
  Search *self;

  if (revert->guest == NULL)
    {
      revert_step_over (revert, step, agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                                                       "the guest is not attached any more"));
      return;
    }
  g_ptr_array_set_size (restore->images, 0);
  g_clear_pointer (&restore->below_path, g_free);
  g_clear_pointer (&restore->below_image, g_free);
  g_clear_pointer (&restore->below_format, g_free);
  self = g_new0 (Search, 1);
  self->revert = revert;
  self->step = step;
  self->next = g_strdup (restore->image_id);
  chain_look_async (revert->operations, revert->guest, g_task_get_cancellable (step), on_looked,
                    self);
}
