/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <glance/body.h>
#include <glance/image.h>
#include <glance/token.h>

G_BEGIN_DECLS

/* One image service. All calls block and may come from any thread, several at once; a cancellable
 * ends them at any moment. Errors are GLANCE_ERROR, G_IO_ERROR_CANCELLED, or those of a GlanceBody
 * as they are. */

#define GLANCE_TYPE_IMAGES (glance_images_get_type ())
G_DECLARE_FINAL_TYPE (GlanceImages, glance_images, GLANCE, IMAGES, GObject)

/* 0 means the value in brackets. */
typedef struct
{
  const char *url;              /* "http://host:9292", with or without "/v2"; NULL: the token's
                                 * provider knows it, maybe another one tomorrow */
  const char *ca_file;          /* (nullable): PEM; otherwise the system's certificates */
  guint       connect_ms;       /* [10000] until a connection stands */
  guint       stall_s;          /* [60] without a byte, in either direction */
  guint       settle_ms;        /* [as stall_s] until an image has left "saving" */
  guint       deadline_s;       /* [a day] until a transfer is over, with all its attempts */
  guint       backoff_ms;       /* [1000] before the second attempt; doubled for each further one */
} GlanceSettings;

/* @token: (nullable): nobody asks who we are. */
GlanceImages *glance_images_new    (const GlanceSettings *settings, GlanceToken *token,
                                    GError **error)
                                    G_GNUC_WARN_UNUSED_RESULT;

/* Success also when the image is there already, made of the same record. */
gboolean      glance_images_create (GlanceImages *self, const GlanceImage *image,
                                    GCancellable *cancellable, GError **error)
                                    G_GNUC_WARN_UNUSED_RESULT;

GlanceImage  *glance_images_get    (GlanceImages *self, const char *id, GCancellable *cancellable,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* (element-type GlanceImage): all that are visible, hidden ones too, newest first. */
GPtrArray    *glance_images_list   (GlanceImages *self, GCancellable *cancellable, GError **error)
                                    G_GNUC_WARN_UNUSED_RESULT;

/* Success also when there is no such image. */
gboolean      glance_images_delete (GlanceImages *self, const char *id, GCancellable *cancellable,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Success means an active image of the size and with the hashes of what was sent. */
GlanceImage  *glance_images_upload (GlanceImages *self, const char *id, const GlanceBody *body,
                                    GlanceProgress progress, gpointer progress_data,
                                    GCancellable *cancellable, GError **error)
                                    G_GNUC_WARN_UNUSED_RESULT;

/* Success means that @sink was given all bytes of an active image, with its hashes. */
GlanceImage  *glance_images_download (GlanceImages *self, const char *id, const GlanceSink *sink,
                                    GlanceProgress progress, gpointer progress_data,
                                    GCancellable *cancellable, GError **error)
                                    G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
