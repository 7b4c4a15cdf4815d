/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the journal's table of images. */

#include "image-records.h"

static void
on_known (JournalRow *row, gpointer user_data)
{
  g_ptr_array_add (user_data, known_image_new (journal_row_text (row, 0),
                                               journal_row_text (row, 1)));
}

static void
on_id (JournalRow *row, gpointer user_data)
{
  g_strv_builder_add (user_data, journal_row_text (row, 0));
}

static void
on_size (JournalRow *row, gpointer user_data)
{
  *(gint64 *) user_data = journal_row_int64 (row, 0);
}

/**
 * image_records_of_layer:
 * @journal: the journal
 * @store: the store's name
 * @facts: the layer's file as it is now
 * @error: return location
 *
 * Returns: (transfer full) (element-type KnownImage): images that were made of it, newest first
 */
GPtrArray *
image_records_of_layer (Journal *journal, const char *store, const FileFacts *facts, GError **error)
{
  g_autoptr (GPtrArray) images = g_ptr_array_new_with_free_func ((GDestroyNotify) known_image_free);

  if (!journal_read (journal, on_known, images, error,
                     "SELECT id, parent_image FROM images WHERE store = ? AND layer_dev = ?"
                     " AND layer_ino = ? AND layer_size = ? AND layer_mtime_ns = ?"
                     " ORDER BY created_us DESC",
                     "siiii", store, (gint64) facts->dev, (gint64) facts->ino,
                     (gint64) facts->size, facts->mtime_ns))
    return NULL;
  return g_steal_pointer (&images);
}

/**
 * image_records_add:
 * @journal: the journal
 * @store: the store's name
 * @guest: the guest's id
 * @upload: what went up
 * @facts: the layer's file as it was read
 * @info: the image as the store has it
 * @error: return location
 *
 * Returns: whether it is written
 */
gboolean
image_records_add (Journal *journal, const char *store, const char *guest, const UploadPlan *upload,
                   const FileFacts *facts, const ImageInfo *info, GError **error)
{
  return journal_write (journal, error,
                        "INSERT OR REPLACE INTO images (id, store, guest, disk, layer_path, layer_dev,"
                        " layer_ino, layer_size, layer_mtime_ns, size, md5, sha512, parent_image,"
                        " format, created_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        "sssssiiiiissssi", upload->image_id, store, guest, upload->disk,
                        upload->path, (gint64) facts->dev, (gint64) facts->ino,
                        (gint64) facts->size, facts->mtime_ns, info->size, info->md5, info->sha512,
                        upload->parent_image, upload->format, g_get_real_time ());
}

/**
 * image_records_remove:
 * @journal: the journal
 * @image_id: an image
 * @error: return location
 *
 * Forgets the image, and that points were uploaded as it.
 *
 * Returns: whether it is written
 */
gboolean
image_records_remove (Journal *journal, const char *image_id, GError **error)
{
  if (!journal_begin (journal, error))
    return FALSE;
  if (journal_write (journal, error, "UPDATE point_disks SET image_id = NULL WHERE image_id = ?",
                     "s", image_id)
      && journal_write (journal, error, "DELETE FROM images WHERE id = ?", "s", image_id))
    return journal_commit (journal, error);
  journal_rollback (journal);
  return FALSE;
}

/**
 * image_records_size:
 * @journal: the journal
 * @image_id: an image
 * @size: (out): its bytes when it was uploaded whole, else -1
 * @error: return location
 *
 * Returns: whether the journal could be read
 */
gboolean
image_records_size (Journal *journal, const char *image_id, gint64 *size, GError **error)
{
  *size = -1;
  return journal_read (journal, on_size, size, error, "SELECT size FROM images WHERE id = ?", "s",
                       image_id);
}

/**
 * image_records_children:
 * @journal: the journal
 * @image_id: an image
 * @error: return location
 *
 * Returns: (transfer full): the ids of the images whose parent it is
 */
char **
image_records_children (Journal *journal, const char *image_id, GError **error)
{
  g_autoptr (GStrvBuilder) ids = g_strv_builder_new ();

  if (!journal_read (journal, on_id, ids, error, "SELECT id FROM images WHERE parent_image = ?",
                     "s", image_id))
    return NULL;
  return g_strv_builder_end (ids);
}
