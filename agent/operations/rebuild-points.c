/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which points a new journal has: those whose rows could be read and whose layers are what
 * they were, and layers that tell themselves that they are. */

#include "rebuild-parts.h"

#include <disk/links.h>
#include <disk/names.h>
#include <time.h>

#include "backup.h"
#include "document.h"
#include "layer-tree.h"
#include "rebuild-judge.h"
#include "snapshot-plan.h"

/* Whether a point that was given up since has no row any more. */
static gboolean
rows_are_newest (const Rebuild *self)
{
  const SalvagedTable *points = journal_salvage_find_table (self->salvage, "points");
  const SalvagedTable *disks = journal_salvage_find_table (self->salvage, "point_disks");

  return self->salvage->log_whole && points != NULL && points->sound && disks != NULL
         && disks->sound;
}

/**
 * rebuild_may_find:
 * @self: what a journal is made from
 *
 * Where every row could be read, a layer without one is known to be no point.
 *
 * Returns: whether rows of points may be missing
 */
gboolean
rebuild_may_find (const Rebuild *self)
{
  const SalvagedTable *points = journal_salvage_find_table (self->salvage, "points");
  const SalvagedTable *disks = journal_salvage_find_table (self->salvage, "point_disks");

  return self->was_whole || !rows_are_newest (self) || points->refused > 0
         || disks->refused > 0;
}

/**
 * rebuild_points_tell:
 * @list: of objects
 * @id: a point's id
 * @name: (nullable): its name
 * @disk: one of its disks
 * @layer: where that lives
 * @by: (nullable): what proves that it is exact
 * @reason: (nullable): or what is in doubt
 *
 * Adds a line to the report.
 */
void
rebuild_points_tell (JsonArray *list, const char *id, const char *name, const char *disk,
                     const char *layer, const char *by, const char *reason)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "id", id);
  document_set_text (object, "name", name);
  json_object_set_string_member (object, "disk", disk);
  json_object_set_string_member (object, "layer", layer);
  if (by != NULL)
    json_object_set_string_member (object, "by", by);
  if (reason != NULL)
    json_object_set_string_member (object, "reason", reason);
  json_array_add_object_element (list, object);
}

/* --- where a point lives --- */

/* Appends FileFacts. FALSE: not each of the files from that layer to the base is known. */
static gboolean
add_files (Disk *disk, guint index, GArray *files)
{
  for (guint i = index; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      if (!layer->known)
        return FALSE;
      g_array_append_val (files, layer->facts);
    }
  return index < disk->layers->len;
}

/**
 * rebuild_files_from:
 * @disk: a disk
 * @dev: the device of a layer's file
 * @ino: its inode
 * @files: (element-type FileFacts): appended to: that file, and all below it
 *
 * Returns: whether the disk has that layer, and each of the files is known
 */
gboolean
rebuild_files_from (Disk *disk, gint64 dev, gint64 ino, GArray *files)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      if (layer->known && file_facts_are (&layer->facts, dev, ino))
        return add_files (disk, i, files);
    }
  return FALSE;
}

static gboolean
is_written_to (const Rebuild *self, const FileFacts *facts)
{
  for (guint i = 0; i < self->guests->len; i++)
    {
      const RebuildGuest *guest = g_ptr_array_index (self->guests, i);

      for (guint j = 0; guest->disks != NULL && j < guest->disks->len; j++)
        {
          const Layer *active = disk_get_active (g_ptr_array_index (guest->disks, j));

          if (active != NULL && active->known && file_facts_agree (&active->facts, facts))
            return TRUE;
        }
    }
  return FALSE;
}

/* A branch that no guest stands on. Its headers tell what is below. */
static const char *
read_branch (const PointDisk *point, GArray *files)
{
  g_autofree char *path = g_strdup (point->path);
  g_autofree char *format = g_strdup (point->format);
  gboolean in_use = FALSE;

  if (!files_in_use (path, &in_use, NULL) || in_use)
    return "somebody has its layer open";
  while (path != NULL && files->len < LAYER_TREE_DEPTH_MAX)
    {
      g_autoptr (ImageLink) link = image_link_read (path, format, NULL);

      if (link == NULL)
        return "a file that it stands on cannot be read";
      g_array_append_val (files, link->facts);
      if (link->backing != NULL && (!link->backing_known || link->backing_format == NULL))
        return "what it stands on is not known";
      g_free (path);
      g_free (format);
      path = g_steal_pointer (&link->backing);
      format = g_steal_pointer (&link->backing_format);
    }
  return path == NULL ? NULL : "its files stand on each other in a circle";
}

