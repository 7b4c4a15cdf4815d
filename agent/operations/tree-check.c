/* SPDX-License-Identifier: Apache-2.0 */

/* Knows whether a tree that another host has told is the one whose files are here. Nothing in it is
 * believed that the files do not say themselves. */

#include "tree-check.h"

#include <core/error.h>
#include <string.h>

#include "document.h"
#include "image-records.h"
#include "points-json.h"
#include "request-members.h"

static void
adopted_file_free (AdoptedFile *self)
{
  g_free (self->told);
  g_free (self->path);
  g_free (self->format);
  g_free (self->backing);
  g_free (self);
}

/**
 * adoption_free:
 * @self: (nullable): a tree to be taken over
 */
void
adoption_free (Adoption *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->files);
  g_ptr_array_unref (self->points);
  g_ptr_array_unref (self->images);
  g_free (self);
}

/**
 * adoption_find_file:
 * @self: a tree to be taken over
 * @told: a path on the other host
 *
 * Returns: (transfer none) (nullable): the file
 */
AdoptedFile *
adoption_find_file (const Adoption *self, const char *told)
{
  for (guint i = 0; told != NULL && i < self->files->len; i++)
    {
      AdoptedFile *file = g_ptr_array_index (self->files, i);

      if (strcmp (file->told, told) == 0)
        return file;
    }
  return NULL;
}

/**
 * adoption_is_proven:
 * @self: a tree whose files were looked at
 * @file: one of them
 *
 * Returns: whether it, and all that it stands on in the tree, is as it was when the tree was told,
 *   whatever the caller says
 */
gboolean
adoption_is_proven (const Adoption *self, const AdoptedFile *file)
{
  /* A circle has no more files than the tree. */
  for (guint i = 0; file != NULL && i < self->files->len; i++)
    {
      if (!file->unchanged)
        return FALSE;
      file = adoption_find_file (self, file->backing);
    }
  return file == NULL;
}

