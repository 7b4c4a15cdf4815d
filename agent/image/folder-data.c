/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a stream of bytes becomes a file: hashed on the way, zeros as holes, under its name
 * only when it is whole and on the disk. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <glance/pipe.h>

#include "body.h"
#include "folder-files.h"
#include "sparse.h"

typedef struct
{
  int                fd;
  GlancePipe        *pipe;
  ImagePoolProgress *progress;
  GCancellable      *cancellable;
} Stream;

static gboolean
stream_run (Stream      *self,
            const char  *action,
            GError     **error)
{
  gint64 length = glance_pipe_get_length (self->pipe);

  if (!glance_pipe_rewind (self->pipe, error))
    return FALSE;

  while (glance_pipe_get_left (self->pipe) > 0)
    {
      const char *data;
      gssize got = glance_pipe_wait (self->pipe, error)
                   ? glance_pipe_peek (self->pipe, &data, error) : -1;
      gint64 position = length - glance_pipe_get_left (self->pipe);

      if (got < 0)
        return FALSE;

      if (!sparse_write (self->fd, data, (gsize) got, position))
        {
          folder_set_errno (error, errno, action);
          return FALSE;
        }

      glance_pipe_skip (self->pipe, (gsize) got);
      image_pool_progress (self->progress, position + got, length);
    }

  if (!glance_pipe_finish (self->pipe, error))
    return FALSE;

  if (ftruncate (self->fd, length) < 0 || fsync (self->fd) < 0)
    {
      folder_set_errno (error, errno, action);
      return FALSE;
    }

  return !g_cancellable_set_error_if_cancelled (self->cancellable, error);
}

/**
 * folder_write_data:
 * @folder: the folder
 * @info: the image; its id and format make the name
 * @source: its bytes, rewound first, then read by another thread
 * @digest: of all bytes, after success
 * @progress: told how far it is
 * @cancellable: (nullable): ends it between two pieces
 * @error: AGENT_ERROR_NO_SPACE, AGENT_ERROR_CONFLICT when another upload writes there,
 *   AGENT_ERROR_STORE, G_IO_ERROR_CANCELLED, what @source said
 *
 * Returns: whether the bytes are on the disk under their name; if not, nothing is left of them
 */
gboolean
folder_write_data (int                 folder,
                   const ImageInfo    *info,
                   ImageSource        *source,
                   GlanceDigest       *digest,
                   ImagePoolProgress  *progress,
                   GCancellable       *cancellable,
                   GError            **error)
{
  g_autofree char *name = g_strconcat (info->id, ".", info->disk_format, NULL);
  g_autofree char *part = g_strconcat (name, ".part", NULL);
  g_autofree char *action = g_strdup_printf ("write the bytes of image %s", info->id);
  const GlanceBody body = image_body (source);
  g_autoptr (GlancePipe) pipe = glance_pipe_new (&body, digest, cancellable);
  Stream stream = {
    .pipe = pipe,
    .progress = progress,
    .cancellable = cancellable,
  };
  gboolean done;

  if (!folder_drop_parts (folder, info->id, error))
    return FALSE;

  stream.fd = openat (folder, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (stream.fd < 0)
    {
      folder_set_errno (error, errno, action);
      return FALSE;
    }

  /* Tells others that somebody is at it; it goes with the process. */
  flock (stream.fd, LOCK_EX | LOCK_NB);

  done = stream_run (&stream, action, error);
  if (done && (renameat (folder, part, folder, name) < 0 || fsync (folder) < 0))
    {
      folder_set_errno (error, errno, action);
      done = FALSE;
    }
  if (!done)
    unlinkat (folder, part, 0);

  close (stream.fd);

  return done;
}
