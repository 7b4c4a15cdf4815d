/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <image/info.h>
#include <image/source.h>
#include <image/user.h>

G_BEGIN_DECLS

/* Where images go: a folder, or Glance. The caller chooses the id, so that a repeat is recognised;
 * creating comes before the bytes, and deleting what is already gone is success. Errors are
 * AGENT_ERROR: NOT_FOUND, CONFLICT (the id is taken by another image), NO_SPACE (also a quota),
 * UNAUTHORIZED, UNAVAILABLE, TIMEOUT, STORE (with what the store said). */

#define TYPE_IMAGE_STORE (image_store_get_type ())
G_DECLARE_INTERFACE (ImageStore, image_store, AGENT, IMAGE_STORE, GObject)

/* Called in the thread of the main loop, a few times a second at most. */
typedef void (*ImageProgress) (gint64 done, gint64 total, gpointer user_data);

struct _ImageStoreInterface
{
  GTypeInterface parent;
  const char *(*get_name) (ImageStore *self);
  void        (*create)   (ImageStore *self, const ImageInfo *info, GTask *task);
  void        (*upload)   (ImageStore *self, const char *id, ImageSource *source,
                           ImageProgress progress, gpointer user_data, GTask *task);
  void        (*download) (ImageStore *self, const ImageInfo *info, int fd,
                           ImageProgress progress, gpointer user_data, GTask *task);
  void        (*get)      (ImageStore *self, const char *id, GTask *task);
  void        (*list)     (ImageStore *self, GTask *task);
  void        (*remove)   (ImageStore *self, const char *id, GTask *task);
  gboolean    (*can_identify) (ImageStore *self);                               /* (nullable) */
  void        (*identify) (ImageStore *self, const char *token, GTask *task);   /* (nullable) */
};

/* "folder" or "glance"; kept beside each image's record. */
const char  *image_store_get_name      (ImageStore *self);

void         image_store_create_async  (ImageStore *self, const ImageInfo *info,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
gboolean     image_store_create_finish (ImageStore *self, GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Sends all of @source, hashing on the way, and has what the store says afterwards compared with
 * it: success means an active image with our size, md5 and sha512. */
void         image_store_upload_async  (ImageStore *self, const char *id, ImageSource *source,
                                        ImageProgress progress, gpointer progress_data,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
/* (transfer full): the image as the store has it now. */
ImageInfo   *image_store_upload_finish (ImageStore *self, GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes all bytes of an active image to @fd, a new file that stays open until then. Success: it
 * has the size and the hashes of @info, and is on the disk. AGENT_ERROR_CONFLICT when the image is
 * not (any more) what @info says. */
void         image_store_download_async  (ImageStore *self, const ImageInfo *info, int fd,
                                        ImageProgress progress, gpointer progress_data,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
gboolean     image_store_download_finish (ImageStore *self, GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

void         image_store_get_async     (ImageStore *self, const char *id,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
ImageInfo   *image_store_get_finish    (ImageStore *self, GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* (element-type ImageInfo) (transfer full), newest first. */
void         image_store_list_async    (ImageStore *self, GCancellable *cancellable,
                                        GAsyncReadyCallback callback, gpointer user_data);
GPtrArray   *image_store_list_finish   (ImageStore *self, GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

void         image_store_remove_async  (ImageStore *self, const char *id,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
gboolean     image_store_remove_finish (ImageStore *self, GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether the store has an identity service that knows people by their tokens. */
gboolean     image_store_can_identify  (ImageStore *self);
/* (transfer full): whose @token is. AGENT_ERROR_UNAUTHORIZED when it is nobody's, or no longer. */
void         image_store_identify_async  (ImageStore *self, const char *token,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);
ImageUser   *image_store_identify_finish (ImageStore *self, GAsyncResult *result,
                                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
