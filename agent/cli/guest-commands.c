/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands about guests, and about the daemon itself. */

#include "commands.h"
#include "fields.h"
#include "options.h"
#include "output.h"
#include "table.h"
#include "tree.h"

#include <string.h>

typedef struct
{
  char     *agent;
  char     *id;
  char     *uuid;
  char     *overlay_folder;
  char    **image_refs;
  gboolean  allow_format_change;
} AttachOptions;

static void
attach_options_clear (AttachOptions *options)
{
  g_free (options->agent);
  g_free (options->id);
  g_free (options->uuid);
  g_free (options->overlay_folder);
  g_strfreev (options->image_refs);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (AttachOptions, attach_options_clear)

/* The daemon has a working folder of its own. */
static void
set_path (JsonObject *object,
          const char *member,
          const char *path)
{
  g_autofree char *absolute = NULL;

  if (path == NULL)
    return;
  absolute = g_canonicalize_filename (path, NULL);
  json_object_set_string_member (object, member, absolute);
}

static void
set_text (JsonObject *object,
          const char *member,
          const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, member, text);
}

/* "HOST:PORT" stays as it is; everything else is a path. */
static void
set_monitor (JsonObject *object,
             const char *monitor)
{
  const char *colon = strrchr (monitor, ':');

  if (strchr (monitor, '/') == NULL && colon != NULL && colon[1] != '\0' &&
      strspn (colon + 1, "0123456789") == strlen (colon + 1))
    json_object_set_string_member (object, "monitor", monitor);
  else
    set_path (object, "monitor", monitor);
}

static JsonNode *
describe_guest (const char           *monitor,
                const AttachOptions  *options,
                GError              **error)
{
  g_autoptr (JsonObject) object = json_object_new ();

  set_monitor (object, monitor);
  set_path (object, "agent", options->agent);
  set_text (object, "id", options->id);
  set_text (object, "uuid", options->uuid);
  set_path (object, "overlay_folder", options->overlay_folder);
  if (options->allow_format_change)
    json_object_set_boolean_member (object, "allow_format_change", TRUE);

  if (options->image_refs != NULL)
    {
      JsonObject *refs = json_object_new ();

      json_object_set_object_member (object, "image_refs", refs);
      for (char **ref = options->image_refs; *ref != NULL; ref++)
        {
          g_autofree char *disk = NULL;
          const char *image = *ref;

          if (strchr (*ref, '=') != NULL &&
              !options_split_pair ("--image-ref", *ref, &disk, &image, error))
            return NULL;
          json_object_set_string_member (refs, disk != NULL ? disk : "*", image);
        }
    }
  return json_node_init_object (json_node_alloc (), object);
}

/**
 * command_attach:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Attaches a guest.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_attach (Cli            *cli,
                const Command  *command,
                char          **arguments,
                GError        **error)
{
  g_auto (AttachOptions) options = { 0 };
  const GOptionEntry entries[] = {
    { "agent", 0, 0, G_OPTION_ARG_FILENAME, &options.agent,
      "Socket of the guest agent, for --quiesce", "PATH" },
    { "id", 0, 0, G_OPTION_ARG_STRING, &options.id, "How to name the guest from now on", "ID" },
    { "uuid", 0, 0, G_OPTION_ARG_STRING, &options.uuid, "Only the guest with this UUID", "UUID" },
    { "allow-format-change", 0, 0, G_OPTION_ARG_NONE, &options.allow_format_change,
      "A raw disk may become a qcow2 one", NULL },
    { "overlay-folder", 0, 0, G_OPTION_ARG_FILENAME, &options.overlay_folder,
      "Where overlays of disks on block devices go", "FOLDER" },
    { "image-ref", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.image_refs,
      "Image of the store that a disk's base came from (repeatable)", "[DISK=]ID" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (GError) problem = NULL;
  g_autoptr (JsonNode) answer = NULL;
  JsonNode *request;
  JsonObject *guest;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;
  request = describe_guest (arguments[0], &options, error);
  if (request == NULL)
    return FALSE;

  answer = client_call (cli->client, "POST", "/v1/guests", request, NULL, NULL, &problem);
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (answer == NULL || !JSON_NODE_HOLDS_OBJECT (answer))
    return TRUE;

  guest = json_node_get_object (answer);
  if (cli->json)
    output_json (answer);
  output_line (cli, "Attached guest %s.", field_text (guest, "id"));
  return TRUE;
}

/**
 * command_detach:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Lets go of a guest.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_detach (Cli            *cli,
                const Command  *command,
                char          **arguments,
                GError        **error)
{
  g_autofree char *path = NULL;
  g_autoptr (JsonNode) answer = NULL;
  g_autoptr (GError) problem = NULL;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  path = client_path ("guests", arguments[0], NULL);
  answer = client_call (cli->client, "DELETE", path, NULL, NULL, NULL, &problem);
  if (problem == NULL)
    {
      output_line (cli, "Detached guest %s; it runs on.", arguments[0]);
      return TRUE;
    }
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

/**
 * command_guests:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Lists the guests.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_guests (Cli            *cli,
                const Command  *command,
                char          **arguments,
                GError        **error)
{
  g_autoptr (Table) table = NULL;
  g_autoptr (JsonNode) answer = NULL;
  JsonArray *guests;

  if (!options_parse (cli, command, NULL, &arguments, error) ||
      (answer = client_get (cli->client, "/v1/guests", error)) == NULL)
    return FALSE;
  if (cli->json)
    {
      output_json (answer);
      return TRUE;
    }

  guests = field_array (json_node_get_object (answer), "guests");
  table = table_new ("GUEST", "NAME", "STATE", "RUNS", "MONITOR", "REMARK", NULL);
  for (guint i = 0; i < array_length (guests); i++)
    {
      JsonObject *guest = array_object (guests, i);
      const char *remark = field_text (field_object (guest, "error"), "message");

      table_add (table, field_text (guest, "id"));
      table_add (table, field_text (guest, "name"));
      table_add (table, field_text (guest, "state"));
      table_add (table, field_text (guest, "run_state"));
      table_add (table, field_text (guest, "monitor"));
      table_add (table, remark != NULL ? remark : "");
    }
  table_print (table);
  return TRUE;
}

/**
 * command_disks:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Shows the disks of a guest as trees.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_disks (Cli            *cli,
               const Command  *command,
               char          **arguments,
               GError        **error)
{
  g_autofree char *path = NULL;
  g_autoptr (JsonNode) answer = NULL;
  JsonArray *disks;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  path = client_path ("guests", arguments[0], "disks");
  answer = client_get (cli->client, path, error);
  if (answer == NULL)
    return FALSE;
  if (cli->json)
    {
      output_json (answer);
      return TRUE;
    }

  disks = field_array (json_node_get_object (answer), "disks");
  for (guint i = 0; i < array_length (disks); i++)
    tree_print_disk (array_object (disks, i));
  return TRUE;
}

/**
 * command_health:
 * @cli: the common options
 * @command: what --help says
 * @arguments: the words behind the command
 * @error: return location
 *
 * Asks the daemon how it is.
 *
 * Returns: %TRUE, or %FALSE with the error to end with
 */
gboolean
command_health (Cli            *cli,
                const Command  *command,
                char          **arguments,
                GError        **error)
{
  g_autoptr (JsonNode) answer = NULL;

  if (!options_parse (cli, command, NULL, &arguments, error) ||
      (answer = client_get (cli->client, "/v1/health", error)) == NULL)
    return FALSE;

  if (cli->json)
    output_json (answer);
  else
    output_members (json_node_get_object (answer));
  return TRUE;
}
