/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the commands that take points, and list them. */

#include "ask.h"
#include "error.h"
#include "fields.h"
#include "members.h"
#include "options.h"
#include "output.h"
#include "point-options.h"
#include "table.h"
#include "text.h"
#include "wait.h"

#define FORMATS_EXPLAINED \
  "\n" \
  "A full image in the format raw sends every byte of the disk through HTTP, zeros too; one in\n" \
  "the format qcow2 sends only what is in use.\n"

/* Asks for a point and sees it through to its end, or to its beginning. */
static gboolean
take (Cli                 *cli,
      const char          *guest,
      const char          *kind,
      JsonObject          *request,
      const PointOptions  *options,
      Printer              print,
      GError             **error)
{
  g_autofree char *path = client_path ("guests", guest, kind);
  JsonNode *body = json_node_init_object (json_node_alloc (), request);
  JsonNode *begun = client_ask (cli->client, "POST", path, body, options->idempotency_key, NULL,
                                error);

  return begun != NULL && wait_and_print (cli, begun, !options->no_wait, print, error);
}

/* "1.2 ms" of a member in microseconds. */
static void
append_duration (GString    *text,
                 JsonObject *result,
                 const char *member,
                 const char *format)
{
  gint64 duration = field_int (result, member, -1);

  if (duration >= 0)
    {
      g_autofree char *shown = text_milliseconds (duration);

      g_string_append_printf (text, "%s%s %s", text->len > 0 ? ", " : "", format, shown);
    }
}

/* What need not stay, now that the newest point is in the store. */
static void
print_foldable (JsonArray *names)
{
  g_autoptr (GString) list = g_string_new (NULL);

  for (guint i = 0; i < array_length (names); i++)
    {
      const char *name = array_text (names, i);
      g_autofree char *shown = text_escape (name);

      if (name != NULL)
        g_string_append_printf (list, "%s%s", list->len > 0 ? ", " : "", shown);
    }
  if (list->len > 0)
    g_print ("To keep the chains short, these points may be folded away now: %s.\n"
             "Their images stay in the store. A point that was taken with --keep stays as well.\n",
             list->str);
}

static void
print_point (JsonObject *operation)
{
  JsonObject *result = field_object (operation, "result");
  JsonArray *disks = field_array (result, "disks");
  g_autofree char *guest = text_escape (field_text (operation, "guest"));
  g_autofree char *point = text_escape (field_text (result, "point"));
  g_autofree char *quiesced = text_escape (field_text (result, "quiesced"));
  g_autoptr (GString) remarks = g_string_new (NULL);
  g_autoptr (Table) table = table_new ("DISK", "FROZEN LAYER", "WRITES GO TO", "IMAGE",
                                       "START FROM", NULL);

  g_string_append_printf (remarks, "quiesced: %s", quiesced);
  append_duration (remarks, result, "frozen_us", "stood still for");
  g_print ("Took point %s of guest %s (%s).\n", point, guest, remarks->str);

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
  print_foldable (field_array (result, "may_be_folded"));
}

