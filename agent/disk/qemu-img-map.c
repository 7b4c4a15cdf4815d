/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to read what qemu-img tells of an image's clusters. */

#include "qemu-img-private.h"

#include <disk/qemu-img.h>

#include <core/error.h>

#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>

#define STALL_S     60u
#define MAX_LINE    4096u                       /* bytes; an entry has about 130 */
#define MAX_EXTENTS (1u << 20)

typedef struct
{
  gboolean  is_raw;             /* what is not data is a hole */
  Extents  *extents;
  GString  *line;               /* what has come of the next one */
} Map;

static void
map_free (gpointer data)
{
  Map *self = data;

  extents_free (self->extents);
  g_string_free (self->line, TRUE);
  g_free (self);
}

static gboolean
get_flag (JsonObject *entry,
          const char *member,
          gboolean   *value)
{
  JsonNode *node = json_object_get_member (entry, member);

  if (node == NULL || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    return FALSE;

  *value = json_node_get_boolean (node);

  return TRUE;
}

static gboolean
get_bytes (JsonObject *entry,
           const char *member,
           gint64     *value)
{
  JsonNode *node = json_object_get_member (entry, member);

  if (node == NULL || json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;

  *value = json_node_get_int (node);

  return *value >= 0;
}

static gboolean
add_entry (Map        *self,
           JsonObject *entry)
{
  gboolean held;
  gint64 start, length;

  if (!get_bytes (entry, "start", &start) || !get_bytes (entry, "length", &length)
      || length > G_MAXINT64 - start
      || !get_flag (entry, self->is_raw ? "data" : "present", &held))
    return FALSE;

  if (held && length > 0)
    extents_add (self->extents, start, length);

  return TRUE;
}

/* One entry: "[{...}," for the first, "{...}," and "{...}]" for the last. */
static gboolean
read_line (Map     *self,
           GError **error)
{
  g_autoptr (JsonParser) parser = json_parser_new_immutable ();
  char *text = g_strstrip (self->line->str);
  gsize length = strlen (text);
  JsonNode *root;

  if (*text == '[')
    {
      text++;
      length--;
    }
  while (length > 0 && strchr ("],", text[length - 1]) != NULL)
    length--;
  if (length == 0)
    return TRUE;

  root = json_parser_load_from_data (parser, text, (gssize) length, NULL)
           ? json_parser_get_root (parser) : NULL;
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root)
      || !add_entry (self, json_node_get_object (root)))
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "qemu-img map says what nobody "
                       "understands: %.200s", text);
      return FALSE;
    }
  if (extents_count (self->extents) > MAX_EXTENTS)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "the image holds its data in more than "
                       "%u pieces", MAX_EXTENTS);
      return FALSE;
    }

  return TRUE;
}

static gboolean
on_output (const char  *text,
           gsize        length,
           gpointer     user_data,
           GError     **error)
{
  Map *self = user_data;

  while (length > 0)
    {
      const char *end = memchr (text, '\n', length);
      gsize part = end != NULL ? (gsize) (end - text) : length;

      if (self->line->len + part > MAX_LINE)
        {
          agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "qemu-img map says more in a line "
                           "than %u bytes", MAX_LINE);
          return FALSE;
        }
      g_string_append_len (self->line, text, (gssize) part);
      if (end == NULL)
        break;

      if (!read_line (self, error))
        return FALSE;
      g_string_truncate (self->line, 0);
      text += part + 1;
      length -= part + 1;
    }

  return TRUE;
}

static void
on_run (GObject      *source,
        GAsyncResult *result,
        gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Map *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (qemu_img_child_run_finish (result, NULL, &error))
    g_task_return_pointer (task, g_steal_pointer (&self->extents), (GDestroyNotify) extents_free);
  else
    g_task_return_error (task, error);
}

/* The image without what is below it. A plain name would be taken for a protocol's where it has a
 * colon, and opened with its backing chain. */
static char *
make_name (const char *path,
           const char *format)
{
  g_autoptr (JsonObject) image = json_object_new ();
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *text = NULL;
  JsonObject *file = json_object_new ();
  struct stat st;
  gboolean is_device = stat (path, &st) == 0 && S_ISBLK (st.st_mode);

  json_object_set_string_member (file, "driver", is_device ? "host_device" : "file");
  json_object_set_string_member (file, "filename", path);
  /* What a job merges is inconsistent for everybody else, even with -U: it is only looked at. */
  json_object_set_string_member (file, "locking", "off");
  json_object_set_string_member (image, "driver", format);
  if (!g_str_equal (format, "raw"))
    json_object_set_null_member (image, "backing");
  json_object_set_object_member (image, "file", file);

  json_node_set_object (node, image);
  text = json_to_string (node, FALSE);

  return g_strconcat ("json:", text, NULL);
}

/**
 * qemu_img_map_async:
 * @path: an absolute path
 * @format: "qcow2" or "raw"
 * @cancellable: (nullable): ends it
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Finds out which bytes of the disk the image itself holds: data, and zeros that hide what is
 * below. Of a raw image holes are not counted. Nothing below it is opened. Locks of others are no
 * hindrance; what is written meanwhile may be in the result or not.
 */
void
qemu_img_map_async (const char          *path,
                    const char          *format,
                    GCancellable        *cancellable,
                    GAsyncReadyCallback  callback,
                    gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_autofree char *name = make_name (path, format);
  const char *words[] = { "map", "--output=json", "-U", name, NULL };
  Map *self = g_new0 (Map, 1);

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, self, map_free);
  self->is_raw = g_str_equal (format, "raw");
  self->extents = extents_new ();
  self->line = g_string_new (NULL);

  qemu_img_child_run_async (words, STALL_S, on_output, self, cancellable, on_run,
                            g_object_ref (task));
}

/**
 * qemu_img_map_finish:
 * @result: what the callback got
 * @error: where to put an error
 *
 * Errors: those of qemu_img_run_finish(); also %AGENT_ERROR_INTERNAL when the image is in too many
 * pieces to be counted.
 *
 * Returns: (transfer full): what it holds
 */
Extents *
qemu_img_map_finish (GAsyncResult  *result,
                     GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
