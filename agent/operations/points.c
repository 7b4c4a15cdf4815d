/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the journal's tables of points. A point that a backup took has the id of its operation. */

#include "points.h"

#include <core/error.h>
#include <string.h>

static void
point_disk_free (PointDisk *self)
{
  g_free (self->disk);
  g_free (self->path);
  g_free (self->format);
  g_free (self->image_id);
  g_free (self);
}

/**
 * point_new:
 *
 * Returns: (transfer full): a point without a name and without disks
 */
Point *
point_new (void)
{
  Point *self = g_new0 (Point, 1);

  self->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) point_disk_free);
  return self;
}

/**
 * point_free:
 * @self: (nullable): a point
 */
void
point_free (Point *self)
{
  if (self == NULL)
    return;
  g_free (self->id);
  g_free (self->name);
  g_free (self->operation);
  g_clear_pointer (&self->metadata, json_node_unref);
  g_ptr_array_unref (self->disks);
  g_free (self);
}

/**
 * point_add_disk:
 * @self: a point
 *
 * Returns: (transfer none): a disk of it, all zero
 */
PointDisk *
point_add_disk (Point *self)
{
  PointDisk *disk = g_new0 (PointDisk, 1);

  g_ptr_array_add (self->disks, disk);
  return disk;
}

/* --- writing --- */

static gboolean
write_point (Journal *journal, const char *guest, const Point *point, GError **error)
{
  if (!journal_write (journal, error,
                      "INSERT OR IGNORE INTO points (id, guest, name, created_us, operation,"
                      " quiesced, pinned, disk_count, metadata)"
                      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      "sssisiiij", point->id, guest, point->name, point->created_us,
                      point->operation, (gint64) point->quiesced, (gint64) point->pinned,
                      (gint64) MAX (point->disk_count, point->disks->len), point->metadata))
    return FALSE;
  for (guint i = 0; i < point->disks->len; i++)
    {
      const PointDisk *disk = g_ptr_array_index (point->disks, i);

      if (!journal_write (journal, error,
                          "INSERT OR IGNORE INTO point_disks (point, disk, path, dev, ino,"
                          " born_ns, virtual_size, allocated, format, image_id)"
                          " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                          "sssiiiiiss", point->id, disk->disk, disk->path, (gint64) disk->dev,
                          (gint64) disk->ino, disk->born_ns, disk->virtual_size, disk->allocated,
                          disk->format, disk->image_id))
        return FALSE;
    }
  return TRUE;
}

static gboolean
take_disk (Point *point, const DiskPlan *plan, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts facts = { 0 };
  PointDisk *disk;

  if (!files_look (plan->layer, &facts, &problem))
    {
      if (problem != NULL)
        g_propagate_error (error, g_steal_pointer (&problem));
      else
        agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                         "the frozen layer %s is not there any more", plan->layer);
      return FALSE;
    }
  disk = point_add_disk (point);
  disk->disk = g_strdup (plan->disk);
  disk->path = g_strdup (plan->layer);
  disk->dev = (guint64) plan->layer_dev;
  disk->ino = (guint64) plan->layer_ino;
  disk->born_ns = file_facts_are (&facts, plan->layer_dev, plan->layer_ino) ? facts.born_ns : 0;
  disk->virtual_size = plan->virtual_size;
  disk->allocated = (gint64) facts.allocated;
  disk->format = g_strdup (plan->active_format);
  return TRUE;
}

/* The guest has written to the file until now: what lived in one of that number is gone with it,
 * whoever has taken that away. */
static gboolean
forget_earlier (Journal *journal, const char *guest, const Point *point, gint64 dev, gint64 ino,
                GError **error)
{
  return journal_write (journal, error,
                        "DELETE FROM point_disks WHERE ino = ? AND dev = ? AND point != ?"
                        " AND point IN (SELECT id FROM points WHERE guest = ?)", "iiss", ino, dev,
                        point->id, guest);
}

static gboolean
record (Journal *journal, Backup *job, const Point *point, GError **error)
{
  const char *guest = operation_get_guest (job->operation);

  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (!disk->is_no_point
          && (!forget_earlier (journal, guest, point, disk->layer_dev, disk->layer_ino, error)
              || !forget_earlier (journal, guest, point, disk->overlay_dev, disk->overlay_ino,
                                  error)))
        return FALSE;
    }
  return write_point (journal, guest, point, error);
}

/**
 * points_record:
 * @journal: the journal
 * @job: a job whose point is there
 * @error: return location
 *
 * Returns: whether the point is written
 */
