/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how points look in JSON, and which came from which. */

#include "points-json.h"

#include <core/error.h>
#include <string.h>

#include "document.h"

#define NAME_BYTES_MAX 255

/* --- which came from which --- */

static const PointDisk *
find_disk (const Point *point, const char *disk)
{
  for (guint i = 0; i < point->disks->len; i++)
    {
      const PointDisk *own = g_ptr_array_index (point->disks, i);

      if (strcmp (own->disk, disk) == 0)
        return own;
    }
  return NULL;
}

/* The newest point before @end (in @points, oldest first) that lives in this file. */
static const Point *
find_in_file (GPtrArray *points, guint end, const char *disk, guint64 dev, guint64 ino)
{
  for (guint i = end; i-- > 0;)
    {
      const Point *point = g_ptr_array_index (points, i);
      const PointDisk *own = find_disk (point, disk);

      if (own != NULL && own->dev == dev && own->ino == ino)
        return point;
    }
  return NULL;
}

/* The nearest point in or below the file that the point at @index has for one of its disks. */
static const Point *
find_below (GPtrArray *points, guint index, const PointDisk *disk, LayerTree *tree,
            gboolean *known)
{
  const Point *found = find_in_file (points, index, disk->disk, disk->dev, disk->ino);
  guint64 dev = disk->dev;
  guint64 ino = disk->ino;
  LayerBelow below = LAYER_BELOW_UNKNOWN;

  for (guint depth = 0; found == NULL && depth < LAYER_TREE_DEPTH_MAX; depth++)
    {
      below = layer_tree_get_below (tree, dev, ino, &dev, &ino);
      if (below != LAYER_BELOW_FILE)
        break;
      found = find_in_file (points, points->len, disk->disk, dev, ino);
      /* Headers that lead in a circle tell nothing. */
      if (found == g_ptr_array_index (points, index))
        {
          *known = FALSE;
          return NULL;
        }
    }
  *known = found != NULL || below == LAYER_BELOW_NONE;
  return found;
}

static gboolean
shares_disk (const Point *a, const Point *b)
{
  for (guint i = 0; i < a->disks->len; i++)
    {
      const PointDisk *disk = g_ptr_array_index (a->disks, i);

      if (find_disk (b, disk->disk) != NULL)
        return TRUE;
    }
  return FALSE;
}

/**
 * points_find_parent:
 * @points: (element-type Point): a guest's points, oldest first
 * @index: one of them
 * @tree: which file stands on which
 * @by: (out): how it is known
 *
 * Where the disks of a point stand on layers of different ones, the newest of these is meant.
 *
 * Returns: (transfer none) (nullable): the point that it came from
 */
const Point *
points_find_parent (GPtrArray *points, guint index, LayerTree *tree, ParentBy *by)
{
  const Point *point = g_ptr_array_index (points, index);
  const Point *parent = NULL;
  gboolean all_known = TRUE;

  for (guint i = 0; i < point->disks->len; i++)
    {
      gboolean known;
      const Point *below = find_below (points, index, g_ptr_array_index (point->disks, i), tree,
                                       &known);

      all_known = all_known && known;
      if (below != NULL && (parent == NULL || below->created_us > parent->created_us))
        parent = below;
    }
  *by = parent != NULL || all_known ? PARENT_BY_LAYERS : PARENT_BY_TIME;
  for (guint i = index; *by == PARENT_BY_TIME && parent == NULL && i-- > 0;)
    {
      const Point *before = g_ptr_array_index (points, i);

      parent = shares_disk (point, before) ? before : NULL;
    }
  return parent;
}

/**
 * points_look:
 * @points: (element-type Point): points
 * @tree: which file stands on which
 */
void
points_look (GPtrArray *points, LayerTree *tree)
{
  for (guint i = 0; i < points->len; i++)
    {
      Point *point = g_ptr_array_index (points, i);

      for (guint j = 0; j < point->disks->len; j++)
        {
          PointDisk *disk = g_ptr_array_index (point->disks, j);
          FileFacts facts = { 0 };

          if (files_look (disk->path, &facts, NULL)
              && point_disk_is_in (disk, disk->path, &facts))
            {
              disk->allocated = (gint64) facts.allocated;
              layer_tree_read (tree, disk->path, disk->format);
            }
          else if (facts.ino != disk->ino)
            facts = (FileFacts) { .dev = disk->dev, .ino = disk->ino,
                                  .born_ns = layer_tree_get_born (tree, disk->dev, disk->ino) };
          point_disk_meet (disk, disk->path, &facts);
        }
    }
}

/* --- to JSON --- */

static JsonObject *
disk_to_object (const PointDisk *disk, LayerTree *tree)
{
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "disk", disk->disk);
  json_object_set_string_member (object, "layer", disk->path);
  json_object_set_int_member (object, "virtual_size", disk->virtual_size);
  json_object_set_int_member (object, "allocated", disk->allocated);
  json_object_set_string_member (object, "format", disk->format);
  document_set_text (object, "image_id", disk->image_id);
  if (layer_tree_knows_use (tree))
    json_object_set_boolean_member (object, "in_chain",
                                    layer_tree_is_used (tree, disk->dev, disk->ino));
  else
    json_object_set_null_member (object, "in_chain");
  return object;
}

