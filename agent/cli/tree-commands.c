/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands about the tree of a guest's points: to see it, to go back in it, to cut it. */

#include "ask.h"
#include "chain-options.h"
#include "error.h"
#include "fields.h"
#include "members.h"
#include "options.h"
#include "output.h"
#include "text.h"
#include "tree.h"

#include <unistd.h>

/* --- tree --- */

static void
print_disk (JsonObject *tree,
            JsonObject *disk)
{
  const char *published = field_text (disk, "published");
  g_autofree char *name = text_escape (field_text (disk, "disk"));
  g_autofree char *lines = tree_draw (disk, field_array (tree, "points"),
                                      text_columns (STDOUT_FILENO), text_is_utf8 ());

  g_print ("%s", name);
  if (published != NULL)
    {
      g_autofree char *path = text_escape (published);

      g_print ("  starts from %s", path);
    }
  g_print ("\n%s", lines);
}

static void
print_tree (JsonObject *tree)
{
  JsonArray *disks = field_array (tree, "disks");

  for (guint i = 0; i < array_length (disks); i++)
    {
      JsonObject *disk = array_object (disks, i);

      if (i > 0)
        g_print ("\n");
      if (disk != NULL)
        print_disk (tree, disk);
    }
}

static gboolean
tree (Cli            *cli,
      const Command  *command,
      char          **arguments,
      GError        **error)
{
  return ask_of_guest (cli, command, arguments, "tree", print_tree, error);
}

/* --- adopt --- */

static JsonNode *
read_tree (const char  *path,
           GError     **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) problem = NULL;
  JsonNode *node = NULL;

  if (g_file_get_contents (path, &text, NULL, &problem))
    node = json_from_string (text, &problem);
  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    return node;

  g_clear_pointer (&node, json_node_unref);
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "%s: %s", path,
               problem != NULL ? problem->message : "this is no tree");
  return NULL;
}

static gboolean
adopt (Cli            *cli,
       const Command  *command,
       char          **arguments,
       GError        **error)
{
  g_autofree char *folder = NULL;
  gboolean unchanged = FALSE;
  const GOptionEntry entries[] = {
    { "folder", 0, 0, G_OPTION_ARG_FILENAME, &folder, "Where the files are here", "FOLDER" },
    { "unchanged", 0, 0, G_OPTION_ARG_NONE, &unchanged,
      "Nobody has written to the files, whatever their times say", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autofree char *path = NULL;
  JsonNode *node;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;
  node = read_tree (arguments[1], error);
  if (node == NULL)
    return FALSE;

  members_set_path (json_node_get_object (node), "folder", folder);
  members_set_flag (json_node_get_object (node), "unchanged", unchanged);
  path = client_path ("guests", arguments[0], "tree");
  if (!client_call (cli->client, "PUT", path, node, NULL, NULL, NULL, error))
    return FALSE;
  output_line (cli, "Guest %s has the points of %s now.", arguments[0], arguments[1]);
  return TRUE;
}

/* --- delete --- */

/* "snapshots/POINT" and @more, escaped. */
static char *
point_path (const char *point,
            const char *more)
{
  g_autofree char *escaped = g_uri_escape_string (point, NULL, FALSE);

  return g_strconcat ("snapshots/", escaped, more, NULL);
}

static gboolean
delete (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  g_auto (ChainOptions) options = { 0 };
  g_autofree char *rest = NULL;
  JsonObject *request;

  request = chain_options_parse (&options, cli, command,
                                 CHAIN_OPTIONS_DISKS | CHAIN_OPTIONS_JOB | CHAIN_OPTIONS_DEADLINE,
                                 NULL, &arguments, error);
  if (request == NULL)
    return FALSE;
  rest = point_path (arguments[1], NULL);
  return chain_options_ask (&options, cli, "DELETE", arguments[0], rest, request, error);
}

/* --- revert and restore --- */

static gboolean
revert (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  g_auto (ChainOptions) options = { 0 };
  g_autofree char *rest = NULL;
  JsonObject *request;

  request = chain_options_parse (&options, cli, command,
                                 CHAIN_OPTIONS_DISKS | CHAIN_OPTIONS_SWITCH,
                                 NULL, &arguments, error);
  if (request == NULL)
    return FALSE;
  rest = point_path (arguments[1], "/revert");
  return chain_options_ask (&options, cli, "POST", arguments[0], rest, request, error);
}

static gboolean
restore (Cli            *cli,
         const Command  *command,
         char          **arguments,
         GError        **error)
{
  g_auto (ChainOptions) options = { 0 };
  g_autofree char *disk = NULL;
  const GOptionEntry own[] = {
    { "disk", 'd', 0, G_OPTION_ARG_STRING, &disk, "This disk, instead of the first", "DISK" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  JsonObject *request;

  request = chain_options_parse (&options, cli, command,
                                 CHAIN_OPTIONS_SWITCH, own, &arguments, error);
  if (request == NULL)
    return FALSE;
  members_set_text (request, "image", arguments[1]);
  members_set_text (request, "disk", disk);
  return chain_options_ask (&options, cli, "POST", arguments[0], "restore", request, error);
}

const Command tree_commands[] = {
  { "tree", "GUEST", 1, 1, "Draw the layers of a guest's disks, and the points that live in them.",
    "  qsnap tree web\n"
    "  qsnap tree web --json > web.json                              (to be adopted elsewhere)\n",
    tree },
  { "adopt", "GUEST FILE", 2, 2, "Take over the points of a tree that came with its files.",
    "  qsnap adopt web web.json\n"
    "  qsnap adopt web web.json --folder /srv/web                    (the files were moved)\n",
    adopt },
  { "delete", "GUEST POINT", 2, 2, "Delete a point; all others stay what they are.",
    "  qsnap delete web before-upgrade\n"
    "  qsnap plan delete web before-upgrade                          (what would be moved)\n",
    delete },
  { "revert", "GUEST POINT", 2, 2, "Take a guest's disks back to a point, and reset the guest.",
    "  qsnap revert web before-upgrade                       (what is left becomes a point)\n"
    "  qsnap revert web before-upgrade --discard             (what is left goes)\n"
    "  qsnap revert web before-upgrade -d data --no-reset    (a disk that is unmounted)\n",
    revert },
  { "restore", "GUEST IMAGE", 2, 2, "Make an image of the store the disk of a guest.",
    "  qsnap restore web 2f7349d1-4d6e-8436-aac0-fe28eb311c4c\n"
    "  qsnap restore web 2f7349d1-4d6e-8436-aac0-fe28eb311c4c --disk data --no-reset\n",
    restore },
  { NULL }
};
