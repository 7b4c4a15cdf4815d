/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a disk is made of when no QEMU can tell: what was known of it, and what the headers of
 * its images say. */

#include "look-offline.h"

#include <core/error.h>
#include <disk/links.h>
#include <disk/names.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LAYERS 1024u

/* @path: by its name for life */
static void
add_layer (Disk *disk, const ImageLink *image, const char *path)
{
  Layer *self = disk_add_layer (disk);

  self->path = g_strdup (path);
  self->driver = g_strdup (image->facts.block_device ? "host_device" : "file");
  self->format = g_strdup (image->format);
  self->node = g_strdup ("");
  self->file_node = g_strdup ("");
  self->read_only = disk->layers->len > 1;
  self->encrypted = image->encrypted;
  self->extended_l2 = image->extended_l2;
  self->has_data_file = image->has_data_file;
  self->virtual_size = image->virtual_size;
  self->allocated = (gint64) image->facts.allocated;
  self->detect_zeroes = g_strdup ("off");
  self->known = TRUE;
  self->facts = image->facts;
  self->linked = !image->facts.block_device && g_file_test (image->path, G_FILE_TEST_IS_SYMLINK);
}

static Disk *
begin_disk (const KnownDisk *known)
{
  Disk *self = disk_new ();

  self->name = g_strdup (known->disk);
  self->root = g_strdup ("");
  self->published = g_strdup (known->published);
  for (guint i = 0; known->aliases[i] != NULL; i++)
    g_ptr_array_add (self->aliases, g_strdup (known->aliases[i]));
  return self;
}

static gboolean
has_layer (Disk *disk, const FileFacts *facts)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      if (file_facts_agree (&layer->facts, facts))
        return TRUE;
    }
  return FALSE;
}

/* The published file is one more name of a layer, which has one for life. */
static char *
find_name_for_life (const KnownDisk *known, const FileFacts *facts, GError **error)
{
  const char *published = known->published;
  g_autoptr (GPtrArray) entries = NULL;
  NamesChoice names = { 0 };
  FileFacts seen = { 0 };
  char *path;

  if (facts->block_device)
    return g_strdup (published);
  if (files_look (known->path, &seen, NULL) && file_facts_agree (&seen, facts)
      && strcmp (known->path, published) != 0)
    return g_strdup (known->path);
  entries = names_list (published, error);
  if (entries == NULL)
    return NULL;
  names_choose (published, facts->dev, facts->ino, entries, &names);
  path = names.layer_exists ? g_strdup (names.layer) : g_strdup (published);
  names_choice_clear (&names);
  return path;
}

static gboolean
set_unknown (const KnownDisk *known, GError **error)
{
  agent_set_error (error, AGENT_ERROR_UNAVAILABLE,
                   "start the guest once, so that its disks are seen",
                   "disk %s: %s is another file than the one that was seen when the guest ran",
                   known->disk, known->published);
  return FALSE;
}

/* Whether what stands below @image is what the disk was seen to be made of, by formats that the
 * headers tell; then @image is an overlay that was put on top since. */
static gboolean
stands_on_known (const KnownDisk *known, const ImageLink *image)
{
  g_autoptr (ImageLink) lower = NULL;
  const ImageLink *at = image;

  for (guint i = 0; i < MAX_LAYERS && at->backing_known; i++)
    {
      const char *format = known_disk_format_of (known, at->backing_dev, at->backing_ino,
                                                 at->backing_born_ns);
      ImageLink *next;

      if (format != NULL)
        return g_strcmp0 (format, at->backing_format) == 0;
      if (g_strcmp0 (at->backing_format, "qcow2") != 0)
        return FALSE;
      next = image_link_read (at->backing, "qcow2", NULL);
      if (next == NULL)
        return FALSE;
      image_link_free (lower);
      at = lower = next;
    }
  return FALSE;
}

/* The image that the guest would be started from. A guest can write what it likes at the beginning
 * of a raw one: a header counts only where the file was used as qcow2, or is named as an overlay of
 * ours is and stands on what is known. */