static gboolean
invalid (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
invalid (GError **error, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  agent_set_error (error, AGENT_ERROR_INVALID, "send the document as the other host has given it",
                   "%s", message);
  return FALSE;
}

/* --- the document --- */

/* The guest's other media may have stayed where they were. */
static void
need (const Adoption *self, const char *told, gboolean by_point)
{
  AdoptedFile *file = adoption_find_file (self, told);

  while (file != NULL && !(by_point ? file->shown : file->needed))
    {
      file->needed = TRUE;
      file->shown = file->shown || by_point;
      file = adoption_find_file (self, file->backing);
    }
}

/* What was beside the disk there is in @folder here. */
static char *
map_path (const char *told, const char *published, const char *folder)
{
  g_autofree char *old = g_path_get_dirname (told);
  g_autofree char *beside = published != NULL ? g_path_get_dirname (published) : NULL;
  g_autofree char *name = g_path_get_basename (told);

  return folder != NULL && g_strcmp0 (old, beside) == 0 ? g_build_filename (folder, name, NULL)
                                                        : g_strdup (told);
}

static gboolean
parse_layer (Adoption *self, JsonNode *node, const char *published, const char *folder,
             GError **error)
{
  JsonObject *layer = document_object (node);
  const char *path = layer != NULL ? document_text (layer, "path") : NULL;
  const char *format = layer != NULL ? document_text (layer, "format") : NULL;
  AdoptedFile *file;

  /* What is on no local file has nothing to be compared with, and no points. */
  if (layer != NULL && path == NULL)
    return TRUE;
  if (layer == NULL || !g_path_is_absolute (path)
      || (g_strcmp0 (format, "qcow2") != 0 && g_strcmp0 (format, "raw") != 0)
      || document_number (layer, "virtual_size") < 0)
    return invalid (error, "layers: each has an absolute path, a format (qcow2 or raw) and a "
                    "virtual_size; %s has not", path != NULL ? path : "one");
  if (adoption_find_file (self, path) != NULL)
    return TRUE;
  file = g_new0 (AdoptedFile, 1);
  file->told = g_strdup (path);
  file->path = map_path (path, published, folder);
  file->format = g_strdup (format);
  file->virtual_size = document_number (layer, "virtual_size");
  file->backing = g_strdup (document_text (layer, "backing"));
  file->size = document_number (layer, "size");
  if (!document_time (layer, "changed", &file->changed_us))
    file->changed_us = 0;
  g_ptr_array_add (self->files, file);
  return TRUE;
}

static gboolean
parse_disks (Adoption *self, JsonArray *disks, const char *folder, GError **error)
{
  for (guint i = 0; i < json_array_get_length (disks); i++)
    {
      JsonObject *disk = document_object (json_array_get_element (disks, i));
      JsonArray *layers = disk != NULL ? document_array (disk, "layers") : NULL;

      if (layers == NULL)
        return invalid (error, "disks: each is an object with its layers");
      for (guint j = 0; j < json_array_get_length (layers); j++)
        {
          if (!parse_layer (self, json_array_get_element (layers, j),
                            document_text (disk, "published"), folder, error))
            return FALSE;
        }
    }
  return TRUE;
}

static gboolean
parse_points (Adoption *self, JsonArray *points, GError **error)
{
  for (guint i = 0; i < json_array_get_length (points); i++)
    {
      Point *point = point_from_json (json_array_get_element (points, i), error);

      if (point == NULL)
        return FALSE;
      g_ptr_array_add (self->points, point);
      for (guint j = 0; j < point->disks->len; j++)
        {
          const PointDisk *disk = g_ptr_array_index (point->disks, j);
          const AdoptedFile *file = adoption_find_file (self, disk->path);

          if (file == NULL || strcmp (file->format, disk->format) != 0)
            return invalid (error, "point %s: %s is no layer of format %s of the tree", point->id,
                            disk->path, disk->format);
          need (self, disk->path, TRUE);
        }
    }
  return TRUE;
}

static gboolean
parse_images (Adoption *self, JsonArray *images, GError **error)
{
  for (guint i = 0; i < json_array_get_length (images); i++)
    {
      JsonObject *record = document_object (json_array_get_element (images, i));
      const char *layer;

      if (record == NULL)
        return invalid (error, "images: each is an object");
      if (!image_record_check (record, error))
        return FALSE;
      layer = document_text (record, "layer");
      if (layer != NULL && adoption_find_file (self, layer) == NULL)
        return invalid (error, "image %s: %s is no layer of the tree", document_text (record, "id"),
                        layer);
      need (self, layer, FALSE);
      g_ptr_array_add (self->images, json_object_ref (record));
    }
  return TRUE;
}

/**
 * tree_check_parse:
 * @document: what operations_tree_async() has told on another host; "folder": where the files are
 *   here that were beside their disks there; "unchanged": the caller's word that nobody has written
 *   to them
 * @error: return location: AGENT_ERROR_INVALID says what is wrong
 *
 * Returns: (transfer full): the tree to be taken over
 */
Adoption *
tree_check_parse (JsonObject *document, GError **error)
{
  static const char *const members[] = { "guest", "disks", "points", "images", "folder",
                                         "unchanged", NULL };
  g_autoptr (Adoption) self = g_new0 (Adoption, 1);
  g_autofree char *folder = NULL;
  JsonArray *disks = document_array (document, "disks");
  JsonArray *points = document_array (document, "points");
  JsonArray *images = document_array (document, "images");

  self->files = g_ptr_array_new_with_free_func ((GDestroyNotify) adopted_file_free);
  self->points = g_ptr_array_new_with_free_func ((GDestroyNotify) point_free);
  self->images = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);
  if (!request_has_only (document, members, error)
      || !request_text (document, "folder", &folder, error)
      || !request_flag (document, "unchanged", &self->vouched, error))
    return NULL;
  if (folder != NULL && !g_path_is_absolute (folder))
    invalid (error, "folder: \"%s\" is no absolute path", folder);
  else if (disks == NULL || points == NULL)
    invalid (error, "a tree has disks and points");
  else if (parse_disks (self, disks, folder, error) && parse_points (self, points, error)
           && (images == NULL || parse_images (self, images, error)))
    return g_steal_pointer (&self);
  return NULL;
}

/* --- the files --- */

static gboolean
differs (GError **error, const char *hint, const char *path, const char *what)
{
  agent_set_error (error, AGENT_ERROR_CONFLICT, hint, "%s: %s", path, what);
  return FALSE;
}

static gboolean
check_file (AdoptedFile *file, GError **error)
{
  g_autoptr (ImageLink) link = NULL;

  if (!file->needed)
    return TRUE;
  link = image_link_read (file->path, file->format, error);
  if (link == NULL)
    return FALSE;
  file->facts = link->facts;
  file->unchanged = !file->facts.block_device && file->size == (gint64) file->facts.size
                    && file->changed_us == file->facts.mtime_ns / 1000;
  if (link->virtual_size != file->virtual_size)
    return differs (error, "it is another image, or was resized: bring the right file", file->path,
                    "its virtual size is not the one told");
  if (link->has_data_file)
    return differs (error, NULL, file->path, "it keeps its data in an external file");
  return TRUE;
}