/* The layer of the point and all below it. NULL, or why that cannot be told. */
static const char *
collect_files (const Rebuild *self, const RebuildGuest *guest, const PointDisk *point,
               GArray *files)
{
  FileFacts facts = { 0 };

  for (guint i = 0; i < guest->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (guest->disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        {
          const Layer *layer = g_ptr_array_index (disk->layers, j);

          if (!layer->known || !point_disk_is_in (point, layer->path, &layer->facts))
            continue;
          if (j == 0 || is_written_to (self, &layer->facts))
            return "a guest writes to its layer";
          return add_files (disk, j, files) ? NULL
                                                      : "what it stands on cannot be looked at";
        }
    }
  if (!files_look (point->path, &facts, NULL) || !point_disk_is_in (point, point->path, &facts))
    return "its layer is not there any more";
  if (is_written_to (self, &facts))
    return "a guest writes to its layer";
  return read_branch (point, files);
}

/* --- what the journal tells of it --- */

/* When the host was started, since 1970. */
static gint64
get_boot_us (void)
{
  struct timespec up = { 0 };

  if (clock_gettime (CLOCK_BOOTTIME, &up) < 0)
    return g_get_real_time ();
  return g_get_real_time () - (up.tv_sec * G_USEC_PER_SEC + up.tv_nsec / 1000);
}

static void
on_span (JournalRow *row, gpointer user_data)
{
  const RebuildSpan span = { journal_row_int64 (row, 0), journal_row_int64 (row, 1) };

  g_array_append_val ((GArray *) user_data, span);
}

/* What we have written ourselves since is in the rows, where these are the newest. */
static GArray *
list_spans (const Rebuild *self, const char *guest, GError **error)
{
  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (RebuildSpan));

  if (rows_are_newest (self)
      && !journal_read (self->content, on_span, spans, error,
                        "SELECT started_us, finished_us FROM operations WHERE guest = ?"
                        " AND started_us > 0 AND finished_us > started_us", "s", guest))
    return NULL;
  return g_steal_pointer (&spans);
}

static void
on_number (JournalRow *row, gpointer user_data)
{
  *(gint64 *) user_data = journal_row_int64 (row, 0);
}

static void
on_plan (JournalRow *row, gpointer user_data)
{
  *(JsonNode **) user_data = journal_row_json (row, 0);
}

/* The operation that took it has noted how it had left the layer. */
static gboolean
find_frozen (const Rebuild *self, const Point *point, const PointDisk *disk, gint64 *frozen_ns,
             GError **error)
{
  g_autoptr (JsonNode) plan = NULL;
  g_autoptr (Backup) backup = backup_new ();

  if (!journal_read (self->content, on_plan, &plan, error,
                     "SELECT plan FROM operations WHERE id = ? LIMIT 1", "s", point->operation))
    return FALSE;
  if (plan == NULL || !JSON_NODE_HOLDS_OBJECT (plan)
      || !backup_load_plan (backup, json_node_get_object (plan), NULL))
    return TRUE;
  for (guint i = 0; i < backup->disks->len; i++)
    {
      const DiskPlan *planned = g_ptr_array_index (backup->disks, i);

      if (planned->layer_ino == (gint64) disk->ino
          && g_strcmp0 (planned->disk, disk->disk) == 0)
        *frozen_ns = planned->layer_mtime_ns;
    }
  return TRUE;
}

static gboolean
find_evidence (const Rebuild *self, const Point *point, const PointDisk *disk,
               RebuildEvidence *evidence, GError **error)
{
  evidence->taken_us = point->created_us;
  evidence->boot_us = rows_are_newest (self) ? 0 : get_boot_us ();
  return find_frozen (self, point, disk, &evidence->frozen_ns, error)
         && (disk->image_id == NULL
             || journal_read (self->content, on_number, &evidence->image_ns, error,
                              "SELECT layer_mtime_ns FROM images WHERE id = ? AND layer_ino = ?"
                              " AND layer_size >= 0",
                              "si", disk->image_id, (gint64) disk->ino));
}

/* --- rows --- */

/* Of a guest whose disks are not known. */
static const char *
judge_unseen (RebuildGuest *guest, const PointDisk *disk)
{
  FileFacts facts = { 0 };

  if (!files_look (disk->path, &facts, NULL) || !point_disk_is_in (disk, disk->path, &facts))
    return "its layer is not there any more";
  guest->n_unseen++;
  return "the guest's disks could not be looked at";
}

static gboolean
check_disk (const Rebuild *self, RebuildGuest *guest, const Point *point, const PointDisk *disk,
            GArray *spans, GError **error)
{
  g_autoptr (GArray) files = g_array_new (FALSE, FALSE, sizeof (FileFacts));
  RebuildEvidence evidence = { .spans = spans };
  const char *reason;

  if (!find_evidence (self, point, disk, &evidence, error))
    return FALSE;
  reason = guest->disks != NULL ? collect_files (self, guest, disk, files)
                                : judge_unseen (guest, disk);
  if (reason == NULL)
    reason = rebuild_judge_point (&evidence, files);
  rebuild_points_tell (reason == NULL ? guest->points : guest->lost, point->id, point->name,
                       disk->disk, disk->path, reason == NULL ? "journal" : NULL, reason);
  return reason == NULL
         || journal_write (self->content, error,
                           "DELETE FROM point_disks WHERE point = ? AND disk = ?", "ss", point->id,
                           disk->disk);
}

