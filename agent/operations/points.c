/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the journal's tables of points. A point has the id of the operation that took it. */

#include "points.h"

#include <core/error.h>

static gboolean
record_disk (Journal *journal, const char *point, const DiskPlan *disk, GError **error)
{
  FileFacts facts = { 0 };

  if (!files_look (disk->layer, &facts, error))
    {
      if (error == NULL || *error == NULL)
        agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                         "the frozen layer %s is not there any more", disk->layer);
      return FALSE;
    }
  return journal_write (journal, error,
                        "INSERT OR IGNORE INTO point_disks (point, disk, path, dev, ino,"
                        " virtual_size, allocated, format) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        "sssiiiis", point, disk->disk, disk->layer, disk->layer_dev,
                        disk->layer_ino, disk->virtual_size, (gint64) facts.allocated,
                        disk->active_format);
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
  const char *id = operation_get_id (job->operation);
  gboolean ok;

  if (!journal_begin (journal, error))
    return FALSE;
  ok = journal_write (journal, error,
                      "INSERT OR IGNORE INTO points (id, guest, name, created_us, operation,"
                      " quiesced, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)",
                      "sssisij", id, operation_get_guest (job->operation), job->name,
                      job->point_us, id, (gint64) job->frozen, metadata);
  for (guint i = 0; ok && i < job->disks->len; i++)
    {
      const DiskPlan *disk = g_ptr_array_index (job->disks, i);

      ok = disk->is_no_point || record_disk (journal, id, disk, error);
    }
  if (ok)
    return journal_commit (journal, error);
  journal_rollback (journal);
  return FALSE;
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

static void
set_text (JsonObject *object, const char *member, const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, member, text);
  else
    json_object_set_null_member (object, member);
}

static void
on_disk (JournalRow *row, gpointer user_data)
{
  GHashTable *points = user_data;
  JsonObject *point = g_hash_table_lookup (points, journal_row_text (row, 0));
  JsonObject *disk;

  if (point == NULL)
    return;
  disk = json_object_new ();
  set_text (disk, "disk", journal_row_text (row, 1));
  set_text (disk, "layer", journal_row_text (row, 2));
  json_object_set_int_member (disk, "virtual_size", journal_row_int64 (row, 3));
  json_object_set_int_member (disk, "allocated", journal_row_int64 (row, 4));
  set_text (disk, "format", journal_row_text (row, 5));
  set_text (disk, "image_id", journal_row_text (row, 6));
  json_array_add_object_element (json_object_get_array_member (point, "disks"), disk);
}

typedef struct
{
  JsonArray  *list;
  GHashTable *by_id;            /* of JsonObject, owned by the list */
} PointList;

static void
on_point (JournalRow *row, gpointer user_data)
{
  PointList *points = user_data;
  g_autoptr (GDateTime) second = g_date_time_new_from_unix_utc (journal_row_int64 (row, 2)
                                                               / G_USEC_PER_SEC);
  g_autoptr (GDateTime) exact = second != NULL
    ? g_date_time_add (second, journal_row_int64 (row, 2) % G_USEC_PER_SEC) : NULL;
  g_autofree char *taken = exact != NULL ? g_date_time_format (exact, "%FT%T.%fZ") : NULL;
  JsonObject *point = json_object_new ();
  JsonNode *metadata = journal_row_json (row, 5);

  set_text (point, "id", journal_row_text (row, 0));
  set_text (point, "name", journal_row_text (row, 1));
  set_text (point, "taken", taken);
  set_text (point, "operation", journal_row_text (row, 3));
  json_object_set_boolean_member (point, "quiesced", journal_row_int64 (row, 4) != 0);
  if (metadata != NULL)
    json_object_set_member (point, "metadata", metadata);
  else
    json_object_set_object_member (point, "metadata", json_object_new ());
  json_object_set_array_member (point, "disks", json_array_new ());
  g_hash_table_insert (points->by_id, g_strdup (journal_row_text (row, 0)), point);
  json_array_add_object_element (points->list, point);
}

/**
 * points_to_json:
 * @journal: the journal
 * @guest: a guest's id
 * @error: return location
 *
 * Returns: (transfer full): a list of its points, oldest first
 */
JsonNode *
points_to_json (Journal *journal, const char *guest, GError **error)
{
  g_autoptr (GHashTable) by_id = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (JsonArray) list = json_array_new ();
  PointList points = { list, by_id };
  JsonNode *node;

  if (!journal_read (journal, on_point, &points, error,
                     "SELECT id, name, created_us, operation, quiesced, metadata FROM points"
                     " WHERE guest = ? ORDER BY created_us", "s", guest)
      || !journal_read (journal, on_disk, by_id, error,
                        "SELECT d.point, d.disk, d.path, d.virtual_size, d.allocated, d.format,"
                        " d.image_id FROM point_disks d JOIN points p ON p.id = d.point"
                        " WHERE p.guest = ? ORDER BY d.disk", "s", guest))
    return NULL;
  node = json_node_new (JSON_NODE_ARRAY);
  json_node_take_array (node, g_steal_pointer (&list));
  return node;
}
