/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a move on a chain is, and how the journal keeps it. */

#include "move.h"

#include <core/error.h>

#include "../fields.h"

static const Field file_fields[] = {
  FIELD (ChainFile, path, FIELD_STRING),
  FIELD (ChainFile, format, FIELD_STRING),
  FIELD (ChainFile, dev, FIELD_INT64),
  FIELD (ChainFile, ino, FIELD_INT64),
  FIELD (ChainFile, size, FIELD_INT64),
  FIELD (ChainFile, mtime_ns, FIELD_INT64),
  FIELD (ChainFile, born_ns, FIELD_INT64),
  FIELD (ChainFile, node, FIELD_STRING),
  FIELD (ChainFile, file_node, FIELD_STRING),
  FIELD (ChainFile, stays, FIELD_BOOLEAN),
  { NULL }
};

static const Field move_fields[] = {
  FIELD (ChainMove, kind, FIELD_ENUM),
  FIELD (ChainMove, disk, FIELD_STRING),
  FIELD (ChainMove, published, FIELD_STRING),
  FIELD (ChainMove, offline, FIELD_BOOLEAN),
  FIELD (ChainMove, backing_name, FIELD_STRING),
  FIELD (ChainMove, backing_format, FIELD_STRING),
  FIELD (ChainMove, speed, FIELD_INT64),
  FIELD (ChainMove, estimate, FIELD_INT64),
  FIELD (ChainMove, moved, FIELD_INT64),
  FIELD (ChainMove, begun, FIELD_BOOLEAN),
  FIELD (ChainMove, done, FIELD_BOOLEAN),
  { NULL }
};

void
chain_file_free (ChainFile *self)
{
  if (self == NULL)
    return;
  g_free (self->path);
  g_free (self->format);
  g_free (self->node);
  g_free (self->file_node);
  g_free (self);
}

void
chain_move_free (ChainMove *self)
{
  if (self == NULL)
    return;
  g_free (self->disk);
  g_free (self->published);
  g_clear_pointer (&self->files, g_ptr_array_unref);
  chain_file_free (self->below);
  chain_file_free (self->above);
  g_free (self->backing_name);
  g_free (self->backing_format);
  g_free (self);
}

/**
 * chain_file_copy:
 * @self: a file
 *
 * Returns: (transfer full): a copy
 */
ChainFile *
chain_file_copy (const ChainFile *self)
{
  ChainFile *copy = g_memdup2 (self, sizeof *self);

  copy->path = g_strdup (self->path);
  copy->format = g_strdup (self->format);
  copy->node = g_strdup (self->node);
  copy->file_node = g_strdup (self->file_node);
  return copy;
}

/**
 * chain_file_facts:
 * @self: a file
 *
 * Returns: which file it is, as it was when it was planned
 */
FileFacts
chain_file_facts (const ChainFile *self)
{
  return (FileFacts) {
    .dev = (guint64) self->dev,
    .ino = (guint64) self->ino,
    .size = (guint64) self->size,
    .mtime_ns = self->mtime_ns,
    .born_ns = self->born_ns,
  };
}

/**
 * chain_file_is:
 * @self: (nullable): a file
 * @layer: a layer of a disk
 *
 * Returns: whether the layer is that file
 */
gboolean
chain_file_is (const ChainFile *self, const Layer *layer)
{
  return self != NULL && layer->known && file_facts_are (&layer->facts, self->dev, self->ino);
}

/**
 * chain_file_find:
 * @self: (nullable): a file
 * @disk: a disk
 * @index: (out) (optional): the number of the layer, counted from the top
 *
 * Returns: (nullable) (transfer none): the layer of that disk that is the file
 */
Layer *
chain_file_find (const ChainFile *self, Disk *disk, guint *index)
{
  for (guint i = 0; i < disk->layers->len; i++)
    if (chain_file_is (self, g_ptr_array_index (disk->layers, i)))
      {
        if (index != NULL)
          *index = i;
        return g_ptr_array_index (disk->layers, i);
      }
  return NULL;
}

/**
 * chain_file_is_below:
 * @self: (nullable): a file
 * @image: an image
 *
 * Returns: whether the image's header says that it stands on the file; for %NULL, that it stands on
 *   nothing
 */
