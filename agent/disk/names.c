/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a disk and its layers are called, and which names are free. See README.md beside this
 * file. */

#include <disk/names.h>

#include <core/error.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_DIGITS 9u                           /* so that a number and the next fit in 32 bits */

/**
 * names_absolute:
 * @name: the name of a file
 * @folder: (nullable): absolute, where @name starts from; %NULL: @name is absolute
 *
 * A name with ".." stays as it is: behind a symbolic link that leads elsewhere than the text says,
 * and QEMU leaves it to the kernel. Pure.
 *
 * Returns: (transfer full): the absolute path, tidied where that changes nothing
 */
char *
names_absolute (const char *name,
                const char *folder)
{
  g_autofree char *path = g_path_is_absolute (name) ? g_strdup (name)
                                                    : g_build_filename (folder, name, NULL);

  if (strstr (path, "/../") != NULL || g_str_has_suffix (path, "/.."))
    return g_steal_pointer (&path);

  return g_canonicalize_filename (path, NULL);
}

/**
 * names_split_layer:
 * @path: a path or a name without folder
 * @published: (out) (optional) (transfer full): @path without its number
 * @number: (out) (optional): the layer's number
 *
 * Takes "/a/disk.qcow2.12" apart into "/a/disk.qcow2" and 12. A number has one to nine digits and
 * no leading zero, so that each layer has just one name. Outputs are untouched when it is no such
 * name.
 *
 * Returns: whether @path looks like the name of a layer
 */
gboolean
names_split_layer (const char  *path,
                   char       **published,
                   guint       *number)
{
  gsize length = strlen (path);
  gsize dot = length;

  while (dot > 0 && g_ascii_isdigit (path[dot - 1]))
    dot--;

  if (dot == length || length - dot > MAX_DIGITS
      || (path[dot] == '0' && length - dot > 1)
      || dot < 2 || path[dot - 1] != '.' || path[dot - 2] == '/')
    return FALSE;

  if (number != NULL)
    *number = (guint) g_ascii_strtoull (path + dot, NULL, 10);
  if (published != NULL)
    *published = g_strndup (path, dot - 1);

  return TRUE;
}

/**
 * names_backing:
 * @image: the path of an image
 * @backing: the path of what it stands on
 *
 * Relative where both are in one folder, so that a chain can be moved with it. QEMU takes what
 * stands before a colon for a protocol.
 *
 * Returns: (transfer full): how the header of @image is to call @backing
 */
char *
names_backing (const char *image,
               const char *backing)
{
  g_autofree char *image_folder = g_path_get_dirname (image);
  g_autofree char *folder = g_path_get_dirname (backing);
  g_autofree char *file = g_path_get_basename (backing);

  if (strcmp (image_folder, folder) != 0)
    return g_strdup (backing);

  return strchr (file, ':') != NULL ? g_strconcat ("./", file, NULL) : g_steal_pointer (&file);
}

/**
 * names_layer:
 * @published: what people call the disk, with or without folder
 * @number: the layer's number
 *
 * Returns: (transfer full): the layer's name for life
 */
char *
names_layer (const char *published,
             guint       number)
{
  return g_strdup_printf ("%s.%u", published, number);
}

/**
 * names_entry_free:
 * @entry: (transfer full): an entry
 */
void
names_entry_free (NamesEntry *entry)
{
  g_free (entry->name);
  g_free (entry);
}

/**
 * names_list:
 * @published: an absolute path, as QEMU has it or as people call the disk
 * @error: where to put an error
 *
 * Reads what names there are: @published, its layers, and when @published itself looks like a
 * layer's name also the disk that it would be a layer of, and that disk's layers. A symbolic link
 * is listed as itself and thus takes a name without being a layer; what is gone by the time it is
 * looked at is left out. Blocking.
 *
 * Errors: %AGENT_ERROR_CONFLICT when the folder cannot be read.
 *
 * Returns: (transfer full) (element-type NamesEntry): the entries, in no order
 */