static JsonObject *
point_to_object (GPtrArray *points, guint index, LayerTree *tree)
{
  static const char *const words[] = { "layers", "time" };
  const Point *point = g_ptr_array_index (points, index);
  JsonObject *object = json_object_new ();
  JsonArray *disks = json_array_new ();
  ParentBy by;
  const Point *parent = points_find_parent (points, index, tree, &by);

  json_object_set_string_member (object, "id", point->id);
  document_set_text (object, "name", point->name);
  document_set_time (object, "taken", point->created_us);
  json_object_set_string_member (object, "operation", point->operation);
  document_set_text (object, "parent", parent != NULL ? parent->id : NULL);
  json_object_set_string_member (object, "parent_by", words[by]);
  json_object_set_boolean_member (object, "quiesced", point->quiesced);
  json_object_set_boolean_member (object, "pinned", point->pinned);
  json_object_set_int_member (object, "disk_count", MAX (point->disk_count, point->disks->len));
  if (point->metadata != NULL)
    json_object_set_member (object, "metadata", json_node_ref (point->metadata));
  else
    json_object_set_object_member (object, "metadata", json_object_new ());
  for (guint i = 0; i < point->disks->len; i++)
    json_array_add_object_element (disks, disk_to_object (g_ptr_array_index (point->disks, i),
                                                          tree));
  json_object_set_array_member (object, "disks", disks);
  return object;
}

/**
 * points_to_json:
 * @points: (element-type Point): a guest's points, oldest first
 * @tree: which file stands on which, and which the guest uses
 *
 * Returns: (transfer full): a list
 */
JsonNode *
points_to_json (GPtrArray *points, LayerTree *tree)
{
  JsonArray *list = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; i < points->len; i++)
    json_array_add_object_element (list, point_to_object (points, i, tree));
  json_node_take_array (node, list);
  return node;
}

/* --- from JSON --- */

static gboolean
is_metadata (JsonNode *node)
{
  JsonObjectIter iter;
  JsonNode *value;

  if (!JSON_NODE_HOLDS_OBJECT (node))
    return FALSE;
  json_object_iter_init (&iter, json_node_get_object (node));
  while (json_object_iter_next (&iter, NULL, &value))
    {
      if (!JSON_NODE_HOLDS_VALUE (value) || json_node_get_value_type (value) != G_TYPE_STRING)
        return FALSE;
    }
  return TRUE;
}

static gboolean
disk_from_json (Point *point, JsonNode *json, GError **error)
{
  JsonObject *object = document_object (json);
  const char *name = object != NULL ? document_text (object, "disk") : NULL;
  const char *layer = object != NULL ? document_text (object, "layer") : NULL;
  const char *format = object != NULL ? document_text (object, "format") : NULL;
  PointDisk *disk;

  if (name == NULL || layer == NULL || format == NULL || !g_path_is_absolute (layer)
      || find_disk (point, name) != NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "point %s: each of its disks has another name (disk), an absolute path "
                       "(layer) and a format", point->id);
      return FALSE;
    }
  disk = point_add_disk (point);
  disk->disk = g_strdup (name);
  disk->path = g_strdup (layer);
  disk->format = g_strdup (format);
  disk->image_id = g_strdup (document_text (object, "image_id"));
  return TRUE;
}

static gboolean
check_point (JsonObject *object, GError **error)
{
  const char *id = object != NULL ? document_text (object, "id") : NULL;
  const char *name = object != NULL ? document_text (object, "name") : NULL;
  JsonNode *metadata = object != NULL ? json_object_get_member (object, "metadata") : NULL;
  JsonArray *disks = object != NULL ? document_array (object, "disks") : NULL;

  if (id == NULL || !g_uuid_string_is_valid (id))
    agent_set_error (error, AGENT_ERROR_INVALID, NULL, "points: each has a UUID as its id");
  else if (name != NULL && strlen (name) > NAME_BYTES_MAX)
    agent_set_error (error, AGENT_ERROR_INVALID, NULL, "point %s: a name has %d bytes at most", id,
                     NAME_BYTES_MAX);
  else if (metadata != NULL && !is_metadata (metadata))
    agent_set_error (error, AGENT_ERROR_INVALID, NULL, "point %s: metadata is an object of strings",
                     id);
  else if (disks == NULL || json_array_get_length (disks) == 0)
    agent_set_error (error, AGENT_ERROR_INVALID, NULL, "point %s: it has no disks", id);
  else
    return TRUE;
  return FALSE;
}

/**
 * point_from_json:
 * @json: an element of what points_to_json() made
 * @error: return location: AGENT_ERROR_INVALID says what is wrong
 *
 * Returns: (transfer full): the point; sizes and inodes of its disks are 0
 */
Point *
point_from_json (JsonNode *json, GError **error)
{
  JsonObject *object = document_object (json);
  g_autoptr (Point) self = point_new ();
  JsonArray *disks;
  const char *operation;

  if (!check_point (object, error))
    return NULL;
  self->id = g_strdup (document_text (object, "id"));
  self->name = g_strdup (document_text (object, "name"));
  operation = document_text (object, "operation");
  self->operation = g_strdup (operation != NULL ? operation : self->id);
  self->quiesced = document_flag (object, "quiesced");
  self->pinned = document_flag (object, "pinned");
  self->disk_count = (guint) CLAMP (document_number (object, "disk_count"), 0, G_MAXINT);
  self->metadata = json_object_has_member (object, "metadata")
    ? json_object_dup_member (object, "metadata") : NULL;
  if (!document_time (object, "taken", &self->created_us))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "point %s: taken is a time as 2026-01-31T12:00:00.000000Z", self->id);
      return NULL;
    }
  disks = json_object_get_array_member (object, "disks");
  for (guint i = 0; i < json_array_get_length (disks); i++)
    {
      if (!disk_from_json (self, json_array_get_element (disks, i), error))
        return NULL;
    }
  return g_steal_pointer (&self);
}