/**
 * rebuild_points_check:
 * @self: what a journal is made from
 * @guest: one of its guests
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Takes away the guest's points whose layers are not provably what they were.
 *
 * Returns: whether that is done
 */
gboolean
rebuild_points_check (Rebuild *self, RebuildGuest *guest, GError **error)
{
  g_autoptr (GPtrArray) points = points_list (self->content, guest->id, error);
  g_autoptr (GArray) spans = points != NULL ? list_spans (self, guest->id, error) : NULL;

  for (guint i = 0; spans != NULL && i < points->len; i++)
    {
      const Point *point = g_ptr_array_index (points, i);

      for (guint j = 0; j < point->disks->len; j++)
        {
          if (!check_disk (self, guest, point, g_ptr_array_index (point->disks, j), spans, error))
            return FALSE;
        }
    }
  return spans != NULL;
}

/* --- layers --- */

/**
 * rebuild_count_disks:
 * @guest: a guest whose disks are known
 *
 * Returns: how many of them a point may be of
 */
guint
rebuild_count_disks (const RebuildGuest *guest)
{
  guint n = 0;

  for (guint i = 0; i < guest->disks->len; i++)
    n += ((const Disk *) g_ptr_array_index (guest->disks, i))->skipped == NULL ? 1 : 0;
  return n;
}

static gboolean
is_lost (const RebuildGuest *guest, const char *layer)
{
  for (guint i = 0; i < json_array_get_length (guest->lost); i++)
    {
      JsonObject *lost = json_array_get_object_element (guest->lost, i);

      if (g_strcmp0 (document_text (lost, "layer"), layer) == 0)
        return TRUE;
    }
  return FALSE;
}

/* Files of others have no such name: a base that many guests stand on is nobody's point. */
static gboolean
is_layer_of (const Disk *disk, const Layer *layer)
{
  g_autofree char *published = NULL;
  guint number;

  return layer->known && layer->path != NULL && disk->published != NULL
         && names_split_layer (layer->path, &published, &number)
         && g_str_equal (published, disk->published);
}

static gboolean
add_found (Rebuild *self, RebuildGuest *guest, const Disk *disk, const Layer *layer, guint number,
           GError **error)
{
  g_autoptr (Point) point = point_new ();
  PointDisk *own = point_add_disk (point);

  point->id = g_uuid_string_random ();
  point->name = g_strdup_printf ("recovered %u", number);
  point->created_us = layer->facts.mtime_ns / 1000;
  point->operation = g_strdup (point->id);
  /* What the guest's other disks showed then is not known. */
  point->disk_count = rebuild_count_disks (guest);
  own->disk = g_strdup (disk->name);
  own->path = g_strdup (layer->path);
  own->dev = layer->facts.dev;
  own->ino = layer->facts.ino;
  own->born_ns = layer->facts.born_ns;
  own->virtual_size = layer->virtual_size;
  own->allocated = (gint64) layer->facts.allocated;
  own->format = g_strdup (layer->format);
  rebuild_points_tell (guest->points, point->id, point->name, disk->name, layer->path, "files",
                       NULL);
  return points_add (self->content, guest->id, point, error);
}

static gboolean
find_in_disk (Rebuild *self, RebuildGuest *guest, GPtrArray *points, Disk *disk, guint *number,
              GError **error)
{
  for (guint i = disk->layers->len; i-- > 1;)
    {
      const Layer *above = g_ptr_array_index (disk->layers, i - 1);
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      g_autoptr (GArray) files = g_array_new (FALSE, FALSE, sizeof (FileFacts));

      if (!above->known || !is_layer_of (disk, layer) || is_lost (guest, layer->path)
          || points_find_in (points, layer->path, &layer->facts) != NULL
          || is_written_to (self, &layer->facts) || !add_files (disk, i, files)
          || rebuild_judge_layer (&above->facts, files, get_boot_us ()) != NULL)
        continue;
      if (!add_found (self, guest, disk, layer, ++*number, error))
        return FALSE;
    }
  return TRUE;
}

/**
 * rebuild_points_find:
 * @self: what a journal is made from
 * @guest: one of its guests
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Makes points of layers of which no row tells, where the files prove what they show.
 *
 * Returns: whether that is done
 */
gboolean
rebuild_points_find (Rebuild *self, RebuildGuest *guest, GError **error)
{
  g_autoptr (GPtrArray) points = NULL;
  guint number = 0;

  if (!rebuild_may_find (self) || guest->is_busy || guest->disks == NULL)
    return TRUE;
  points = points_list (self->content, guest->id, error);
  for (guint i = 0; points != NULL && i < guest->disks->len; i++)
    {
      if (!find_in_disk (self, guest, points, g_ptr_array_index (guest->disks, i), &number, error))
        return FALSE;
    }
  return points != NULL;
}
