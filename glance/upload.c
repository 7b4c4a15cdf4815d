/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what to make of each end that an upload can come to. There is no resuming: whatever went
 * wrong, the image's status decides whether the bytes are there (active), may be sent again
 * (queued), or the image is lost (all others). */

#include "error-private.h"
#include "images-private.h"
#include "retry.h"

typedef struct
{
  GlanceImages *images;
  const char   *id;
  GlancePipe   *pipe;
  GlanceDigest *digest;         /* once the pipe is finished */
  gint64        deadline;       /* monotonic microseconds */
  GCancellable *cancellable;
} Upload;

typedef enum
{
  VERDICT_DONE,                 /* the bytes are there */
  VERDICT_AGAIN,                /* nothing is there: from the front */
  VERDICT_FAILED,
} Verdict;

/* Whether the service holds the bytes of the source. Hashes that it does not have cannot differ;
 * but one of them it must have. */
static gboolean
compare (Upload             *self,
         const GlanceImage  *image,
         GError            **error)
{
  gint64 length = glance_pipe_get_length (self->pipe);
  const char *md5;
  const char *sha512;

  if (!glance_pipe_finish (self->pipe, error))
    return FALSE;

  md5 = glance_digest_get_md5 (self->digest);
  sha512 = glance_digest_get_sha512 (self->digest);

  if (image->size != length
      || (image->md5 == NULL && image->sha512 == NULL)
      || (image->md5 != NULL && g_ascii_strcasecmp (image->md5, md5) != 0)
      || (image->sha512 != NULL && g_ascii_strcasecmp (image->sha512, sha512) != 0))
    {
      glance_set_error (error, GLANCE_ERROR_MISMATCH,
                        "image %s is not what was sent: "
                        "the image service has %" G_GINT64_FORMAT " bytes, "
                        "md5 %s, sha512 %.16s...; ours are %" G_GINT64_FORMAT " bytes, md5 %s, "
                        "sha512 %.16s...", self->id, image->size,
                        image->md5 != NULL ? image->md5 : "none",
                        image->sha512 != NULL ? image->sha512 : "none", length, md5, sha512);
      return FALSE;
    }

  return TRUE;
}

/* An image that cannot be used must not stay where people find it. */
static void
discard (Upload *self)
{
  g_autoptr (GError) error = NULL;

  if (!glance_images_delete (self->images, self->id, self->cancellable, &error))
    g_debug ("image %s is left behind: %s", self->id, error->message);
}

static gboolean
has_settled (const GlanceImage *image,
             gboolean           sent)
{
  return !g_str_equal (image->status, "saving") && !(sent && g_str_equal (image->status, "queued"));
}

/* The image once it has left "saving", or as it is when it does not leave it in time. @sent: the
 * service said that it has all bytes, so "queued" too is on its way to something else. */
static GlanceImage *
wait_until_settled (Upload    *self,
                    gboolean   sent,
                    GError   **error)
{
  Service *service = glance_images_get_service (self->images);
  gint64 until = g_get_monotonic_time () + (gint64) service->settle_ms * 1000;

  for (guint n = 1; ; n++)
    {
      g_autoptr (GlanceImage) image = glance_images_get (self->images, self->id, self->cancellable,
                                                         error);

      if (image == NULL)
        return NULL;
      if (has_settled (image, sent) || g_get_monotonic_time () > until)
        return g_steal_pointer (&image);
      if (!service_back_off (service, n, NULL, 0, self->cancellable, error))
        return NULL;
    }
}

/* After 204: nothing is believed before the service says the same as we do. */
static GlanceImage *
confirm (Upload  *self,
         GError **error)
{
  g_autoptr (GlanceImage) image = wait_until_settled (self, TRUE, error);
  g_autoptr (GError) local_error = NULL;

  if (image == NULL)
    return NULL;

  if (!g_str_equal (image->status, "active"))
    {
      glance_set_error (error, GLANCE_ERROR_DEAD,
                        "image %s was taken whole, yet it is \"%s\" instead of active", self->id,
                        image->status);
      discard (self);
      return NULL;
    }

  if (!compare (self, image, &local_error))
    {
      if (g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_MISMATCH))
        discard (self);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }

  return g_steal_pointer (&image);
}

/* What the image's status says after @failure. */
static Verdict
look (Upload        *self,
      const GError  *failure,
      GlanceImage  **out_image,
      GError       **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GlanceImage) image = wait_until_settled (self, FALSE, &local_error);

  if (image == NULL)
    {
      /* A service that is away now, as after a restart, has its attempts like a failing one. */
      if (g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_UNAVAILABLE)
          || g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_TIMEOUT)
          || g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_SERVER))
        return VERDICT_AGAIN;

      g_propagate_error (error, g_steal_pointer (&local_error));
      return VERDICT_FAILED;
    }

  if (g_str_equal (image->status, "queued"))
    return VERDICT_AGAIN;

  if (g_str_equal (image->status, "active"))
    {
      if (compare (self, image, &local_error))
        {
          *out_image = g_steal_pointer (&image);
          return VERDICT_DONE;
        }

      /* Answered 409, the bytes there are not of this upload: somebody may be using them. */
      if (g_error_matches (local_error, GLANCE_ERROR, GLANCE_ERROR_MISMATCH)
          && !g_error_matches (failure, GLANCE_ERROR, GLANCE_ERROR_CONFLICT))
        discard (self);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return VERDICT_FAILED;
    }

  glance_set_error (error, GLANCE_ERROR_DEAD,
                    "image %s is \"%s\" and stays so, which no upload changes; "
                    "it was deleted, create another: %s",
                    self->id, image->status, failure->message);
  discard (self);

  return VERDICT_FAILED;
}

