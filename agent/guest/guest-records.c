/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the journal keeps the guests that were attached by request: the table "guests". */

#include "guest-records.h"

#include "address.h"
#include "guest-private.h"

#include <core/error.h>

/**
 * guest_record_free:
 * @self: a record
 */
void
guest_record_free (GuestRecord *self)
{
  g_clear_pointer (&self->config, guest_config_free);
  g_free (self->uuid);
  g_free (self->name);
  g_free (self);
}

/* --- Writing --- */

static void
set_text (JsonObject *object,
          const char *member,
          const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, member, text);
}

static JsonNode *
record_to_json (Guest *guest)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autoptr (JsonObject) image_refs = json_object_new ();
  const GuestConfig *config = guest_get_config (guest);
  const Identity *identity = guest_get_identity (guest);
  GHashTableIter iter;
  gpointer disk, image;

  set_text (object, "monitor", config->monitor);
  set_text (object, "agent", config->agent);
  set_text (object, "uuid", config->uuid);
  set_text (object, "overlay_folder", config->overlay_folder);
  json_object_set_boolean_member (object, "allow_format_change", config->allow_format_change);
  json_object_set_int_member (object, "max_chain_length", config->max_chain_length);

  if (config->image_refs != NULL)
    {
      g_hash_table_iter_init (&iter, config->image_refs);
      while (g_hash_table_iter_next (&iter, &disk, &image))
        json_object_set_string_member (image_refs, disk, image);
    }
  json_object_set_object_member (object, "image_refs", g_steal_pointer (&image_refs));

  set_text (object, "seen_uuid", identity->pinned_uuid);
  set_text (object, "seen_name", identity->pinned_name);

  return json_node_init_object (json_node_alloc (), object);
}

/**
 * guest_records_save:
 * @journal: the journal
 * @guest: an attached guest
 * @error: return location
 *
 * Returns: whether @guest is remembered; if not, AGENT_ERROR_INTERNAL or AGENT_ERROR_NO_SPACE
 */
gboolean
guest_records_save (Journal  *journal,
                    Guest    *guest,
                    GError  **error)
{
  g_autoptr (JsonNode) record = record_to_json (guest);

  return journal_write (journal, error,
                        "INSERT OR REPLACE INTO guests (id, config, attached_us) VALUES (?, ?, ?)",
                        "sji", guest_get_id (guest), record, g_get_real_time ());
}

/**
 * guest_records_delete:
 * @journal: the journal
 * @id: a guest's id
 * @error: return location
 *
 * Returns: whether the guest is forgotten; it need not have been known
 */
gboolean
guest_records_delete (Journal     *journal,
                      const char  *id,
                      GError     **error)
{
  return journal_write (journal, error, "DELETE FROM guests WHERE id = ?", "s", id);
}

/* --- Reading --- */

static char *
dup_text (JsonObject *object,
          const char *member)
{
  return g_strdup (json_object_get_string_member_with_default (object, member, NULL));
}

static void
read_image_refs (GuestConfig *config,
                 JsonObject  *object)
{
  JsonNode *node = json_object_get_member (object, "image_refs");
  JsonObjectIter iter;
  const char *disk;
  JsonNode *image;

  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    return;

  if (config->image_refs == NULL)
    config->image_refs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, &disk, &image))
    {
      if (json_node_get_value_type (image) == G_TYPE_STRING)
        g_hash_table_replace (config->image_refs, g_strdup (disk), json_node_dup_string (image));
    }
}

static GuestRecord *
record_from_json (const char  *id,
                  JsonNode    *node,
                  GError     **error)
{
  g_autoptr (GuestRecord) self = g_new0 (GuestRecord, 1);
  JsonObject *object;

  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    {
      g_set_error (error, AGENT_ERROR, AGENT_ERROR_INTERNAL, "it is no JSON object");
      return NULL;
    }

  object = json_node_get_object (node);
  self->config = guest_config_new ();
  self->config->id = g_strdup (id);
  self->config->monitor = dup_text (object, "monitor");
  self->config->agent = dup_text (object, "agent");
  self->config->uuid = dup_text (object, "uuid");
  self->config->overlay_folder = dup_text (object, "overlay_folder");
  self->config->allow_format_change =
    json_object_get_boolean_member_with_default (object, "allow_format_change", FALSE);
  self->config->max_chain_length =
    (gint) json_object_get_int_member_with_default (object, "max_chain_length", -1);
  read_image_refs (self->config, object);
  self->uuid = dup_text (object, "seen_uuid");
  self->name = dup_text (object, "seen_name");

  if (!guest_config_check (self->config, error))
    return NULL;

  return g_steal_pointer (&self);
}

static void
on_row (JournalRow *row,
        gpointer    user_data)
{
  g_autoptr (JsonNode) node = journal_row_json (row, 1);
  g_autoptr (GError) error = NULL;
  GuestRecord *record = record_from_json (journal_row_text (row, 0), node, &error);

  /* One bad row must not keep the other guests away. */
  if (record != NULL)
    g_ptr_array_add (user_data, record);
  else
    g_message ("guest: the journal's record of guest \"%s\" cannot be used: %s",
               journal_row_text (row, 0), error->message);
}

/**
 * guest_records_load:
 * @journal: the journal
 * @error: return location
 *
 * Returns: (transfer full): array of #GuestRecord, in the order in which they were attached
 */
GPtrArray *
guest_records_load (Journal  *journal,
                    GError  **error)
{
  g_autoptr (GPtrArray) records =
      g_ptr_array_new_with_free_func ((GDestroyNotify) guest_record_free);

  if (!journal_read (journal, on_row, records, error,
                     "SELECT id, config FROM guests ORDER BY attached_us, id", ""))
    return NULL;

  return g_steal_pointer (&records);
}
