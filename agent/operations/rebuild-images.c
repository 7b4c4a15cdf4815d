/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which images a new journal may count on. Later backups stand on them: the store must say
 * the same as the row, or the layer must have the image's bytes. */

#include "rebuild-parts.h"

#include <image/source.h>
#include <string.h>

#include "document.h"
#include "image-records.h"

#define BUFFER (1 << 20)

static const char *
property (const ImageInfo *image, const char *name)
{
  return g_hash_table_lookup (image->properties, name);
}

static const ImageInfo *
find_image (const Rebuild *self, const char *id)
{
  for (guint i = 0; self->images != NULL && i < self->images->len; i++)
    {
      const ImageInfo *image = g_ptr_array_index (self->images, i);

      if (g_strcmp0 (image->id, id) == 0)
        return image;
    }
  return NULL;
}

/* --- rows --- */

typedef struct
{
  const Rebuild *rebuild;
  GStrvBuilder  *wrong;         /* ids */
  guint          n_good;
} Check;

static gboolean
is_same_sum (const char *row, const char *store)
{
  return row == NULL || store == NULL || g_ascii_strcasecmp (row, store) == 0;
}

static void
on_row (JournalRow *row, gpointer user_data)
{
  Check *check = user_data;
  const char *id = journal_row_text (row, 0);
  const ImageInfo *image = find_image (check->rebuild, id);

  if (image != NULL && g_strcmp0 (journal_row_text (row, 1), check->rebuild->store) == 0
      && g_strcmp0 (image->status, "active") == 0 && image->size == journal_row_int64 (row, 2)
      && is_same_sum (journal_row_text (row, 3), image->md5)
      && is_same_sum (journal_row_text (row, 4), image->sha512)
      && g_strcmp0 (journal_row_text (row, 5), property (image, "qsnapd_parent")) == 0)
    check->n_good++;
  else
    g_strv_builder_add (check->wrong, id);
}

/* Within the transaction that is open. */
static gboolean
forget_image (Journal *content, const char *id, GError **error)
{
  return journal_write (content, error,
                        "UPDATE point_disks SET image_id = NULL WHERE image_id = ?", "s", id)
         && journal_write (content, error, "DELETE FROM images WHERE id = ?", "s", id);
}

/**
 * rebuild_images_check:
 * @self: what a journal is made from
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Takes away the records of images of which the store does not say the same.
 *
 * Returns: whether that is done
 */
gboolean
rebuild_images_check (Rebuild *self, GError **error)
{
  g_autoptr (GStrvBuilder) wrong = g_strv_builder_new ();
  g_auto (GStrv) ids = NULL;
  Check check = { self, wrong, 0 };

  if (!journal_read (self->content, on_row, &check, error,
                     "SELECT id, store, size, md5, sha512, parent_image FROM images", ""))
    return FALSE;
  ids = g_strv_builder_end (wrong);
  for (guint i = 0; ids[i] != NULL; i++)
    {
      if (!forget_image (self->content, ids[i], error))
        return FALSE;
    }
  self->n_images = check.n_good;
  /* A row of these has an image deleted; one that stays is only in the way. */
  if (!journal_write (self->content, error, "DELETE FROM unwanted_images", ""))
    return FALSE;
  /* A point's image that never had a row is none to count on either. */
  return journal_write (self->content, error,
                        "UPDATE point_disks SET image_id = NULL WHERE image_id IS NOT NULL"
                        " AND image_id NOT IN (SELECT id FROM images)", "");
}

/* --- rows and their layers --- */

typedef struct
{
  const Rebuild *rebuild;
  GArray        *doubtful;      /* of gint64: device and inode, one after the other */
} Binding;

/* Nothing below a layer was written to since its image was made. What was merged there shows the
 * same through the layer; what was merged in part does not, and the row that says so may be
 * lost. */
static gboolean
stands_still (const Rebuild *self, gint64 dev, gint64 ino, gint64 since_us)
{
  for (guint i = 0; i < self->guests->len; i++)
    {
      const RebuildGuest *guest = g_ptr_array_index (self->guests, i);

      for (guint j = 0; guest->disks != NULL && j < guest->disks->len; j++)
        {
          g_autoptr (GArray) files = g_array_new (FALSE, FALSE, sizeof (FileFacts));
          gboolean still = TRUE;

          if (!rebuild_files_from (g_ptr_array_index (guest->disks, j), dev, ino, files))
            continue;
          for (guint k = 0; k < files->len; k++)
            {
              const FileFacts *file = &g_array_index (files, FileFacts, k);

              still = still && !file->block_device
                      && (k == 0 || file->mtime_ns <= since_us * 1000);
            }
          return still;
        }
    }
  return FALSE;
}