/* After all files were looked at. */
static gboolean
check_backing (const Adoption *self, const AdoptedFile *file, GError **error)
{
  const AdoptedFile *below = adoption_find_file (self, file->backing);
  g_autoptr (ImageLink) link = NULL;

  if (!file->needed)
    return TRUE;
  link = image_link_read (file->path, file->format, error);
  if (link == NULL)
    return FALSE;
  if ((file->backing == NULL) != (link->backing == NULL))
    return differs (error, "bring the file that belongs to this tree", file->path,
                    link->backing == NULL ? "it has no backing file, and is told to have one"
                                          : "it has a backing file, and is told to have none");
  if (file->backing == NULL
      || (below == NULL ? strcmp (link->backing, file->backing) == 0
                        : link->backing_known && link->backing_dev == below->facts.dev
                          && link->backing_ino == below->facts.ino))
    return TRUE;
  return differs (error, "put the right name into its header: qemu-img rebase -u -b FILE -F FORMAT",
                  file->path, "its backing file is not the layer below it in the tree");
}

/* What a file is called, and what it stands on, stays the same when others are merged into it. */
static gboolean
check_unchanged (const Adoption *self, const AdoptedFile *file, GError **error)
{
  if (!file->shown || file->unchanged || self->vouched)
    return TRUE;
  return differs (error, "bring the tree as it is told now, and the files with their times (cp -p, "
                  "rsync -t); or say that nobody has written to them since (unchanged)", file->path,
                  file->changed_us == 0 ? "the tree does not tell when it was last written to"
                                        : "it was written to after the tree was told, or has lost "
                                          "its time");
}

static gboolean
is_in_a_chain (const ChainLook *look, const FileFacts *facts, gboolean *active)
{
  gboolean found = FALSE;

  *active = FALSE;
  for (guint i = 0; i < look->inspection->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (look->inspection->disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        {
          const Layer *layer = g_ptr_array_index (disk->layers, j);

          if (!layer->known || !file_facts_agree (&layer->facts, facts))
            continue;
          found = TRUE;
          *active = *active || j == 0;
        }
    }
  return found;
}

/* Points are what layers are kept, written and deleted for: only of files that are this guest's. */
static gboolean
place_point (const Adoption *self, const ChainLook *look, Point *point, GError **error)
{
  for (guint i = 0; i < point->disks->len; i++)
    {
      PointDisk *disk = g_ptr_array_index (point->disks, i);
      const AdoptedFile *file = adoption_find_file (self, disk->path);
      const Disk *own = disks_find (look->inspection->disks, disk->disk);
      gboolean active;

      if (own == NULL)
        return invalid (error, "point %s: the guest has no disk \"%s\"", point->id, disk->disk);
      if (!is_in_a_chain (look, &file->facts, &active)
          && links_find (look->links, file->facts.dev, file->facts.ino) == NULL)
        return differs (error, "put it beside the guest's disk, or name its folder in scan-folders",
                        file->path, "it is in no folder where layers of this guest are");
      if (active)
        return differs (error, "a layer that is written to holds no point", file->path,
                        "a guest writes to it");
      g_free (disk->disk);
      g_free (disk->path);
      disk->disk = g_strdup (own->name);
      disk->path = g_strdup (file->path);
      disk->dev = file->facts.dev;
      disk->ino = file->facts.ino;
      disk->born_ns = file->facts.born_ns;
      disk->virtual_size = file->virtual_size;
      disk->allocated = (gint64) file->facts.allocated;
    }
  return TRUE;
}

/**
 * tree_check_files:
 * @self: a tree to be taken over
 * @look: how the guest's disks stand here
 * @error: return location: AGENT_ERROR_CONFLICT names the file that is not what it should be;
 *   AGENT_ERROR_INVALID
 *
 * Returns: whether all of it is here
 */
gboolean
tree_check_files (Adoption *self, const ChainLook *look, GError **error)
{
  for (guint i = 0; i < self->files->len; i++)
    {
      if (!check_file (g_ptr_array_index (self->files, i), error))
        return FALSE;
    }
  for (guint i = 0; i < self->files->len; i++)
    {
      if (!check_backing (self, g_ptr_array_index (self->files, i), error))
        return FALSE;
    }
  for (guint i = 0; i < self->points->len; i++)
    {
      if (!place_point (self, look, g_ptr_array_index (self->points, i), error))
        return FALSE;
    }
  for (guint i = 0; i < self->files->len; i++)
    {
      if (!check_unchanged (self, g_ptr_array_index (self->files, i), error))
        return FALSE;
    }
  return TRUE;
}
