/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which layers have to go to the store so that a point can be restored from it: pure
 * functions. */

#include "upload-plan.h"

#include <core/error.h>
#include <string.h>

#include "fields.h"

void
upload_plan_free (UploadPlan *self)
{
  if (self == NULL)
    return;
  g_free (self->image_id);
  g_free (self->name);
  g_free (self->disk);
  g_free (self->path);
  g_free (self->format);
  g_clear_pointer (&self->layers, g_ptr_array_unref);
  g_clear_pointer (&self->inherited, json_object_unref);
  g_free (self->parent_image);
  g_free (self->chain);
  g_free (self);
}

static const Field upload_plan_fields[] = {
  FIELD (UploadPlan, image_id, FIELD_STRING),
  FIELD (UploadPlan, name, FIELD_STRING),
  FIELD (UploadPlan, disk, FIELD_STRING),
  FIELD (UploadPlan, path, FIELD_STRING),
  FIELD (UploadPlan, dev, FIELD_INT64),
  FIELD (UploadPlan, ino, FIELD_INT64),
  FIELD (UploadPlan, size, FIELD_INT64),
  FIELD (UploadPlan, mtime_ns, FIELD_INT64),
  FIELD (UploadPlan, format, FIELD_STRING),
  FIELD (UploadPlan, min_ram, FIELD_INT64),
  FIELD (UploadPlan, min_disk, FIELD_INT64),
  FIELD (UploadPlan, parent_image, FIELD_STRING),
  FIELD (UploadPlan, chain, FIELD_STRING),
  FIELD (UploadPlan, has_backing, FIELD_BOOLEAN),
  FIELD (UploadPlan, is_point, FIELD_BOOLEAN),
  FIELD (UploadPlan, virtual_size, FIELD_INT64),
  { NULL }
};

static const Field layer_fields[] = {
  FIELD (ImageLayer, path, FIELD_STRING),
  FIELD (ImageLayer, dev, FIELD_INT64),
  FIELD (ImageLayer, ino, FIELD_INT64),
  FIELD (ImageLayer, format, FIELD_STRING),
  FIELD (ImageLayer, size, FIELD_INT64),
  FIELD (ImageLayer, mtime_ns, FIELD_INT64),
  { NULL }
};

static GPtrArray *
layers_new (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) image_layer_free);
}

static GPtrArray *
layers_from_json (JsonNode *json, GError **error)
{
  g_autoptr (GPtrArray) layers = layers_new ();
  JsonArray *array = JSON_NODE_HOLDS_ARRAY (json) ? json_node_get_array (json) : NULL;

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      ImageLayer *layer = image_layer_new (NULL, 0, 0, NULL);

      g_ptr_array_add (layers, layer);
      if (!fields_from_json (layer_fields, layer, json_array_get_element (array, i), error))
        return NULL;
    }
  return g_steal_pointer (&layers);
}

/**
 * upload_plan_to_json:
 * @self: a plan
 *
 * Returns: (transfer full): the plan for the journal
 */
JsonNode *
upload_plan_to_json (const UploadPlan *self)
{
  JsonNode *json = fields_to_json (upload_plan_fields, self);
  JsonObject *object = json_node_get_object (json);

  if (self->layers != NULL)
    {
      JsonArray *layers = json_array_new ();

      for (guint i = 0; i < self->layers->len; i++)
        json_array_add_element (layers, fields_to_json (layer_fields,
                                                        g_ptr_array_index (self->layers, i)));
      json_object_set_array_member (object, "layers", layers);
    }
  if (self->inherited != NULL)
    json_object_set_object_member (object, "inherited", json_object_ref (self->inherited));
  return json;
}

/**
 * upload_plan_from_json:
 * @json: what the journal holds
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): the plan
 */
UploadPlan *
upload_plan_from_json (JsonNode *json, GError **error)
{
  g_autoptr (UploadPlan) self = g_new0 (UploadPlan, 1);
  JsonNode *layers, *inherited;

  if (!fields_from_json (upload_plan_fields, self, json, error))
    return NULL;
  layers = json_object_get_member (json_node_get_object (json), "layers");
  if (layers != NULL && (self->layers = layers_from_json (layers, error)) == NULL)
    return NULL;
  inherited = json_object_get_member (json_node_get_object (json), "inherited");
  if (inherited != NULL && JSON_NODE_HOLDS_OBJECT (inherited))
    self->inherited = json_node_dup_object (inherited);
  return g_steal_pointer (&self);
}

/**
 * known_image_new:
 * @image_id: (nullable): an image's id; %NULL for a layer that is spent
 * @parents: (nullable): those of its parents that are in the store, nearest first
 * @whole: these are all that it has
 *
 * Returns: (transfer full): what is known of it
 */
