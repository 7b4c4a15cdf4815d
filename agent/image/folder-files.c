/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the files of a folder of images: their names, how a record is read and written, how they go
 * away. */

#include "folder-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <core/error.h>

#define RECORD_MAX (4 * 1024 * 1024)
#define DEPTH_MAX  8

static const char *const formats[] = { "qcow2", "raw" };

/**
 * folder_knows_format:
 * @format: (nullable): of an image
 *
 * Returns: whether an image of that format can be kept; it becomes part of a file's name
 */
gboolean
folder_knows_format (const char *format)
{
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      if (g_strcmp0 (format, formats[i]) == 0)
        return TRUE;
    }

  return FALSE;
}

/**
 * folder_set_errno:
 * @error: (nullable): where to put it
 * @code: an errno
 * @action: what was tried, as an infinitive
 */
void
folder_set_errno (GError     **error,
                  int          code,
                  const char  *action)
{
  AgentError kind = AGENT_ERROR_STORE;
  const char *hint = NULL;

  if (code == ENOSPC || code == EDQUOT)
    {
      kind = AGENT_ERROR_NO_SPACE;
      hint = "Remove images, or give the folder of images more room.";
    }
  else if (code == EACCES || code == EPERM || code == EROFS)
    {
      hint = "The daemon's user must be able to write to the folder of images.";
    }

  agent_set_error (error, kind, hint, "cannot %s: %s", action, g_strerror (code));
}

/**
 * folder_open:
 * @path: of the folder
 * @error: AGENT_ERROR_UNAVAILABLE when it is not there, AGENT_ERROR_STORE when it cannot be opened
 *
 * Returns: a descriptor, or -1
 */
int
folder_open (const char  *path,
             GError     **error)
{
  g_autofree char *action = g_strdup_printf ("open the folder of images %s", path);
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0 && errno == ENOENT)
    agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "Is its file system mounted?",
                     "the folder of images %s is not there", path);
  else if (fd < 0)
    folder_set_errno (error, errno, action);

  return fd;
}

/* Outside of a record's strings there are two levels; the parser's stack is protected from more. */
static gboolean
depth_is_sane (const char *text,
               gsize       size)
{
  gboolean in_string = FALSE;
  guint depth = 0;

  for (gsize i = 0; i < size; i++)
    {
      if (in_string && text[i] == '\\')
        i++;
      else if (text[i] == '"')
        in_string = !in_string;
      else if (!in_string && (text[i] == '{' || text[i] == '['))
        depth++;
      else if (!in_string && (text[i] == '}' || text[i] == ']') && depth > 0)
        depth--;

      if (depth > DEPTH_MAX)
        return FALSE;
    }

  return TRUE;
}

static ImageInfo *
parse_record (const char  *text,
              gsize        size,
              GError     **error)
{
  g_autoptr (JsonParser) parser = json_parser_new ();

  if (!g_utf8_validate_len (text, size, NULL) || !depth_is_sane (text, size))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "it is not UTF-8, or nested too deeply");
      return NULL;
    }

  if (!json_parser_load_from_data (parser, text, (gssize) size, error))
    return NULL;

  return image_info_from_json (json_parser_get_root (parser), error);
}

/* The text of a small regular file; NULL and errno otherwise. */
static char *
read_small_file (int         folder,
                 const char *name,
                 gsize      *out_size)
{
  g_autofree char *text = NULL;
  int fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  gsize size = 0;
  gssize got = -1;
  struct stat st;

  if (fd < 0)
    return NULL;

  if (fstat (fd, &st) == 0 && S_ISREG (st.st_mode) && st.st_size <= RECORD_MAX)
    {
      text = g_malloc ((gsize) st.st_size + 1);
      while (size < (gsize) st.st_size
             && (got = read (fd, text + size, (gsize) st.st_size - size)) > 0)
        size += (gsize) got;
      text[size] = '\0';
    }
  else
    {
      errno = EINVAL;
    }

  {
    int saved_errno = errno;

    close (fd);
    errno = saved_errno;
  }

  if (text == NULL || got < 0)
    return NULL;

  *out_size = size;

  return g_steal_pointer (&text);
}

static char *
data_name (const ImageInfo *info)
{
  return g_strconcat (info->id, ".", info->disk_format, NULL);
}

/**
 * folder_read_record:
 * @folder: the folder
 * @id: a UUID
 * @error: AGENT_ERROR_NOT_FOUND when there is no record, AGENT_ERROR_STORE when it is broken
 *
 * An image whose bytes are not as long as its record says is "killed", as Glance calls it.
 *
 * Returns: (transfer full): the image
 */
