/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how an image's bytes in a folder become a file elsewhere, and that they are its own. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <core/error.h>

#include "file-sink.h"
#include "folder-files.h"

#define PIECE (1024 * 1024)

/* Returns the bytes read, 0 at the end, -1 with errno. */
static gssize
read_piece (int   fd,
            char *buffer)
{
  gssize got;

  do
    got = read (fd, buffer, PIECE);
  while (got < 0 && errno == EINTR);

  return got;
}

static gboolean
copy (int                 from,
      int                 fd,
      const ImageInfo    *info,
      GlanceDigest       *digest,
      ImagePoolProgress  *progress,
      GCancellable       *cancellable,
      GError            **error)
{
  g_autofree char *action = g_strdup_printf ("read the bytes of image %s", info->id);
  g_autofree char *buffer = g_malloc (PIECE);
  FileSink file = { .fd = fd };
  const GlanceSink sink = file_sink (&file);
  gssize got;

  while ((got = read_piece (from, buffer)) > 0 && file.written + got <= info->size)
    {
      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return FALSE;

      glance_digest_update (digest, buffer, (gsize) got);
      if (!sink.write (sink.data, buffer, (gsize) got, error))
        return FALSE;
      image_pool_progress (progress, file.written, info->size);
    }
  if (got < 0)
    {
      folder_set_errno (error, errno, action);
      return FALSE;
    }

  return file_sink_finish (&file, error);
}

/* @info may be of some time ago. */
static gboolean
check_record (int               folder,
              const ImageInfo  *info,
              GError          **error)
{
  g_autoptr (ImageInfo) found = folder_read_record (folder, info->id, error);

  if (found == NULL)
    return FALSE;

  if (g_strcmp0 (found->status, "active") == 0 && found->size == info->size
      && g_strcmp0 (found->sha512, info->sha512) == 0
      && g_strcmp0 (found->disk_format, info->disk_format) == 0)
    return TRUE;

  agent_set_error (error, AGENT_ERROR_CONFLICT, "Ask for it again.",
                   "image %s is not any more what it was", info->id);

  return FALSE;
}

/**
 * folder_read_data:
 * @folder: the folder
 * @info: an active image
 * @fd: a new file
 * @progress: told how far it is
 * @cancellable: (nullable): ends it between two pieces
 * @error: AGENT_ERROR_CONFLICT when the image is another one by now, AGENT_ERROR_STORE when the
 *   bytes are not those of the record, AGENT_ERROR_NO_SPACE, G_IO_ERROR_CANCELLED
 *
 * Returns: whether @fd holds the image, durably
 */
gboolean
folder_read_data (int                 folder,
                  const ImageInfo    *info,
                  int                 fd,
                  ImagePoolProgress  *progress,
                  GCancellable       *cancellable,
                  GError            **error)
{
  g_autofree char *name = g_strconcat (info->id, ".", info->disk_format, NULL);
  g_autofree char *action = g_strdup_printf ("open the bytes of image %s", info->id);
  g_autoptr (GlanceDigest) digest = glance_digest_new ();
  gboolean done;
  int from;

  if (!check_record (folder, info, error))
    return FALSE;

  from = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (from < 0)
    {
      folder_set_errno (error, errno, action);
      return FALSE;
    }
  done = copy (from, fd, info, digest, progress, cancellable, error);
  close (from);
  if (!done)
    return FALSE;

  if (glance_digest_get_size (digest) != info->size
      || g_strcmp0 (info->sha512, glance_digest_get_sha512 (digest)) != 0)
    {
      agent_set_error (error, AGENT_ERROR_STORE, "Something has changed the image's file.",
                       "the bytes of image %s are not those of its record", info->id);
      return FALSE;
    }

  return TRUE;
}
