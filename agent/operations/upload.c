/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how frozen layers become images: all records first, then the bytes, parents before
 * children. What was uploaded whole is in the journal at once and is not sent again. */

#include "quick-backup.h"

#include <core/error.h>
#include <string.h>

#include "image-records.h"
#include "points.h"

/* A walk over the uploads, one asynchronous call after the other. */
typedef struct
{
  QuickBackup *job;
  GTask       *step;
  guint        next;
  ImageSource *source;          /* of the upload under way */
  FileFacts    facts;           /* of its layer */
  gint64       done;            /* bytes of the uploads before */
  gint64       total;
  char       **stale;           /* images to be deleted */
} Uploads;

static Uploads *
uploads_new (GTask *step, QuickBackup *job)
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
    quick_backup_step_done (self->step);
  else
    quick_backup_step_failed (self->step, error);
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
describe (QuickBackup *job, const UploadPlan *upload)
{
  ImageInfo *info = image_info_new ();
  JsonObject *request = operation_get_request (job->operation);
  JsonNode *node = json_object_get_member (request, "metadata");
  g_autofree char *size = g_strdup_printf ("%" G_GINT64_FORMAT, upload->virtual_size);
  const char *last = strrchr (upload->chain, ',');
  g_autoptr (GList) names = NULL;
  JsonObject *metadata = NULL;

  info->id = g_strdup (upload->image_id);
  info->name = g_strdup (upload->name);
  info->disk_format = g_strdup (upload->format);
  info->hidden = upload->has_backing;
  info->min_disk = (upload->virtual_size + (1 << 30) - 1) >> 30;

  if (upload->is_point && node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    metadata = json_node_get_object (node);
  names = metadata != NULL ? json_object_get_members (metadata) : NULL;
  for (GList *l = names; l != NULL; l = l->next)
    image_info_set (info, l->data, json_object_get_string_member (metadata, l->data));

  image_info_set (info, "image_type", "snapshot");
  if (job->guest != NULL && guest_get_uuid (job->guest) != NULL)
    image_info_set (info, "instance_uuid", guest_get_uuid (job->guest));
  if (*upload->chain != '\0')
    image_info_set (info, "base_image_ref", last != NULL ? last + 1 : upload->chain);
  image_info_set (info, "qsnapd_kind", upload->has_backing ? "layer" : "base");
  image_info_set (info, "qsnapd_guest", operation_get_guest (job->operation));
  image_info_set (info, "qsnapd_disk", upload->disk);
  image_info_set (info, "qsnapd_virtual_size", size);
  if (upload->is_point)
    image_info_set (info, "qsnapd_point", operation_get_id (job->operation));
  if (upload->parent_image != NULL)
    {
      image_info_set (info, "qsnapd_parent", upload->parent_image);
      image_info_set (info, "qsnapd_chain", upload->chain);
    }
  return info;
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
      g_prefix_error (&error, "image %s: ", current (self)->image_id);
      uploads_finish (self, error);
      return;
    }
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
  info = describe (self->job, current (self));
  image_store_create_async (operations_get_store (self->job->operations), info,
                            g_task_get_cancellable (self->step), on_created, self);
}

/* Gives what is not uploaded yet new ids, and those who name them as parents the new ones;
 * returns the old ids. An id that was deleted once is never free again in Glance. */
static char **
renew_ids (QuickBackup *job, Journal *journal, GError **error)
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
quick_backup_create_images (GTask *step, gpointer user_data)
{
  QuickBackup *job = user_data;
  Uploads *self = uploads_new (step, job);
  Uploads *deletion;
  GError *error = NULL;

  if (job->attempt == 0)
    {
      create_next (self);
      return;
    }
  deletion = uploads_new (g_task_new (NULL, NULL, on_stale_deleted, self), job);
  deletion->stale = renew_ids (job, journal_of (self), &error);
  quick_backup_save_plan (job, operation_get_plan (job->operation));
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

/* The point's disks name their images too. */
static void
tell_disk_image (JsonObject *result, const UploadPlan *upload)
{
  JsonNode *node = json_object_get_member (result, "disks");
  JsonArray *disks = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node)
                                                                  : NULL;

  for (guint i = 0; disks != NULL && i < json_array_get_length (disks); i++)
    {
      JsonObject *disk = json_array_get_object_element (disks, i);

      if (g_strcmp0 (json_object_get_string_member (disk, "disk"), upload->disk) == 0)
        json_object_set_string_member (disk, "image_id", upload->image_id);
    }
}

static void
tell_image (QuickBackup *job, const UploadPlan *upload, gint64 size)
{
  JsonObject *result = operation_get_result (job->operation);
  JsonObject *image = json_object_new ();

  if (!json_object_has_member (result, "images"))
    json_object_set_array_member (result, "images", json_array_new ());
  json_object_set_string_member (image, "id", upload->image_id);
  json_object_set_string_member (image, "name", upload->name);
  json_object_set_string_member (image, "disk", upload->disk);
  json_object_set_boolean_member (image, "is_point", upload->is_point);
  if (upload->parent_image != NULL)
    json_object_set_string_member (image, "parent", upload->parent_image);
  json_object_set_int_member (image, "size", size);
  if (upload->is_point)
    tell_disk_image (result, upload);
  json_array_add_object_element (json_object_get_array_member (result, "images"), image);
}

static gboolean
record_upload (Uploads *self, const ImageInfo *info, GError **error)
{
  QuickBackup *job = self->job;
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
  if (info == NULL || !record_upload (self, info, &error))
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
  self->source = layer_source_open (upload->path, (guint64) upload->dev, (guint64) upload->ino,
                                    upload->format, upload->has_backing, &error);
  if (self->source == NULL || !files_look (upload->path, &self->facts, &error))
    {
      uploads_finish (self, error);
      return;
    }
  image_store_upload_async (operations_get_store (self->job->operations), upload->image_id,
                            self->source, on_progress, self, g_task_get_cancellable (self->step),
                            on_uploaded, self);
}

void
quick_backup_upload (GTask *step, gpointer user_data)
{
  Uploads *self = uploads_new (step, user_data);

  for (guint i = 0; i < self->job->uploads->len; i++)
    {
      const UploadPlan *upload = g_ptr_array_index (self->job->uploads, i);
      FileFacts facts = { 0 };

      if (files_look (upload->path, &facts, NULL))
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
quick_backup_delete_images (GTask *step, gpointer user_data)
{
  QuickBackup *job = user_data;
  Uploads *self = uploads_new (step, job);
  g_autoptr (GStrvBuilder) stale = g_strv_builder_new ();
  GError *error = NULL;

  for (guint i = 0; i < job->uploads->len; i++)
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
