/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands that move what layers hold: commit, stream, mirror, shorten; and "plan", which
 * asks what they and their like would do. */

#include "chain-options.h"
#include "error.h"
#include "members.h"
#include "options.h"

#include <string.h>
#include <sys/stat.h>

#define NBD_PORT 10809

/* "disks/DISK/VERB", escaped. */
static char *
disk_path (const char *disk,
           const char *verb)
{
  g_autofree char *escaped = g_uri_escape_string (disk, NULL, FALSE);

  return g_strdup_printf ("disks/%s/%s", escaped, verb);
}

static gboolean
commit (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  g_auto (ChainOptions) options = { 0 };
  g_autofree char *top = NULL;
  g_autofree char *base = NULL;
  const GOptionEntry own[] = {
    { "top", 0, 0, G_OPTION_ARG_STRING, &top,
      "The uppermost layer that is merged: a file, or a point in it; else the active one",
      "LAYER" },
    { "base", 0, 0, G_OPTION_ARG_STRING, &base, "What takes the data; else the bottom", "LAYER" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autofree char *rest = NULL;
  JsonObject *request;

  request = chain_options_parse (&options, cli, command,
                                 CHAIN_OPTIONS_JOB | CHAIN_OPTIONS_DEADLINE | CHAIN_OPTIONS_POINTS,
                                 own, &arguments, error);
  if (request == NULL)
    return FALSE;
  members_set_text (request, "top", top);
  members_set_text (request, "base", base);
  rest = disk_path (arguments[1], "commit");
  return chain_options_ask (&options, cli, "POST", arguments[0], rest, request, error);
}

static gboolean
stream (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  g_auto (ChainOptions) options = { 0 };
  g_autofree char *into = NULL;
  g_autofree char *base = NULL;
  const GOptionEntry own[] = {
    { "into", 0, 0, G_OPTION_ARG_STRING, &into,
      "What takes the data: a file, or a point in it; else the active layer", "LAYER" },
    { "base", 0, 0, G_OPTION_ARG_STRING, &base,
      "What it stands on afterwards; else on nothing", "LAYER" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autofree char *rest = NULL;
  JsonObject *request;

  request = chain_options_parse (&options, cli, command,
                                 CHAIN_OPTIONS_JOB | CHAIN_OPTIONS_POINTS, own, &arguments, error);
  if (request == NULL)
    return FALSE;
  members_set_text (request, "into", into);
  members_set_text (request, "base", base);
  rest = disk_path (arguments[1], "stream");
  return chain_options_ask (&options, cli, "POST", arguments[0], rest, request, error);
}

/* --- mirror --- */

/* nbd://HOST[:PORT]/EXPORT, or nbd+unix:///EXPORT?socket=PATH */
static JsonObject *
describe_nbd (const char  *address,
              GError     **error)
{
  g_autoptr (GUri) uri = g_uri_parse (address, G_URI_FLAGS_NONE, NULL);
  g_autoptr (GHashTable) query = NULL;
  g_autoptr (JsonObject) object = json_object_new ();
  gboolean is_unix = g_str_has_prefix (address, "nbd+unix:");
  const char *socket = NULL;

  if (uri != NULL && g_uri_get_query (uri) != NULL)
    query = g_uri_parse_params (g_uri_get_query (uri), -1, "&", G_URI_PARAMS_NONE, NULL);
  if (query != NULL)
    socket = g_hash_table_lookup (query, "socket");
  if (uri == NULL || (is_unix ? socket == NULL
                              : g_uri_get_host (uri) == NULL || *g_uri_get_host (uri) == '\0'))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                   "%s: must be nbd://HOST:PORT/EXPORT or nbd+unix:///EXPORT?socket=PATH",
                   address);
      return NULL;
    }

  if (is_unix)
    json_object_set_string_member (object, "path", socket);
  else
    {
      g_autofree char *port = g_strdup_printf ("%d", g_uri_get_port (uri) > 0
                                                     ? g_uri_get_port (uri) : NBD_PORT);

      json_object_set_string_member (object, "host", g_uri_get_host (uri));
      json_object_set_string_member (object, "port", port);
    }
  if (strlen (g_uri_get_path (uri)) > 1)
    json_object_set_string_member (object, "export", g_uri_get_path (uri) + 1);
  return g_steal_pointer (&object);
}

/* A new file, a block device, or an NBD server. */
static gboolean
set_target (JsonObject  *request,
            const char  *target,
            GError     **error)
{
  g_autoptr (JsonObject) object = json_object_new ();
  struct stat facts;

  if (g_str_has_prefix (target, "nbd:") || g_str_has_prefix (target, "nbd+unix:"))
    {
      JsonObject *nbd = describe_nbd (target, error);

      if (nbd == NULL)
        return FALSE;
      json_object_set_object_member (object, "nbd", nbd);
    }
  else if (stat (target, &facts) == 0 && S_ISBLK (facts.st_mode))
    members_set_path (object, "device", target);
  else
    members_set_path (object, "path", target);
  json_object_set_object_member (request, "target", g_steal_pointer (&object));
  return TRUE;
}

typedef struct
{
  char     *format;
  char     *sync;
  char     *end;
  char     *copy_mode;
  char     *quiesce;
  gboolean  allow_path_change;
  gboolean  allow_format_change;
} MirrorOptions;

static void
mirror_options_clear (MirrorOptions *self)
{
  g_free (self->format);
  g_free (self->sync);
  g_free (self->end);
  g_free (self->copy_mode);
  g_free (self->quiesce);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (MirrorOptions, mirror_options_clear)

static void
describe_mirror (const MirrorOptions *self,
                 JsonObject          *request)
{
  members_set_text (request, "format", self->format);
  members_set_text (request, "sync", self->sync);
  members_set_text (request, "end", self->end);
  members_set_text (request, "copy_mode", self->copy_mode);
  members_set_text (request, "quiesce", self->quiesce);
  members_set_flag (request, "allow_path_change", self->allow_path_change);
  members_set_flag (request, "allow_format_change", self->allow_format_change);
}

static gboolean
mirror (Cli            *cli,
        const Command  *command,
        char          **arguments,
        GError        **error)
{
  g_auto (ChainOptions) options = { 0 };
  g_auto (MirrorOptions) mirrors = { 0 };
  const GOptionEntry own[] = {
    { "end", 0, 0, G_OPTION_ARG_STRING, &mirrors.end,
      "Keep the copy as it is at the end (default), or move the guest to it", "keep|pivot" },
    { "format", 'f', 0, G_OPTION_ARG_STRING, &mirrors.format, "Of the copy", "qcow2|raw" },
    { "sync", 0, 0, G_OPTION_ARG_STRING, &mirrors.sync,
      "Copy all that the disk shows (default), the active layer, or what is written from now on",
      "full|top|none" },
    { "copy-mode", 0, 0, G_OPTION_ARG_STRING, &mirrors.copy_mode,
      "Copy writes later (default), or together with the guest's", "background|write-blocking" },
    { "quiesce", 'q', 0, G_OPTION_ARG_STRING, &mirrors.quiesce,
      "Freeze the guest's filesystems at the end of a copy that is kept", "none|try|require" },
    { "allow-path-change", 0, 0, G_OPTION_ARG_NONE, &mirrors.allow_path_change,
      "The guest may have to be started from another path afterwards", NULL },
    { "allow-format-change", 0, 0, G_OPTION_ARG_NONE, &mirrors.allow_format_change,
      "Its next start may have to be told another format", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (JsonObject) request = NULL;
  g_autofree char *rest = NULL;

  request = chain_options_parse (&options, cli, command,
                                 CHAIN_OPTIONS_JOB | CHAIN_OPTIONS_DEADLINE | CHAIN_OPTIONS_CANCEL,
                                 own, &arguments, error);
  if (request == NULL || !set_target (request, arguments[2], error))
    return FALSE;
  describe_mirror (&mirrors, request);
  rest = disk_path (arguments[1], "mirror");
  return chain_options_ask (&options, cli, "POST", arguments[0], rest, g_steal_pointer (&request),
                            error);
}

/* --- shorten --- */

static gboolean
shorten (Cli            *cli,
         const Command  *command,
         char          **arguments,
         GError        **error)
{
  g_auto (ChainOptions) options = { 0 };
  g_autofree char *length = NULL;
  gboolean gives_way = FALSE;
  const GOptionEntry own[] = {
    { "max-chain-length", 'l', 0, G_OPTION_ARG_STRING, &length,
      "Layers that a chain may have; else as the configuration says", "LAYERS" },
    { "give-way", 0, 0, G_OPTION_ARG_NONE, &gives_way,
      "Be called off by whatever else is asked for the disks", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (JsonObject) request = NULL;

  request = chain_options_parse (&options, cli, command,
                                 CHAIN_OPTIONS_DISKS | CHAIN_OPTIONS_JOB | CHAIN_OPTIONS_DEADLINE,
                                 own, &arguments, error);
  if (request == NULL ||
      !members_set_count (request, "max_chain_length", "--max-chain-length", length, "a number",
                          error))
    return FALSE;
  if (gives_way)
    json_object_set_boolean_member (request, "give_way", TRUE);
  return chain_options_ask (&options, cli, "POST", arguments[0], "shorten",
                            g_steal_pointer (&request), error);
}

/* --- plan --- */

static const Command *
find_verb (const char *name)
{
  static const char *const verbs[] = {
    "commit", "stream", "mirror", "shorten", "delete", "revert", "restore", NULL
  };
  const Command *const groups[] = { chain_commands, tree_commands };

  for (gsize i = 0; g_strv_contains (verbs, name) && i < G_N_ELEMENTS (groups); i++)
    for (const Command *command = groups[i]; command->name != NULL; command++)
      if (strcmp (command->name, name) == 0)
        return command;
  return NULL;
}

static gboolean
plan (Cli            *cli,
      const Command  *command,
      char          **arguments,
      GError        **error)
{
  const Command *verb = arguments[0] != NULL ? find_verb (arguments[0]) : NULL;

  if (verb != NULL)
    {
      cli->dry_run = TRUE;
      return verb->run (cli, verb, arguments + 1, error);
    }

  /* For --help, and for what is wrong with the words. */
  if (!options_parse (cli, command, NULL, &arguments, error))
    return FALSE;
  g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
               "%s: there is nothing to be planned\n"
               "Plans are made for commit, stream, mirror, shorten, delete, revert and restore.",
               arguments[0]);
  return FALSE;
}

const Command chain_commands[] = {
  { "commit", "GUEST DISK", 2, 2, "Merge layers of a disk down into the one below them.",
    "  qsnap commit web disk0                                        (all, into the bottom)\n"
    "  qsnap commit web disk0 --base golden.img                      (which nobody else needs)\n"
    "  qsnap commit web disk0 --top before-upgrade --base disk.0     (a point, a file's name)\n"
    "  qsnap commit web disk0 --speed 50M --deadline 600 --on-deadline throttle\n"
    "  qsnap commit web disk0 --dry-run                              (what would be moved)\n",
    commit },
  { "stream", "GUEST DISK", 2, 2, "Merge layers of a disk up into the one above them.",
    "  qsnap stream web disk0                                        (it then stands alone)\n"
    "  qsnap stream web disk0 --base disk.0                          (down to this layer)\n"
    "  qsnap stream web disk0 --into disk.2 --base disk.0\n",
    stream },
  { "mirror", "GUEST DISK TARGET", 3, 3, "Copy a disk, and keep the copy or move the guest to it.",
    "  qsnap mirror web disk0 /srv/copies/web.qcow2                  (exact at its end)\n"
    "  qsnap mirror web disk0 /srv/copies/web.raw --format raw --quiesce try\n"
    "  qsnap mirror web disk0 /srv/fast/disk --end pivot --allow-path-change\n"
    "  qsnap mirror web disk0 /dev/vg/web --format raw               (a block device)\n"
    "  qsnap mirror web disk0 nbd://backup.example:10809/web --format raw\n",
    mirror },
  { "shorten", "GUEST", 1, 1, "Fold layers together until the chains are as short as they may be.",
    "  qsnap shorten web\n"
    "  qsnap shorten web --max-chain-length 2 --disks disk0,disk1\n",
    shorten },
  { "plan", "VERB ARGUMENT...", 1, 64, "Tell what a command would do to chains.",
    "  qsnap plan commit web disk0 --top before-upgrade\n"
    "  qsnap plan delete web before-upgrade\n"
    "  qsnap plan shorten web --max-chain-length 2\n"
    "\n"
    "There are plans of commit, stream, mirror, shorten, delete, revert and restore.\n",
    plan },
  { NULL }
};
