/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how frozen layers become images: all records first, then the bytes, parents before
 * children. What was uploaded whole is in the journal at once and is not sent again. What was cut
 * off by a death of ours is sent again from its beginning, as the image that it was to be: whoever
 * was told its id finds it. */

#include "backup-steps.h"

#include <core/error.h>

#include "image-properties.h"
#include "image-records.h"
#include "points.h"
#include "told.h"
#include "unwanted-images.h"

/* How often one image is created, and sent, under another id. */
#define RENEWALS 2

typedef struct _Uploads Uploads;

/* A walk over the uploads, one asynchronous call after the other. */
struct _Uploads
{
  Backup      *job;
  GTask       *step;
  guint        next;
  ImageSource *source;          /* of the upload under way */
  FileFacts    facts;           /* of its layer */
  gint64       done;            /* bytes of the uploads before */
  gint64       total;
  guint        renewals;        /* of the id of the record that is created */
  gboolean     uploading;       /* else it is the records' turn; or was, when an id was renewed, */
  guint        dead;            /* so often for the sake of the bytes of */
  guint        upload;          /* this one */
};

static Uploads *
uploads_new (GTask *step, Backup *job)
{
  Uploads *self = g_new0 (Uploads, 1);

  self->job = job;
  self->step = step;
  return self;
}

static void
uploads_finish (Uploads *self, GError *error)
{
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, error);
  g_clear_object (&self->source);
  g_free (self);
}

static UploadPlan *
current (Uploads *self)
{
  return self->next < self->job->uploads->len
    ? g_ptr_array_index (self->job->uploads, self->next) : NULL;
}

static Journal *
journal_of (Uploads *self)
{
  return operations_get_journal (self->job->operations);
}

/* Whether the current upload is whole already, from before a restart; @size is -1 when it is
 * not. */
static gboolean
is_uploaded (Uploads *self, gint64 *size, GError **error)
{
  return image_records_size (journal_of (self), current (self)->image_id, size, error);
}

static ImageInfo *
describe (Backup *job, const UploadPlan *upload)
{
  JsonNode *metadata = json_object_get_member (operation_get_request (job->operation), "metadata");

  return image_properties_describe (upload, operation_get_id (job->operation),
                                    operation_get_guest (job->operation),
                                    job->guest != NULL ? guest_get_uuid (job->guest) : NULL,
                                    metadata != NULL && JSON_NODE_HOLDS_OBJECT (metadata)
                                      ? json_node_get_object (metadata) : NULL);
}

/* The point's disks name their images too, once they are whole. */
static void
tell_disk_image (Backup *job, const UploadPlan *upload)
{
  JsonObject *disk = told_find (job->operation, "disks", "disk", upload->disk);

  if (disk != NULL)
    json_object_set_string_member (disk, "image_id", upload->image_id);
}

/* @size: -1 while only its record is there. */
static void
tell_image (Backup *job, const UploadPlan *upload, gint64 size)
{
  JsonObject *result = operation_get_result (job->operation);
  JsonObject *image = told_find (job->operation, "images", "id", upload->image_id);

  if (!json_object_has_member (result, "images"))
    json_object_set_array_member (result, "images", json_array_new ());
  if (image == NULL)
    {
      image = json_object_new ();
      json_array_add_object_element (json_object_get_array_member (result, "images"), image);
    }
  json_object_set_string_member (image, "id", upload->image_id);
  json_object_set_string_member (image, "name", upload->name);
  json_object_set_string_member (image, "disk", upload->disk);
  json_object_set_string_member (image, "format", upload->format);
  json_object_set_boolean_member (image, "is_point", upload->is_point);
  if (upload->parent_image != NULL)
    json_object_set_string_member (image, "parent", upload->parent_image);
  if (size < 0)
    return;
  json_object_set_int_member (image, "size", size);
  if (upload->is_point)
    tell_disk_image (job, upload);
}

static void create_next (Uploads *self);
static void upload_next (Uploads *self);

/* --- another id --- */

/* Glance leaves an image dead when it dies itself while it takes the bytes, and an id that was used
 * up is never free again. Of a full image the id is what was promised, and the image is not made
 * under another one. */
static gboolean
may_renew (const Uploads *self, guint renewals, const GError *error)
{
  return g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT) && !self->job->folds
         && renewals < RENEWALS;
}

