/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how an image service is a store of images: its records as ours, its errors as ours. */

#include <image/stores.h>

#include <core/error.h>
#include <glance/clouds.h>
#include <glance/error.h>
#include <glance/images.h>
#include <glance/keystone.h>

#include <string.h>

#include "body.h"
#include "file-sink.h"
#include "glance-errors.h"
#include "pool.h"

struct _GlanceStore
{
  GObject         parent_instance;
  GlanceImages   *images;
  GlanceKeystone *keystone;     /* (nullable): somebody else renews our token, or there is none */
  ImagePool      *pool;
};

#define TYPE_GLANCE_STORE (glance_store_get_type ())
G_DECLARE_FINAL_TYPE (GlanceStore, glance_store, AGENT, GLANCE_STORE, GObject)

static void glance_store_interface_init (ImageStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (GlanceStore, glance_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TYPE_IMAGE_STORE,
                                                      glance_store_interface_init))

/* All that a thread needs for one verb; what it has nothing to do with stays NULL. */
typedef struct
{
  GlanceImages      *images;
  GlanceKeystone    *keystone;  /* (nullable) */
  char              *id;
  char              *token;
  GlanceImage       *image;
  ImageSource       *source;
  ImageInfo         *info;
  FileSink           file;
  ImagePoolProgress  progress;
} Request;

static void
request_free (gpointer data)
{
  Request *self = data;

  if (self->token != NULL)
    explicit_bzero (self->token, strlen (self->token));
  g_free (self->token);
  g_clear_object (&self->images);
  g_clear_object (&self->keystone);
  g_free (self->id);
  glance_image_free (self->image);
  g_clear_object (&self->source);
  image_info_free (self->info);
  g_free (self);
}

static Request *
request_new (GlanceStore *self,
             const char  *id,
             GTask       *task)
{
  Request *request = g_new0 (Request, 1);

  request->images = g_object_ref (self->images);
  g_set_object (&request->keystone, self->keystone);
  request->id = g_strdup (id);
  g_task_set_task_data (task, request, request_free);

  return request;
}

static void
copy_properties (GHashTable *from,
                 GHashTable *to)
{
  GHashTableIter iter;
  const char *name;
  const char *value;

  g_hash_table_iter_init (&iter, from);
  while (g_hash_table_iter_next (&iter, (gpointer *) &name, (gpointer *) &value))
    g_hash_table_insert (to, g_strdup (name), g_strdup (value));
}

static GlanceImage *
image_of_info (const ImageInfo *info)
{
  GlanceImage *image = glance_image_new ();

  image->id = g_strdup (info->id);
  image->name = g_strdup (info->name);
  image->disk_format = g_strdup (info->disk_format);
  image->hidden = info->hidden;
  image->min_disk = info->min_disk;
  image->min_ram = info->min_ram;
  copy_properties (info->properties, image->properties);

  return image;
}

static ImageInfo *
info_of_image (const GlanceImage *image)
{
  ImageInfo *info = image_info_new ();

  info->id = g_strdup (image->id);
  info->name = g_strdup (image->name);
  info->disk_format = g_strdup (image->disk_format);
  info->hidden = image->hidden;
  info->min_disk = image->min_disk;
  info->min_ram = image->min_ram;
  info->status = g_strdup (image->status);
  info->size = image->size;
  info->md5 = g_strdup (image->md5);
  info->sha512 = g_strdup (image->sha512);
  info->created_us = image->created_us;
  copy_properties (image->properties, info->properties);

  return info;
}

static void
return_boolean (GTask    *task,
                gboolean  done,
                GError   *error)
{
  if (done)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, glance_error_translate (error));
}

static void
return_image (GTask       *task,
              GlanceImage *found,
              GError      *error)
{
  g_autoptr (GlanceImage) image = found;

  if (image != NULL)
    g_task_return_pointer (task, info_of_image (image), (GDestroyNotify) image_info_free);
  else
    g_task_return_error (task, glance_error_translate (error));
}

