/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the bytes of a download become a file. */

#include "file-sink.h"

#include <errno.h>
#include <unistd.h>

#include <core/error.h>

#include "sparse.h"

/* Takes errno. */
static gboolean
fail (GError **error)
{
  int saved = errno;

  agent_set_error (error, saved == ENOSPC || saved == EDQUOT ? AGENT_ERROR_NO_SPACE
                                                             : AGENT_ERROR_INTERNAL,
                   NULL, "the bytes of the image cannot be written: %s", g_strerror (saved));

  return FALSE;
}

static gboolean
write_bytes (gpointer     data,
             const void  *bytes,
             gsize        size,
             GError     **error)
{
  FileSink *self = data;

  if (!sparse_write (self->fd, bytes, size, self->written))
    return fail (error);
  self->written += (gint64) size;

  return TRUE;
}

/* What was written before must not show through new holes. */
static gboolean
rewind_file (gpointer   data,
             GError   **error)
{
  FileSink *self = data;

  self->written = 0;

  return ftruncate (self->fd, 0) == 0 || fail (error);
}

/**
 * file_sink:
 * @self: a file, and what is written of it
 *
 * Returns: where a download can write to
 */
GlanceSink
file_sink (FileSink *self)
{
  return (GlanceSink) { .write = write_bytes, .rewind = rewind_file, .data = self };
}

/**
 * file_sink_finish:
 * @self: a file with all its bytes
 * @error: AGENT_ERROR_NO_SPACE, AGENT_ERROR_INTERNAL
 *
 * Returns: whether it is on the disk, with the zeros at its end
 */
gboolean
file_sink_finish (FileSink  *self,
                  GError   **error)
{
  return (ftruncate (self->fd, self->written) == 0 && fsync (self->fd) == 0) || fail (error);
}
