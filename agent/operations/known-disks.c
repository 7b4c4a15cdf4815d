/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the journal's table of disks. */

#include "known-disks.h"

#include "fields.h"
#include "points.h"

static void
known_layer_free (KnownLayer *self)
{
  g_free (self->format);
  g_free (self);
}

/**
 * known_disk_free:
 * @self: (transfer full) (nullable): a disk
 */
void
known_disk_free (KnownDisk *self)
{
  if (self == NULL)
    return;
  g_free (self->disk);
  g_free (self->published);
  g_free (self->path);
  g_free (self->format);
  g_strfreev (self->aliases);
  g_ptr_array_unref (self->layers);
  g_free (self);
}

/**
 * known_disk_format_of:
 * @self: a disk
 * @dev: device of a file
 * @ino: inode of it
 * @born_ns: when it was born, since 1970; 0 when that is not known
 *
 * With a start of the host the device may get another number: then the birth stands in for it.
 *
 * Returns: (transfer none) (nullable): the format of that layer; NULL when the disk had no such one
 */
const char *
known_disk_format_of (const KnownDisk *self, guint64 dev, guint64 ino, gint64 born_ns)
{
  for (guint i = 0; i < self->layers->len; i++)
    {
      const KnownLayer *layer = g_ptr_array_index (self->layers, i);

      gboolean births_known = layer->born_ns != 0 && born_ns != 0;

      if (layer->ino == ino && (births_known ? layer->born_ns == born_ns : layer->dev == dev))
        return layer->format;
    }
  return NULL;
}

/* --- reading --- */

typedef struct
{
  gint64  dev;
  gint64  ino;
  gint64  born_ns;
  char   *format;
} LayerRow;

static const Field layer_fields[] = {
  FIELD (LayerRow, dev, FIELD_INT64),
  FIELD (LayerRow, ino, FIELD_INT64),
  FIELD (LayerRow, born_ns, FIELD_INT64),
  FIELD (LayerRow, format, FIELD_STRING),
  { NULL }
};

static void
add_layer (KnownDisk *disk, JsonNode *json)
{
  LayerRow row = { 0 };
  KnownLayer *layer;

  if (!JSON_NODE_HOLDS_OBJECT (json) || !fields_from_json (layer_fields, &row, json, NULL)
      || row.format == NULL)
    {
      g_free (row.format);
      return;
    }
  layer = g_new0 (KnownLayer, 1);
  layer->dev = (guint64) row.dev;
  layer->ino = (guint64) row.ino;
  layer->born_ns = row.born_ns;
  layer->format = row.format;
  g_ptr_array_add (disk->layers, layer);
}

static char **
read_aliases (JsonNode *json)
{
  g_autoptr (GStrvBuilder) aliases = g_strv_builder_new ();
  JsonArray *array = json != NULL && JSON_NODE_HOLDS_ARRAY (json) ? json_node_get_array (json)
                                                                  : NULL;

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      JsonNode *alias = json_array_get_element (array, i);

      if (json_node_get_value_type (alias) == G_TYPE_STRING)
        g_strv_builder_add (aliases, json_node_get_string (alias));
    }
  return g_strv_builder_end (aliases);
}

static void
on_row (JournalRow *row, gpointer user_data)
{
  g_autoptr (JsonNode) aliases = journal_row_json (row, 7);
  g_autoptr (JsonNode) layers = journal_row_json (row, 5);
  KnownDisk *disk = g_new0 (KnownDisk, 1);
  JsonArray *array;

  disk->disk = g_strdup (journal_row_text (row, 0));
  disk->published = g_strdup (journal_row_text (row, 1));
  disk->path = g_strdup (journal_row_text (row, 2));
  disk->format = g_strdup (journal_row_text (row, 3));
  disk->virtual_size = journal_row_int64 (row, 4);
  disk->layers = g_ptr_array_new_with_free_func ((GDestroyNotify) known_layer_free);
  disk->seen_us = journal_row_int64 (row, 6);
  disk->place = journal_row_int64 (row, 8);
  disk->aliases = read_aliases (aliases);
  array = layers != NULL && JSON_NODE_HOLDS_ARRAY (layers) ? json_node_get_array (layers) : NULL;
  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    add_layer (disk, json_array_get_element (array, i));
  g_ptr_array_add (user_data, disk);
}