ImageInfo *
folder_read_record (int          folder,
                    const char  *id,
                    GError     **error)
{
  g_autofree char *name = g_strconcat (id, ".json", NULL);
  g_autofree char *data = NULL;
  g_autofree char *text = NULL;
  g_autofree char *action = g_strdup_printf ("read the record of image %s", id);
  g_autoptr (ImageInfo) info = NULL;
  g_autoptr (GError) local_error = NULL;
  gsize size = 0;
  struct stat st;

  text = read_small_file (folder, name, &size);
  if (text == NULL)
    {
      if (errno == ENOENT)
        agent_set_error (error, AGENT_ERROR_NOT_FOUND, NULL, "there is no image %s", id);
      else
        folder_set_errno (error, errno, action);
      return NULL;
    }

  info = parse_record (text, size, &local_error);
  if (info == NULL || strcmp (info->id, id) != 0 || !folder_knows_format (info->disk_format))
    {
      agent_set_error (error, AGENT_ERROR_STORE, "Remove the image, or repair the file.",
                       "the record %s is broken: %s", name,
                       local_error != NULL ? local_error->message : "it is not that of this image");
      return NULL;
    }

  data = data_name (info);
  if (g_str_equal (info->status, "active")
      && (fstatat (folder, data, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG (st.st_mode)
          || (gint64) st.st_size != info->size))
    {
      g_free (info->status);
      info->status = g_strdup ("killed");
    }

  return g_steal_pointer (&info);
}

static gboolean
write_all (int         fd,
           const char *text,
           gsize       size)
{
  while (size > 0)
    {
      gssize n = write (fd, text, size);

      if (n < 0 && errno != EINTR)
        return FALSE;
      if (n > 0)
        {
          text += n;
          size -= (gsize) n;
        }
    }

  return TRUE;
}

/**
 * folder_write_record:
 * @folder: the folder
 * @info: the image
 * @error: AGENT_ERROR_NO_SPACE, AGENT_ERROR_STORE
 *
 * Returns: whether the record is on the disk; if not, the one before still is
 */
gboolean
folder_write_record (int               folder,
                     const ImageInfo  *info,
                     GError          **error)
{
  g_autoptr (JsonNode) json = image_info_to_json (info);
  g_autofree char *body = json_to_string (json, TRUE);
  g_autofree char *text = g_strconcat (body, "\n", NULL);
  g_autofree char *name = g_strconcat (info->id, ".json", NULL);
  g_autofree char *part = g_strconcat (name, ".part", NULL);
  g_autofree char *action = g_strdup_printf ("write the record of image %s", info->id);
  gboolean written = FALSE;
  int saved_errno;
  int fd;

  if (strlen (text) > RECORD_MAX)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "the record of image %s is larger than %d bytes",
                       info->id, RECORD_MAX);
      return FALSE;
    }

  unlinkat (folder, part, 0);
  fd = openat (folder, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd >= 0)
    {
      written = write_all (fd, text, strlen (text)) && fsync (fd) == 0;
      saved_errno = errno;
      written = close (fd) == 0 && written;
      errno = saved_errno;
    }

  if (!written || renameat (folder, part, folder, name) < 0 || fsync (folder) < 0)
    {
      saved_errno = errno;
      if (fd >= 0)
        unlinkat (folder, part, 0);
      folder_set_errno (error, saved_errno, action);
      return FALSE;
    }

  return TRUE;
}

/* The writer of a file holds a lock on it for as long as it lives. */
static gboolean
drop_part (int          folder,
           const char  *name,
           GError     **error)
{
  g_autofree char *action = g_strdup_printf ("remove %s", name);
  int fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  gboolean busy = fd >= 0 && flock (fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;

  if (fd >= 0)
    close (fd);

  if (busy)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "Cancel that upload first.",
                       "an upload writes to %s at this moment", name);
      return FALSE;
    }

  if (unlinkat (folder, name, 0) < 0 && errno != ENOENT)
    {
      folder_set_errno (error, errno, action);
      return FALSE;
    }

  return TRUE;
}

/**
 * folder_drop_parts:
 * @folder: the folder
 * @id: a UUID
 * @error: AGENT_ERROR_CONFLICT when an upload to this image runs; AGENT_ERROR_STORE
 *
 * Returns: whether nothing half-written is left of the image
 */
gboolean
folder_drop_parts (int          folder,
                   const char  *id,
                   GError     **error)
{
  g_autofree char *record = g_strconcat (id, ".json.part", NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_autofree char *name = g_strconcat (id, ".", formats[i], ".part", NULL);

      if (!drop_part (folder, name, error))
        return FALSE;
    }

  return drop_part (folder, record, error);
}

/**
 * folder_drop_image:
 * @folder: the folder
 * @id: a UUID
 * @error: AGENT_ERROR_CONFLICT when an upload to this image runs; AGENT_ERROR_STORE
 *
 * The record goes last: as long as there is any byte of it, people see the image and can remove it.
 *
 * Returns: whether nothing is left of the image, also when there was nothing
 */
gboolean
folder_drop_image (int          folder,
                   const char  *id,
                   GError     **error)
{
  g_autofree char *record = g_strconcat (id, ".json", NULL);
  g_autofree char *action = g_strdup_printf ("remove image %s", id);

  if (!folder_drop_parts (folder, id, error))
    return FALSE;

  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_autofree char *name = g_strconcat (id, ".", formats[i], NULL);

      if (!drop_part (folder, name, error))
        return FALSE;
    }

  if (!drop_part (folder, record, error))
    return FALSE;

  if (fsync (folder) < 0)
    {
      folder_set_errno (error, errno, action);
      return FALSE;
    }

  return TRUE;
}