static void
on_plan_saved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Uploads *self = user_data;
  GError *error = NULL;

  if (engine_save_plan_finish (AGENT_ENGINE (source), result, &error))
    create_next (self);
  else
    uploads_finish (self, error);
}

static void
tell_renewal (Backup *job, const char *old, const char *new)
{
  JsonObject *image = told_find (job->operation, "images", "id", old);

  if (image == NULL)
    return;
  json_object_set_string_member (image, "id", new);
  json_object_set_string_member (image, "replaces", old);
}

/* Those above name it as their parent. Where they have records already these are others then, and
 * their ids are renewed as well. */
static void
rename_parent (Backup *job, guint from, const char *old, const char *new)
{
  for (guint i = from; i < job->uploads->len; i++)
    {
      UploadPlan *child = g_ptr_array_index (job->uploads, i);
      g_autoptr (GString) chain = g_string_new (child->chain);

      if (g_strcmp0 (child->parent_image, old) == 0)
        {
          g_free (child->parent_image);
          child->parent_image = g_strdup (new);
        }
      g_string_replace (chain, old, new, 0);
      g_free (child->chain);
      child->chain = g_string_free (g_steal_pointer (&chain), FALSE);
    }
}

/* Gives the current upload another id, and creates it when the journal knows that. What is left of
 * the old image goes by itself. */
static void
renew (Uploads *self, const GError *why)
{
  Backup *job = self->job;
  UploadPlan *upload = current (self);
  const char *operation = operation_get_id (job->operation);
  g_autofree char *old = g_steal_pointer (&upload->image_id);
  GError *error = NULL;

  job->attempt++;
  upload->image_id = upload_image_id (operation, self->next, (guint) job->attempt);
  g_message ("image %s of operation %s is made anew as %s: %s", old, operation, upload->image_id,
             why->message);
  rename_parent (job, self->next + 1, old, upload->image_id);
  tell_renewal (job, old, upload->image_id);
  backup_save_plan (job, operation_get_plan (job->operation));
  if (!unwanted_images_add (operations_get_unwanted_images (job->operations), old, operation, NULL,
                            &error))
    {
      uploads_finish (self, error);
      return;
    }
  engine_save_plan_async (operations_get_engine (job->operations), job->operation, on_plan_saved,
                          self);
}

/* --- image records --- */

static void
on_created (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Uploads *self = user_data;
  GError *error = NULL;

  if (!image_store_create_finish (AGENT_IMAGE_STORE (source), result, &error))
    {
      if (may_renew (self, self->renewals, error))
        {
          self->renewals++;
          renew (self, error);
          g_error_free (error);
          return;
        }
      /* Who is not let in has made nothing, and could not delete it either. */
      if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_UNAUTHORIZED) && !self->job->taken_up
          && self->job->n_records == self->next + 1)
        self->job->n_records = self->next;
      g_prefix_error (&error, "image %s: ", current (self)->image_id);
      uploads_finish (self, error);
      return;
    }
  tell_image (self->job, current (self), -1);
  self->next++;
  self->renewals = 0;
  create_next (self);
}

static void
create_next (Uploads *self)
{
  g_autoptr (ImageInfo) info = NULL;
  gint64 size = -1;
  GError *error = NULL;

  while (current (self) != NULL && is_uploaded (self, &size, &error) && size >= 0)
    self->next++;
  if (error == NULL && current (self) == NULL && self->uploading)
    {
      self->next = self->upload;
      upload_next (self);
      return;
    }
  if (error != NULL || current (self) == NULL)
    {
      uploads_finish (self, error);
      return;
    }
  self->job->n_records = MAX (self->job->n_records, self->next + 1);
  info = describe (self->job, current (self));
  image_store_create_async (operations_get_store (self->job->operations), info,
                            g_task_get_cancellable (self->step), on_created, self);
}

void
backup_create_images (GTask *step, gpointer user_data)
{
  Backup *job = user_data;

  if (!job->taken_up)
    job->n_records = 0;
  create_next (uploads_new (step, job));
}

/* --- bytes --- */

static void
on_progress (gint64 done, gint64 total, gpointer user_data)
{
  Uploads *self = user_data;

  operation_set_progress (self->job->operation, self->done + done, self->total);
}