/* As Nova does: whose the image is, and who made it. */
static gboolean
add_owner (Request       *request,
           GCancellable  *cancellable,
           GError       **error)
{
  GHashTable *properties = request->image->properties;
  g_autoptr (GlanceUser) user = NULL;

  if (request->keystone == NULL)
    return TRUE;

  user = glance_keystone_get_self (request->keystone, cancellable, error);
  if (user == NULL)
    return FALSE;

  if (!g_hash_table_contains (properties, "owner_id"))
    g_hash_table_insert (properties, g_strdup ("owner_id"), g_strdup (user->project_id));
  if (!g_hash_table_contains (properties, "user_id"))
    g_hash_table_insert (properties, g_strdup ("user_id"), g_strdup (user->user_id));

  return TRUE;
}

static void
create_work (GTask    *task,
             gpointer  data)
{
  Request *request = data;
  GCancellable *cancellable = g_task_get_cancellable (task);
  GError *error = NULL;
  gboolean done = add_owner (request, cancellable, &error)
                  && glance_images_create (request->images, request->image, cancellable, &error);

  return_boolean (task, done, error);
}

static void
glance_store_create (ImageStore      *store,
                     const ImageInfo *info,
                     GTask           *task)
{
  GlanceStore *self = AGENT_GLANCE_STORE (store);
  Request *request = request_new (self, info->id, task);

  request->image = image_of_info (info);
  image_pool_run (self->pool, task, create_work);
}

static void
on_progress (gint64   done,
             gint64   total,
             gpointer user_data)
{
  image_pool_progress (user_data, done, total);
}

static void
upload_work (GTask    *task,
             gpointer  data)
{
  Request *request = data;
  const GlanceBody body = image_body (request->source);
  GError *error = NULL;
  GlanceImage *image = glance_images_upload (request->images, request->id, &body, on_progress,
                                             &request->progress, g_task_get_cancellable (task),
                                             &error);

  return_image (task, image, error);
}

static void
glance_store_upload (ImageStore    *store,
                     const char    *id,
                     ImageSource   *source,
                     ImageProgress  progress,
                     gpointer       user_data,
                     GTask         *task)
{
  GlanceStore *self = AGENT_GLANCE_STORE (store);
  Request *request = request_new (self, id, task);

  request->source = g_object_ref (source);
  request->progress = (ImagePoolProgress) { .task = task, .callback = progress,
                                           .user_data = user_data };
  image_pool_run_transfer (self->pool, task, upload_work);
}

/* It was asked after some time ago, and somebody else may have made another of the same id. */
static gboolean
check_same (const ImageInfo    *before,
            const GlanceImage  *now,
            GError            **error)
{
  if (now->size == before->size && g_strcmp0 (now->md5, before->md5) == 0
      && g_strcmp0 (now->sha512, before->sha512) == 0
      && g_strcmp0 (now->disk_format, before->disk_format) == 0)
    return TRUE;

  agent_set_error (error, AGENT_ERROR_CONFLICT, "Ask for it again.",
                   "image %s is not any more what it was", before->id);

  return FALSE;
}

static void
download_work (GTask    *task,
               gpointer  data)
{
  Request *request = data;
  const GlanceSink sink = file_sink (&request->file);
  GError *error = NULL;
  g_autoptr (GlanceImage) image = glance_images_download (request->images, request->id, &sink,
                                                          on_progress, &request->progress,
                                                          g_task_get_cancellable (task), &error);
  gboolean done = image != NULL && check_same (request->info, image, &error)
                  && file_sink_finish (&request->file, &error);

  return_boolean (task, done, error);
}