static gboolean
snapshot (Cli            *cli,
          const Command  *command,
          char          **arguments,
          GError        **error)
{
  g_auto (PointOptions) options = { 0 };
  g_autofree char *image = NULL;
  g_autofree char *parents = NULL;
  g_autofree char *length = NULL;
  gboolean keep = FALSE;
  const GOptionEntry own[] = {
    { "image", 0, 0, G_OPTION_ARG_STRING, &image,
      "What to upload: nothing, the frozen layers (default), or full images", "none|layer|full" },
    { "parents", 0, 0, G_OPTION_ARG_STRING, &parents,
      "What to do about layers below that are in no store", "upload|require|ignore" },
    { "keep", 0, 0, G_OPTION_ARG_NONE, &keep,
      "Never fold this point away to keep the chain short, as is done with others that are in the "
      "store", NULL },
    { "max-chain-length", 0, 0, G_OPTION_ARG_STRING, &length,
      "Layers that a chain may have once the images are uploaded; 0: any number", "LAYERS" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autofree GOptionEntry *entries = point_options_entries (&options, own);
  g_autoptr (JsonObject) request = NULL;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;
  request = point_options_describe (&options, arguments[1], error);
  if (request == NULL ||
      !members_set_count (request, "max_chain_length", "--max-chain-length", length, "a number",
                          error))
    return FALSE;
  members_set_text (request, "image", image);
  members_set_text (request, "parents", parents);
  members_set_flag (request, "keep", keep);
  return take (cli, arguments[0], "snapshots", request, &options, print_point, error);
}

/* The image of a disk among those of the result. (nullable) */
static JsonObject *
find_image (JsonArray  *images,
            const char *disk)
{
  for (guint i = 0; i < array_length (images); i++)
    if (g_strcmp0 (field_text (array_object (images, i), "disk"), disk) == 0)
      return array_object (images, i);
  return NULL;
}

static char *
describe_overlay (JsonObject *disk)
{
  const char *reason = field_text (disk, "kept");

  if (field_bool (disk, "folded"))
    return g_strdup ("folded back");
  return reason != NULL ? g_strdup_printf ("kept: %s", reason) : g_strdup ("kept");
}

static void
print_full_images (JsonObject *operation)
{
  JsonObject *result = field_object (operation, "result");
  JsonArray *images = field_array (result, "images");
  JsonArray *disks = field_array (result, "disks");
  g_autofree char *guest = text_escape (field_text (operation, "guest"));
  g_autoptr (GString) remarks = g_string_new (NULL);
  g_autoptr (Table) table = table_new ("DISK", "IMAGE", ">SIZE", "OVERLAY", "START FROM", NULL);

  append_duration (remarks, result, "frozen_us", "stood still for");
  append_duration (remarks, result, "pivot_us", "and at the end for");
  g_print ("Took a full image of guest %s%s%s%s.\n", guest, remarks->len > 0 ? " (" : "",
           remarks->str, remarks->len > 0 ? ")" : "");

  for (guint i = 0; i < array_length (disks); i++)
    {
      JsonObject *disk = array_object (disks, i);
      JsonObject *image = find_image (images, field_text (disk, "disk"));

      table_add (table, field_text (disk, "disk"));
      table_add (table, field_text (image, "id"));
      table_take (table, text_size (field_int (image, "size", -1)));
      table_take (table, describe_overlay (disk));
      table_add (table, field_text (disk, "path"));
    }
  table_print (table);
}

static gboolean
image (Cli            *cli,
       const Command  *command,
       char          **arguments,
       GError        **error)
{
  g_auto (PointOptions) options = { 0 };
  g_autofree char *deadline = NULL;
  g_autofree char *on_deadline = NULL;
  const GOptionEntry own[] = {
    { "deadline", 0, 0, G_OPTION_ARG_STRING, &deadline,
      "How long the overlays may take to be folded back while the guest writes on", "SECONDS" },
    { "on-deadline", 0, 0, G_OPTION_ARG_STRING, &on_deadline,
      "Then: stop the guest for the rest, slow its writes down, or leave the overlays",
      "stop|throttle|leave" },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autofree GOptionEntry *entries = point_options_entries (&options, own);
  g_autoptr (JsonObject) request = NULL;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;
  request = point_options_describe (&options, arguments[1], error);
  if (request == NULL ||
      !members_set_count (request, "deadline", "--deadline", deadline, "whole seconds", error))
    return FALSE;
  members_set_text (request, "on_deadline", on_deadline);
  return take (cli, arguments[0], "images", request, &options, print_full_images, error);
}

static void
print_points (JsonObject *answer)
{
  JsonArray *points = field_array (answer, "snapshots");
  g_autoptr (Table) table = table_new ("POINT", "NAME", "TAKEN (UTC)", "DISK", "LAYER",
                                       ">OWN DATA", "IMAGE", NULL);

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
          table_take (table, text_size (field_int (disk, "allocated", -1)));
          table_add (table, field_text (disk, "image_id"));
        }
    }
  table_print (table);
}

static gboolean
snapshots (Cli            *cli,
           const Command  *command,
           char          **arguments,
           GError        **error)
{
  return ask_of_guest (cli, command, arguments, "snapshots", print_points, error);
}

const Command point_commands[] = {
  { "snapshot", "GUEST [NAME]", 1, 2, "Take a point of all disks, and upload the frozen layers.",
    "  qsnap snapshot web\n"
    "  qsnap snapshot web before-upgrade --quiesce try --keep        (stays until it is deleted)\n"
    "  qsnap snapshot web --disk disk0 --disk disk1 --image none     (take the point only)\n"
    "  qsnap snapshot web --image full --format raw                  (of all that a disk shows)\n"
    "  qsnap snapshot web --no-wait --json | jq -r .id             (wait later: qsnap show ID -w)\n"
    FORMATS_EXPLAINED,
    snapshot },
  { "image", "GUEST NAME", 2, 2, "Take full images of disks; their chains stay as they are.",
    "  qsnap image web web-2026-11                                   (of the first disk)\n"
    "  qsnap image web before-upgrade --disks all --quiesce try      (of each, at one point)\n"
    "  qsnap image web appliance --disks system,data --format raw\n"
    "  qsnap image db nightly --deadline 600 --on-deadline throttle  (a guest that writes a lot)\n"
    FORMATS_EXPLAINED,
    image },
  { "snapshots", "GUEST", 1, 1, "List the points of a guest, oldest first.",
    "  qsnap snapshots web\n",
    snapshots },
  { NULL }
};
