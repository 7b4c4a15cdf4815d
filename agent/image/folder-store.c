/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a folder is a store of images: what each verb does with its files, in a thread. */

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <core/error.h>
#include <gio/gio.h>
#include <glance/pipe.h>
#include <image/stores.h>

#include "body.h"
#include "folder-files.h"

struct _FolderStore
{
  GObject    parent_instance;
  char      *path;
  ImagePool *pool;
};

#define TYPE_FOLDER_STORE (folder_store_get_type ())
G_DECLARE_FINAL_TYPE (FolderStore, folder_store, AGENT, FOLDER_STORE, GObject)

static void folder_store_interface_init (ImageStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (FolderStore, folder_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TYPE_IMAGE_STORE,
                                                      folder_store_interface_init))

/* All that a thread needs for one verb; those it has nothing to do with stay NULL. */
typedef struct
{
  char              *path;
  char              *id;
  ImageInfo         *info;
  ImageSource       *source;
  int                fd;
  ImagePoolProgress  progress;
} Request;

static void
request_free (gpointer data)
{
  Request *self = data;

  g_free (self->path);
  g_free (self->id);
  image_info_free (self->info);
  g_clear_object (&self->source);
  g_free (self);
}

/* Answers the task itself when @id is none; ids become parts of file names. */
static Request *
request_new (FolderStore *self,
             const char  *id,
             GTask       *task)
{
  Request *request;

  if (id != NULL && !g_uuid_string_is_valid (id))
    {
      g_task_return_error (task, agent_error_new (AGENT_ERROR_INVALID, NULL,
                                                  "\"%s\" is not an image's id: it must be a UUID",
                                                  id));
      return NULL;
    }

  request = g_new0 (Request, 1);
  request->path = g_strdup (self->path);
  request->id = g_strdup (id);
  g_task_set_task_data (task, request, request_free);

  return request;
}

static gboolean
is_same_property_set (GHashTable *a,
                      GHashTable *b)
{
  GHashTableIter iter;
  gpointer name;
  gpointer value;

  if (g_hash_table_size (a) != g_hash_table_size (b))
    return FALSE;

  g_hash_table_iter_init (&iter, a);
  while (g_hash_table_iter_next (&iter, &name, &value))
    {
      if (g_strcmp0 (g_hash_table_lookup (b, name), value) != 0)
        return FALSE;
    }

  return TRUE;
}

static gboolean
is_same_record (const ImageInfo *a,
                const ImageInfo *b)
{
  return g_strcmp0 (a->name, b->name) == 0
         && g_strcmp0 (a->disk_format, b->disk_format) == 0
         && a->hidden == b->hidden
         && a->min_disk == b->min_disk
         && a->min_ram == b->min_ram
         && is_same_property_set (a->properties, b->properties);
}

static gboolean
create (int         folder,
        ImageInfo  *info,
        GError    **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (ImageInfo) found = folder_read_record (folder, info->id, &local_error);

  if (found != NULL)
    {
      if (is_same_record (found, info))
        return TRUE;

      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "the id %s belongs to another image",
                       info->id);
      return FALSE;
    }
  if (!g_error_matches (local_error, AGENT_ERROR, AGENT_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }

  return folder_drop_parts (folder, info->id, error) && folder_write_record (folder, info, error);
}

static void
create_work (GTask    *task,
             gpointer  data)
{
  Request *request = data;
  GError *error = NULL;
  int folder = folder_open (request->path, &error);
  gboolean done = folder >= 0 && create (folder, request->info, &error);

  if (folder >= 0)
    close (folder);

  if (done)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
folder_store_create (ImageStore      *store,
                     const ImageInfo *info,
                     GTask           *task)
{
  FolderStore *self = AGENT_FOLDER_STORE (store);
  Request *request = request_new (self, info->id, task);

  if (request == NULL)
    return;

  if (!folder_knows_format (info->disk_format))
    {
      g_task_return_error (task, agent_error_new (AGENT_ERROR_INVALID, NULL,
                                                  "images are kept as qcow2 or raw, not as \"%s\"",
                                                  info->disk_format));
      return;
    }

  request->info = image_info_copy (info);
  request->info->size = -1;
  request->info->created_us = g_get_real_time ();
  g_free (request->info->status);
  request->info->status = g_strdup ("queued");
  g_clear_pointer (&request->info->md5, g_free);
  g_clear_pointer (&request->info->sha512, g_free);

  image_pool_run (self->pool, task, create_work);
}

/* Holes need no room. */
static gboolean
check_room (int           folder,
            ImageSource  *source,
            GError      **error)
{
  gint64 needed = image_source_get_allocated (source);
  struct statvfs fs;

  if (fstatvfs (folder, &fs) == 0 && (guint64) needed > (guint64) fs.f_bavail * fs.f_frsize)
    {
      agent_set_error (error, AGENT_ERROR_NO_SPACE,
                       "Remove images, or give the folder of images more room.",
                       "the image needs %" G_GINT64_FORMAT " MiB, "
                       "the folder of images has %" G_GUINT64_FORMAT
                       " MiB left", needed / (1024 * 1024),
                       (guint64) fs.f_bavail * fs.f_frsize / (1024 * 1024));
      return FALSE;
    }

  return TRUE;
}

/* The image is there already: from an upload whose end we did not live to see, or from another
 * one. */
static gboolean
has_these_bytes (const ImageInfo  *info,
                 ImageSource      *source,
                 GCancellable     *cancellable,
                 GError          **error)
{
  const GlanceBody body = image_body (source);
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  g_autoptr (GlancePipe) pipe = glance_pipe_new (&body, digest, cancellable);

  if (!glance_pipe_rewind (pipe, error) || !glance_pipe_finish (pipe, error))
    return FALSE;

  if (info->size != glance_digest_get_size (digest)
      || g_strcmp0 (info->md5, glance_digest_get_md5 (digest)) != 0
      || g_strcmp0 (info->sha512, glance_digest_get_sha512 (digest)) != 0)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "image %s holds other bytes already",
                       info->id);
      return FALSE;
    }

  return TRUE;
}

