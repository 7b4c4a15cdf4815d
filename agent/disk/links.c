/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which image stands on which, by what their headers say. */

#include "files-private.h"

#include <disk/links.h>
#include <disk/names.h>
#include <disk/qcow2.h>

#include <core/error.h>
#include <core/journal.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILES   16384u                      /* in all folders together */
#define FILE_PREFIX "file:"                     /* QEMU's own word for a local file */

/**
 * image_link_free:
 * @self: (transfer full) (nullable): a link
 */
void
image_link_free (ImageLink *self)
{
  if (self == NULL)
    return;

  g_free (self->path);
  g_free (self->format);
  g_free (self->backing);
  g_free (self->backing_format);
  g_free (self);
}

/* --- one file --- */

/* QEMU takes what stands before the first colon, unless a slash comes first, for a protocol. */
static gboolean
has_protocol (const char *name)
{
  return name[strcspn (name, ":/")] == ':';
}

/* Where @name, as the header of an image in @folder says it, leads to; NULL: to no local file. */
static char *
resolve (const char *name,
         const char *folder)
{
  if (g_str_has_prefix (name, FILE_PREFIX) && name[strlen (FILE_PREFIX)] == '/')
    name += strlen (FILE_PREFIX);
  if (has_protocol (name))
    return NULL;

  return names_absolute (name, folder);
}

static void
take_backing (ImageLink         *self,
              const Qcow2Header *header)
{
  g_autofree char *folder = g_path_get_dirname (self->path);
  g_autofree char *backing = NULL;
  FileFacts facts = { 0 };

  if (header->backing_name == NULL)
    return;

  self->backing_format = g_strdup (header->backing_format);
  backing = resolve (header->backing_name, folder);
  if (backing == NULL)
    {
      self->backing = g_strdup (header->backing_name);
      return;
    }

  self->backing = g_steal_pointer (&backing);
  self->backing_relative = !g_path_is_absolute (header->backing_name)
                           && !has_protocol (header->backing_name);
  self->backing_known = files_look (self->backing, &facts, NULL);
  self->backing_dev = facts.dev;
  self->backing_ino = facts.ino;
  self->backing_born_ns = facts.born_ns;
}

/* The first bytes of @fd. */
static GBytes *
read_head (int          fd,
           const char  *path,
           GError     **error)
{
  g_autofree guint8 *bytes = g_malloc (QCOW2_HEADER_BYTES);
  ssize_t got;

  do
    got = pread (fd, bytes, QCOW2_HEADER_BYTES, 0);
  while (got < 0 && errno == EINTR);

  if (got < 0)
    {
      files_set_error (error, errno, path, "its header cannot be read");
      return NULL;
    }

  return g_bytes_new_take (g_steal_pointer (&bytes), (gsize) got);
}

static gboolean
has_magic (GBytes *head)
{
  static const guint8 magic[] = { 'Q', 'F', 'I', 0xfb };
  gsize length;
  const guint8 *bytes = g_bytes_get_data (head, &length);

  return length >= sizeof magic && memcmp (bytes, magic, sizeof magic) == 0;
}

/* @format: (nullable): as of image_link_read() */
static ImageLink *
link_from_file (const char      *path,
                int              fd,
                const FileFacts *facts,
                const char      *format,
                GError         **error)
{
  g_autoptr (ImageLink) self = g_new0 (ImageLink, 1);
  g_autoptr (Qcow2Header) header = NULL;
  g_autoptr (GBytes) head = NULL;

  self->path = g_strdup (path);
  self->facts = *facts;
  self->virtual_size = (gint64) facts->size;

  if (g_strcmp0 (format, "raw") != 0)
    {
      head = read_head (fd, path, error);
      if (head == NULL)
        return NULL;
    }
  if (head == NULL || (format == NULL && !has_magic (head)))
    {
      self->format = g_strdup ("raw");
      return g_steal_pointer (&self);
    }

  header = qcow2_header_parse (head, error);
  if (header == NULL)
    {
      g_prefix_error (error, "%s: ", path);
      return NULL;
    }

  self->format = g_strdup ("qcow2");
  self->virtual_size = (gint64) header->virtual_size;
  self->encrypted = header->encrypted;
  self->has_data_file = header->has_data_file;
  self->extended_l2 = header->extended_l2;
  self->has_snapshots = header->has_snapshots;
  take_backing (self, header);

  return g_steal_pointer (&self);
}