gboolean
points_record (Journal *journal, Backup *job, GError **error)
{
  JsonObject *request = operation_get_request (job->operation);
  JsonNode *metadata = json_object_get_member (request, "metadata");
  g_autoptr (Point) point = point_new ();

  point->id = g_strdup (operation_get_id (job->operation));
  point->name = g_strdup (job->name);
  point->created_us = job->point_us;
  point->operation = g_strdup (point->id);
  point->quiesced = job->frozen;
  point->pinned = json_object_get_boolean_member_with_default (request, "keep", FALSE);
  point->metadata = metadata != NULL ? json_node_ref (metadata) : NULL;
  point->disk_count = job->disks->len;
  for (guint i = 0; i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      if (!disk->is_no_point && !take_disk (point, disk, error))
        return FALSE;
    }
  if (!journal_begin (journal, error))
    return FALSE;
  if (record (journal, job, point, error))
    return journal_commit (journal, error);
  journal_rollback (journal);
  return FALSE;
}

/**
 * points_add:
 * @journal: the journal, with an open transaction when the point has more than one disk
 * @guest: a guest's id
 * @point: a point that is there
 * @error: return location
 *
 * Returns: whether the point is written
 */
gboolean
points_add (Journal *journal, const char *guest, const Point *point, GError **error)
{
  return write_point (journal, guest, point, error);
}

/**
 * points_set_image:
 * @journal: the journal
 * @point: a point's id
 * @disk: one of its disks
 * @image_id: the image that holds the disk's layer
 * @error: return location
 *
 * Returns: whether it is written
 */
gboolean
points_set_image (Journal *journal, const char *point, const char *disk, const char *image_id,
                  GError **error)
{
  return journal_write (journal, error,
                        "UPDATE point_disks SET image_id = ? WHERE point = ? AND disk = ?", "sss",
                        image_id, point, disk);
}

/* --- reading --- */

typedef struct
{
  GPtrArray  *list;             /* of Point */
  GHashTable *by_id;            /* of Point, owned by the list */
} PointList;

static void
on_point (JournalRow *row, gpointer user_data)
{
  PointList *points = user_data;
  Point *point = point_new ();

  point->id = g_strdup (journal_row_text (row, 0));
  point->name = g_strdup (journal_row_text (row, 1));
  point->created_us = journal_row_int64 (row, 2);
  point->operation = g_strdup (journal_row_text (row, 3));
  point->quiesced = journal_row_int64 (row, 4) != 0;
  point->pinned = journal_row_int64 (row, 5) != 0;
  point->metadata = journal_row_json (row, 6);
  point->disk_count = (guint) CLAMP (journal_row_int64 (row, 7), 0, G_MAXINT);
  g_ptr_array_add (points->list, point);
  g_hash_table_insert (points->by_id, point->id, point);
}

static void
on_disk (JournalRow *row, gpointer user_data)
{
  GHashTable *by_id = user_data;
  Point *point = g_hash_table_lookup (by_id, journal_row_text (row, 0));
  PointDisk *disk;

  if (point == NULL)
    return;
  disk = point_add_disk (point);
  disk->disk = g_strdup (journal_row_text (row, 1));
  disk->path = g_strdup (journal_row_text (row, 2));
  disk->dev = (guint64) journal_row_int64 (row, 3);
  disk->ino = (guint64) journal_row_int64 (row, 4);
  disk->virtual_size = journal_row_int64 (row, 5);
  disk->allocated = journal_row_int64 (row, 6);
  disk->format = g_strdup (journal_row_text (row, 7));
  disk->image_id = g_strdup (journal_row_text (row, 8));
  disk->born_ns = journal_row_int64 (row, 9);
}

/**
 * points_list:
 * @journal: the journal
 * @guest: a guest's id
 * @error: return location
 *
 * Returns: (transfer full) (element-type Point): its points, oldest first
 */
GPtrArray *
points_list (Journal *journal, const char *guest, GError **error)
{
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func ((GDestroyNotify) point_free);
  g_autoptr (GHashTable) by_id = g_hash_table_new (g_str_hash, g_str_equal);
  PointList points = { list, by_id };

  if (!journal_read (journal, on_point, &points, error,
                     "SELECT id, name, created_us, operation, quiesced, pinned, metadata,"
                     " disk_count FROM points WHERE guest = ? ORDER BY created_us, rowid",
                     "s", guest)
      || !journal_read (journal, on_disk, by_id, error,
                        "SELECT d.point, d.disk, d.path, d.dev, d.ino, d.virtual_size,"
                        " d.allocated, d.format, d.image_id, d.born_ns FROM point_disks d"
                        " JOIN points p ON p.id = d.point WHERE p.guest = ? ORDER BY d.disk",
                        "s", guest))
    return NULL;
  return g_steal_pointer (&list);
}

