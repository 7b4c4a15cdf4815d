/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a request for a point may say. */

#include "snapshot-request.h"

#include <core/error.h>
#include <string.h>

#include "request-members.h"

#define NAME_BYTES_MAX 255
#define METADATA_MAX 128        /* as Nova; image_properties_check() counts ours with them */
#define METADATA_LENGTH_MAX 255 /* characters */
#define DISKS_MAX 256
#define SECONDS_MAX (24 * 60 * 60)

static const char *const quiesce_words[] = { "none", "try", "require", NULL };
static const char *const image_words[] = { "none", "layer", "full", NULL };
static const char *const format_words[] = { "qcow2", "raw", NULL };
static const char *const late_words[] = { "stop", "throttle", "leave", NULL };
static const char *const parents_words[] = { "upload", "require", "ignore", NULL };
static const char *const snapshot_members[] = {
  "name", "disks", "quiesce", "image", "format", "parents", "metadata", "allow_format_change",
  "end_jobs", "overlay_folder", "image_ref", "keep", "max_chain_length", NULL
};
static const char *const image_members[] = {
  "name", "disks", "quiesce", "format", "metadata", "allow_format_change", "end_jobs",
  "overlay_folder", "image_ref", "deadline", "on_deadline", NULL
};

void
snapshot_request_free (SnapshotRequest *self)
{
  if (self == NULL)
    return;
  g_free (self->name);
  g_strfreev (self->disks);
  g_free (self->format);
  g_clear_pointer (&self->metadata, json_object_unref);
  g_free (self->overlay_folder);
  g_clear_pointer (&self->image_refs, g_hash_table_unref);
  g_free (self);
}

static gboolean
is_type (JsonNode *node, GType type)
{
  return JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type;
}

/* A list of names, or "all". */
static gboolean
parse_disks (JsonObject *json, SnapshotRequest *self, GError **error)
{
  JsonNode *node = json_object_get_member (json, "disks");
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  JsonArray *array;

  self->first_disk = self->kind == REQUEST_IMAGE;
  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  if (is_type (node, G_TYPE_STRING) && strcmp (json_node_get_string (node), "all") == 0)
    {
      self->first_disk = FALSE;
      return TRUE;
    }
  array = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  if (array == NULL || json_array_get_length (array) == 0
      || json_array_get_length (array) > DISKS_MAX)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "\"all\" takes all writable disks",
                       "\"disks\" must be \"all\", or a list of 1 to %d names", DISKS_MAX);
      return FALSE;
    }
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      JsonNode *element = json_array_get_element (array, i);

      if (!is_type (element, G_TYPE_STRING))
        {
          agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"disks\" must hold strings");
          return FALSE;
        }
      g_strv_builder_add (names, json_node_get_string (element));
    }
  self->disks = g_strv_builder_end (names);
  return TRUE;
}

/* Names that mean something to a store or to a restore. */
static gboolean
is_reserved (const char *name)
{
  static const char *const reserved[] = {
    "checksum", "container_format", "created_at", "deleted", "deleted_at", "direct_url",
    "disk_format", "file", "hash_algo", "id", "is_public", "locations", "min_disk", "min_ram",
    "name", "os_hash_algo", "os_hash_value", "os_hidden", "owner", "protected", "schema", "self",
    "size", "status", "stores", "tags", "updated_at", "virtual_size", "visibility", NULL
  };

  return g_str_has_prefix (name, "qsnapd_") || g_str_has_prefix (name, "os_glance")
         || g_strv_contains (reserved, name);
}

static gboolean
parse_metadata (JsonObject *json, JsonObject **metadata, GError **error)
{
  JsonNode *node = json_object_get_member (json, "metadata");
  g_autoptr (GList) names = NULL;
  JsonObject *object;

  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"metadata\" must be an object of strings");
      return FALSE;
    }
  object = json_node_get_object (node);
  if (json_object_get_size (object) > METADATA_MAX)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"metadata\" has %u items; %d is the most",
                       json_object_get_size (object), METADATA_MAX);
      return FALSE;
    }
  names = json_object_get_members (object);
  for (GList *l = names; l != NULL; l = l->next)
    {
      const char *name = l->data;
      JsonNode *value = json_object_get_member (object, name);

      if (*name == '\0' || g_utf8_strlen (name, -1) > METADATA_LENGTH_MAX
          || !is_type (value, G_TYPE_STRING)
          || g_utf8_strlen (json_node_get_string (value), -1) > METADATA_LENGTH_MAX)
        {
          agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                           "\"metadata\": \"%.40s\" must be a string of at most %d characters, as "
                           "its name must", name, METADATA_LENGTH_MAX);
          return FALSE;
        }
      if (is_reserved (name))
        {
          agent_set_error (error, AGENT_ERROR_INVALID, "choose another name",
                           "\"metadata\": \"%.40s\" is a name that the store, or a restore, goes "
                           "by", name);
          return FALSE;
        }
    }
  *metadata = json_object_ref (object);
  return TRUE;
}

