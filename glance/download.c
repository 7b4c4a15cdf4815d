/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when the bytes of an image are here: all of them, and with the hashes of its record. What
 * was cut off begins anew; what is wrong is an error. */

#include "error-private.h"
#include "images-private.h"
#include "retry.h"

typedef struct
{
  GlanceImages      *images;
  const GlanceImage *image;
  const GlanceSink  *sink;
  GlanceDigest      *digest;
  GlanceProgress     progress;
  gpointer           progress_data;
  gint64             received;
} Download;

static void
set_mismatch (GError         **error,
              const Download  *self,
              const char      *what)
{
  glance_set_error (error, GLANCE_ERROR_MISMATCH, "image %s is not what its record says: %s",
                    self->image->id, what);
}

/* More than there should be is not written. */
static gboolean
take (gpointer     data,
      const void  *bytes,
      gsize        size,
      GError     **error)
{
  Download *self = data;

  if ((gint64) size > self->image->size - self->received)
    {
      set_mismatch (error, self, "the image service sends more bytes than it has");
      return FALSE;
    }
  if (!self->sink->write (self->sink->data, bytes, size, error))
    return FALSE;

  glance_digest_update (self->digest, bytes, size);
  self->received += (gint64) size;
  if (self->progress != NULL)
    self->progress (self->received, self->image->size, self->progress_data);

  return TRUE;
}

/* Hashes that the service does not have cannot differ; but one of them it must have. */
static gboolean
check_record (const GlanceImage  *image,
              GError            **error)
{
  if (g_strcmp0 (image->status, "active") != 0)
    glance_set_error (error, GLANCE_ERROR_CONFLICT, "image %s is \"%s\": it has no bytes to give",
                      image->id, image->status);
  else if (image->size <= 0)
    glance_set_error (error, GLANCE_ERROR_CONFLICT, "image %s has no bytes", image->id);
  else if (image->md5 == NULL && image->sha512 == NULL)
    glance_set_error (error, GLANCE_ERROR_MISMATCH,
                      "image %s has no hash that its bytes could be compared with", image->id);
  else
    return TRUE;

  return FALSE;
}

static gboolean
check_bytes (Download  *self,
             GError   **error)
{
  const GlanceImage *image = self->image;

  if (self->received != image->size)
    set_mismatch (error, self, "bytes are missing at its end");
  else if ((image->md5 != NULL
            && g_ascii_strcasecmp (image->md5, glance_digest_get_md5 (self->digest)) != 0)
           || (image->sha512 != NULL
               && g_ascii_strcasecmp (image->sha512, glance_digest_get_sha512 (self->digest)) != 0))
    set_mismatch (error, self, "its bytes have another hash");
  else
    return TRUE;

  return FALSE;
}

/* *@again: whether it is worth another attempt. */
static gboolean
fetch_once (Download      *self,
            gint64         deadline,
            gboolean      *again,
            GCancellable  *cancellable,
            GError       **error)
{
  const GlanceSink sink = { .write = take, .data = self };
  g_autofree char *path = glance_images_path (self->image->id, "/file", error);
  g_autofree char *action = g_strdup_printf ("download image %s", self->image->id);
  g_autoptr (HttpAnswer) answer = NULL;
  g_autoptr (GError) failure = NULL;

  *again = FALSE;
  if (path == NULL || !self->sink->rewind (self->sink->data, error))
    return FALSE;

  self->received = 0;
  glance_digest_reset (self->digest);
  answer = service_fetch (glance_images_get_service (self->images), path, &sink, self->image->id,
                          deadline, cancellable, &failure);
  *again = retry_is_worth_it (answer, failure);
  if (answer == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return FALSE;
    }
  if (answer->status != 200)
    {
      glance_set_answer_error (error, answer, action);
      return FALSE;
    }

  return check_bytes (self, error);
}

static gboolean
fetch_until_done (Download      *self,
                  gint64         deadline,
                  GCancellable  *cancellable,
                  GError       **error)
{
  Service *service = glance_images_get_service (self->images);

  for (guint attempt = 1; ; attempt++)
    {
      g_autoptr (GError) failure = NULL;
      gboolean again;

      if (fetch_once (self, deadline, &again, cancellable, &failure))
        return TRUE;
      if (!again || attempt == RETRY_ATTEMPTS)
        {
          glance_propagate_attempts (error, g_steal_pointer (&failure), attempt);
          return FALSE;
        }

      g_debug ("image %s is fetched again: %s", self->image->id, failure->message);
      if (!service_back_off (service, attempt, failure, deadline, cancellable, error))
        return FALSE;
    }
}

/**
 * glance_images_download:
 * @self: the service
 * @id: of an image
 * @sink: where its bytes go; rewound before the first is written, and again for each further
 *   attempt
 * @progress: (nullable): told in this thread how far it is
 * @progress_data: for @progress
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR_NOT_FOUND; _CONFLICT when the image has no bytes; _MISMATCH when others
 *   arrive than its record says; any other GLANCE_ERROR; G_IO_ERROR_CANCELLED; an error of @sink as
 *   it is
 *
 * Returns: (transfer full): the image, whose bytes @sink has, no more and no less
 */
GlanceImage *
glance_images_download (GlanceImages      *self,
                        const char        *id,
                        const GlanceSink  *sink,
                        GlanceProgress     progress,
                        gpointer           progress_data,
                        GCancellable      *cancellable,
                        GError           **error)
{
  g_autoptr (GlanceImage) image = glance_images_get (self, id, cancellable, error);
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  Download download = {
    .images = self,
    .image = image,
    .sink = sink,
    .digest = digest,
    .progress = progress,
    .progress_data = progress_data,
  };
  gint64 deadline;

  if (image == NULL || !check_record (image, error))
    return NULL;

  deadline = service_deadline (glance_images_get_service (self), image->size);
  if (!fetch_until_done (&download, deadline, cancellable, error))
    return NULL;

  return g_steal_pointer (&image);
}