/**
 * points_find:
 * @points: (element-type Point): a guest's points
 * @name: the id of one of them, or its name
 * @error: return location: AGENT_ERROR_NOT_FOUND, or AGENT_ERROR_CONFLICT for a name that several
 *   have
 *
 * An id goes before everybody's names.
 *
 * Returns: (transfer none): the point
 */
Point *
points_find (GPtrArray *points, const char *name, GError **error)
{
  Point *found = NULL;

  for (guint i = 0; i < points->len; i++)
    {
      Point *point = g_ptr_array_index (points, i);

      if (strcmp (point->id, name) == 0)
        return point;
    }
  for (guint i = 0; i < points->len; i++)
    {
      Point *point = g_ptr_array_index (points, i);

      if (g_strcmp0 (point->name, name) != 0)
        continue;
      if (found != NULL)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, "name it by its id",
                           "several points are called \"%s\": %s and %s among them", name,
                           found->id, point->id);
          return NULL;
        }
      found = point;
    }
  if (found == NULL)
    agent_set_error (error, AGENT_ERROR_NOT_FOUND, "name one of the guest's snapshots",
                     "there is no point \"%s\"", name);
  return found;
}

/**
 * point_disk_is_in:
 * @self: where a point lives
 * @path: (nullable): a layer's path
 * @facts: the layer's file
 *
 * A file keeps its inode over a start of the host; its device may get another number. An inode that
 * was freed is given to another file, which was born later.
 *
 * Returns: whether that is the layer
 */
gboolean
point_disk_is_in (const PointDisk *self, const char *path, const FileFacts *facts)
{
  return self->ino != 0 && self->ino == facts->ino
         && (self->dev == facts->dev || g_strcmp0 (self->path, path) == 0)
         && (self->born_ns == facts->born_ns || self->born_ns == 0 || facts->born_ns == 0);
}

/**
 * point_is_in:
 * @self: a point
 * @path: (nullable): a layer's path
 * @facts: the layer's file
 *
 * Returns: whether one of its disks lives in that layer
 */
gboolean
point_is_in (const Point *self, const char *path, const FileFacts *facts)
{
  for (guint i = 0; i < self->disks->len; i++)
    if (point_disk_is_in (g_ptr_array_index (self->disks, i), path, facts))
      return TRUE;
  return FALSE;
}

/**
 * point_may_be_folded:
 * @self: a point
 *
 * Returns: whether it may go when a chain is too long
 */
gboolean
point_may_be_folded (const Point *self)
{
  for (guint i = 0; i < self->disks->len; i++)
    if (((PointDisk *) g_ptr_array_index (self->disks, i))->image_id == NULL)
      return FALSE;
  return !self->pinned;
}

/**
 * points_find_in:
 * @points: (element-type Point): points
 * @path: (nullable): a layer's path
 * @facts: the layer's file
 *
 * Returns: (nullable) (transfer none): the first of the points that live in that layer
 */
Point *
points_find_in (GPtrArray *points, const char *path, const FileFacts *facts)
{
  for (guint i = 0; i < points->len; i++)
    if (point_is_in (g_ptr_array_index (points, i), path, facts))
      return g_ptr_array_index (points, i);
  return NULL;
}

/**
 * point_disk_meet:
 * @self: where a point lives
 * @path: (nullable): a file's path
 * @facts: the file
 *
 * Gives it the number that its device has by now; takes its inode away when that is another file's.
 */
void
point_disk_meet (PointDisk *self, const char *path, const FileFacts *facts)
{
  if (point_disk_is_in (self, path, facts))
    self->dev = facts->dev;
  else if (file_facts_are (facts, (gint64) self->dev, (gint64) self->ino))
    self->ino = 0;
}

/* --- layers that change --- */

/* A row whose device had another number when it was written. */
typedef struct
{
  char *point;
  char *disk;
  char *path;
} Stale;

static void
stale_free (Stale *self)
{
  g_free (self->point);
  g_free (self->disk);
  g_free (self->path);
  g_free (self);
}

static void
on_stale (JournalRow *row, gpointer user_data)
{
  Stale *stale = g_new0 (Stale, 1);

  stale->point = g_strdup (journal_row_text (row, 0));
  stale->disk = g_strdup (journal_row_text (row, 1));
  stale->path = g_strdup (journal_row_text (row, 2));
  g_ptr_array_add (user_data, stale);
}

