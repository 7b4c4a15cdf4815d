/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the verbs of a store, and that whatever goes wrong in one is an AGENT_ERROR. */

#include <image/store.h>

#include <core/error.h>

G_DEFINE_INTERFACE (ImageStore, image_store, G_TYPE_OBJECT)

static void
image_store_default_init (ImageStoreInterface *iface)
{
}

/* Each finish function knows its own tasks by these. */
static char create_verb[] = "create image";
static char upload_verb[] = "upload image";
static char download_verb[] = "download image";
static char get_verb[] = "get image";
static char list_verb[] = "list images";
static char remove_verb[] = "remove image";
static char identify_verb[] = "identify user";

/* The task belongs to the caller; a store that answers later takes a reference. */
static GTask *
begin (ImageStore          *self,
       char                *verb,
       GCancellable        *cancellable,
       GAsyncReadyCallback  callback,
       gpointer             user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, verb);
  g_task_set_name (task, verb);

  return task;
}

static gboolean
finish_boolean (GAsyncResult  *result,
                GError       **error)
{
  g_autoptr (GError) local_error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &local_error))
    return TRUE;

  g_propagate_error (error, agent_error_adopt (g_steal_pointer (&local_error)));

  return FALSE;
}

static gpointer
finish_pointer (GAsyncResult  *result,
                GError       **error)
{
  g_autoptr (GError) local_error = NULL;
  gpointer found = g_task_propagate_pointer (G_TASK (result), &local_error);

  if (found == NULL)
    g_propagate_error (error, agent_error_adopt (g_steal_pointer (&local_error)));

  return found;
}

/**
 * image_store_get_name:
 * @self: a store
 *
 * Returns: (transfer none): what kind of store it is: "folder" or "glance"
 */
const char *
image_store_get_name (ImageStore *self)
{
  return AGENT_IMAGE_STORE_GET_IFACE (self)->get_name (self);
}

/**
 * image_store_create_async:
 * @self: a store
 * @info: the new image: id, name, disk_format, hidden, min_disk, min_ram and properties; copied
 * @cancellable: (nullable): ends it at any moment
 * @callback: called when the record is there
 * @user_data: for @callback
 *
 * Makes a record without bytes, status "queued". May be repeated with the same @info.
 */
void
image_store_create_async (ImageStore          *self,
                          const ImageInfo     *info,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr (GTask) task = begin (self, create_verb, cancellable, callback, user_data);

  AGENT_IMAGE_STORE_GET_IFACE (self)->create (self, info, task);
}

/**
 * image_store_create_finish:
 * @self: a store
 * @result: what @callback was given
 * @error: AGENT_ERROR_CONFLICT when the id belongs, or belonged, to another image;
 *   AGENT_ERROR_INVALID for a record that cannot be one; any of those in store.h
 *
 * Returns: whether the record is there
 */
gboolean
image_store_create_finish (ImageStore    *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, create_verb), FALSE);

  return finish_boolean (result, error);
}

/**
 * image_store_upload_async:
 * @self: a store
 * @id: of an image that was created
 * @source: its bytes; used in another thread until @callback is called
 * @progress: (nullable): told how far it is, in this thread; never after @callback
 * @progress_data: for @progress
 * @cancellable: (nullable): ends it at any moment
 * @callback: called when it is over
 * @user_data: for @callback
 */
void
image_store_upload_async (ImageStore          *self,
                          const char          *id,
                          ImageSource         *source,
                          ImageProgress        progress,
                          gpointer             progress_data,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr (GTask) task = begin (self, upload_verb, cancellable, callback, user_data);

  AGENT_IMAGE_STORE_GET_IFACE (self)->upload (self, id, source, progress, progress_data, task);
}

/**
 * image_store_upload_finish:
 * @self: a store
 * @result: what @callback was given
 * @error: AGENT_ERROR_NOT_FOUND when there is no such image; AGENT_ERROR_NO_SPACE;
 *   AGENT_ERROR_CONFLICT when it holds other bytes, or is lost; what @source said; any of those in
 *   store.h. The caller removes the image then.
 *
 * An image that holds these very bytes already is a success.
 *
 * Returns: (transfer full): the image, active, with the size and the hashes of @source
 */
ImageInfo *
image_store_upload_finish (ImageStore    *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, upload_verb), NULL);

  return finish_pointer (result, error);
}

/**
 * image_store_download_async:
 * @self: a store
 * @info: an image, as image_store_get_finish() gave it; copied
 * @fd: where its bytes go: a new file, open for writing until @callback is called; zeros become
 *   holes
 * @progress: (nullable): told how far it is, in this thread; never after @callback
 * @progress_data: for @progress
 * @cancellable: (nullable): ends it at any moment
 * @callback: called when it is over
 * @user_data: for @callback
 */
void
image_store_download_async (ImageStore          *self,
                            const ImageInfo     *info,
                            int                  fd,
                            ImageProgress        progress,
                            gpointer             progress_data,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  g_autoptr (GTask) task = begin (self, download_verb, cancellable, callback, user_data);

  if (g_strcmp0 (info->status, "active") != 0 || info->size <= 0
      || (info->md5 == NULL && info->sha512 == NULL))
    g_task_return_error (task, agent_error_new (AGENT_ERROR_CONFLICT, NULL,
                                                "image %s is \"%s\", and no bytes, or no hash of "
                                                "them, are there", info->id, info->status));
  else
    AGENT_IMAGE_STORE_GET_IFACE (self)->download (self, info, fd, progress, progress_data, task);
}