static void
glance_store_download (ImageStore      *store,
                       const ImageInfo *info,
                       int              fd,
                       ImageProgress    progress,
                       gpointer         user_data,
                       GTask           *task)
{
  GlanceStore *self = AGENT_GLANCE_STORE (store);
  Request *request = request_new (self, info->id, task);

  request->info = image_info_copy (info);
  request->file.fd = fd;
  request->progress = (ImagePoolProgress) { .task = task, .callback = progress,
                                           .user_data = user_data };
  image_pool_run_transfer (self->pool, task, download_work);
}

static void
get_work (GTask    *task,
          gpointer  data)
{
  Request *request = data;
  GError *error = NULL;
  GlanceImage *image = glance_images_get (request->images, request->id,
                                          g_task_get_cancellable (task),
                                          &error);

  return_image (task, image, error);
}

static void
glance_store_get (ImageStore *store,
                  const char *id,
                  GTask      *task)
{
  GlanceStore *self = AGENT_GLANCE_STORE (store);

  request_new (self, id, task);
  image_pool_run (self->pool, task, get_work);
}

static void
list_work (GTask    *task,
           gpointer  data)
{
  Request *request = data;
  GError *error = NULL;
  g_autoptr (GPtrArray) images = glance_images_list (request->images,
                                                     g_task_get_cancellable (task), &error);
  GPtrArray *infos;

  if (images == NULL)
    {
      g_task_return_error (task, glance_error_translate (error));
      return;
    }

  infos = g_ptr_array_new_with_free_func ((GDestroyNotify) image_info_free);
  for (guint i = 0; i < images->len; i++)
    g_ptr_array_add (infos, info_of_image (images->pdata[i]));

  g_task_return_pointer (task, infos, (GDestroyNotify) g_ptr_array_unref);
}

static void
glance_store_list (ImageStore *store,
                   GTask      *task)
{
  GlanceStore *self = AGENT_GLANCE_STORE (store);

  request_new (self, NULL, task);
  image_pool_run (self->pool, task, list_work);
}

static void
remove_work (GTask    *task,
             gpointer  data)
{
  Request *request = data;
  GError *error = NULL;
  gboolean done = glance_images_delete (request->images, request->id,
                                        g_task_get_cancellable (task), &error);

  return_boolean (task, done, error);
}

static void
glance_store_remove (ImageStore *store,
                     const char *id,
                     GTask      *task)
{
  GlanceStore *self = AGENT_GLANCE_STORE (store);

  request_new (self, id, task);
  image_pool_run (self->pool, task, remove_work);
}

/* Takes @found, or @error. */
static void
return_user (GTask      *task,
             GlanceUser *found,
             GError     *error)
{
  g_autoptr (GlanceUser) user = found;
  ImageUser *known;

  if (user == NULL)
    {
      /* Not one that is about the daemon's own token. */
      if (g_error_matches (error, GLANCE_ERROR, GLANCE_ERROR_UNAUTHORIZED))
        g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_UNAUTHORIZED, "%s",
                                 error->message);
      else
        g_task_return_error (task, glance_error_translate (g_steal_pointer (&error)));
      g_clear_error (&error);
      return;
    }

  known = g_new0 (ImageUser, 1);
  known->user_id = g_steal_pointer (&user->user_id);
  known->project_id = g_steal_pointer (&user->project_id);
  known->roles = g_steal_pointer (&user->roles);
  known->is_ours = user->is_ours;
  g_task_return_pointer (task, known, (GDestroyNotify) image_user_free);
}

static void
identify_work (GTask    *task,
               gpointer  data)
{
  Request *request = data;
  GError *error = NULL;
  GlanceUser *user = glance_keystone_identify (request->keystone, request->token,
                                               g_task_get_cancellable (task), &error);

  return_user (task, user, error);
}

/* Who is known does not wait for those who are not. */
static void
glance_store_identify (ImageStore *store,
                       const char *token,
                       GTask      *task)
{
  GlanceStore *self = AGENT_GLANCE_STORE (store);
  GlanceUser *user;
  GError *error = NULL;
  Request *request;

  if (glance_keystone_recall (self->keystone, token, &user, &error))
    {
      return_user (task, user, error);
      return;
    }

  request = request_new (self, NULL, task);
  request->token = g_strdup (token);
  image_pool_run_stranger (self->pool, task, identify_work);
}

