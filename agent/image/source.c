/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what can go up as an image. */

#include <image/source.h>

G_DEFINE_INTERFACE (ImageSource, image_source, G_TYPE_OBJECT)

static void
image_source_default_init (ImageSourceInterface *iface)
{
}

/**
 * image_source_get_length:
 * @self: the source
 *
 * Returns: the bytes that will be read, known from the beginning
 */
gint64
image_source_get_length (ImageSource *self)
{
  return AGENT_IMAGE_SOURCE_GET_IFACE (self)->get_length (self);
}

/**
 * image_source_get_allocated:
 * @self: the source
 *
 * Returns: how many bytes of the length are more than holes, as far as is known
 */
gint64
image_source_get_allocated (ImageSource *self)
{
  ImageSourceInterface *iface = AGENT_IMAGE_SOURCE_GET_IFACE (self);

  return iface->get_allocated != NULL ? iface->get_allocated (self) : iface->get_length (self);
}

/**
 * image_source_rewind:
 * @self: the source
 * @error: AGENT_ERROR, when the bytes cannot be read again
 *
 * Blocks.
 *
 * Returns: whether the next byte read is the first
 */
gboolean
image_source_rewind (ImageSource  *self,
                     GError      **error)
{
  return AGENT_IMAGE_SOURCE_GET_IFACE (self)->rewind (self, error);
}

/**
 * image_source_read:
 * @self: the source
 * @buffer: where to put the bytes
 * @size: its size; a mebibyte is a good one
 * @error: AGENT_ERROR
 *
 * Blocks.
 *
 * Returns: how many bytes were read, 0 at the end, -1 on error
 */
gssize
image_source_read (ImageSource  *self,
                   void         *buffer,
                   gsize         size,
                   GError      **error)
{
  return AGENT_IMAGE_SOURCE_GET_IFACE (self)->read (self, buffer, size, error);
}

/**
 * image_source_close_async:
 * @self: the source
 * @callback: called when it has let go of what it reads from
 * @user_data: passed on to @callback
 *
 * In the main loop's thread. May be called more than once.
 */
void
image_source_close_async (ImageSource         *self,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  ImageSourceInterface *iface = AGENT_IMAGE_SOURCE_GET_IFACE (self);
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);

  if (iface->close != NULL)
    iface->close (self, g_steal_pointer (&task));
  else
    g_task_return_boolean (task, TRUE);
}

/**
 * image_source_close_finish:
 * @self: the source
 * @result: what the callback got
 */
void
image_source_close_finish (ImageSource  *self,
                           GAsyncResult *result)
{
  g_return_if_fail (g_task_is_valid (result, self));

  g_task_propagate_boolean (G_TASK (result), NULL);
}

/**
 * image_layer_new:
 * @path: of the layer
 * @dev: the device it is on, as in struct stat
 * @ino: its inode
 * @format: "qcow2" or "raw"
 *
 * Returns: (transfer full): the layer
 */
ImageLayer *
image_layer_new (const char *path,
                 guint64     dev,
                 guint64     ino,
                 const char *format)
{
  ImageLayer *self = g_new0 (ImageLayer, 1);

  self->path = g_strdup (path);
  self->dev = dev;
  self->ino = ino;
  self->format = g_strdup (format);

  return self;
}

/**
 * image_layer_free:
 * @self: (transfer full) (nullable): a layer
 */
void
image_layer_free (ImageLayer *self)
{
  if (self == NULL)
    return;

  g_free (self->path);
  g_free (self->format);
  g_free (self);
}