GPtrArray *
names_list (const char  *published,
            GError     **error)
{
  g_autoptr (GPtrArray) entries =
    g_ptr_array_new_with_free_func ((GDestroyNotify) names_entry_free);
  g_autofree char *folder = g_path_get_dirname (published);
  g_autofree char *name = g_path_get_basename (published);
  g_autofree char *outer = NULL;
  struct dirent *item;
  DIR *dir = opendir (folder);

  if (dir == NULL)
    {
      int saved = errno;

      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "the agent needs to read and to change the folder of a disk",
                       "%s: the folder cannot be read: %s", folder, g_strerror (saved));
      return NULL;
    }

  names_split_layer (name, &outer, NULL);

  while ((item = readdir (dir)) != NULL)
    {
      g_autofree char *stem = NULL;
      struct stat st;
      NamesEntry *entry;

      names_split_layer (item->d_name, &stem, NULL);
      if (g_strcmp0 (item->d_name, name) != 0 && g_strcmp0 (stem, name) != 0
          && (outer == NULL
              || (g_strcmp0 (item->d_name, outer) != 0 && g_strcmp0 (stem, outer) != 0)))
        continue;
      if (fstatat (dirfd (dir), item->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        continue;

      entry = g_new0 (NamesEntry, 1);
      entry->name = g_strdup (item->d_name);
      entry->dev = st.st_dev;
      entry->ino = st.st_ino;
      g_ptr_array_add (entries, entry);
    }

  closedir (dir);

  return g_steal_pointer (&entries);
}

/**
 * names_choice_clear:
 * @choice: a choice
 */
void
names_choice_clear (NamesChoice *choice)
{
  g_clear_pointer (&choice->layer, g_free);
  g_clear_pointer (&choice->overlay, g_free);
}

/**
 * names_choose:
 * @published: the absolute path people call the disk
 * @dev: device of the active file
 * @ino: inode of the active file
 * @entries: (element-type NamesEntry): what names_list() gave
 * @choice: (out caller-allocates): absolute paths; clear with names_choice_clear()
 *
 * Chooses the layer name of the active file and that of the overlay to come. A file that has layer
 * names already keeps the highest of them; else it gets the number after the highest there is, 0 on
 * a virgin disk. The overlay's number is above every number there is. Pure.
 */
void
names_choose (const char  *published,
              guint64      dev,
              guint64      ino,
              GPtrArray   *entries,
              NamesChoice *choice)
{
  g_autofree char *name = g_path_get_basename (published);
  guint next = 0;
  guint own = 0;
  gboolean exists = FALSE;

  for (guint i = 0; i < entries->len; i++)
    {
      const NamesEntry *entry = g_ptr_array_index (entries, i);
      g_autofree char *stem = NULL;
      guint number;

      if (!names_split_layer (entry->name, &stem, &number) || g_strcmp0 (stem, name) != 0)
        continue;

      next = MAX (next, number + 1);
      if (entry->dev == dev && entry->ino == ino)
        {
          own = exists ? MAX (own, number) : number;
          exists = TRUE;
        }
    }

  choice->layer_exists = exists;
  choice->layer = names_layer (published, exists ? own : next++);
  choice->overlay = names_layer (published, next);
}

/**
 * names_published:
 * @path: the absolute path under which QEMU opened the active file
 * @dev: device of that file
 * @ino: inode of that file
 * @entries: (element-type NamesEntry): what names_list() gave for @path
 *
 * Tells what people call the disk: @path, unless that is a layer's name and the name without number
 * is the same file. A file that is merely called "x.3" keeps its name. Pure.
 *
 * Returns: (transfer full): an absolute path
 */
char *
names_published (const char *path,
                 guint64     dev,
                 guint64     ino,
                 GPtrArray  *entries)
{
  g_autofree char *published = NULL;
  g_autofree char *name = NULL;

  if (!names_split_layer (path, &published, NULL))
    return g_strdup (path);

  name = g_path_get_basename (published);
  for (guint i = 0; i < entries->len; i++)
    {
      const NamesEntry *entry = g_ptr_array_index (entries, i);

      if (entry->dev == dev && entry->ino == ino && g_strcmp0 (entry->name, name) == 0)
        return g_steal_pointer (&published);
    }

  return g_strdup (path);
}
