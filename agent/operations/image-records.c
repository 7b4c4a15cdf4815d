/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the journal's table of images. */

#include "image-records.h"

/* In place of a file's size: it shows nothing that any image holds. */
#define SPENT G_GINT64_CONSTANT (-1)

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
 * Returns: (transfer full): the ids of images that hold what it shows, newest first
 */
char **
image_records_of_layer (Journal *journal, const char *store, const FileFacts *facts, GError **error)
{
  g_autoptr (GStrvBuilder) ids = g_strv_builder_new ();

  if (!journal_read (journal, on_id, ids, error,
                     "SELECT id FROM images WHERE store = ? AND layer_dev = ?"
                     " AND layer_ino = ? AND layer_size = ? AND layer_mtime_ns = ?"
                     " ORDER BY created_us DESC, rowid DESC",
                     "siiii", store, (gint64) facts->dev, (gint64) facts->ino,
                     (gint64) facts->size, facts->mtime_ns))
    return NULL;
  return g_strv_builder_end (ids);
}

typedef struct
{
  char      *path;
  FileFacts *facts;
} FoundLayer;

static void
on_layer (JournalRow *row, gpointer user_data)
{
  FoundLayer *found = user_data;

  g_free (found->path);
  found->path = g_strdup (journal_row_text (row, 0));
  found->facts->dev = (guint64) journal_row_int64 (row, 1);
  found->facts->ino = (guint64) journal_row_int64 (row, 2);
  found->facts->size = (guint64) journal_row_int64 (row, 3);
  found->facts->mtime_ns = journal_row_int64 (row, 4);
}

/**
 * image_records_find_layer:
 * @journal: the journal
 * @store: the store's name
 * @image_id: an image
 * @path: (out) (nullable): the layer that shows what it holds; %NULL when none is known
 * @facts: (out caller-allocates): the layer's file as it was then: it is another one when it
 *   differs
 * @error: return location
 *
 * Returns: whether the journal could be read
 */
gboolean
image_records_find_layer (Journal *journal, const char *store, const char *image_id, char **path,
                          FileFacts *facts, GError **error)
{
  FoundLayer found = { .facts = facts };

  if (!journal_read (journal, on_layer, &found, error,
                     "SELECT layer_path, layer_dev, layer_ino, layer_size, layer_mtime_ns"
                     " FROM images WHERE store = ? AND id = ?", "ss", store, image_id))
    return FALSE;
  *path = found.path;
  return TRUE;
}

/**
 * image_records_parents:
 * @journal: the journal
 * @image_id: an image
 * @error: return location
 *
 * Returns: (transfer full): the ids of its parent, that one's parent and so on, as far as they are
 *   known: the last has none, or is not ours
 */
char **
image_records_parents (Journal *journal, const char *image_id, GError **error)
{
  g_autoptr (GStrvBuilder) ids = g_strv_builder_new ();

  if (!journal_read (journal, on_id, ids, error,
                     "WITH RECURSIVE chain (id, depth) AS ("
                     " SELECT parent_image, 1 FROM images WHERE id = ?"
                     " UNION ALL"
                     " SELECT i.parent_image, c.depth + 1 FROM chain c JOIN images i ON i.id = c.id"
                     " WHERE c.depth < ?)"
                     " SELECT id FROM chain WHERE id IS NOT NULL ORDER BY depth", "si", image_id,
                     (gint64) IMAGE_PARENTS_MAX))
    return NULL;
  return g_strv_builder_end (ids);
}

/**
 * image_records_move_layer:
 * @journal: the journal
 * @from: a layer's file as it was before it was merged, or its header written anew
 * @path: the file in which the guest now sees what it saw in that layer
 * @to: that file as it is now
 * @error: return location
 *
 * What the layer's image, with its parents, holds is from now on what is seen in @path: a layer
 * that is put on it has that image as its parent. A repeat finds nothing to do.
 *
 * Returns: whether it is written
 */
gboolean
image_records_move_layer (Journal *journal, const FileFacts *from, const char *path,
                          const FileFacts *to, GError **error)
{
  return journal_write (journal, error,
                        "UPDATE images SET layer_path = ?, layer_dev = ?, layer_ino = ?,"
                        " layer_size = ?, layer_mtime_ns = ? WHERE layer_dev = ?"
                        " AND layer_ino = ? AND layer_size = ? AND layer_mtime_ns = ?",
                        "siiiiiiii", path, (gint64) to->dev, (gint64) to->ino, (gint64) to->size,
                        to->mtime_ns, (gint64) from->dev, (gint64) from->ino,
                        (gint64) from->size, from->mtime_ns);
}

/**
 * image_records_spend_layer:
 * @journal: the journal
 * @from: a layer's file as it was before something was merged into it
 * @to: the file as it is now that this was called off
 * @error: return location
 *
 * The layer shows nothing any more that was ever uploaded; what stands on it shows what it did.
 * That is remembered as long as the file stays so.
 *
 * Returns: whether it is written
 */
gboolean
image_records_spend_layer (Journal *journal, const FileFacts *from, const FileFacts *to,
                           GError **error)
{
  return journal_write (journal, error,
                        "UPDATE images SET layer_size = ?, layer_mtime_ns = ? WHERE layer_dev = ?"
                        " AND layer_ino = ? AND layer_size IN (?, ?) AND layer_mtime_ns = ?",
                        "iiiiiii", SPENT, to->mtime_ns, (gint64) from->dev, (gint64) from->ino,
                        (gint64) from->size, SPENT, from->mtime_ns);
}

/**
 * image_records_forget_layer:
 * @journal: the journal
 * @dev: the device of a file
 * @ino: its inode
 * @error: return location
 *
 * A block device shows by nothing that it was written to. So nothing is known of what is in one any
 * more once it is about to be, or may have been.
 *
 * Returns: whether it is written
 */
gboolean
image_records_forget_layer (Journal *journal, gint64 dev, gint64 ino, GError **error)
{
  return journal_write (journal, error,
                        "UPDATE images SET layer_dev = 0, layer_ino = 0"
                        " WHERE layer_dev = ? AND layer_ino = ?", "ii", dev, ino);
}

/**
 * image_records_is_spent:
 * @journal: the journal
 * @store: the store's name
 * @facts: a layer's file as it is now
 * @spent: (out): whether it is what image_records_spend_layer() was told of
 * @error: return location
 *
 * Returns: whether the journal could be read
 */
gboolean
image_records_is_spent (Journal *journal, const char *store, const FileFacts *facts,
                        gboolean *spent, GError **error)
{
  gint64 n = 0;

  if (!journal_read (journal, on_size, &n, error,
                     "SELECT COUNT(*) FROM images WHERE store = ? AND layer_dev = ?"
                     " AND layer_ino = ? AND layer_size = ? AND layer_mtime_ns = ?",
                     "siiii", store, (gint64) facts->dev, (gint64) facts->ino, SPENT,
                     facts->mtime_ns))
    return FALSE;
  *spent = n > 0;
  return TRUE;
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
                        "INSERT OR REPLACE INTO images (id, store, guest, disk, layer_path,"
                        " layer_dev, layer_ino, layer_size, layer_mtime_ns, size, md5, sha512,"
                        " parent_image, format, created_us)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