static void
on_bound (JournalRow *row, gpointer user_data)
{
  Binding *binding = user_data;
  const gint64 file[] = { journal_row_int64 (row, 0), journal_row_int64 (row, 1) };

  if (!stands_still (binding->rebuild, file[0], file[1], journal_row_int64 (row, 2)))
    g_array_append_vals (binding->doubtful, file, 2);
}

/**
 * rebuild_images_unbind:
 * @self: what a journal is made from, with the disks of its guests
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Has images that are kept stand for no layer any more that may show something else by now.
 *
 * Returns: whether that is done
 */
gboolean
rebuild_images_unbind (Rebuild *self, GError **error)
{
  g_autoptr (GArray) doubtful = g_array_new (FALSE, FALSE, sizeof (gint64));
  Binding binding = { self, doubtful };

  if (self->was_whole)
    return TRUE;
  if (!journal_read (self->content, on_bound, &binding, error,
                     "SELECT layer_dev, layer_ino, created_us FROM images WHERE layer_ino != 0",
                     ""))
    return FALSE;
  for (guint i = 0; i + 1 < doubtful->len; i += 2)
    {
      if (!image_records_forget_layer (self->content, g_array_index (doubtful, gint64, i),
                                       g_array_index (doubtful, gint64, i + 1), error))
        return FALSE;
    }
  return TRUE;
}

/* --- layers that are images --- */

static char *
sum_up (ImageSource *source)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA512);
  g_autofree guint8 *buffer = g_malloc (BUFFER);
  gssize n_read;

  while ((n_read = image_source_read (source, buffer, BUFFER, NULL)) > 0)
    g_checksum_update (sum, buffer, n_read);
  return n_read == 0 ? g_strdup (g_checksum_get_string (sum)) : NULL;
}

/* Bit for bit, as it would be sent; and nobody has written to it meanwhile. */
static gboolean
holds (const ImageInfo *image, const Layer *layer, gboolean has_backing)
{
  g_autoptr (ImageSource) source = layer_source_open (layer->path, layer->facts.dev,
                                                      layer->facts.ino, layer->format, has_backing,
                                                      NULL);
  g_autofree char *sum = NULL;
  FileFacts after = { 0 };

  if (source == NULL || image_source_get_length (source) != image->size || image->sha512 == NULL)
    return FALSE;
  sum = sum_up (source);
  return sum != NULL && g_ascii_strcasecmp (sum, image->sha512) == 0
         && files_look (layer->path, &after, NULL) && after.mtime_ns == layer->facts.mtime_ns
         && file_facts_agree (&after, &layer->facts);
}

/* @below: ids of the images that hold the layer below; NULL: there is none */
static gboolean
is_candidate (const ImageInfo *image, const RebuildGuest *guest, const Disk *disk,
              const Layer *layer, const char *const *below)
{
  const char *parent = property (image, "qsnapd_parent");

  return g_strcmp0 (image->status, "active") == 0
         && g_strcmp0 (property (image, "qsnapd_guest"), guest->id) == 0
         && g_strcmp0 (property (image, "qsnapd_disk"), disk->name) == 0
         && g_strcmp0 (property (image, "qsnapd_kind"), below != NULL ? "layer" : "base") == 0
         && g_strcmp0 (image->disk_format, layer->format) == 0
         && (below != NULL ? parent != NULL && g_strv_contains (below, parent) : parent == NULL);
}

static gboolean
add_record (Rebuild *self, const RebuildGuest *guest, const Disk *disk, const Layer *layer,
            const ImageInfo *image, GError **error)
{
  g_autoptr (JsonObject) record = json_object_new ();

  document_set_text (record, "id", image->id);
  document_set_text (record, "store", self->store);
  document_set_text (record, "disk", disk->name);
  json_object_set_int_member (record, "size", image->size);
  document_set_text (record, "md5", image->md5);
  document_set_text (record, "sha512", image->sha512);
  document_set_text (record, "parent", property (image, "qsnapd_parent"));
  document_set_text (record, "format", image->disk_format);
  document_set_time (record, "created", image->created_us);
  self->n_images++;
  return image_record_check (record, error)
         && image_records_take (self->content, guest->id, record, layer->path, &layer->facts,
                                error);
}

static void
on_owner (JournalRow *row, gpointer user_data)
{
  char **owner = user_data;

  g_free (*owner);
  *owner = g_strdup (journal_row_text (row, 0));
}