static ImageLink *
read_top (const KnownDisk *known, char **path, GError **error)
{
  g_autoptr (ImageLink) image = NULL;
  g_autoptr (GError) problem = NULL;
  FileFacts facts = { 0 };
  const char *format;

  if (!files_look (known->published, &facts, &problem))
    {
      if (problem != NULL)
        g_propagate_error (error, g_steal_pointer (&problem));
      else
        agent_set_error (error, AGENT_ERROR_UNAVAILABLE, NULL, "disk %s: %s is not there",
                         known->disk, known->published);
      return NULL;
    }
  if (g_file_test (known->published, G_FILE_TEST_IS_SYMLINK) && !facts.block_device)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "start the guest from the file itself",
                       "disk %s: %s is a symbolic link", known->disk, known->published);
      return NULL;
    }
  *path = find_name_for_life (known, &facts, error);
  if (*path == NULL)
    return NULL;

  format = known_disk_format_of (known, facts.dev, facts.ino, facts.born_ns);
  if (format == NULL && !names_split_layer (*path, NULL, NULL))
    {
      set_unknown (known, error);
      return NULL;
    }
  image = image_link_read (known->published, format != NULL ? format : "qcow2", error);
  if (image == NULL)
    return NULL;
  if (image->facts.ino != facts.ino || (format == NULL && !stands_on_known (known, image)))
    {
      set_unknown (known, error);
      return NULL;
    }
  return g_steal_pointer (&image);
}

static gboolean
check_format (const KnownDisk *known, const char *path, const char *format, GError **error)
{
  if (g_strcmp0 (format, "qcow2") == 0 || g_strcmp0 (format, "raw") == 0)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "write it into the header above: qemu-img rebase -u -F FORMAT -b BACKING IMAGE",
                   "disk %s: the format of %s is %s; it must be known, and qcow2 or raw",
                   known->disk, path, format != NULL ? format : "not told by any header");
  return FALSE;
}

/* What @image stands on; the one above has told its format, and so may have QEMU. */
static ImageLink *
read_below (const KnownDisk *known, const ImageLink *image, GError **error)
{
  const char *seen = image->backing_known
    ? known_disk_format_of (known, image->backing_dev, image->backing_ino, image->backing_born_ns)
    : NULL;
  const char *format = image->backing_format != NULL ? image->backing_format : seen;

  if (!image->backing_known)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                       "disk %s: %s stands on %s, which is no local file that can be seen here",
                       known->disk, image->path, image->backing);
      return NULL;
    }
  if (!check_format (known, image->backing, format, error))
    return NULL;
  if (seen != NULL && g_strcmp0 (seen, format) != 0)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "find out who has changed the header",
                       "disk %s: %s was used as %s, and the header of %s says that it is %s",
                       known->disk, image->backing, seen, image->path, format);
      return NULL;
    }
  return image_link_read (image->backing, format, error);
}

static gboolean
walk (Disk *disk, const KnownDisk *known, GError **error)
{
  g_autoptr (ImageLink) image = NULL;
  g_autofree char *path = NULL;

  image = read_top (known, &path, error);
  if (image == NULL)
    return FALSE;
  add_layer (disk, image, path);
  while (image->backing != NULL)
    {
      g_autoptr (ImageLink) above = g_steal_pointer (&image);
      char *real;

      image = read_below (known, above, error);
      if (image == NULL)
        return FALSE;
      if (has_layer (disk, &image->facts) || disk->layers->len == MAX_LAYERS)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, "look at it with qemu-img info",
                           "disk %s: %s stands on %s, which %s", known->disk, above->path,
                           image->path, disk->layers->len == MAX_LAYERS ? "is one too many"
                                                                        : "stands on it");
          return FALSE;
        }
      real = image->facts.block_device ? NULL : realpath (image->path, NULL);
      add_layer (disk, image, real != NULL ? real : image->path);
      free (real);
    }
  return TRUE;
}

/**
 * chain_look_known_disk:
 * @known: a disk as it was last seen
 * @error: return location: AGENT_ERROR CONFLICT, UNAVAILABLE or INTERNAL
 *
 * Makes the disk from its published file down. Formats are those that the files were used with, or
 * that the headers above name: nothing is probed. Blocking.
 *
 * Returns: (transfer full): the disk, without nodes
 */
Disk *
chain_look_known_disk (const KnownDisk *known, GError **error)
{
  g_autoptr (Disk) self = begin_disk (known);

  if (!walk (self, known, error))
    return NULL;
  return g_steal_pointer (&self);
}

/**
 * chain_look_check_unused:
 * @disk: a disk
 * @error: return location: AGENT_ERROR CONFLICT, UNAVAILABLE or INTERNAL
 *
 * Whoever runs a guest, or a tool, holds a lock on what it writes to. Blocking.
 *
 * Returns: TRUE when nobody has the topmost image open
 */
gboolean
chain_look_check_unused (Disk *disk, GError **error)
{
  const Layer *active = disk_get_active (disk);
  gboolean in_use = FALSE;

  if (active->facts.block_device)
    return TRUE;
  if (!files_in_use (active->path, &in_use, error))
    return FALSE;
  if (!in_use)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_UNAVAILABLE,
                   "attach the guest that runs, or wait for the tool that has it open",
                   "disk %s: somebody has %s open", disk->name, active->path);
  return FALSE;
}