/* "ID" for every disk, or {"disk": "ID"}; over what the guest's configuration says. */
static gboolean
parse_image_refs (JsonObject *json, GHashTable *refs, GError **error)
{
  JsonNode *node = json_object_get_member (json, "image_ref");
  g_autoptr (GList) names = NULL;
  JsonObject *object;

  if (node == NULL || JSON_NODE_HOLDS_NULL (node))
    return TRUE;
  if (is_type (node, G_TYPE_STRING))
    {
      if (!g_uuid_string_is_valid (json_node_get_string (node)))
        goto wrong;
      g_hash_table_replace (refs, g_strdup ("*"), json_node_dup_string (node));
      return TRUE;
    }
  if (!JSON_NODE_HOLDS_OBJECT (node))
    goto wrong;
  object = json_node_get_object (node);
  names = json_object_get_members (object);
  for (GList *l = names; l != NULL; l = l->next)
    {
      JsonNode *id = json_object_get_member (object, l->data);

      if (!is_type (id, G_TYPE_STRING) || !g_uuid_string_is_valid (json_node_get_string (id)))
        goto wrong;
      g_hash_table_replace (refs, g_strdup (l->data), json_node_dup_string (id));
    }
  return TRUE;

wrong:
  agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                   "\"image_ref\" must be an image's UUID, or an object of disk names and UUIDs");
  return FALSE;
}

static char *
default_name (RequestKind kind)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

  return g_date_time_format (now, kind == REQUEST_IMAGE ? "image-%Y%m%d-%H%M%SZ"
                                                        : "snapshot-%Y%m%d-%H%M%SZ");
}

/**
 * snapshot_request_parse:
 * @json: the request's body
 * @kind: what is asked for
 * @config: the daemon's defaults
 * @guest: the guest's settings, which stand where the request is silent
 * @error: return location; AGENT_ERROR_INVALID names the member and what it may be
 *
 * Returns: (transfer full): the request
 */
SnapshotRequest *
snapshot_request_parse (JsonObject *json, RequestKind kind, const Config *config,
                        const GuestConfig *guest, GError **error)
{
  g_autoptr (SnapshotRequest) self = g_new0 (SnapshotRequest, 1);
  guint quiesce, image, format, parents, late;
  GHashTableIter iter;
  gpointer disk, ref;

  self->kind = kind;
  self->deadline_s = config->converge_deadline_s;
  self->max_chain_length = config->max_chain_length;
  if (guest->max_chain_length >= 0)
    self->max_chain_length = guest->max_chain_length;
  self->allow_format_change = guest->allow_format_change;
  self->overlay_folder = g_strdup (guest->overlay_folder);
  self->image_refs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (guest->image_refs != NULL)
    {
      g_hash_table_iter_init (&iter, guest->image_refs);
      while (g_hash_table_iter_next (&iter, &disk, &ref))
        g_hash_table_replace (self->image_refs, g_strdup (disk), g_strdup (ref));
    }

  if (!request_has_only (json, kind == REQUEST_IMAGE ? image_members : snapshot_members, error)
      || !request_text (json, "name", &self->name, error)
      || !parse_disks (json, self, error)
      || !request_word (json, "quiesce", quiesce_words, config->quiesce, &quiesce, error)
      || !request_word (json, "image", image_words, kind == REQUEST_IMAGE ? "full" : "layer",
                        &image, error)
      || !request_word (json, "format", format_words, config->image_format, &format, error)
      || !request_number (json, "deadline", 1, SECONDS_MAX, "seconds", &self->deadline_s, error)
      || !request_word (json, "on_deadline", late_words, config->on_deadline, &late, error)
      || !request_word (json, "parents", parents_words, config->parents, &parents, error)
      || !parse_metadata (json, &self->metadata, error)
      || !request_flag (json, "allow_format_change", &self->allow_format_change, error)
      || !request_flag (json, "end_jobs", &self->end_jobs, error)
      || !request_flag (json, "keep", &self->keep, error)
      || !request_number (json, "max_chain_length", 0, CHAIN_LONGEST, "layers",
                          &self->max_chain_length, error)
      || !request_text (json, "overlay_folder", &self->overlay_folder, error)
      || !parse_image_refs (json, self->image_refs, error))
    return NULL;

  self->quiesce = quiesce;
  if (json_object_has_member (json, "format") && image != IMAGE_FULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "ask for a full image (image: full)",
                       "\"format\" is of use for a full image only: a layer goes up as it is");
      return NULL;
    }

  self->image = image;
  self->format = g_strdup (format_words[format]);
  self->late_policy = late;
  self->parents = parents;
  if (self->name == NULL)
    self->name = default_name (kind);
  if (*self->name == '\0' || strlen (self->name) > NAME_BYTES_MAX)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"name\" must have 1 to %d bytes",
                       NAME_BYTES_MAX);
      return NULL;
    }
  if (self->overlay_folder != NULL && !g_path_is_absolute (self->overlay_folder))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "\"overlay_folder\" must be an absolute path");
      return NULL;
    }
  return g_steal_pointer (&self);
}

/**
 * snapshot_request_image_ref:
 * @self: a request
 * @disk: a disk's name
 *
 * Returns: (nullable) (transfer none): the id of the image that the base of @disk came from
 */
const char *
snapshot_request_image_ref (const SnapshotRequest *self, const char *disk)
{
  const char *ref = g_hash_table_lookup (self->image_refs, disk);

  return ref != NULL ? ref : g_hash_table_lookup (self->image_refs, "*");
}
