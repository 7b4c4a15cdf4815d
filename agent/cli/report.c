/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how it is told what was done to chains, or would be. */

#include "report.h"

#include "fields.h"
#include "output.h"
#include "table.h"
#include "text.h"

#include <string.h>

/* "Deleted point first of guest web." */
static void
print_sentence (JsonObject *operation)
{
  static const struct { const char *kind, *member, *sentence; } sentences[] = {
    { "commit",  "disk",  "Committed layers of disk %s of guest %s."   },
    { "stream",  "disk",  "Streamed layers of disk %s of guest %s."    },
    { "mirror",  "disk",  "Mirrored disk %s of guest %s."              },
    { "delete",  "point", "Deleted point %s of guest %s."              },
    { "revert",  "point", "Reverted to point %s: guest %s."            },
    { "restore", "image", "Restored image %s: guest %s."               },
    { "shorten", NULL,    "Shortened the chains of guest%s %s."        },
  };
  const char *kind = field_text (operation, "kind");
  JsonObject *request = field_object (operation, "request");
  g_autofree char *guest = text_escape (field_text (operation, "guest"));

  for (gsize i = 0; i < G_N_ELEMENTS (sentences); i++)
    if (g_strcmp0 (kind, sentences[i].kind) == 0)
      {
        const char *member = sentences[i].member;
        g_autofree char *what = member != NULL ? text_escape (field_text (request, member))
                                               : g_strdup ("");
        g_auto (GStrv) parts = g_strsplit (sentences[i].sentence, "%s", 3);

        g_print ("%s%s%s%s%s\n", parts[0], what, parts[1], guest, parts[2]);
        return;
      }
}

/* "disk.1, disk.2" */
static char *
join_names (JsonArray *paths)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < array_length (paths); i++)
    {
      const char *path = array_text (paths, i);
      g_autofree char *name = NULL;

      if (path == NULL)
        continue;
      name = g_path_get_basename (path);
      g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "", name);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static char *
describe_move (JsonObject *move)
{
  g_autofree char *staying = join_names (field_array (move, "stay"));
  g_autoptr (GString) text = g_string_new (field_bool (move, "offline") ? "offline" : "live");

  if (field_bool (move, "pivot"))
    g_string_append (text, ", moves the disk");
  if (*staying != '\0')
    g_string_append_printf (text, ", leaves %s", staying);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* @done: they have been made, and what they moved is known. */
static void
print_moves (JsonArray *moves,
             gboolean   done)
{
  g_autoptr (Table) table = done ? table_new ("DISK", "MOVE", "LAYERS", "INTO", ">ESTIMATED",
                                              ">MOVED", "HOW", NULL)
                                 : table_new ("DISK", "MOVE", "LAYERS", "INTO", ">ESTIMATED", "HOW",
                                              NULL);

  for (guint i = 0; i < array_length (moves); i++)
    {
      JsonObject *move = array_object (moves, i);

      table_add (table, field_text (move, "disk"));
      table_add (table, field_text (move, "kind"));
      table_take (table, join_names (field_array (move, "files")));
      table_add (table, field_text (move, "into"));
      table_take (table, text_size (field_int (move, "estimate", -1)));
      if (done)
        table_take (table, text_size (field_int (move, "moved", -1)));
      table_take (table, describe_move (move));
    }
  if (array_length (moves) > 0)
    table_print (table);
}

/* Of a disk more than its name. */
static gboolean
tells_something (const char *name,
                 JsonNode   *node)
{
  JsonArray *array = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  gboolean tells = !JSON_NODE_HOLDS_OBJECT (node) ||
                   json_object_get_size (json_node_get_object (node)) > 0;

  if (array == NULL)
    return tells;
  if (strcmp (name, "disks") != 0)
    return json_array_get_length (array) > 0;

  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      JsonObject *disk = array_object (array, i);

      if (disk == NULL || json_object_get_size (disk) > 1)
        return TRUE;
    }
  return FALSE;
}

/* What else is told, but for what is empty. */
static void
print_rest (JsonObject *object)
{
  g_autoptr (JsonObject) rest = json_object_new ();
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  json_object_iter_init_ordered (&iter, object);
  while (json_object_iter_next_ordered (&iter, &name, &node))
    {
      if (strcmp (name, "moves") != 0 && tells_something (name, node))
        json_object_set_member (rest, name, json_node_copy (node));
    }
  output_members (rest);
}

/**
 * report_print_done:
 * @operation: one that has succeeded
 *
 * Prints what it was, its moves, and all else that it tells.
 */
void
report_print_done (JsonObject *operation)
{
  JsonObject *result = field_object (operation, "result");

  print_sentence (operation);
  print_moves (field_array (result, "moves"), TRUE);
  if (result != NULL)
    print_rest (result);
}

/**
 * report_print_plan:
 * @plan: what would be done
 *
 * Prints it, and that it was not done.
 */
void
report_print_plan (JsonObject *plan)
{
  JsonArray *moves = field_array (plan, "moves");

  if (moves != NULL && array_length (moves) == 0)
    g_print ("Nothing would have to be moved.\n");
  print_moves (moves, FALSE);
  print_rest (plan);
  g_print ("This is a plan: nothing was done.\n");
}
