/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which local file a block node's data is in, from what QEMU calls the node. */

#include "disk-private.h"

#include <disk/names.h>

#include <string.h>

#define JSON_PREFIX   "json:"
#define MAX_JSON      32768u                    /* bytes; a file name has 4095 */
#define FDSET_PREFIX  "/dev/fdset/"             /* a descriptor passed to QEMU: in no folder */

static const char *const local_drivers[] = { "file", "host_device", "host_cdrom", NULL };

/* The object of a "json:{...}" name. */
static JsonObject *
parse_json_name (const char *filename)
{
  g_autoptr (JsonParser) parser = NULL;
  JsonNode *root;

  if (!g_str_has_prefix (filename, JSON_PREFIX) || strlen (filename) > MAX_JSON)
    return NULL;

  parser = json_parser_new_immutable ();
  if (!json_parser_load_from_data (parser, filename + strlen (JSON_PREFIX), -1, NULL))
    return NULL;

  root = json_parser_get_root (parser);

  return root != NULL && JSON_NODE_HOLDS_OBJECT (root) ? json_node_dup_object (root) : NULL;
}

static const char *
get_text (JsonObject *object,
          const char *member)
{
  JsonNode *node = json_object_get_member (object, member);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_STRING
           ? json_node_get_string (node) : NULL;
}

/* QEMU calls a raw node by its file's name, unless it shows a part of the file only. */
static gboolean
is_window (QmpNode *node)
{
  g_autoptr (JsonObject) name = NULL;

  if (g_strcmp0 (node->driver, "raw") != 0)
    return FALSE;

  name = parse_json_name (node->filename);

  return name != NULL
         && (json_object_has_member (name, "offset") || json_object_has_member (name, "size"));
}

/* @folder: (nullable): the one that QEMU runs in, by its own name: on the way up from it are no
 * links, and it may be gone when the guest is. */
static char *
make_absolute (const char *filename,
               const char *folder)
{
  g_autofree char *above = g_strdup (folder);

  if (filename == NULL || filename[0] == '\0' || g_str_has_prefix (filename, FDSET_PREFIX)
      || (folder == NULL && !g_path_is_absolute (filename)))
    return NULL;

  for (; g_str_has_prefix (filename, "../"); filename += strlen ("../"))
    {
      char *next = g_path_get_dirname (above);

      g_free (above);
      above = next;
    }

  return names_absolute (filename, above);
}

char *
disk_find_path (QmpNode     *node,
                const char  *folder,
                QmpNode    **protocol)
{
  g_autoptr (JsonObject) name = NULL;
  gboolean window = FALSE;

  /* There are no cycles in a graph: this ends. */
  for (; node->file != NULL; node = node->file)
    window = window || is_window (node);
  *protocol = node;

  if (window || !g_strv_contains (local_drivers, node->driver))
    return NULL;

  if (!g_str_has_prefix (node->filename, JSON_PREFIX))
    return make_absolute (node->filename, folder);

  name = parse_json_name (node->filename);
  if (name == NULL || g_strcmp0 (get_text (name, "driver"), node->driver) != 0)
    return NULL;

  return make_absolute (get_text (name, "filename"), folder);
}