/**
 * image_link_read:
 * @path: an absolute path; symbolic links are followed
 * @format: (nullable): "raw": its bytes mean nothing; "qcow2": they must be a header; %NULL: the
 *   magic number decides, which is not to be trusted where a guest writes to the file itself
 * @error: where to put an error
 *
 * Reads what one image says of itself and of what it stands on. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when the file is not there, may not be read, or is no qcow2 image
 * though it should be one; %AGENT_ERROR_INTERNAL.
 *
 * Returns: (transfer full): the link
 */
ImageLink *
image_link_read (const char  *path,
                 const char  *format,
                 GError     **error)
{
  g_autoptr (GError) local = NULL;
  ImageLink *self;
  FileFacts facts;
  int fd;

  if (!files_look (path, &facts, &local))
    {
      if (local != NULL)
        g_propagate_error (error, g_steal_pointer (&local));
      else
        files_set_error (error, ENOENT, path, "cannot be opened");
      return NULL;
    }

  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    {
      files_set_error (error, errno, path, "cannot be opened");
      return NULL;
    }

  self = link_from_file (path, fd, &facts, format, error);
  close (fd);

  return self;
}

/**
 * image_link_may_stand_on:
 * @self: an image
 * @path: the path of another one
 * @dev: device of that
 * @ino: inode of it
 *
 * Some headers say what only QEMU can find (json:, file:): a name in which that of the file stands
 * is taken for it. Pure.
 *
 * Returns: whether the file is, or may be, the image's backing file
 */
gboolean
image_link_may_stand_on (const ImageLink *self,
                         const char      *path,
                         guint64          dev,
                         guint64          ino)
{
  g_autofree char *name = g_path_get_basename (path);

  if (self->backing_known)
    return self->backing_dev == dev && self->backing_ino == ino;

  return self->backing != NULL && !g_path_is_absolute (self->backing)
         && strstr (self->backing, name) != NULL;
}

/* --- folders --- */

/* A name that is there for a moment only, while another one is moved. */
static gboolean
is_hidden (const char *path)
{
  return strrchr (path, '/')[1] == '.';
}

/* Whether @name tells more about a file than @other: absolute paths, both of them its names. */
static gboolean
is_better_name (const char *name,
                const char *other)
{
  guint number = G_MAXUINT;
  guint other_number = G_MAXUINT;

  if (is_hidden (name) != is_hidden (other))
    return is_hidden (other);

  names_split_layer (name, NULL, &number);
  names_split_layer (other, NULL, &other_number);
  if (number != other_number)
    return number < other_number;

  return strcmp (name, other) < 0;
}

static guint
hash_inode (gconstpointer key)
{
  const FileFacts *facts = key;

  return (guint) (facts->ino ^ (facts->ino >> 32) ^ (facts->dev << 7));
}

static gboolean
equal_inode (gconstpointer a,
             gconstpointer b)
{
  return file_facts_agree (a, b);
}

/* @path names a file that is listed already. */
static void
add_name (ImageLink  *link,
          const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *own_folder = g_path_get_dirname (link->path);

  /* A relative backing name leads from its own folder to another file perhaps. */
  if (!g_str_equal (folder, own_folder) || !is_better_name (path, link->path))
    return;

  g_free (link->path);
  link->path = g_strdup (path);
}

