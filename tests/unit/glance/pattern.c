/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a body of any length that can be told to fail. */

#include "pattern.h"

static gssize
pattern_read (gpointer   data,
              void      *buffer,
              gsize      size,
              GError   **error)
{
  Pattern *self = data;
  gint64 end = self->ends_at >= 0 ? self->ends_at : self->length;
  gsize n = (gsize) MIN ((gint64) size, end - self->position);

  if (self->pause_us > 0)
    g_usleep (self->pause_us);

  if (self->fails_at >= 0 && self->position >= self->fails_at)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "the pattern fails here");
      return -1;
    }
  if (self->cancels_at >= 0 && self->position >= self->cancels_at)
    g_cancellable_cancel (self->cancellable);

  for (gsize i = 0; i < n; i++)
    {
      gint64 at = self->position + (gint64) i;

      ((guint8 *) buffer)[i] = (guint8) (at * 7 + (at >> 9));
    }
  self->position += (gint64) n;

  return (gssize) n;
}

static gboolean
pattern_rewind (gpointer   data,
                GError   **error)
{
  Pattern *self = data;

  self->position = 0;
  self->rewinds++;

  return TRUE;
}

void
pattern_init (Pattern *self,
              gint64   length)
{
  *self = (Pattern) { .length = length, .fails_at = -1, .ends_at = -1, .cancels_at = -1 };
}

GlanceBody
pattern_as_body (Pattern *self)
{
  return (GlanceBody) {
    .length = self->length, .read = pattern_read, .rewind = pattern_rewind, .data = self,
  };
}