/**
 * known_disks_load:
 * @journal: the journal
 * @guest: a guest's id
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full) (element-type KnownDisk): its disks as they were last seen, in the
 *   order in which QEMU had them; empty when they never were
 */
GPtrArray *
known_disks_load (Journal *journal, const char *guest, GError **error)
{
  g_autoptr (GPtrArray) known = g_ptr_array_new_with_free_func ((GDestroyNotify) known_disk_free);

  if (!journal_read (journal, on_row, known, error,
                     "SELECT disk, published, path, format, virtual_size, layers, seen_us,"
                     " aliases, place FROM guest_disks WHERE guest = ? ORDER BY place, disk", "s",
                     guest))
    return NULL;
  return g_steal_pointer (&known);
}

/**
 * known_disks_find:
 * @known: (element-type KnownDisk): what is known of a guest
 * @name: what a disk is called
 *
 * Returns: (transfer none) (nullable): it, as it was last seen
 */
const KnownDisk *
known_disks_find (GPtrArray *known, const char *name)
{
  for (guint i = 0; i < known->len; i++)
    {
      const KnownDisk *disk = g_ptr_array_index (known, i);

      if (g_str_equal (disk->disk, name))
        return disk;
    }
  return NULL;
}

/* --- writing --- */

/**
 * known_disk_is_usable:
 * @disk: a disk
 *
 * Returns: whether it can be worked on, and remembered
 */
gboolean
known_disk_is_usable (Disk *disk)
{
  const Layer *active = disk_get_active (disk);

  return disk->skipped == NULL && disk->published != NULL && active != NULL
         && active->path != NULL && active->known;
}

/* But for those of our nodes, of which each point brings new ones. */
static char **
list_aliases (Disk *disk)
{
  g_autoptr (GStrvBuilder) aliases = g_strv_builder_new ();

  for (guint i = 0; i < disk->aliases->len; i++)
    {
      const char *alias = g_ptr_array_index (disk->aliases, i);

      if (!g_str_has_prefix (alias, "qsnap-"))
        g_strv_builder_add (aliases, alias);
    }
  return g_strv_builder_end (aliases);
}

static JsonNode *
aliases_to_json (Disk *disk)
{
  g_auto (GStrv) aliases = list_aliases (disk);
  JsonArray *array = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; aliases[i] != NULL; i++)
    json_array_add_string_element (array, aliases[i]);
  json_node_take_array (node, array);
  return node;
}

static gboolean
is_same (const KnownDisk *known, Disk *disk, guint place)
{
  const Layer *active = disk_get_active (disk);
  g_auto (GStrv) aliases = list_aliases (disk);

  if (known->place != place
      || !g_strv_equal ((const char *const *) known->aliases, (const char *const *) aliases)
      || g_strcmp0 (known->published, disk->published) != 0
      || g_strcmp0 (known->path, active->path) != 0
      || g_strcmp0 (known->format, active->format) != 0
      || known->virtual_size != active->virtual_size || known->layers->len != disk->layers->len)
    return FALSE;
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      const KnownLayer *row = g_ptr_array_index (known->layers, i);

      if (row->dev != layer->facts.dev || row->ino != layer->facts.ino
          || row->born_ns != layer->facts.born_ns
          || g_strcmp0 (row->format, layer->format) != 0)
        return FALSE;
    }
  return TRUE;
}

static void
add_json (JsonArray *layers, guint64 dev, guint64 ino, gint64 born_ns, const char *format)
{
  LayerRow row = { (gint64) dev, (gint64) ino, born_ns, (char *) format };

  json_array_add_element (layers, fields_to_json (layer_fields, &row));
}

static JsonNode *
layers_to_json (Disk *disk)
{
  JsonArray *array = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      add_json (array, layer->facts.dev, layer->facts.ino, layer->facts.born_ns, layer->format);
    }
  json_node_take_array (node, array);
  return node;
}

static gboolean
save_disk (Journal *journal, const char *guest, Disk *disk, guint place, GError **error)
{
  const Layer *active = disk_get_active (disk);
  g_autoptr (JsonNode) layers = layers_to_json (disk);
  g_autoptr (JsonNode) aliases = aliases_to_json (disk);

  return journal_write (journal, error,
                        "INSERT OR REPLACE INTO guest_disks (guest, disk, published, path, format,"
                        " virtual_size, layers, aliases, place, seen_us)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", "sssssijjii",
                        guest, disk->name, disk->published, active->path, active->format,
                        active->virtual_size, layers, aliases, (gint64) place,
                        g_get_real_time ());
}

