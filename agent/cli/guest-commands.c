/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands about guests. */

#include "ask.h"
#include "chain.h"
#include "fields.h"
#include "members.h"
#include "options.h"
#include "output.h"
#include "table.h"

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

/* "HOST:PORT" stays as it is; everything else is a path. */
static void
set_monitor (JsonObject *object,
             const char *monitor)
{
  const char *colon = strrchr (monitor, ':');

  if (strchr (monitor, '/') == NULL && colon != NULL && colon[1] != '\0' &&
      strspn (colon + 1, "0123456789") == strlen (colon + 1))
    members_set_text (object, "monitor", monitor);
  else
    members_set_path (object, "monitor", monitor);
}

static JsonNode *
describe_guest (const char           *monitor,
                const AttachOptions  *options,
                GError              **error)
{
  g_autoptr (JsonObject) object = json_object_new ();

  set_monitor (object, monitor);
  members_set_path (object, "agent", options->agent);
  members_set_text (object, "id", options->id);
  members_set_text (object, "uuid", options->uuid);
  members_set_path (object, "overlay_folder", options->overlay_folder);
  members_set_flag (object, "allow_format_change", options->allow_format_change);
  if (!members_set_pairs (object, "image_refs", "--image-ref", options->image_refs, "*", error))
    return NULL;
  return json_node_init_object (json_node_alloc (), object);
}

static gboolean
attach (Cli            *cli,
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
  g_autoptr (JsonNode) guest = NULL;
  JsonNode *request;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;
  request = describe_guest (arguments[0], &options, error);
  if (request == NULL)
    return FALSE;

  guest = client_ask (cli->client, "POST", "/v1/guests", request, NULL, NULL, error);
  if (guest == NULL)
    return FALSE;
  if (cli->json)
    output_json (guest);
  output_line (cli, "Attached guest %s.", field_text (json_node_get_object (guest), "id"));
  return TRUE;
}

static gboolean
detach (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  g_autofree char *path = NULL;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  path = client_path ("guests", arguments[0], NULL);
  if (!client_call (cli->client, "DELETE", path, NULL, NULL, NULL, NULL, error))
    return FALSE;
  output_line (cli, "Detached guest %s; it runs on.", arguments[0]);
  return TRUE;
}

static void
print_guests (JsonObject *answer)
{
  JsonArray *list = field_array (answer, "guests");
  g_autoptr (Table) table = table_new ("GUEST", "NAME", "STATE", "RUNS", "MONITOR", "REMARK", NULL);

  for (guint i = 0; i < array_length (list); i++)
    {
      JsonObject *guest = array_object (list, i);
      const char *remark = field_text (field_object (guest, "error"), "message");
      JsonArray *alarms = field_array (guest, "alarms");

      table_add (table, field_text (guest, "id"));
      table_add (table, field_text (guest, "name"));
      table_add (table, field_text (guest, "state"));
      table_add (table, field_text (guest, "run_state"));
      table_add (table, field_text (guest, "monitor"));
      if (remark == NULL && array_length (alarms) > 0)
        remark = field_text (array_object (alarms, 0), "message");
      table_add (table, remark != NULL ? remark : "");
    }
  table_print (table);
}

static gboolean
guests (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  return options_parse (cli, command, NULL, &arguments, error) &&
         ask_and_print (cli, "/v1/guests", print_guests, error);
}

static gboolean
cont (Cli            *cli,
      const Command  *command,
      char          **arguments,
      GError        **error)
{
  g_autofree char *path = NULL;
  g_autoptr (JsonNode) answer = NULL;

  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;

  path = client_path ("guests", arguments[0], "resume");
  answer = client_ask (cli->client, "POST", path, NULL, NULL, NULL, error);
  if (answer == NULL)
    return FALSE;
  if (cli->json)
    output_json (answer);
  output_line (cli, "Guest %s goes on; it is %s.", arguments[0],
               field_text (json_node_get_object (answer), "run_state"));
  return TRUE;
}

static void
print_disks (JsonObject *answer)
{
  JsonArray *list = field_array (answer, "disks");

  for (guint i = 0; i < array_length (list); i++)
    chain_print_disk (array_object (list, i));
}

static gboolean
disks (Cli            *cli,
       const Command  *command,
       char          **arguments,
       GError        **error)
{
  return ask_of_guest (cli, command, arguments, "disks", print_disks, error);
}

const Command guest_commands[] = {
  { "attach", "MONITOR", 1, 1, "Attach a guest by the socket of its QEMU monitor.",
    "  qsnap attach /run/vm/web.qmp\n"
    "  qsnap attach /run/vm/web.qmp --agent /run/vm/web.qga --id web\n"
    "  qsnap attach /run/vm/db.qmp --overlay-folder /srv/overlays    (disks on block devices)\n",
    attach },
  { "detach", "GUEST", 1, 1, "Let go of a guest; it runs on.",
    "  qsnap detach web\n",
    detach },
  { "guests", "", 0, 0, "List the guests.",
    "  qsnap guests\n"
    "  qsnap guests --json | jq -r '.guests[].id'\n",
    guests },
  { "cont", "GUEST", 1, 1, "Let a guest go on that was stopped at an error of a disk.",
    "  qsnap cont web                                                (once there is room again)\n",
    cont },
  { "disks", "GUEST", 1, 1, "Show the disks of a guest, each with its chain of layers.",
    "  qsnap disks web\n",
    disks },
  { NULL }
};