/* Where there are more disks than one, their images are called POINT/DISK. */
static char *
name_point (const ImageInfo *image, const Disk *disk)
{
  g_autofree char *tail = g_strconcat ("/", disk->name, NULL);
  const char *name = image->name != NULL ? image->name : image->id;

  return g_str_has_suffix (name, tail) && strlen (name) > strlen (tail)
    ? g_strndup (name, strlen (name) - strlen (tail)) : g_strdup (name);
}

/* The point that the image was made of. */
static gboolean
add_point (Rebuild *self, RebuildGuest *guest, const Disk *disk, const Layer *layer,
           const ImageInfo *image, GError **error)
{
  g_autoptr (Point) point = NULL;
  g_autofree char *owner = NULL;
  const char *id = property (image, "qsnapd_point");
  PointDisk *own;

  if (id == NULL || !g_uuid_string_is_valid (id) || !rebuild_may_find (self))
    return TRUE;
  if (!journal_read (self->content, on_owner, &owner, error,
                     "SELECT guest FROM points WHERE id = ?", "s", id))
    return FALSE;
  if (owner != NULL && g_strcmp0 (owner, guest->id) != 0)
    return TRUE;
  point = point_new ();
  own = point_add_disk (point);
  point->id = g_strdup (id);
  point->name = name_point (image, disk);
  point->operation = g_strdup (id);
  /* It may have had more disks, of which nothing is found any more. */
  point->disk_count = rebuild_count_disks (guest);
  point->created_us = layer->facts.mtime_ns / 1000;
  own->disk = g_strdup (disk->name);
  own->path = g_strdup (layer->path);
  own->dev = layer->facts.dev;
  own->ino = layer->facts.ino;
  own->born_ns = layer->facts.born_ns;
  own->virtual_size = layer->virtual_size;
  own->allocated = (gint64) layer->facts.allocated;
  own->format = g_strdup (layer->format);
  own->image_id = g_strdup (image->id);
  rebuild_points_tell (guest->points, id, point->name, disk->name, layer->path, "store", NULL);
  return points_add (self->content, guest->id, point, error);
}

static gboolean
find_of_layer (Rebuild *self, RebuildGuest *guest, GPtrArray *points, Disk *disk, guint index,
               const char *const *below, GError **error)
{
  const Layer *layer = g_ptr_array_index (disk->layers, index);

  for (guint i = 0; i < self->images->len; i++)
    {
      const ImageInfo *image = g_ptr_array_index (self->images, i);

      if (!is_candidate (image, guest, disk, layer, below) || !holds (image, layer, below != NULL))
        continue;
      if (!add_record (self, guest, disk, layer, image, error))
        return FALSE;
      if (points_find_in (points, layer->path, &layer->facts) == NULL
          && !add_point (self, guest, disk, layer, image, error))
        return FALSE;
    }
  return TRUE;
}

/* From the base up: an image is what its parent's layer is below its own. */
static gboolean
find_of_disk (Rebuild *self, RebuildGuest *guest, GPtrArray *points, Disk *disk, GError **error)
{
  g_auto (GStrv) below = NULL;

  for (guint i = disk->layers->len; i-- > 1;)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      g_auto (GStrv) ids = NULL;

      if (!layer->known || !layer_is_plain (layer) || (below != NULL && below[0] == NULL))
        return TRUE;
      ids = image_records_of_layer (self->content, self->store, &layer->facts, error);
      if (ids == NULL)
        return FALSE;
      if (ids[0] == NULL)
        {
          if (!find_of_layer (self, guest, points, disk, i, (const char *const *) below, error))
            return FALSE;
          g_strfreev (ids);
          ids = image_records_of_layer (self->content, self->store, &layer->facts, error);
          if (ids == NULL)
            return FALSE;
        }
      g_strfreev (below);
      below = g_steal_pointer (&ids);
    }
  return TRUE;
}

/**
 * rebuild_images_find:
 * @self: what a journal is made from
 * @guest: one of its guests
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Finds layers that are images of the store, by reading them whole.
 *
 * Returns: whether that is done
 */
gboolean
rebuild_images_find (Rebuild *self, RebuildGuest *guest, GError **error)
{
  g_autoptr (GPtrArray) points = NULL;

  if (self->images == NULL || guest->disks == NULL || guest->is_busy)
    return TRUE;
  points = points_list (self->content, guest->id, error);
  for (guint i = 0; points != NULL && i < guest->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (guest->disks, i);

      if (disk->skipped == NULL && !find_of_disk (self, guest, points, disk, error))
        return FALSE;
    }
  return points != NULL;
}