/* Nothing happens for what is no file, is gone by now, or cannot be read. */
static void
scan_entry (GPtrArray  *links,
            GHashTable *by_inode,
            int         folder,
            const char *path,
            const char *name)
{
  ImageLink *link;
  FileFacts facts;
  struct stat st;
  int fd;

  if (fstatat (folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG (st.st_mode))
    return;

  files_take_facts (&facts, &st, folder, name);
  link = g_hash_table_lookup (by_inode, &facts);
  if (link != NULL)
    {
      add_name (link, path);
      return;
    }

  fd = openat (folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0)
    return;

  if (fstat (fd, &st) == 0 && files_is (&st, facts.dev, facts.ino))
    {
      link = link_from_file (path, fd, &facts, NULL, NULL);
      if (link != NULL)
        {
          g_ptr_array_add (links, link);
          g_hash_table_insert (by_inode, &link->facts, link);
        }
    }
  close (fd);
}

static gboolean
scan_folder (GPtrArray   *links,
             GHashTable  *by_inode,
             const char  *folder,
             guint       *n_files,
             GError     **error)
{
  struct dirent *item;
  DIR *dir = opendir (folder);

  if (dir == NULL)
    {
      files_set_error (error, errno, folder, "the folder cannot be searched for images");
      return FALSE;
    }

  while ((item = readdir (dir)) != NULL)
    {
      g_autofree char *path = NULL;

      if ((item->d_type != DT_REG && item->d_type != DT_UNKNOWN)
          || g_str_has_prefix (item->d_name, JOURNAL_FILE))
        continue;
      if (++*n_files > MAX_FILES)
        {
          closedir (dir);
          agent_set_error (error, AGENT_ERROR_CONFLICT,
                           "keep images in folders of their own, and name just these",
                           "%s: there are more than %u files to be searched for images", folder,
                           MAX_FILES);
          return FALSE;
        }
      path = g_build_filename (folder, item->d_name, NULL);
      scan_entry (links, by_inode, dirfd (dir), path, item->d_name);
    }

  closedir (dir);

  return TRUE;
}

/**
 * links_scan:
 * @folders: absolute paths, ended by %NULL
 * @error: where to put an error
 *
 * Reads the headers of all regular files in the folders, at most 64 KiB of each. What lies below in
 * other folders, symbolic links, our own journal, and files that cannot be read or are damaged are
 * left out. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when a folder cannot be read or too many files are there,
 * %AGENT_ERROR_INTERNAL.
 *
 * Returns: (transfer full) (element-type ImageLink): each file once, whatever names it has
 */
GPtrArray *
links_scan (const char *const  *folders,
            GError            **error)
{
  g_autoptr (GPtrArray) links = g_ptr_array_new_with_free_func ((GDestroyNotify) image_link_free);
  g_autoptr (GHashTable) by_inode = g_hash_table_new (hash_inode, equal_inode);
  guint n_files = 0;

  for (guint i = 0; folders[i] != NULL; i++)
    {
      if (g_strv_contains (folders + i + 1, folders[i]))
        continue;
      if (!scan_folder (links, by_inode, folders[i], &n_files, error))
        return NULL;
    }

  return g_steal_pointer (&links);
}

/**
 * links_on:
 * @links: (element-type ImageLink): what links_scan() found
 * @dev: device of a file
 * @ino: inode of it
 *
 * Returns: (transfer container) (element-type ImageLink): the images whose backing file it is
 */
GPtrArray *
links_on (GPtrArray *links,
          guint64    dev,
          guint64    ino)
{
  GPtrArray *found = g_ptr_array_new ();

  for (guint i = 0; i < links->len; i++)
    {
      ImageLink *link = g_ptr_array_index (links, i);

      if (link->backing_known && link->backing_dev == dev && link->backing_ino == ino)
        g_ptr_array_add (found, link);
    }

  return found;
}

/**
 * links_find:
 * @links: (element-type ImageLink): what links_scan() found
 * @dev: device of a file
 * @ino: inode of it
 *
 * Returns: (transfer none) (nullable): the file
 */
ImageLink *
links_find (GPtrArray *links,
            guint64    dev,
            guint64    ino)
{
  for (guint i = 0; i < links->len; i++)
    {
      ImageLink *link = g_ptr_array_index (links, i);

      if (link->facts.dev == dev && link->facts.ino == ino)
        return link;
    }

  return NULL;
}