/* The image as the folder shows it to everybody, compared with what was written. */
static ImageInfo *
read_back (int               folder,
           const ImageInfo  *written,
           GError          **error)
{
  g_autoptr (ImageInfo) found = folder_read_record (folder, written->id, error);

  if (found == NULL)
    return NULL;

  if (!g_str_equal (found->status, "active") || found->size != written->size
      || g_strcmp0 (found->md5, written->md5) != 0
      || g_strcmp0 (found->sha512, written->sha512) != 0)
    {
      agent_set_error (error, AGENT_ERROR_STORE, NULL,
                       "image %s is not what was written: "
                       "it is \"%s\" and has %" G_GINT64_FORMAT " bytes",
                       found->id, found->status, found->size);
      return NULL;
    }

  return g_steal_pointer (&found);
}

static ImageInfo *
upload (int            folder,
        Request       *request,
        GCancellable  *cancellable,
        GError       **error)
{
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  g_autoptr (ImageInfo) info = folder_read_record (folder, request->id, error);

  if (info == NULL)
    return NULL;

  if (g_str_equal (info->status, "active"))
    {
      if (!has_these_bytes (info, request->source, cancellable, error))
        return NULL;

      return g_steal_pointer (&info);
    }

  if (!g_str_equal (info->status, "queued"))
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "Remove it and create another.",
                       "image %s is \"%s\" and takes no bytes", info->id, info->status);
      return NULL;
    }

  if (image_source_get_length (request->source) <= 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "there is nothing to upload to image %s: 0 bytes",
                       info->id);
      return NULL;
    }

  if (!check_room (folder, request->source, error)
      || !folder_write_data (folder, info, request->source, digest, &request->progress,
                             cancellable, error))
    return NULL;

  g_free (info->status);
  info->status = g_strdup ("active");
  info->size = glance_digest_get_size (digest);
  info->md5 = g_strdup (glance_digest_get_md5 (digest));
  info->sha512 = g_strdup (glance_digest_get_sha512 (digest));
  if (!folder_write_record (folder, info, error))
    return NULL;

  return read_back (folder, info, error);
}

static void
return_info (GTask     *task,
             int        folder,
             ImageInfo *info,
             GError    *error)
{
  if (folder >= 0)
    close (folder);

  if (info != NULL)
    g_task_return_pointer (task, info, (GDestroyNotify) image_info_free);
  else
    g_task_return_error (task, error);
}

static void
upload_work (GTask    *task,
             gpointer  data)
{
  Request *request = data;
  GError *error = NULL;
  int folder = folder_open (request->path, &error);
  ImageInfo *info = NULL;

  if (folder >= 0)
    info = upload (folder, request, g_task_get_cancellable (task), &error);

  return_info (task, folder, info, error);
}

static void
folder_store_upload (ImageStore    *store,
                     const char    *id,
                     ImageSource   *source,
                     ImageProgress  progress,
                     gpointer       user_data,
                     GTask         *task)
{
  FolderStore *self = AGENT_FOLDER_STORE (store);
  Request *request = request_new (self, id, task);

  if (request == NULL)
    return;

  request->source = g_object_ref (source);
  request->progress = (ImagePoolProgress) { .task = task, .callback = progress,
                                           .user_data = user_data };
  image_pool_run_transfer (self->pool, task, upload_work);
}

