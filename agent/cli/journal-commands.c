/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the command that makes a new journal. */

#include "commands.h"
#include "fields.h"
#include "members.h"
#include "options.h"
#include "output.h"
#include "table.h"
#include "text.h"

static void
add_points (Table      *table,
            JsonObject *guest,
            const char *member)
{
  JsonArray *list = field_array (guest, member);

  for (guint i = 0; i < array_length (list); i++)
    {
      JsonObject *point = array_object (list, i);
      const char *reason = field_text (point, "reason");

      table_add (table, field_text (guest, "guest"));
      table_add (table, field_text (point, "name"));
      table_add (table, field_text (point, "disk"));
      table_add (table, reason == NULL ? "kept" : "lost");
      table_add (table, reason != NULL ? reason : field_text (point, "by"));
    }
}

static void
print_remarks (JsonObject *guest)
{
  JsonArray *remarks = field_array (guest, "remarks");

  for (guint i = 0; i < array_length (remarks); i++)
    {
      g_autofree char *text = text_escape (json_array_get_string_element (remarks, i));
      g_autofree char *name = text_escape (field_text (guest, "guest"));

      g_print ("Guest %s: %s\n", name, text);
    }
}

static void
print_report (JsonObject *report)
{
  JsonArray *guests = field_array (report, "guests");
  g_autoptr (Table) table = table_new ("GUEST", "POINT", "DISK", "OUTCOME", "BY", NULL);
  g_autofree char *kept = text_escape (field_text (report, "kept"));

  for (guint i = 0; i < array_length (guests); i++)
    {
      add_points (table, array_object (guests, i), "points");
      add_points (table, array_object (guests, i), "lost");
    }
  table_print (table);
  for (guint i = 0; i < array_length (guests); i++)
    print_remarks (array_object (guests, i));
  g_print ("The journal is new; the one before it is kept as %s.\n"
           "The daemon starts anew with it: in a moment it answers, and attaches its guests again.\n",
           kept);
}

static gboolean
rebuild (Cli            *cli,
         const Command  *command,
         char          **arguments,
         GError        **error)
{
  gboolean force = FALSE;
  const GOptionEntry entries[] = {
    { "force", 0, 0, G_OPTION_ARG_NONE, &force,
      "Although it is whole, or a guest or the store cannot be asked", NULL },
    { NULL, 0, 0, G_OPTION_ARG_NONE, NULL, NULL, NULL },
  };
  g_autoptr (JsonObject) request = json_object_new ();
  g_autoptr (JsonNode) report = NULL;

  if (!options_parse (cli, command, entries, &arguments, error))
    return FALSE;

  members_set_flag (request, "force", force);
  report = client_ask (cli->client, "POST", "/v1/journal/rebuild",
                       json_node_init_object (json_node_alloc (), request), NULL, NULL, error);
  if (report == NULL)
    return FALSE;
  if (cli->json)
    output_json (report);
  else
    print_report (json_node_get_object (report));
  return TRUE;
}

const Command journal_commands[] = {
  { "rebuild-journal", "", 0, 0, "Make a new journal of a damaged one, of QEMU and of the files.",
    "  qsnap rebuild-journal\n"
    "  qsnap rebuild-journal --force                         (the journal was lost altogether)\n",
    rebuild },
  { NULL }
};