/* What is told of a layer by its device and inode must reach the points that were written down
 * when the device had another number. */
static gboolean
renumber (Journal *journal, guint64 dev, guint64 ino, GError **error)
{
  g_autoptr (GPtrArray) rows = g_ptr_array_new_with_free_func ((GDestroyNotify) stale_free);

  if (!journal_read (journal, on_stale, rows, error,
                     "SELECT point, disk, path FROM point_disks WHERE ino = ? AND dev != ?", "ii",
                     (gint64) ino, (gint64) dev))
    return FALSE;
  for (guint i = 0; i < rows->len; i++)
    {
      const Stale *row = g_ptr_array_index (rows, i);
      FileFacts facts = { 0 };

      if (!files_look (row->path, &facts, NULL)
          || !file_facts_are (&facts, (gint64) dev, (gint64) ino))
        continue;
      if (!journal_write (journal, error,
                          "UPDATE point_disks SET dev = ? WHERE point = ? AND disk = ?", "iss",
                          (gint64) dev, row->point, row->disk))
        return FALSE;
    }
  return TRUE;
}

/**
 * points_forget:
 * @journal: the journal
 * @point: a point's id; one that is not there is a success
 * @error: return location
 *
 * Returns: whether it is written
 */
gboolean
points_forget (Journal *journal, const char *point, GError **error)
{
  return journal_write (journal, error, "DELETE FROM points WHERE id = ?", "s", point);
}

/**
 * points_forget_layer:
 * @journal: the journal
 * @guest: a guest's id
 * @dev: device of a layer that is about to be written to
 * @ino: its inode
 * @error: return location
 *
 * Returns: whether it is written
 */
gboolean
points_forget_layer (Journal *journal, const char *guest, guint64 dev, guint64 ino, GError **error)
{
  /* The journal takes the points away that have no disk left. */
  return renumber (journal, dev, ino, error)
         && journal_write (journal, error,
                           "DELETE FROM point_disks WHERE ino = ? AND dev = ?"
                           " AND point IN (SELECT id FROM points WHERE guest = ?)", "iis",
                           (gint64) ino, (gint64) dev, guest);
}

static void
on_written (JournalRow *row, gpointer user_data)
{
  g_message ("guest %s: point \"%s\" is none any more: a guest writes to %s",
             journal_row_text (row, 0), journal_row_text (row, 1), journal_row_text (row, 2));
}

/**
 * points_forget_written:
 * @journal: the journal
 * @file: a file that a guest writes to
 * @error: return location
 *
 * Whoever starts a guest from a point's layer by hand has it hold something else from then on.
 *
 * Returns: whether no point, of any guest, lives in it
 */
gboolean
points_forget_written (Journal *journal, const FileFacts *file, GError **error)
{
  gint64 dev = (gint64) file->dev;
  gint64 ino = (gint64) file->ino;

  return renumber (journal, file->dev, file->ino, error)
         && journal_read (journal, on_written, NULL, error,
                          "SELECT p.guest, p.name, d.path FROM point_disks d"
                          " JOIN points p ON p.id = d.point WHERE d.ino = ? AND d.dev = ?", "ii",
                          ino, dev)
         && journal_write (journal, error, "DELETE FROM point_disks WHERE ino = ? AND dev = ?",
                           "ii", ino, dev);
}

/**
 * points_move_layer:
 * @journal: the journal
 * @guest: a guest's id
 * @from: the file that held what is in @path by now
 * @path: the file that stays, by its name for life
 * @format: its format
 * @to: that file as it is now
 * @error: return location
 *
 * Returns: whether it is written
 */
gboolean
points_move_layer (Journal *journal, const char *guest, const FileFacts *from, const char *path,
                   const char *format, const FileFacts *to, GError **error)
{
  /* Births as in point_disk_is_in(). */
  return renumber (journal, from->dev, from->ino, error)
         && journal_write (journal, error,
                           "UPDATE point_disks SET path = ?, format = ?, dev = ?, ino = ?,"
                           " born_ns = ?, allocated = ? WHERE ino = ? AND dev = ?"
                           " AND (? IN (0, born_ns) OR born_ns = 0)"
                           " AND point IN (SELECT id FROM points WHERE guest = ?)", "ssiiiiiiis",
                           path, format, (gint64) to->dev, (gint64) to->ino, to->born_ns,
                           (gint64) to->allocated, (gint64) from->ino, (gint64) from->dev,
                           from->born_ns, guest);
}