static void
download_work (GTask    *task,
               gpointer  data)
{
  Request *request = data;
  GError *error = NULL;
  int folder = folder_open (request->path, &error);
  gboolean done = folder >= 0
                  && folder_read_data (folder, request->info, request->fd, &request->progress,
                                       g_task_get_cancellable (task), &error);

  if (folder >= 0)
    close (folder);

  if (done)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
folder_store_download (ImageStore      *store,
                       const ImageInfo *info,
                       int              fd,
                       ImageProgress    progress,
                       gpointer         user_data,
                       GTask           *task)
{
  FolderStore *self = AGENT_FOLDER_STORE (store);
  Request *request = request_new (self, info->id, task);

  if (request == NULL)
    return;

  request->info = image_info_copy (info);
  request->fd = fd;
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
  int folder = folder_open (request->path, &error);
  ImageInfo *info = folder >= 0 ? folder_read_record (folder, request->id, &error) : NULL;

  return_info (task, folder, info, error);
}

static void
folder_store_get (ImageStore *store,
                  const char *id,
                  GTask      *task)
{
  FolderStore *self = AGENT_FOLDER_STORE (store);

  if (request_new (self, id, task) != NULL)
    image_pool_run (self->pool, task, get_work);
}

static gint
compare_age (gconstpointer a,
             gconstpointer b)
{
  const ImageInfo *left = *(ImageInfo *const *) a;
  const ImageInfo *right = *(ImageInfo *const *) b;

  return (left->created_us < right->created_us) - (left->created_us > right->created_us);
}

static void
list_work (GTask    *task,
           gpointer  data)
{
  Request *request = data;
  g_autoptr (GPtrArray) images = g_ptr_array_new_with_free_func ((GDestroyNotify) image_info_free);
  GError *error = NULL;
  int folder = folder_open (request->path, &error);
  g_autoptr (GDir) names = folder >= 0 ? g_dir_open (request->path, 0, &error) : NULL;
  const char *name;

  while (names != NULL && (name = g_dir_read_name (names)) != NULL
         && !g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    {
      g_autoptr (GError) local_error = NULL;
      g_autofree char *id = g_str_has_suffix (name, ".json")
                            ? g_strndup (name, strlen (name) - strlen (".json")) : NULL;
      ImageInfo *info;

      if (id == NULL || !g_uuid_string_is_valid (id))
        continue;

      info = folder_read_record (folder, id, &local_error);
      if (info != NULL)
        g_ptr_array_add (images, info);
      else
        g_debug ("%s is left out of the list: %s", name, local_error->message);
    }

  if (folder >= 0)
    close (folder);

  if (names == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  g_ptr_array_sort (images, compare_age);
  g_task_return_pointer (task, g_steal_pointer (&images), (GDestroyNotify) g_ptr_array_unref);
}

static void
folder_store_list (ImageStore *store,
                   GTask      *task)
{
  FolderStore *self = AGENT_FOLDER_STORE (store);

  if (request_new (self, NULL, task) != NULL)
    image_pool_run (self->pool, task, list_work);
}

static void
remove_work (GTask    *task,
             gpointer  data)
{
  Request *request = data;
  GError *error = NULL;
  int folder = folder_open (request->path, &error);
  gboolean done = folder >= 0 && folder_drop_image (folder, request->id, &error);

  if (folder >= 0)
    close (folder);

  if (done)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
folder_store_remove (ImageStore *store,
                     const char *id,
                     GTask      *task)
{
  FolderStore *self = AGENT_FOLDER_STORE (store);

  if (request_new (self, id, task) != NULL)
    image_pool_run (self->pool, task, remove_work);
}

static const char *
folder_store_get_name (ImageStore *store)
{
  return "folder";
}

static void
folder_store_finalize (GObject *object)
{
  FolderStore *self = AGENT_FOLDER_STORE (object);

  image_pool_free (self->pool);
  g_free (self->path);

  G_OBJECT_CLASS (folder_store_parent_class)->finalize (object);
}

static void
folder_store_class_init (FolderStoreClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = folder_store_finalize;
}

static void
folder_store_interface_init (ImageStoreInterface *iface)
{
  iface->get_name = folder_store_get_name;
  iface->create = folder_store_create;
  iface->upload = folder_store_upload;
  iface->download = folder_store_download;
  iface->get = folder_store_get;
  iface->list = folder_store_list;
  iface->remove = folder_store_remove;
}

static void
folder_store_init (FolderStore *self)
{
}

/**
 * folder_store_new:
 * @folder: where images are kept; made when it is not there
 * @transfers: how many uploads run at once
 * @error: AGENT_ERROR_STORE when the folder cannot be made or opened
 *
 * Returns: (transfer full): the store
 */
ImageStore *
folder_store_new (const char  *folder,
                  guint        transfers,
                  GError     **error)
{
  g_autoptr (FolderStore) self = g_object_new (TYPE_FOLDER_STORE, NULL);
  g_autofree char *action = g_strdup_printf ("make the folder of images %s", folder);
  g_autoptr (GError) local_error = NULL;
  int fd;

  if (g_mkdir_with_parents (folder, 0750) < 0)
    {
      folder_set_errno (error, errno, action);
      return NULL;
    }

  fd = folder_open (folder, error);
  if (fd < 0)
    return NULL;
  close (fd);

  self->path = g_strdup (folder);
  self->pool = image_pool_new (transfers, &local_error);
  if (self->pool == NULL)
    {
      g_propagate_error (error, agent_error_adopt (g_steal_pointer (&local_error)));
      return NULL;
    }

  return AGENT_IMAGE_STORE (g_steal_pointer (&self));
}
