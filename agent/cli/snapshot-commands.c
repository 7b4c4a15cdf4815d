/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands that take points, and list them. */

#include "commands.h"
#include "error.h"
#include "fields.h"
#include "options.h"
#include "output.h"
#include "table.h"
#include "text.h"
#include "wait.h"

#include <string.h>

typedef struct
{
  char    **disks;
  char     *quiesce;
  char     *image;
  char     *parents;
  char    **metadata;
  char    **image_refs;
  char     *overlay_folder;
  gboolean  allow_format_change;
  gboolean  end_jobs;
  gboolean  no_wait;
  char     *idempotency_key;
} SnapshotOptions;

static void
snapshot_options_clear (SnapshotOptions *options)
{
  g_strfreev (options->disks);
  g_free (options->quiesce);
  g_free (options->image);
  g_free (options->parents);
  g_strfreev (options->metadata);
  g_strfreev (options->image_refs);
  g_free (options->overlay_folder);
  g_free (options->idempotency_key);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (SnapshotOptions, snapshot_options_clear)

static void
set_text (JsonObject *object,
          const char *member,
          const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, member, text);
}

static void
set_flag (JsonObject *object,
          const char *member,
          gboolean    set)
{
  if (set)
    json_object_set_boolean_member (object, member, TRUE);
}

/* --disk D --disk E: ["D", "E"] */
static void
set_list (JsonObject  *object,
          const char  *member,
          char       **list)
{
  JsonArray *array;

  if (list == NULL)
    return;
  array = json_array_new ();
  for (char **each = list; *each != NULL; each++)
    json_array_add_string_element (array, *each);
  json_object_set_array_member (object, member, array);
}

/* --metadata K=V: {"K": "V"} */
static gboolean
set_pairs (JsonObject  *object,
           const char  *member,
           const char  *option,
           char       **pairs,
           GError     **error)
{
  JsonObject *map;

  if (pairs == NULL)
    return TRUE;
  map = json_object_new ();
  json_object_set_object_member (object, member, map);
  for (char **pair = pairs; *pair != NULL; pair++)
    {
      g_autofree char *key = NULL;
      const char *value;

      if (!options_split_pair (option, *pair, &key, &value, error))
        return FALSE;
      json_object_set_string_member (map, key, value);
    }
  return TRUE;
}

/* One id is for all disks; else DISK=ID for each. */
static gboolean
set_image_refs (JsonObject  *object,
                char       **refs,
                GError     **error)
{
  if (refs == NULL || refs[1] != NULL || strchr (refs[0], '=') != NULL)
    return set_pairs (object, "image_ref", "--image-ref", refs, error);

  json_object_set_string_member (object, "image_ref", refs[0]);
  return TRUE;
}

static JsonNode *
describe_snapshot (const char             *name,
                   const SnapshotOptions  *options,
                   GError                **error)
{
  g_autoptr (JsonObject) object = json_object_new ();
  g_autofree char *folder = options->overlay_folder != NULL
                            ? g_canonicalize_filename (options->overlay_folder, NULL) : NULL;

  set_text (object, "name", name);
  set_list (object, "disks", options->disks);
  set_text (object, "quiesce", options->quiesce);
  set_text (object, "image", options->image);
  set_text (object, "parents", options->parents);
  set_text (object, "overlay_folder", folder);
  set_flag (object, "allow_format_change", options->allow_format_change);
  set_flag (object, "end_jobs", options->end_jobs);
  if (!set_pairs (object, "metadata", "--metadata", options->metadata, error) ||
      !set_image_refs (object, options->image_refs, error))
    return NULL;
  return json_node_init_object (json_node_alloc (), object);
}

static void
print_result (JsonObject *operation)
{
  JsonObject *result = field_object (operation, "result");
  JsonArray *disks = field_array (result, "disks");
  g_autofree char *guest = text_escape (field_text (operation, "guest"));
  g_autofree char *point = text_escape (field_text (result, "point"));
  g_autofree char *quiesced = text_escape (field_text (result, "quiesced"));
  gint64 frozen = field_int (result, "frozen_us", -1);
  g_autoptr (Table) table = table_new ("DISK", "FROZEN LAYER", "WRITES GO TO", "IMAGE",
                                       "START FROM", NULL);

  g_print ("Took point %s of guest %s (quiesced: %s", point, guest, quiesced);
  if (frozen >= 0)
    g_print (", %.1f ms", (double) frozen / 1000);
  g_print (").\n");

  for (guint i = 0; i < array_length (disks); i++)
    {
      JsonObject *disk = array_object (disks, i);

      table_add (table, field_text (disk, "disk"));
      table_add (table, field_text (disk, "layer"));
      table_add (table, field_text (disk, "overlay"));
      table_add (table, field_text (disk, "image_id"));
      table_add (table, field_text (disk, "path"));
    }
  if (array_length (disks) > 0)
    table_print (table);
}