/* Whether nobody has written to a layer since it was frozen. A full image's source sees to that
 * itself. */
static gboolean
check_layer (const UploadPlan *upload, FileFacts *facts, GError **error)
{
  if (upload->layers != NULL)
    return TRUE;
  if (!files_look (upload->path, facts, error))
    return FALSE;
  if (upload->mtime_ns == 0
      || (upload->mtime_ns == facts->mtime_ns && upload->size == (gint64) facts->size))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "take another point",
                   "the layer %s was written to since it was frozen", upload->path);
  return FALSE;
}

static gboolean
record_upload (Uploads *self, const ImageInfo *info, GError **error)
{
  Backup *job = self->job;
  const UploadPlan *upload = current (self);
  Journal *journal = journal_of (self);

  if (!journal_begin (journal, error))
    return FALSE;
  if (image_records_add (journal, image_store_get_name (operations_get_store (job->operations)),
                         operation_get_guest (job->operation), upload, &self->facts, info, error)
      && unwanted_images_forget (journal, upload->image_id, error)
      && (!upload->is_point
          || points_set_image (journal, operation_get_id (job->operation), upload->disk,
                               upload->image_id, error)))
    return journal_commit (journal, error);
  journal_rollback (journal);
  return FALSE;
}

static void
on_uploaded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Uploads *self = user_data;
  g_autoptr (ImageInfo) info = NULL;
  GError *error = NULL;

  info = image_store_upload_finish (AGENT_IMAGE_STORE (source), result, &error);
  if (info == NULL && may_renew (self, self->dead, error)
      && check_layer (current (self), &self->facts, NULL))
    {
      g_clear_object (&self->source);
      self->dead++;
      self->upload = self->next;
      renew (self, error);
      g_error_free (error);
      return;
    }
  if (info == NULL || !check_layer (current (self), &self->facts, &error)
      || !record_upload (self, info, &error))
    {
      g_prefix_error (&error, "image %s of disk %s: ", current (self)->image_id,
                      current (self)->disk);
      uploads_finish (self, error);
      return;
    }
  tell_image (self->job, current (self), info->size);
  self->done += image_source_get_length (self->source);
  g_clear_object (&self->source);
  self->next++;
  self->dead = 0;
  upload_next (self);
}

/* A full image holds no layer: its record names no file. */
static ImageSource *
open_source (Uploads *self, const UploadPlan *upload, GError **error)
{
  g_autoptr (ImageSource) source = NULL;

  self->facts = (FileFacts) { 0 };
  if (upload->layers != NULL)
    return g_object_ref (g_ptr_array_index (self->job->sources, self->next));
  source = layer_source_open (upload->path, (guint64) upload->dev, (guint64) upload->ino,
                              upload->format, upload->has_backing, error);
  if (source == NULL || !check_layer (upload, &self->facts, error))
    return NULL;
  return g_steal_pointer (&source);
}

static void
upload_next (Uploads *self)
{
  const UploadPlan *upload;
  gint64 size = -1;
  GError *error = NULL;

  while (current (self) != NULL && is_uploaded (self, &size, &error) && size >= 0)
    {
      tell_image (self->job, current (self), size);
      self->done += size;
      self->next++;
    }
  upload = current (self);
  if (error != NULL || upload == NULL)
    {
      uploads_finish (self, error);
      return;
    }
  self->source = open_source (self, upload, &error);
  if (self->source == NULL)
    {
      uploads_finish (self, error);
      return;
    }
  image_store_upload_async (operations_get_store (self->job->operations), upload->image_id,
                            self->source, on_progress, self, g_task_get_cancellable (self->step),
                            on_uploaded, self);
}

void
backup_upload (GTask *step, gpointer user_data)
{
  Uploads *self = uploads_new (step, user_data);

  self->uploading = TRUE;
  for (guint i = 0; i < self->job->uploads->len; i++)
    {
      const UploadPlan *upload = g_ptr_array_index (self->job->uploads, i);
      ImageSource *source = g_ptr_array_index (self->job->sources, i);
      FileFacts facts = { 0 };

      if (source != NULL)
        self->total += image_source_get_length (source);
      else if (upload->layers == NULL && files_look (upload->path, &facts, NULL))
        self->total += (gint64) facts.size;
    }
  upload_next (self);
}
