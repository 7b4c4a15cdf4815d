/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a source looks to whoever sends it. */

#include "body.h"

#include <core/error.h>

static gssize
body_read (gpointer   data,
           void      *buffer,
           gsize      size,
           GError   **error)
{
  gssize got = image_source_read (data, buffer, size, error);

  /* Nobody asks at the end: the length is known. */
  if (got == 0)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                       "the source ended before its %" G_GINT64_FORMAT " bytes were read",
                       image_source_get_length (data));
      return -1;
    }

  return got;
}

static gboolean
body_rewind (gpointer   data,
             GError   **error)
{
  return image_source_rewind (data, error);
}

/**
 * image_body:
 * @source: the source
 *
 * Returns: the bytes of @source, and no reference to it
 */
GlanceBody
image_body (ImageSource *source)
{
  return (GlanceBody) {
    .length = image_source_get_length (source),
    .read = body_read,
    .rewind = body_rewind,
    .data = source,
  };
}