KnownImage *
known_image_new (const char *image_id, const char *const *parents, gboolean whole)
{
  static const char *const none[] = { NULL };
  KnownImage *self = g_new0 (KnownImage, 1);

  self->image_id = g_strdup (image_id);
  self->parents = g_strdupv ((char **) (parents != NULL ? parents : none));
  self->whole = whole;
  return self;
}

void
known_image_free (KnownImage *self)
{
  if (self == NULL)
    return;
  g_free (self->image_id);
  g_strfreev (self->parents);
  g_free (self);
}

/**
 * upload_layer_key:
 * @dev: device of the layer's file
 * @ino: its inode
 *
 * Returns: (transfer full): a key for hash tables
 */
char *
upload_layer_key (guint64 dev, guint64 ino)
{
  return g_strdup_printf ("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, dev, ino);
}

/**
 * upload_image_id:
 * @operation: the operation's id
 * @index: the image's place in it
 * @attempt: 0, and one more each time that the uploads start anew: an id once deleted is never free
 *   again
 *
 * Returns: (transfer full): a UUID (version 8: made of a hash of our own choice)
 */
char *
upload_image_id (const char *operation, guint index, guint attempt)
{
  g_autofree char *seed = g_strdup_printf ("%s/image/%u/%u", operation, index, attempt);
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, seed, -1);

  return g_strdup_printf ("%.8s-%.4s-8%.3s-a%.3s-%.12s", hash, hash + 8, hash + 12, hash + 15,
                          hash + 18);
}

/* The upload of one layer, whose parent is known by now. */
static UploadPlan *
plan_layer (Disk *disk, guint depth, const char *path, const KnownImage *parent, const char *chain,
            const char *guest, const char *image_name, const char *operation, guint index)
{
  Layer *layer = g_ptr_array_index (disk->layers, depth);
  g_autofree char *file = g_path_get_basename (path);
  UploadPlan *self = g_new0 (UploadPlan, 1);

  self->is_point = depth == 0;
  self->image_id = upload_image_id (operation, index, 0);
  self->name = self->is_point ? g_strdup (image_name)
                              : g_strdup_printf ("%s/%s/%s", guest, disk->name, file);
  self->disk = g_strdup (disk->name);
  self->path = g_strdup (path);
  self->dev = (gint64) layer->facts.dev;
  self->ino = (gint64) layer->facts.ino;
  self->format = g_strdup (layer->format);
  self->parent_image = parent != NULL ? g_strdup (parent->image_id) : NULL;
  self->chain = g_strdup (chain);
  self->has_backing = depth + 1 < disk->layers->len && strcmp (layer->format, "qcow2") == 0;
  self->virtual_size = layer->virtual_size;
  return self;
}

static gboolean
check_uploadable (Disk *disk, Layer *layer, GError **error)
{
  if (layer->path == NULL || !layer->known)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "say which image its base came from (image_ref), or parents: ignore",
                     "disk %s: the layer on node %s is no local file and cannot be uploaded",
                     disk->name, layer->node);
  else if (layer->has_data_file)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "take the point without an image (image: none)",
                     "disk %s: %s keeps its data in an external file; it would not be whole in a "
                     "store", disk->name, layer->path);
  else
    return TRUE;
  return FALSE;
}

static const KnownImage *
look_up (Disk *disk, guint depth, GHashTable *known)
{
  const Layer *layer = g_ptr_array_index (disk->layers, depth);
  g_autofree char *key = upload_layer_key (layer->facts.dev, layer->facts.ino);

  return layer->known ? g_hash_table_lookup (known, key) : NULL;
}

/* Whether the image can stand for a layer under which @below (nullable) stands for the next one. An
 * image over other parents than those that we would name is of no use; merged layers leave more
 * images behind than there are layers. */
static gboolean
fits (const KnownImage *image, const KnownImage *below, gboolean is_base)
{
  if (image->image_id == NULL)
    return FALSE;
  if (below != NULL)
    return g_strv_contains ((const char *const *) image->parents, below->image_id);
  return image->whole && (is_base || image->parents[0] == NULL);
}

/* The image that holds the layer at @depth in the store; NULL when there is none, which is an error
 * where the policy requires it. */
static gboolean
find_image (Disk *disk, guint depth, const SnapshotRequest *request, GHashTable *known,
            const KnownImage *below, const KnownImage **found, GError **error)
{
  Layer *layer = g_ptr_array_index (disk->layers, depth);
  const KnownImage *image = look_up (disk, depth, known);

  *found = NULL;
  if (image != NULL && fits (image, below, depth + 1 == disk->layers->len))
    *found = image;
  else if (request->parents == PARENTS_REQUIRE)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "parents: upload sends what is missing; image_ref names the image that the "
                       "base came from",
                       "disk %s: the layer %s is in no store, so the point could not be restored",
                       disk->name, layer->path != NULL ? layer->path : layer->node);
      return FALSE;
    }
  return TRUE;
}