static Disk *
find_present (GPtrArray *disks, const char *name)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      if (g_str_equal (disk->name, name) && known_disk_is_usable (disk))
        return disk;
    }
  return NULL;
}

static gboolean
save_all (Journal *journal, const char *guest, GPtrArray *known, GPtrArray *disks, GError **error)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      const KnownDisk *row = known_disks_find (known, disk->name);

      if (known_disk_is_usable (disk) && (row == NULL || !is_same (row, disk, i))
          && (!save_disk (journal, guest, disk, i, error)
              || !points_forget_written (journal, &disk_get_active (disk)->facts, error)))
        return FALSE;
    }
  for (guint i = 0; i < known->len; i++)
    {
      const KnownDisk *row = g_ptr_array_index (known, i);

      if (find_present (disks, row->disk) == NULL
          && !journal_write (journal, error,
                             "DELETE FROM guest_disks WHERE guest = ? AND disk = ?", "ss", guest,
                             row->disk))
        return FALSE;
    }
  return TRUE;
}

static gboolean
is_news (GPtrArray *known, GPtrArray *disks)
{
  guint usable = 0;

  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      const KnownDisk *row = known_disks_find (known, disk->name);

      if (!known_disk_is_usable (disk))
        continue;
      usable++;
      if (row == NULL || !is_same (row, disk, i))
        return TRUE;
    }
  /* One that has no disks has none yet. */
  return usable != 0 && usable != known->len;
}

/**
 * known_disks_save:
 * @journal: the journal
 * @guest: a guest's id
 * @disks: (element-type Disk): all its disks, with the facts of their files
 * @error: return location: AGENT_ERROR_INTERNAL, AGENT_ERROR_NO_SPACE
 *
 * Returns: whether they are remembered
 */
gboolean
known_disks_save (Journal *journal, const char *guest, GPtrArray *disks, GError **error)
{
  g_autoptr (GPtrArray) known = known_disks_load (journal, guest, error);

  if (known == NULL)
    return FALSE;
  if (!is_news (known, disks))
    return TRUE;
  if (!journal_begin (journal, error))
    return FALSE;
  if (save_all (journal, guest, known, disks, error))
    return journal_commit (journal, error);
  journal_rollback (journal);
  return FALSE;
}

static JsonNode *
put_on_top (const KnownDisk *known, const FileFacts *facts)
{
  JsonArray *array = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  add_json (array, facts->dev, facts->ino, facts->born_ns, "qcow2");
  for (guint i = 0; i < known->layers->len; i++)
    {
      const KnownLayer *layer = g_ptr_array_index (known->layers, i);

      add_json (array, layer->dev, layer->ino, layer->born_ns, layer->format);
    }
  json_node_take_array (node, array);
  return node;
}

/**
 * known_disks_move:
 * @journal: the journal
 * @guest: a guest's id
 * @disk: what one of its disks is called
 * @path: a qcow2 file that we have made, by its name for life
 * @facts: of that file
 * @error: return location: AGENT_ERROR_INTERNAL, AGENT_ERROR_NO_SPACE
 *
 * The disk's published name leads there now. Whoever looks at a guest that is shut off would
 * otherwise take the file for a stranger's: it need not stand on anything that was seen of the
 * disk. What was seen is not forgotten: there is a way back to it.
 *
 * Returns: whether that is remembered; also when the disk was never seen
 */
gboolean
known_disks_move (Journal *journal, const char *guest, const char *disk, const char *path,
                  const FileFacts *facts, GError **error)
{
  g_autoptr (GPtrArray) known = known_disks_load (journal, guest, error);
  const KnownDisk *row = known != NULL ? known_disks_find (known, disk) : NULL;
  g_autoptr (JsonNode) layers = NULL;

  if (known == NULL)
    return FALSE;
  if (row == NULL || known_disk_format_of (row, facts->dev, facts->ino, facts->born_ns) != NULL)
    return TRUE;
  layers = put_on_top (row, facts);
  return journal_write (journal, error,
                        "UPDATE guest_disks SET path = ?, format = 'qcow2', layers = ?"
                        " WHERE guest = ? AND disk = ?", "sjss", path, layers, guest, disk);
}