static Verdict
judge (Upload        *self,
       const GError  *failure,
       GlanceImage  **out_image,
       GError       **error)
{
  if (failure->domain == GLANCE_ERROR)
    {
      switch ((GlanceError) failure->code)
        {
        case GLANCE_ERROR_CONFLICT:
        case GLANCE_ERROR_UNAVAILABLE:
        case GLANCE_ERROR_TIMEOUT:
        case GLANCE_ERROR_SERVER:
        case GLANCE_ERROR_PROTOCOL:
          return look (self, failure, out_image, error);

        case GLANCE_ERROR_REFUSED:
          /* From now on every PUT would be answered with 500. */
          discard (self);
          break;

        default:
          break;
        }
    }

  g_propagate_error (error, g_error_copy (failure));

  return VERDICT_FAILED;
}

static gboolean
send_once (Upload  *self,
           GError **error)
{
  g_autofree char *path = glance_images_path (self->id, "/file", error);
  g_autofree char *action = g_strdup_printf ("upload image %s", self->id);
  g_autoptr (HttpAnswer) answer = NULL;

  /* Rewound, the first bytes are there: a service may give up on a request that pauses. */
  if (path == NULL || !glance_pipe_rewind (self->pipe, error))
    return FALSE;

  answer = service_put (glance_images_get_service (self->images), path, self->pipe, self->id,
                        self->deadline, self->cancellable, error);
  if (answer == NULL)
    return FALSE;

  if (answer->status != 204)
    {
      glance_set_answer_error (error, answer, action);
      return FALSE;
    }

  return TRUE;
}

static GlanceImage *
send_until_done (Upload  *self,
                 GError **error)
{
  Service *service = glance_images_get_service (self->images);

  for (guint attempt = 1; ; attempt++)
    {
      g_autoptr (GError) failure = NULL;
      GlanceImage *image = NULL;

      if (send_once (self, &failure))
        return confirm (self, error);

      switch (judge (self, failure, &image, error))
        {
        case VERDICT_DONE:
          return image;

        case VERDICT_FAILED:
          return NULL;

        case VERDICT_AGAIN:
          break;
        }

      if (attempt == RETRY_ATTEMPTS)
        {
          glance_propagate_attempts (error, g_steal_pointer (&failure), attempt);
          return NULL;
        }

      g_debug ("image %s is sent again: %s", self->id, failure->message);
      if (!service_back_off (service, attempt, failure, self->deadline, self->cancellable, error))
        return NULL;
    }
}

/**
 * glance_images_upload:
 * @self: the service
 * @id: of an image that was created
 * @body: its bytes, read in one other thread at a time; rewound before the first is read, and again
 *   for each further attempt
 * @progress: (nullable): told in this thread how far it is
 * @progress_data: for @progress
 * @cancellable: (nullable): ends it at any moment
 * @error: GLANCE_ERROR_NO_SPACE for a quota or a full store; _NOT_FOUND when somebody deleted the
 *   image; _REFUSED when the bytes are not liked, _MISMATCH when others arrived, _DEAD when the
 *   image hangs: then the image was deleted, its id is used up and another must be created; any
 *   other GLANCE_ERROR; G_IO_ERROR_CANCELLED; an error of @body as it is
 *
 * An image that has these bytes already is a success. After a failure that leaves the image queued,
 * the bytes are sent again from the front, a few times. After any other failure, and when
 * cancelled, the caller deletes the image.
 *
 * Returns: (transfer full): the image, which is active and has the size and the hashes of @body
 */
GlanceImage *
glance_images_upload (GlanceImages      *self,
                      const char        *id,
                      const GlanceBody  *body,
                      GlanceProgress     progress,
                      gpointer           progress_data,
                      GCancellable      *cancellable,
                      GError           **error)
{
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  g_autoptr (GlancePipe) pipe = glance_pipe_new (body, digest, cancellable);
  Upload upload = {
    .images = self,
    .id = id,
    .pipe = pipe,
    .digest = digest,
    .deadline = service_deadline (glance_images_get_service (self), body->length),
    .cancellable = cancellable,
  };

  if (body->length <= 0)
    {
      glance_set_error (error, GLANCE_ERROR_INVALID,
                        "there is nothing to upload to image %s: 0 bytes", id);
      return NULL;
    }

  glance_pipe_set_progress (pipe, progress, progress_data);

  return send_until_done (&upload, error);
}
