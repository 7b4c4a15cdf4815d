/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how frozen layers become images: all records first, then the bytes, parents before
 * children. What was uploaded whole is in the journal at once and is not sent again. */

#include "backup-steps.h"

#include <core/error.h>
#include <string.h>

#include "image-properties.h"
#include "image-records.h"
#include "points.h"
#include "told.h"

/* A walk over the uploads, one asynchronous call after the other. */
typedef struct
{
  Backup *job;
  GTask       *step;
  guint        next;
  ImageSource *source;          /* of the upload under way */
  FileFacts    facts;           /* of its layer */
  gint64       done;            /* bytes of the uploads before */
  gint64       total;
  char       **stale;           /* images to be deleted */
} Uploads;

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
  g_strfreev (self->stale);
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
static void delete_next (Uploads *self);

/* --- image records --- */

static void
on_created (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Uploads *self = user_data;
  GError *error = NULL;

  if (!image_store_create_finish (AGENT_IMAGE_STORE (source), result, &error))
    {
      /* Who is not let in has made nothing, and could not delete it either. */
      if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_UNAUTHORIZED))
        self->job->n_records = self->next;
      g_prefix_error (&error, "image %s: ", current (self)->image_id);
      uploads_finish (self, error);
      return;
    }
  tell_image (self->job, current (self), -1);
  self->next++;
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

/* Gives what is not uploaded yet new ids, and those who name them as parents the new ones;
 * returns the old ids. An id that was deleted once is never free again in Glance. */
static char **
renew_ids (Backup *job, Journal *journal, GError **error)
{
  g_autoptr (GStrvBuilder) stale = g_strv_builder_new ();

  for (guint i = 0; i < job->uploads->len; i++)
    {
      UploadPlan *upload = g_ptr_array_index (job->uploads, i);
      g_autofree char *old = g_strdup (upload->image_id);
      gint64 size;

      if (!image_records_size (journal, old, &size, error))
        return NULL;
      if (size >= 0)
        continue;
      g_strv_builder_add (stale, old);
      g_free (upload->image_id);
      upload->image_id = upload_image_id (operation_get_id (job->operation), i,
                                          (guint) job->attempt);
      for (guint j = i + 1; j < job->uploads->len; j++)
        {
          UploadPlan *child = g_ptr_array_index (job->uploads, j);
          g_autoptr (GString) chain = g_string_new (child->chain);

          if (g_strcmp0 (child->parent_image, old) == 0)
            {
              g_free (child->parent_image);
              child->parent_image = g_strdup (upload->image_id);
            }
          g_string_replace (chain, old, upload->image_id, 0);
          g_free (child->chain);
          child->chain = g_string_free (g_steal_pointer (&chain), FALSE);
        }
    }
  return g_strv_builder_end (stale);
}

static void
on_stale_deleted (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Uploads *self = user_data;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    create_next (self);
  else
    uploads_finish (self, error);
}

void
backup_create_images (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  Uploads *self = uploads_new (step, job);
  Uploads *deletion;
  GError *error = NULL;

  if (job->attempt == 0)
    {
      job->n_records = 0;
      create_next (self);
      return;
    }
  deletion = uploads_new (g_task_new (NULL, NULL, on_stale_deleted, self), job);
  deletion->stale = renew_ids (job, journal_of (self), &error);
  backup_save_plan (job, operation_get_plan (job->operation));
  if (deletion->stale == NULL)
    uploads_finish (deletion, error);
  else
    delete_next (deletion);
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

/* --- after a failure --- */

/* What was told of an image that is gone: of the objects whose @member is @id, the member, or with
 * @whole the object. */
static void
forget_id (JsonNode *node, const char *member, const char *id, gboolean whole)
{
  JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node)
                                                                  : NULL;

  for (guint i = array != NULL ? json_array_get_length (array) : 0; i-- > 0;)
    {
      JsonObject *object = json_array_get_object_element (array, i);

      if (g_strcmp0 (json_object_get_string_member_with_default (object, member, NULL), id) != 0)
        continue;
      if (whole)
        json_array_remove_element (array, i);
      else
        json_object_remove_member (object, member);
    }
}

static void
on_deleted (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Uploads *self = user_data;
  JsonObject *told = operation_get_result (self->job->operation);
  GError *error = NULL;

  if (!image_store_remove_finish (AGENT_IMAGE_STORE (source), result, &error)
      || !image_records_remove (journal_of (self), self->stale[self->next], &error))
    {
      uploads_finish (self, error);
      return;
    }
  forget_id (json_object_get_member (told, "images"), "id", self->stale[self->next], TRUE);
  forget_id (json_object_get_member (told, "disks"), "image_id", self->stale[self->next], FALSE);
  self->next++;
  delete_next (self);
}

static void
delete_next (Uploads *self)
{
  const char *id = self->stale[self->next];

  if (id == NULL)
    uploads_finish (self, NULL);
  else
    image_store_remove_async (operations_get_store (self->job->operations), id, NULL, on_deleted,
                              self);
}

/* Deletes the point's images, whole or not, so that nobody takes them for a backup that
 * succeeded. Parents that went up whole stay: they are what they say, and the next backup need
 * not send them again. */
void
backup_delete_images (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  Uploads *self = uploads_new (step, job);
  g_autoptr (GStrvBuilder) stale = g_strv_builder_new ();
  GError *error = NULL;

  for (guint i = 0; i < job->n_records; i++)
    {
      const UploadPlan *upload = g_ptr_array_index (job->uploads, i);
      gint64 size;

      if (!image_records_size (journal_of (self), upload->image_id, &size, &error))
        {
          uploads_finish (self, error);
          return;
        }
      if (size < 0 || upload->is_point)
        g_strv_builder_add (stale, upload->image_id);
    }
  self->stale = g_strv_builder_end (stale);
  delete_next (self);
}