static gboolean
glance_store_can_identify (ImageStore *store)
{
  return AGENT_GLANCE_STORE (store)->keystone != NULL;
}

static const char *
glance_store_get_name (ImageStore *store)
{
  return "glance";
}

static void
glance_store_finalize (GObject *object)
{
  GlanceStore *self = AGENT_GLANCE_STORE (object);

  image_pool_free (self->pool);
  g_clear_object (&self->images);
  g_clear_object (&self->keystone);

  G_OBJECT_CLASS (glance_store_parent_class)->finalize (object);
}

static void
glance_store_class_init (GlanceStoreClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = glance_store_finalize;
}

static void
glance_store_interface_init (ImageStoreInterface *iface)
{
  iface->get_name = glance_store_get_name;
  iface->create = glance_store_create;
  iface->upload = glance_store_upload;
  iface->download = glance_store_download;
  iface->get = glance_store_get;
  iface->list = glance_store_list;
  iface->remove = glance_store_remove;
  iface->can_identify = glance_store_can_identify;
  iface->identify = glance_store_identify;
}

static void
glance_store_init (GlanceStore *self)
{
}

/* @images: its times and its ca_file are those of Keystone, too. */
static gboolean
open_cloud (GlanceStore                *self,
            const GlanceStoreSettings  *settings,
            GlanceSettings             *images,
            char                      **ca_file,
            GError                    **error)
{
  GlanceCloud *cloud = glance_cloud_load (settings->clouds_file, settings->cloud, error);

  if (cloud == NULL)
    return FALSE;

  for (guint i = 0; cloud->warnings[i] != NULL; i++)
    g_warning ("%s", cloud->warnings[i]);

  self->keystone = glance_keystone_new (cloud, images);
  *ca_file = g_strdup (images->ca_file != NULL ? images->ca_file : cloud->ca_file);
  images->ca_file = *ca_file;

  return TRUE;
}

static gboolean
open_images (GlanceStore                *self,
             const GlanceStoreSettings  *settings,
             GError                    **error)
{
  GlanceSettings images = { .url = settings->url, .ca_file = settings->ca_file,
                           .stall_s = settings->timeout_s,
                           .deadline_s = settings->deadline_s };
  g_autoptr (GlanceToken) token = NULL;
  g_autofree char *ca_file = NULL;

  if (settings->cloud != NULL)
    {
      if (!open_cloud (self, settings, &images, &ca_file, error))
        return FALSE;
      token = GLANCE_TOKEN (g_object_ref (self->keystone));
    }
  else if (settings->token_file != NULL)
    token = glance_token_file_new (settings->token_file);

  self->images = glance_images_new (&images, token, error);

  return self->images != NULL;
}

/**
 * glance_store_new:
 * @settings: where it is, who we are, how many uploads run at once, and how long to wait for it
 * @error: AGENT_ERROR_INVALID when the address is none, or the cloud is not described well
 *
 * Returns: (transfer full): the store; no service is asked yet
 */
ImageStore *
glance_store_new (const GlanceStoreSettings  *settings,
                  GError                    **error)
{
  g_autoptr (GlanceStore) self = g_object_new (TYPE_GLANCE_STORE, NULL);
  g_autoptr (GError) local_error = NULL;

  if (!open_images (self, settings, &local_error))
    {
      g_propagate_error (error, glance_error_translate (g_steal_pointer (&local_error)));
      return NULL;
    }

  self->pool = image_pool_new (settings->transfers, &local_error);
  if (self->pool == NULL)
    {
      g_propagate_error (error, agent_error_adopt (g_steal_pointer (&local_error)));
      return NULL;
    }

  return AGENT_IMAGE_STORE (g_steal_pointer (&self));
}
