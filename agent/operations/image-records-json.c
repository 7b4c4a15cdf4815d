/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the journal's table of images goes to another host and comes from one. */

#include "image-records.h"

#include <core/error.h>

#include "document.h"

static void
on_record (JournalRow *row, gpointer user_data)
{
  JsonObject *record = user_data;

  document_set_text (record, "id", journal_row_text (row, 0));
  document_set_text (record, "store", journal_row_text (row, 1));
  document_set_text (record, "disk", journal_row_text (row, 2));
  json_object_set_int_member (record, "size", journal_row_int64 (row, 3));
  document_set_text (record, "md5", journal_row_text (row, 4));
  document_set_text (record, "sha512", journal_row_text (row, 5));
  document_set_text (record, "parent", journal_row_text (row, 6));
  document_set_text (record, "format", journal_row_text (row, 7));
  document_set_time (record, "created", journal_row_int64 (row, 8));
}

static JsonObject *
find_record (JsonArray *list, const char *id)
{
  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      JsonObject *record = json_array_get_object_element (list, i);

      if (g_strcmp0 (document_text (record, "id"), id) == 0)
        return record;
    }
  return NULL;
}

/* @path: (nullable): of the layer that it holds */
static gboolean
append_record (Journal *journal, const char *id, const char *path, JsonArray *list, GError **error)
{
  g_autoptr (JsonObject) record = NULL;
  JsonObject *told = find_record (list, id);

  if (told != NULL)
    {
      if (path != NULL)
        document_set_text (told, "layer", path);
      return TRUE;
    }
  record = json_object_new ();
  if (!journal_read (journal, on_record, record, error,
                     "SELECT id, store, disk, size, md5, sha512, parent_image, format, created_us"
                     " FROM images WHERE id = ?", "s", id))
    return FALSE;
  document_set_text (record, "layer", path);
  /* The last parent may be one that others have put into the store. */
  if (json_object_has_member (record, "id"))
    json_array_add_object_element (list, g_steal_pointer (&record));
  return TRUE;
}

/**
 * image_records_tell:
 * @journal: the journal
 * @store: the store's name
 * @path: a layer
 * @facts: its file as it is now
 * @list: appended to: the images that hold the layer, and their parents, each once
 * @error: return location
 *
 * Returns: whether the journal could be read
 */
gboolean
image_records_tell (Journal *journal, const char *store, const char *path, const FileFacts *facts,
                    JsonArray *list, GError **error)
{
  g_auto (GStrv) ids = image_records_of_layer (journal, store, facts, error);

  for (guint i = 0; ids != NULL && ids[i] != NULL; i++)
    {
      g_auto (GStrv) parents = image_records_parents (journal, ids[i], error);

      if (parents == NULL || !append_record (journal, ids[i], path, list, error))
        return FALSE;
      for (guint j = 0; parents[j] != NULL; j++)
        {
          if (!append_record (journal, parents[j], NULL, list, error))
            return FALSE;
        }
    }
  return ids != NULL;
}

/**
 * image_record_check:
 * @record: what another host has told of an image
 * @error: return location: AGENT_ERROR_INVALID
 *
 * Returns: whether all is there that is needed
 */
gboolean
image_record_check (JsonObject *record, GError **error)
{
  const char *id = document_text (record, "id");
  const char *parent = document_text (record, "parent");
  const char *format = document_text (record, "format");
  gint64 created;

  if (id != NULL && g_uuid_string_is_valid (id)
      && (parent == NULL || g_uuid_string_is_valid (parent)) && format != NULL
      && document_text (record, "store") != NULL && document_text (record, "disk") != NULL
      && document_number (record, "size") >= 0 && document_time (record, "created", &created))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                   "images: each has id, store, disk, format, size and created; %s has not",
                   id != NULL ? id : "one");
  return FALSE;
}

/**
 * image_records_take:
 * @journal: the journal
 * @guest: the guest's id
 * @record: what image_record_check() has found good
 * @path: (nullable): the layer that it holds; %NULL: none that is still there
 * @facts: (nullable): that layer's file as it is now
 * @error: return location
 *
 * An image that is known here already is only told where its layer is now.
 *
 * Returns: whether it is written
 */
gboolean
image_records_take (Journal *journal, const char *guest, JsonObject *record, const char *path,
                    const FileFacts *facts, GError **error)
{
  static const FileFacts nowhere = { 0 };
  gint64 created = 0;

  if (facts == NULL)
    facts = &nowhere;
  if (!document_time (record, "created", &created))
    created = g_get_real_time ();
  return journal_write (journal, error,
                        "INSERT INTO images (id, store, guest, disk, layer_path, layer_dev,"
                        " layer_ino, layer_size, layer_mtime_ns, size, md5, sha512, parent_image,"
                        " format, created_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                        " ON CONFLICT (id) DO UPDATE SET layer_path = excluded.layer_path,"
                        " layer_dev = excluded.layer_dev, layer_ino = excluded.layer_ino,"
                        " layer_size = excluded.layer_size,"
                        " layer_mtime_ns = excluded.layer_mtime_ns WHERE excluded.layer_ino != 0",
                        "sssssiiiiissssi", document_text (record, "id"),
                        document_text (record, "store"), guest, document_text (record, "disk"),
                        path != NULL ? path : "", (gint64) facts->dev, (gint64) facts->ino,
                        (gint64) facts->size, facts->mtime_ns, document_number (record, "size"),
                        document_text (record, "md5"), document_text (record, "sha512"),
                        document_text (record, "parent"), document_text (record, "format"),
                        created);
}