/* What was begun: the end of it, or how to learn of it. */
static gboolean
follow (Cli       *cli,
        JsonNode  *begun,
        gboolean   wait,
        GError   **error)
{
  g_autoptr (JsonNode) operation = begun;

  if (wait)
    operation = wait_for_operation (cli, g_steal_pointer (&operation), error);
  if (operation == NULL)
    return FALSE;

  if (cli->json)
    output_json (operation);
  if (!wait)
    {
      const char *id = field_text (json_node_get_object (operation), "id");

      output_line (cli, "Operation %s; qsnap show %s --wait waits for it.", id, id);
      return TRUE;
    }
  if (!wait_check_success (json_node_get_object (operation), error))
    return FALSE;
  if (!cli->json)
    print_result (json_node_get_object (operation));
  return TRUE;
}

/**
 * command_snapshot:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Takes a point, and waits for its end.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_snapshot (Cli            *cli,
                  const Command  *command,
                  char          **arguments,
                  GError        **error)
{
  g_auto (SnapshotOptions) options = { 0 };
  const GOptionEntry entries[] = {
    { "disk", 'd', 0, G_OPTION_ARG_STRING_ARRAY, &options.disks,
      "This disk only (repeatable); without it all that can be written", "DISK" },
    { "quiesce", 'q', 0, G_OPTION_ARG_STRING, &options.quiesce,
      "Freeze the guest's filesystems around the point", "none|try|require" },
    { "image", 0, 0, G_OPTION_ARG_STRING, &options.image,
      "What to upload: the frozen layers (default) or nothing", "none|layer" },
    { "parents", 0, 0, G_OPTION_ARG_STRING, &options.parents,
      "What to do about layers below that are in no store", "upload|require|ignore" },
    { "metadata", 'm', 0, G_OPTION_ARG_STRING_ARRAY, &options.metadata,
      "Property of the images (repeatable)", "KEY=VALUE" },
    { "image-ref", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.image_refs,
      "Image of the store that a disk's base came from (repeatable)", "[DISK=]ID" },
    { "overlay-folder", 0, 0, G_OPTION_ARG_FILENAME, &options.overlay_folder,
      "Where overlays of disks on block devices go", "FOLDER" },
    { "allow-format-change", 0, 0, G_OPTION_ARG_NONE, &options.allow_format_change,
      "A raw disk may become a qcow2 one", NULL },
    { "end-jobs", 0, 0, G_OPTION_ARG_NONE, &options.end_jobs,
      "End jobs that others left on the disks", NULL },
    { "no-wait", 0, 0, G_OPTION_ARG_NONE, &options.no_wait,
      "Return when it has begun", NULL },
    { "idempotency-key", 0, 0, G_OPTION_ARG_STRING, &options.idempotency_key,
      "With the same key again, take no second point", "KEY" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GError) problem = NULL;
  g_autofree char *path = NULL;
  JsonNode *request;
  JsonNode *begun;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;
  request = describe_snapshot (arguments[1], &options, error);
  if (request == NULL)
    return FALSE;

  path = client_path ("guests", arguments[0], "snapshots");
  begun = client_call (cli->client, "POST", path, request, options.idempotency_key, NULL, &problem);
  if (problem == NULL && (begun == NULL || !JSON_NODE_HOLDS_OBJECT (begun)))
    g_set_error (&problem, CLI_ERROR, CLI_ERROR_FAILED, "the answer is no operation");
  if (problem != NULL)
    {
      g_clear_pointer (&begun, json_node_unref);
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  return follow (cli, begun, !options.no_wait, error);
}

/**
 * command_snapshots:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Lists the points of a guest.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_snapshots (Cli            *cli,
                   const Command  *command,
                   char          **arguments,
                   GError        **error)
{
  g_autofree char *path = NULL;
  g_autoptr (JsonNode) answer = NULL;
  g_autoptr (Table) table = NULL;
  JsonArray *points;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  path = client_path ("guests", arguments[0], "snapshots");
  answer = client_get (cli->client, path, error);
  if (answer == NULL)
    return FALSE;
  if (cli->json)
    {
      output_json (answer);
      return TRUE;
    }

  points = field_array (json_node_get_object (answer), "snapshots");
  table = table_new ("POINT", "NAME", "TAKEN (UTC)", "DISK", "LAYER", "IMAGE", NULL);
  for (guint i = 0; i < array_length (points); i++)
    {
      JsonObject *point = array_object (points, i);
      JsonArray *disks = field_array (point, "disks");

      for (guint j = 0; j < MAX (array_length (disks), 1); j++)
        {
          JsonObject *disk = j < array_length (disks) ? array_object (disks, j) : NULL;

          /* What is the same in the line above is left out. */
          table_add (table, j == 0 ? field_text (point, "id") : "");
          table_add (table, j == 0 ? field_text (point, "name") : "");
          table_take (table, j == 0 ? text_time (field_text (point, "taken")) : g_strdup (""));
          table_add (table, field_text (disk, "disk"));
          table_add (table, field_text (disk, "layer"));
          table_add (table, field_text (disk, "image_id"));
        }
    }
  table_print (table);
  return TRUE;
}
