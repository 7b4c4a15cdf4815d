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
