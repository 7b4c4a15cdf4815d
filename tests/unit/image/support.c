/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a test waits for a store, and a source that fails when it should. */

#include "support.h"

#include <glib/gstdio.h>

static gint64
pattern_source_get_length (ImageSource *source)
{
  return TEST_PATTERN_SOURCE (source)->pattern.length;
}

static gint64
pattern_source_get_allocated (ImageSource *source)
{
  PatternSource *self = TEST_PATTERN_SOURCE (source);

  return self->allocated >= 0 ? self->allocated : self->pattern.length;
}

static gboolean
pattern_source_rewind (ImageSource  *source,
                       GError      **error)
{
  PatternSource *self = TEST_PATTERN_SOURCE (source);
  GlanceBody body = pattern_as_body (&self->pattern);

  return body.rewind (body.data, error);
}

static gssize
pattern_source_read (ImageSource  *source,
                     void         *buffer,
                     gsize         size,
                     GError      **error)
{
  PatternSource *self = TEST_PATTERN_SOURCE (source);
  GlanceBody body = pattern_as_body (&self->pattern);

  if (self->on_read != NULL)
    self->on_read (self);

  return body.read (body.data, buffer, size, error);
}

static void
pattern_source_interface_init (ImageSourceInterface *iface)
{
  iface->get_length = pattern_source_get_length;
  iface->get_allocated = pattern_source_get_allocated;
  iface->rewind = pattern_source_rewind;
  iface->read = pattern_source_read;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (PatternSource, pattern_source, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (TYPE_IMAGE_SOURCE,
                                                      pattern_source_interface_init))

static void
pattern_source_class_init (PatternSourceClass *klass)
{
}

static void
pattern_source_init (PatternSource *self)
{
  self->allocated = -1;
}

PatternSource *
pattern_source_new (gint64 length)
{
  PatternSource *self = g_object_new (TYPE_PATTERN_SOURCE, NULL);

  pattern_init (&self->pattern, length);

  return self;
}

ImageInfo *
make_info (const char *id,
           const char *format)
{
  ImageInfo *info = image_info_new ();

  info->id = g_strdup (id);
  info->name = g_strdup ("vm-1 disk");
  info->disk_format = g_strdup (format);
  info->min_disk = 2;
  image_info_set (info, "kind", "layer");
  image_info_set (info, "parent", "none");

  return info;
}

void
keep_result (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  GAsyncResult **kept = user_data;

  g_assert_null (*kept);
  *kept = g_object_ref (result);
}

GAsyncResult *
await_result (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);

  return *result;
}

gboolean
store_create (ImageStore       *store,
              const ImageInfo  *info,
              GError          **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_store_create_async (store, info, NULL, keep_result, &result);

  return image_store_create_finish (store, await_result (&result), error);
}

ImageInfo *
store_upload (ImageStore    *store,
              const char    *id,
              gpointer       source,
              GCancellable  *cancellable,
              GError       **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_store_upload_async (store, id, source, NULL, NULL, cancellable, keep_result, &result);

  return image_store_upload_finish (store, await_result (&result), error);
}

ImageInfo *
store_get (ImageStore  *store,
           const char  *id,
           GError     **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_store_get_async (store, id, NULL, keep_result, &result);

  return image_store_get_finish (store, await_result (&result), error);
}

gboolean
store_download (ImageStore       *store,
                const ImageInfo  *info,
                int               fd,
                GCancellable     *cancellable,
                GError          **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_store_download_async (store, info, fd, NULL, NULL, cancellable, keep_result, &result);

  return image_store_download_finish (store, await_result (&result), error);
}

GPtrArray *
store_list (ImageStore  *store,
            GError     **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_store_list_async (store, NULL, keep_result, &result);

  return image_store_list_finish (store, await_result (&result), error);
}

gboolean
store_remove (ImageStore  *store,
              const char  *id,
              GError     **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  image_store_remove_async (store, id, NULL, keep_result, &result);

  return image_store_remove_finish (store, await_result (&result), error);
}

char *
make_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *path = g_dir_make_tmp ("images-XXXXXX", &error);

  g_assert_no_error (error);

  return path;
}

void
drop_folder (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);

      if (g_remove (file) < 0)
        drop_folder (file);
    }

  g_rmdir (path);
}