/**
 * image_store_download_finish:
 * @self: a store
 * @result: what @callback was given
 * @error: AGENT_ERROR_CONFLICT when the image is another one by now, or has no bytes;
 *   AGENT_ERROR_STORE when other bytes come than its record says; AGENT_ERROR_NO_SPACE; any of
 *   those in store.h
 *
 * Returns: whether the file holds the image, durably
 */
gboolean
image_store_download_finish (ImageStore    *self,
                             GAsyncResult  *result,
                             GError       **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, download_verb), FALSE);

  return finish_boolean (result, error);
}

/**
 * image_store_get_async:
 * @self: a store
 * @id: of an image
 * @cancellable: (nullable): ends it at any moment
 * @callback: called when it is known
 * @user_data: for @callback
 */
void
image_store_get_async (ImageStore          *self,
                       const char          *id,
                       GCancellable        *cancellable,
                       GAsyncReadyCallback  callback,
                       gpointer             user_data)
{
  g_autoptr (GTask) task = begin (self, get_verb, cancellable, callback, user_data);

  AGENT_IMAGE_STORE_GET_IFACE (self)->get (self, id, task);
}

/**
 * image_store_get_finish:
 * @self: a store
 * @result: what @callback was given
 * @error: AGENT_ERROR_NOT_FOUND, any of those in store.h
 *
 * Returns: (transfer full): the image as it is now
 */
ImageInfo *
image_store_get_finish (ImageStore    *self,
                        GAsyncResult  *result,
                        GError       **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, get_verb), NULL);

  return finish_pointer (result, error);
}

/**
 * image_store_list_async:
 * @self: a store
 * @cancellable: (nullable): ends it at any moment
 * @callback: called when they are known
 * @user_data: for @callback
 */
void
image_store_list_async (ImageStore          *self,
                        GCancellable        *cancellable,
                        GAsyncReadyCallback  callback,
                        gpointer             user_data)
{
  g_autoptr (GTask) task = begin (self, list_verb, cancellable, callback, user_data);

  AGENT_IMAGE_STORE_GET_IFACE (self)->list (self, task);
}

/**
 * image_store_list_finish:
 * @self: a store
 * @result: what @callback was given
 * @error: any of those in store.h
 *
 * Returns: (transfer full) (element-type ImageInfo): all images, newest first
 */
GPtrArray *
image_store_list_finish (ImageStore    *self,
                         GAsyncResult  *result,
                         GError       **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, list_verb), NULL);

  return finish_pointer (result, error);
}

/**
 * image_store_remove_async:
 * @self: a store
 * @id: of an image; no upload of ours to it may be under way
 * @cancellable: (nullable): ends it at any moment
 * @callback: called when it is gone
 * @user_data: for @callback
 */
void
image_store_remove_async (ImageStore          *self,
                          const char          *id,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr (GTask) task = begin (self, remove_verb, cancellable, callback, user_data);

  AGENT_IMAGE_STORE_GET_IFACE (self)->remove (self, id, task);
}

/**
 * image_store_remove_finish:
 * @self: a store
 * @result: what @callback was given
 * @error: AGENT_ERROR_CONFLICT when it is in use; any of those in store.h
 *
 * Returns: %TRUE when there is no such image any more, also when there was none
 */
gboolean
image_store_remove_finish (ImageStore    *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, remove_verb), FALSE);

  return finish_boolean (result, error);
}

/**
 * image_store_can_identify:
 * @self: a store
 *
 * Returns: whether it has an identity service, which knows people by their tokens
 */
gboolean
image_store_can_identify (ImageStore *self)
{
  ImageStoreInterface *iface = AGENT_IMAGE_STORE_GET_IFACE (self);

  return iface->can_identify != NULL && iface->can_identify (self);
}

/**
 * image_store_identify_async:
 * @self: a store
 * @token: what somebody showed us
 * @cancellable: (nullable): ends it at any moment
 * @callback: called when it is known
 * @user_data: for @callback
 */
void
image_store_identify_async (ImageStore          *self,
                            const char          *token,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  g_autoptr (GTask) task = begin (self, identify_verb, cancellable, callback, user_data);

  if (image_store_can_identify (self))
    AGENT_IMAGE_STORE_GET_IFACE (self)->identify (self, token, task);
  else
    g_task_return_error (task, agent_error_new (AGENT_ERROR_UNAUTHORIZED, NULL,
                                                "the store of images has no identity service"));
}

/**
 * image_store_identify_finish:
 * @self: a store
 * @result: what @callback was given
 * @error: AGENT_ERROR_UNAUTHORIZED when the token is nobody's, or not any more; any of those in
 *   store.h
 *
 * Returns: (transfer full): whose the token is
 */
ImageUser *
image_store_identify_finish (ImageStore    *self,
                             GAsyncResult  *result,
                             GError       **error)
{
  g_return_val_if_fail (g_async_result_is_tagged (result, identify_verb), NULL);

  return finish_pointer (result, error);
}
