/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what an upload needs before it can begin. */

#include "upload-fixture.h"

void
upload_fixture_setup (UploadFixture  *self,
                      GlanceSettings  settings)
{
  g_autoptr (GlanceImage) image = glance_image_new ();
  g_autoptr (GError) error = NULL;

  self->fake = fake_glance_new ();
  settings.url = fake_glance_get_url (self->fake);
  self->images = glance_images_new (&settings, NULL, &error);
  g_assert_no_error (error);
  pattern_init (&self->pattern, UPLOAD_LENGTH);
  self->body = pattern_as_body (&self->pattern);

  image->id = g_strdup (UPLOAD_ID);
  image->name = g_strdup ("disk");
  image->disk_format = g_strdup ("raw");
  g_assert_true (glance_images_create (self->images, image, NULL, &error));
  g_assert_no_error (error);
}

void
upload_fixture_teardown (UploadFixture *self,
                         gconstpointer  data)
{
  g_clear_object (&self->images);
  g_clear_pointer (&self->fake, fake_glance_free);
}

typedef struct
{
  GCancellable *cancellable;
  guint         ms;
} Cancellation;

static gpointer
run_cancellation (gpointer data)
{
  g_autofree Cancellation *self = data;

  g_usleep (self->ms * 1000);
  g_cancellable_cancel (self->cancellable);

  return NULL;
}

/* Returns: (transfer full): to be joined; @cancellable must live until then. */
GThread *
cancel_after (GCancellable *cancellable,
              guint         ms)
{
  Cancellation *cancellation = g_new0 (Cancellation, 1);

  cancellation->cancellable = cancellable;
  cancellation->ms = ms;

  return g_thread_new ("cancel", run_cancellation, cancellation);
}
