/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when the frozen chains of full images are open for reading: from the map of what is in
 * them, which tells how long the images will be, until their layers are written to again. */

#include "backup-steps.h"

typedef struct
{
  Backup *job;
  GTask  *step;
  guint   next;
} Sources;

static void open_next (Sources *self);
static void close_next (Sources *self);

static void
sources_finish (Sources *self, GError *error)
{
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, error);
  g_free (self);
}

static void
on_open (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Sources *self = user_data;
  const UploadPlan *upload = g_ptr_array_index (self->job->uploads, self->next);
  GError *error = NULL;
  ImageSource *chain = flat_source_open_finish (result, &error);

  if (chain == NULL)
    {
      g_prefix_error (&error, "disk %s: ", upload->disk);
      sources_finish (self, error);
      return;
    }
  g_ptr_array_index (self->job->sources, self->next) = chain;
  self->next++;
  open_next (self);
}

static void
open_next (Sources *self)
{
  const Config *config = operations_get_config (self->job->operations);
  const UploadPlan *upload = NULL;

  while (self->next < self->job->uploads->len)
    {
      upload = g_ptr_array_index (self->job->uploads, self->next);
      if (upload->layers != NULL && g_ptr_array_index (self->job->sources, self->next) == NULL)
        break;
      self->next++;
    }
  if (self->next == self->job->uploads->len)
    sources_finish (self, NULL);
  else
    flat_source_open_async (upload->layers, upload->format, config->storage_daemon,
                            config->state_folder, g_task_get_cancellable (self->step), on_open,
                            self);
}

void
backup_open_sources (GTask *step, gpointer user_data)
{
  Sources *self = g_new0 (Sources, 1);

  self->job = user_data;
  self->step = step;
  open_next (self);
}

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Sources *self = user_data;

  image_source_close_finish (AGENT_IMAGE_SOURCE (source), result);
  g_clear_object (&g_ptr_array_index (self->job->sources, self->next));
  self->next++;
  close_next (self);
}

static void
close_next (Sources *self)
{
  while (self->next < self->job->sources->len
         && g_ptr_array_index (self->job->sources, self->next) == NULL)
    self->next++;
  if (self->next == self->job->sources->len)
    sources_finish (self, NULL);
  else
    image_source_close_async (g_ptr_array_index (self->job->sources, self->next), on_closed, self);
}

/* Returns when no process of ours reads a layer any more. */
void
backup_close_sources (GTask *step, Backup *job)
{
  Sources *self = g_new0 (Sources, 1);

  self->job = job;
  self->step = step;
  close_next (self);
}