gboolean
chain_file_is_below (const ChainFile *self, const ImageLink *image)
{
  if (self == NULL)
    return image->backing == NULL;
  return image->backing_known && image->backing_dev == (guint64) self->dev
         && image->backing_ino == (guint64) self->ino;
}

/**
 * chain_file_to_json:
 * @self: (nullable): a file
 *
 * Returns: (transfer full): it for the journal; JSON null for %NULL
 */
JsonNode *
chain_file_to_json (const ChainFile *self)
{
  return self != NULL ? fields_to_json (file_fields, self) : json_node_new (JSON_NODE_NULL);
}

/**
 * chain_file_from_json:
 * @json: what chain_file_to_json() made
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): the file
 */
ChainFile *
chain_file_from_json (JsonNode *json, GError **error)
{
  g_autoptr (ChainFile) self = g_new0 (ChainFile, 1);

  if (!fields_from_json (file_fields, self, json, error))
    return NULL;
  if (self->path != NULL && self->format != NULL)
    return g_steal_pointer (&self);
  agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                   "the journal's plan has a file without path or format");
  return NULL;
}

/**
 * chain_move_to_json:
 * @self: a move
 *
 * Returns: (transfer full): it for the journal
 */
JsonNode *
chain_move_to_json (const ChainMove *self)
{
  JsonNode *json = fields_to_json (move_fields, self);
  JsonObject *object = json_node_get_object (json);
  JsonArray *files = json_array_new ();

  for (guint i = 0; i < self->files->len; i++)
    json_array_add_element (files, chain_file_to_json (g_ptr_array_index (self->files, i)));
  json_object_set_array_member (object, "files", files);
  json_object_set_member (object, "below", chain_file_to_json (self->below));
  json_object_set_member (object, "above", chain_file_to_json (self->above));
  return json;
}

static gboolean
load_neighbour (JsonObject *object, const char *member, ChainFile **file, GError **error)
{
  JsonNode *json = json_object_get_member (object, member);

  if (json == NULL || JSON_NODE_HOLDS_NULL (json))
    return TRUE;
  *file = chain_file_from_json (json, error);
  return *file != NULL;
}

static gboolean
load_files (JsonObject *object, GPtrArray *files, GError **error)
{
  JsonNode *json = json_object_get_member (object, "files");
  JsonArray *array = json != NULL && JSON_NODE_HOLDS_ARRAY (json) ? json_node_get_array (json)
                                                                  : NULL;

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      ChainFile *file = chain_file_from_json (json_array_get_element (array, i), error);

      if (file == NULL)
        return FALSE;
      g_ptr_array_add (files, file);
    }
  if (files->len >= 2)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                   "the journal's plan has a move of less than two files");
  return FALSE;
}

/**
 * chain_move_from_json:
 * @json: what chain_move_to_json() made
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): the move
 */
ChainMove *
chain_move_from_json (JsonNode *json, GError **error)
{
  g_autoptr (ChainMove) self = g_new0 (ChainMove, 1);
  JsonObject *object;

  self->files = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_file_free);
  if (!fields_from_json (move_fields, self, json, error))
    return NULL;
  object = json_node_get_object (json);
  if (!load_files (object, self->files, error)
      || !load_neighbour (object, "below", &self->below, error)
      || !load_neighbour (object, "above", &self->above, error))
    return NULL;
  if (self->disk != NULL && (self->kind == MOVE_COMMIT || self->kind == MOVE_STREAM))
    return g_steal_pointer (&self);
  agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                   "the journal's plan has a move of no disk, or of an unknown kind");
  return NULL;
}

/**
 * chain_move_into:
 * @self: a move
 *
 * Returns: (transfer none): the file that takes the data, and stays
 */
ChainFile *
chain_move_into (const ChainMove *self)
{
  return g_ptr_array_index (self->files,
                            self->kind == MOVE_COMMIT ? 0 : self->files->len - 1);
}

/**
 * chain_move_upper:
 * @self: a move
 *
 * Returns: (transfer none): the file that shows now what the result will show
 */
ChainFile *
chain_move_upper (const ChainMove *self)
{
  return g_ptr_array_index (self->files, self->files->len - 1);
}

/**
 * chain_move_pivots:
 * @self: a move
 *
 * Returns: whether it is to move the device onto the lowest file
 */
gboolean
chain_move_pivots (const ChainMove *self)
{
  return self->kind == MOVE_COMMIT && self->above == NULL && self->published != NULL;
}
