/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a mirror does to files: the target is made, made durable, or taken back. */

#include "mirror.h"

#include <core/error.h>
#include <disk/qcow2.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void
set_errno (GError **error, int number, const char *path, const char *what)
{
  agent_set_error (error, number == ENOSPC ? AGENT_ERROR_NO_SPACE : AGENT_ERROR_CONFLICT, NULL,
                   "%s: %s: %s", path, what, g_strerror (number));
}

/* A qcow2 that holds nothing yet; NULL without error for a raw one. */
static GBytes *
empty_image (const MirrorJob *self, GError **error)
{
  if (g_strcmp0 (self->format, "qcow2") != 0)
    return NULL;
  return qcow2_empty_overlay ((guint64) self->virtual_size, self->backing_name,
                              self->backing_format, error);
}

/* A device may be named by a symbolic link. */
static gboolean
sync_path (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  int saved = fd < 0 || fsync (fd) != 0 ? errno : 0;

  if (fd >= 0)
    close (fd);
  if (saved != 0)
    set_errno (error, saved, path, "cannot be written out");
  return saved == 0;
}

static gboolean
create_file (MirrorJob *self, GBytes *image, GError **error)
{
  g_autoptr (GBytes) nothing = g_bytes_new_static ("", 0);
  FileFacts facts = { 0 };
  gboolean ok = files_create (self->path, image != NULL ? image : nothing, self->like, &facts,
                              error);

  mirror_job_pivot (self)->to_dev = (gint64) facts.dev;
  mirror_job_pivot (self)->to_ino = (gint64) facts.ino;
  self->file_known = facts.ino != 0;
  if (!ok)
    return FALSE;
  if (image != NULL)
    return TRUE;
  if (truncate (self->path, (off_t) self->virtual_size) == 0)
    return sync_path (self->path, error);
  set_errno (error, errno, self->path, "cannot be given its size");
  return FALSE;
}

/* What anybody else uses keeps its bytes. A raw one gets none before QEMU has it, and its locks. */
static gboolean
prepare_device (MirrorJob *self, GBytes *image, GError **error)
{
  const Pivot *pivot = mirror_job_pivot (self);
  int fd = files_claim_device (self->path, (guint64) pivot->to_dev, (guint64) pivot->to_ino, error);
  gconstpointer bytes;
  gsize length = 0, done = 0;
  int saved = 0;

  if (fd < 0)
    return FALSE;
  bytes = image != NULL ? g_bytes_get_data (image, &length) : NULL;
  while (saved == 0 && done < length)
    {
      gssize n = pwrite (fd, (const char *) bytes + done, length - done, (off_t) done);

      if (n > 0)
        done += (gsize) n;
      else if (n == 0 || errno != EINTR)
        saved = n == 0 ? ENOSPC : errno;
    }
  if (saved == 0 && image != NULL && fsync (fd) != 0)
    saved = errno;
  close (fd);
  if (saved != 0)
    set_errno (error, saved, self->path, "cannot be written to");
  return saved == 0;
}

static gboolean
create (MirrorJob *self, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (GBytes) image = empty_image (self, &problem);

  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  switch (self->target)
    {
    case MIRROR_TO_FILE:
      return create_file (self, image, error);
    case MIRROR_TO_DEVICE:
      return prepare_device (self, image, error);
    case MIRROR_TO_NBD:
    default:
      return TRUE;
    }
}

static void
create_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (create (task_data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_created (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) step = user_data;
  MirrorJob *job = g_task_get_task_data (G_TASK (result));
  GError *error = NULL;

  mirror_job_save (job, operation_get_plan (job->operation));
  if (g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_boolean (step, TRUE);
  else
    g_task_return_error (step, error);
}

void
mirror_create (GTask *step, gpointer job)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_created, step);

  g_task_set_task_data (task, job, NULL);
  g_task_run_in_thread (task, create_in_thread);
}

/* Whether it is the file that we made; a death while it was made leaves only its name, and that it
 * holds nothing, to know it by. */
static gboolean
is_ours (MirrorJob *self, const FileFacts *facts)
{
  const Pivot *pivot = mirror_job_pivot (self);
  g_autoptr (GBytes) image = NULL;

  if (self->file_known)
    return file_facts_are (facts, pivot->to_dev, pivot->to_ino);
  image = empty_image (self, NULL);
  return image != NULL ? files_contain (self->path, image)
                       : facts->allocated == 0
                         && (facts->size == 0 || facts->size == (guint64) self->virtual_size);
}

/**
 * mirror_remove_file:
 * @self: a job that has come to nothing
 * @error: return location: AGENT_ERROR CONFLICT while somebody has it open, INTERNAL
 *
 * Blocks.
 *
 * Returns: whether a target that we made is gone
 */
gboolean
mirror_remove_file (MirrorJob *self, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts facts = { 0 };
  gboolean in_use = FALSE;

  if (self->target != MIRROR_TO_FILE)
    return TRUE;
  if (!files_look (self->path, &facts, &problem))
    {
      if (problem == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (!is_ours (self, &facts))
    return TRUE;
  if (!files_in_use (self->path, &in_use, error))
    return FALSE;
  if (!in_use)
    return files_remove (self->path, facts.dev, facts.ino, error);
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "%s is still open somewhere", self->path);
  return FALSE;
}

/**
 * mirror_sync_file:
 * @self: a job whose copy is whole
 * @error: return location: AGENT_ERROR NO_SPACE, CONFLICT
 *
 * Blocks.
 *
 * Returns: whether the copy is durable, as far as it is a file or a device here
 */
gboolean
mirror_sync_file (MirrorJob *self, GError **error)
{
  return self->target == MIRROR_TO_NBD || sync_path (self->path, error);
}
