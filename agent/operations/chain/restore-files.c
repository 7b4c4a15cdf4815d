/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the files that an image becomes: written under another name first, and under their name for
 * life only when they are whole and what they say of themselves has been checked. */

#include "restore-steps.h"

#include <core/error.h>
#include <disk/qcow2.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512

/* Takes errno. */
static void
set_errno (GError **error, const char *path, const char *what)
{
  int saved = errno;

  agent_set_error (error, saved == ENOSPC || saved == EDQUOT ? AGENT_ERROR_NO_SPACE
                                                             : AGENT_ERROR_INTERNAL,
                   NULL, "%s: %s: %s", path, what, g_strerror (saved));
}

gboolean
restore_drop_part (const RestoreImage *self, GError **error)
{
  if (self->part == NULL || unlink (self->part) == 0 || errno == ENOENT)
    return TRUE;
  set_errno (error, self->part, "cannot be removed");
  return FALSE;
}

int
restore_open_part (const RestoreImage *image, const char *like, GError **error)
{
  const char *part = image->part;
  g_autoptr (GBytes) nothing = g_bytes_new_static ("", 0);
  int fd;

  if (!restore_drop_part (image, error) || !files_create (part, nothing, like, NULL, error))
    return -1;
  fd = open (part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0)
    set_errno (error, part, "cannot be opened");
  return fd;
}

/* --- what it says of itself --- */

static gboolean
check_header (RestoreImage *image, const Qcow2Header *header, const char *backing, GError **error)
{
  const char *problem = NULL;

  if (header->has_data_file)
    problem = "says that its data is in another file";
  else if (header->encrypted)
    problem = "is encrypted, and an overlay over it would not be";
  else if (header->corrupt)
    problem = "is marked as corrupt";
  else if (g_strcmp0 (header->backing_name, backing) != 0)
    problem = header->backing_name != NULL ? "stands on a file of its own choice"
                                           : "does not stand on its parent";
  else if (header->virtual_size == 0 || header->virtual_size % SECTOR != 0
           || header->virtual_size > G_MAXINT64)
    problem = "has a size that no disk has";
  if (problem == NULL)
    {
      image->virtual_size = (gint64) header->virtual_size;
      return TRUE;
    }
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "image %s %s", image->image_id, problem);
  return FALSE;
}

static gboolean
check_raw (RestoreImage *image, int fd, const char *path, GError **error)
{
  off_t length = lseek (fd, 0, SEEK_END);

  if (length < 0)
    {
      set_errno (error, path, "cannot be measured");
      return FALSE;
    }
  if (length > 0 && length % SECTOR == 0)
    {
      image->virtual_size = length;
      return TRUE;
    }
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                   "image %s has %" G_GINT64_FORMAT " bytes, which is no whole number of sectors",
                   image->image_id, (gint64) length);
  return FALSE;
}

gboolean
restore_check_file (RestoreImage *image, const char *path, const char *backing, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  g_autoptr (Qcow2Header) header = NULL;
  gboolean ok = FALSE;

  if (fd < 0)
    {
      set_errno (error, path, "cannot be opened");
      return FALSE;
    }
  if (strcmp (image->format, "raw") == 0)
    ok = check_raw (image, fd, path, error);
  else if ((header = qcow2_header_read (fd, error)) != NULL)
    ok = check_header (image, header, backing, error);
  else
    g_prefix_error (error, "image %s: ", image->image_id);
  close (fd);
  return ok;
}

/* --- its name --- */

static gboolean
write_out (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  gboolean ok = fd >= 0 && fsync (fd) == 0;

  if (!ok)
    set_errno (error, path, "cannot be written out");
  if (fd >= 0)
    close (fd);
  return ok;
}

static void
know (RestoreImage *image, const FileFacts *facts)
{
  image->dev = (gint64) facts->dev;
  image->ino = (gint64) facts->ino;
}

gboolean
restore_keep_part (RestoreImage *image, GError **error)
{
  const char *part = image->part;
  FileFacts facts = { 0 };

  if (!write_out (part, error))
    return FALSE;
  if (!files_look (part, &facts, error))
    {
      if (error == NULL || *error == NULL)
        agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "%s is gone", part);
      return FALSE;
    }
  /* First: it may have its name, and what makes that durable fails. */
  know (image, &facts);
  return files_link (part, image->path, facts.dev, facts.ino, error)
         && files_remove (part, facts.dev, facts.ino, error);
}

gboolean
restore_find_whole (RestoreImage *image, const char *backing, gboolean *whole, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts facts = { 0 };

  *whole = FALSE;
  if (!files_look (image->path, &facts, &problem))
    {
      if (problem == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  /* The name was free when it was chosen, and is given to whole files only. */
  if (!restore_check_file (image, image->path, backing, error))
    return FALSE;
  know (image, &facts);
  *whole = TRUE;
  return TRUE;
}
