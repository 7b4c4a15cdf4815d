/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how images become layers, the lowest first: fetched, compared with their records, put on
 * their parents, and only then given their names. What is there whole from a life before is left as
 * it is. */

#include "restore-steps.h"

#include <disk/names.h>
#include <disk/qemu-img.h>
#include <disk/space.h>
#include <unistd.h>

#include "../room.h"

#define REBASE_STALL_S 60

typedef struct
{
  Revert  *revert;
  GTask   *step;
  guint    index;               /* of the image that is fetched now */
  int      fd;                  /* of its file, or -1 */
  gboolean whole;               /* it is there already */
  gint64   reserve;             /* bytes that stay free beside them */
  gint64   total;               /* bytes, of all images */
  gint64   before;              /* bytes, of those that are here */
} Fetch;

typedef gboolean (*FetchWork) (Fetch *self, GError **error);

static void fetch_next (Fetch *self);

static RestoreImage *
image_of (const Fetch *self)
{
  return g_ptr_array_index (self->revert->restore->images, self->index);
}

static void
close_file (Fetch *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
}

/* Takes @self and @error. */
static void
fetch_over (Fetch *self, GError *error)
{
  close_file (self);
  revert_step_over (self->revert, self->step, error);
  g_free (self);
}

/* --- in a thread --- */

typedef struct
{
  Fetch     *fetch;
  FetchWork  work;
} Call;

static void
work_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Call *call = task_data;
  GError *error = NULL;

  if (call->work (call->fetch, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
run_work (Fetch *self, FetchWork work, GAsyncReadyCallback callback)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, self);
  Call *call = g_new0 (Call, 1);

  call->fetch = self;
  call->work = work;
  g_task_set_task_data (task, call, g_free);
  g_task_run_in_thread (task, work_in_thread);
}

/* What the image's header has to say; (nullable): it stands alone. */
static char *
backing_of (const Fetch *self, const char **format)
{
  const Restore *restore = self->revert->restore;
  const RestoreImage *below = self->index > 0
    ? g_ptr_array_index (restore->images, self->index - 1) : NULL;
  const char *path = below != NULL ? below->path : restore->below_path;

  *format = below != NULL ? below->format : restore->below_format;
  return path != NULL ? names_backing (image_of (self)->path, path) : NULL;
}

/* How much a raw image takes is not known before: it may have holes. */
static gboolean
check_room (const Fetch *self, GError **error)
{
  const RestoreImage *image = image_of (self);
  g_autoptr (GPtrArray) needs = g_ptr_array_new_with_free_func ((GDestroyNotify) space_need_free);

  if (g_strcmp0 (image->format, "qcow2") != 0
      || (space_add (needs, image->path, image->size, error)
          && space_check (needs, self->reserve, error)))
    return TRUE;
  g_prefix_error (error, "image %s does not fit: ", image->image_id);
  return FALSE;
}

static gboolean
prepare_file (Fetch *self, GError **error)
{
  const RevertDisk *disk = g_ptr_array_index (self->revert->disks, 0);
  const char *format;
  g_autofree char *backing = backing_of (self, &format);

  if (!restore_find_whole (image_of (self), backing, &self->whole, error))
    return FALSE;
  if (self->whole)
    return TRUE;
  if (!restore_drop_part (image_of (self), error) || !check_room (self, error))
    return FALSE;
  self->fd = restore_open_part (image_of (self), disk->published, error);
  return self->fd >= 0;
}

/* As it came: it stands on nothing yet. */
static gboolean
check_bytes (Fetch *self, GError **error)
{
  return restore_check_file (image_of (self), image_of (self)->part, NULL, error);
}

static gboolean
keep_file (Fetch *self, GError **error)
{
  const char *format;
  g_autofree char *backing = backing_of (self, &format);

  return restore_check_file (image_of (self), image_of (self)->part, backing, error)
         && restore_keep_part (image_of (self), error);
}

/* --- one image --- */

static void
image_over (Fetch *self)
{
  self->before += image_of (self)->size;
  operation_set_progress (self->revert->operation, self->before, self->total);
  self->index++;
  fetch_next (self);
}

static void
on_kept (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    image_over (user_data);
  else
    fetch_over (user_data, error);
}

static void
on_rebased (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  if (qemu_img_run_finish (result, &error))
    run_work (user_data, keep_file, on_kept);
  else
    fetch_over (user_data, error);
}

/* Only the header is written; nothing is read from the parent. */
static void
rebase (Fetch *self)
{
  const char *format;
  g_autofree char *backing = backing_of (self, &format);
  const char *arguments[] = {
    "rebase", "-u", "-f", image_of (self)->format, "-b", backing, "-F", format,
    image_of (self)->part, NULL
  };

  if (backing == NULL)
    run_work (self, keep_file, on_kept);
  else
    qemu_img_run_async (arguments, REBASE_STALL_S, NULL, NULL, g_task_get_cancellable (self->step),
                        on_rebased, self);
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    rebase (user_data);
  else
    fetch_over (user_data, error);
}

static void
on_fetched (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Fetch *self = user_data;
  GError *error = NULL;

  close_file (self);
  if (image_store_download_finish (AGENT_IMAGE_STORE (source), result, &error))
    run_work (self, check_bytes, on_checked);
  else
    fetch_over (self, error);
}

static void
on_progress (gint64 done, gint64 total, gpointer user_data)
{
  Fetch *self = user_data;

  operation_set_progress (self->revert->operation, self->before + done, self->total);
}

static void
on_prepared (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Fetch *self = user_data;
  g_autoptr (ImageInfo) info = NULL;
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      fetch_over (self, error);
      return;
    }
  if (self->whole)
    {
      image_over (self);
      return;
    }
  info = image_info_new ();
  info->id = g_strdup (image_of (self)->image_id);
  info->disk_format = g_strdup (image_of (self)->format);
  info->status = g_strdup ("active");
  info->size = image_of (self)->size;
  info->md5 = g_strdup (image_of (self)->md5);
  info->sha512 = g_strdup (image_of (self)->sha512);
  image_store_download_async (operations_get_store (self->revert->operations), info, self->fd,
                              on_progress, self, g_task_get_cancellable (self->step), on_fetched,
                              self);
}

static void
fetch_next (Fetch *self)
{
  if (self->index < self->revert->restore->images->len)
    run_work (self, prepare_file, on_prepared);
  else
    fetch_over (self, NULL);
}

void
restore_fetch (GTask *step, gpointer job)
{
  Fetch *self = g_new0 (Fetch, 1);
  GPtrArray *images;

  self->revert = job;
  self->step = step;
  self->fd = -1;
  self->reserve = room_reserve (operations_get_config (self->revert->operations), "restore");
  images = self->revert->restore->images;
  for (guint i = 0; i < images->len; i++)
    self->total += ((RestoreImage *) g_ptr_array_index (images, i))->size;
  fetch_next (self);
}