/**
 * upload_plan_reference:
 * @disk: a disk
 * @request: the request
 * @is_written: whether the guest has written to the disk's base
 * @known: what is in the store
 *
 * What a file itself proves goes before anybody's word: a base that has an image of its own, or
 * that the guest has written to, does not show any more what it was made from.
 *
 * Returns: (transfer none) (nullable): the image that stands for the disk's base by the caller's
 *   word
 */
const char *
upload_plan_reference (Disk *disk, const SnapshotRequest *request, gboolean is_written,
                       GHashTable *known)
{
  guint base = disk->layers->len - 1;

  return base == 0 || is_written || look_up (disk, base, known) != NULL
    ? NULL : snapshot_request_image_ref (request, disk->name);
}

/* Where layers are spent (a move into them was called off) only what stands on them can be had from
 * the store: the uppermost layer that can, with nothing below it that is not known; the number of
 * layers when none is spent. */
static guint
find_start (Disk *disk, const char *reference, GHashTable *known)
{
  guint start = disk->layers->len;
  gboolean spent = FALSE;

  for (guint depth = disk->layers->len; depth-- > 1;)
    {
      const KnownImage *image = look_up (disk, depth, known);

      if (image == NULL && (reference == NULL || depth + 1 < disk->layers->len))
        break;
      spent = spent || (image != NULL && image->image_id == NULL);
      if (spent && image != NULL && image->image_id != NULL && image->whole
          && (reference == NULL
              || g_strv_contains ((const char *const *) image->parents, reference)))
        start = depth;
    }
  return start;
}

/* "ID,ID,...": the image at the head of what a layer above has as its parents, nearest first.
 * @chain: that of the layer below. */
static char *
chain_from (const KnownImage *image, const KnownImage *below, const char *chain)
{
  g_autoptr (GString) longer = g_string_new (image->image_id);

  for (guint i = 0; image->parents[i] != NULL
                    && (below == NULL || strcmp (image->parents[i], below->image_id) != 0); i++)
    g_string_append_printf (longer, ",%s", image->parents[i]);
  if (*chain != '\0')
    g_string_append_printf (longer, ",%s", chain);
  return g_string_free (g_steal_pointer (&longer), FALSE);
}

/**
 * upload_plan_disk:
 * @disk: a disk whose active layer is about to freeze
 * @layer: that layer's name for life
 * @request: the request
 * @reference: (nullable): what upload_plan_reference() says
 * @guest: the guest's id
 * @image_name: the point's image's name
 * @operation: the operation's id
 * @known: what is in the store; the images planned here are added
 * @uploads: (element-type UploadPlan): appended to
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether the policy on parents can be kept
 */
gboolean
upload_plan_disk (Disk *disk, const char *layer, const SnapshotRequest *request,
                  const char *reference, const char *guest, const char *image_name,
                  const char *operation, GHashTable *known, GPtrArray *uploads, GError **error)
{
  g_autofree char *chain = g_strdup ("");
  g_autoptr (KnownImage) referred = known_image_new (reference, NULL, TRUE);
  const KnownImage *below = NULL;
  guint start = find_start (disk, reference, known);

  for (guint depth = MIN (start + 1, disk->layers->len); depth-- > 0;)
    {
      Layer *file = g_ptr_array_index (disk->layers, depth);
      const char *path = depth == 0 ? layer : file->path;
      const KnownImage *found = NULL;
      UploadPlan *upload;
      KnownImage *planned;
      char *longer;

      if (depth == start)
        found = look_up (disk, depth, known);
      else if (depth > 0 && depth == disk->layers->len - 1 && reference != NULL)
        found = referred;
      else if (depth > 0)
        {
          if (!find_image (disk, depth, request, known, below, &found, error))
            return FALSE;
          if (found == NULL && request->parents == PARENTS_IGNORE)
            {
              /* What is below the gap is not what the layer above stands on. */
              below = NULL;
              *chain = '\0';
              continue;
            }
        }
      if (found == NULL)
        {
          const char *const parents[] = { below != NULL ? below->image_id : NULL, NULL };

          if (!check_uploadable (disk, file, error))
            return FALSE;
          upload = plan_layer (disk, depth, path, below, chain, guest, image_name, operation,
                               uploads->len);
          g_ptr_array_add (uploads, upload);
          planned = known_image_new (upload->image_id, parents, TRUE);
          g_hash_table_replace (known, upload_layer_key (file->facts.dev, file->facts.ino),
                                planned);
          found = planned;
        }
      longer = chain_from (found, below, chain);
      g_free (chain);
      chain = longer;
      below = found;
    }
  return TRUE;
}
