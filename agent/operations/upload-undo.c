/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what becomes of the images of a backup that has failed: nobody may take them for one that
 * succeeded. */

#include "backup-steps.h"

#include "image-records.h"
#include "unwanted-images.h"

typedef struct
{
  Backup *job;
  GTask  *step;
  GStrv   images;
  guint   next;
  GError *away;                 /* (nullable): the store could not be asked: not asked again */
} Undoing;

static void delete_next (Undoing *self);

static void
undoing_finish (Undoing *self, GError *error)
{
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, error);
  g_strfreev (self->images);
  g_clear_error (&self->away);
  g_free (self);
}

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
forget (Undoing *self, const char *id)
{
  JsonObject *told = operation_get_result (self->job->operation);

  forget_id (json_object_get_member (told, "images"), "id", id, TRUE);
  forget_id (json_object_get_member (told, "disks"), "image_id", id, FALSE);
}

static void
tell_left (Undoing *self, const char *id)
{
  JsonObject *told = operation_get_result (self->job->operation);

  if (!json_object_has_member (told, "left_images"))
    json_object_set_array_member (told, "left_images", json_array_new ());
  json_array_add_string_element (json_object_get_array_member (told, "left_images"), id);
}

/* The disks are not held until a store is back: the image goes then. */
static gboolean
leave_for_later (Undoing *self, const char *id, const GError *why, GError **error)
{
  if (!unwanted_images_add (operations_get_unwanted_images (self->job->operations), id,
                            operation_get_id (self->job->operation), why, error))
    return FALSE;
  tell_left (self, id);
  return TRUE;
}

static void
on_deleted (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Undoing *self = user_data;
  const char *id = self->images[self->next];
  GError *error = NULL;
  gboolean done;

  if (image_store_remove_finish (AGENT_IMAGE_STORE (source), result, &self->away))
    done = image_records_remove (operations_get_journal (self->job->operations), id, &error);
  else
    done = leave_for_later (self, id, self->away, &error);
  if (!done)
    {
      undoing_finish (self, error);
      return;
    }
  forget (self, id);
  self->next++;
  delete_next (self);
}

static void
delete_next (Undoing *self)
{
  GError *error = NULL;

  for (; self->away != NULL && self->images[self->next] != NULL; self->next++)
    {
      if (!leave_for_later (self, self->images[self->next], self->away, &error))
        {
          undoing_finish (self, error);
          return;
        }
      forget (self, self->images[self->next]);
    }
  if (self->images[self->next] == NULL)
    undoing_finish (self, NULL);
  else
    image_store_remove_async (operations_get_store (self->job->operations),
                              self->images[self->next], NULL, on_deleted, self);
}

/* Deletes the point's images, whole or not, so that nobody takes them for a backup that
 * succeeded. Parents that went up whole stay: they are what they say, and the next backup need
 * not send them again. */
void
backup_delete_images (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  Undoing *self = g_new0 (Undoing, 1);
  g_autoptr (GStrvBuilder) images = g_strv_builder_new ();
  GError *error = NULL;

  self->job = job;
  self->step = step;
  for (guint i = 0; i < job->n_records; i++)
    {
      const UploadPlan *upload = g_ptr_array_index (job->uploads, i);
      gint64 size;

      if (!image_records_size (operations_get_journal (job->operations), upload->image_id, &size,
                               &error))
        {
          undoing_finish (self, error);
          return;
        }
      if (size < 0 || upload->is_point)
        g_strv_builder_add (images, upload->image_id);
    }
  self->images = g_strv_builder_end (images);
  delete_next (self);
}
