/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how an answer, or an error, is put before people and programs. */

#include "output.h"

#include "fields.h"
#include "text.h"

#include <stdio.h>

#define DEPTH_MAX 16

/**
 * output_json:
 * @node: an answer
 *
 * Prints @node for programs: UTF-8 in any locale.
 */
void
output_json (JsonNode *node)
{
  g_autofree char *text = json_to_string (node, TRUE);

  fputs (text, stdout);
  fputc ('\n', stdout);
}

/**
 * output_error:
 * @cli: whether there is --json
 * @error: what went wrong; behind the first line of its message stand hints
 */
void
output_error (Cli          *cli,
              const GError *error)
{
  g_auto (GStrv) lines = g_strsplit (error->message, "\n", -1);
  JsonNode *refusal = cli->client != NULL ? client_get_refusal (cli->client) : NULL;

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *line = text_escape (lines[i]);

      g_printerr ("%s%s\n", i == 0 ? "qsnap: " : "       ", line);
    }
  if (cli->json && refusal != NULL)
    output_json (refusal);
}

/**
 * output_line:
 * @cli: whether there is --json
 * @format: printf-like
 * @...: arguments of @format
 *
 * Prints one line for people, with what a terminal would act upon escaped; nothing with --json.
 */
void
output_line (Cli        *cli,
             const char *format,
             ...)
{
  va_list args;
  g_autofree char *text = NULL;
  g_autofree char *line = NULL;

  if (cli->json)
    return;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  line = text_escape (text);
  g_print ("%s\n", line);
}

/* What a figure with this name is in people's words. (nullable) */
static char *
explain_figure (const char *name,
                gint64      figure)
{
  static const char *const bytes[] = {
    "size", "allocated", "done", "total", "bytes", "estimate", "moved", "speed", NULL
  };

  if (figure < 0)
    return NULL;
  if (g_strv_contains (bytes, name) || g_str_has_suffix (name, "_size"))
    return text_size (figure);
  return g_str_has_suffix (name, "_us") ? text_milliseconds (figure) : NULL;
}

static char *
format_value (const char *name,
              JsonNode   *node)
{
  if (json_node_get_value_type (node) == G_TYPE_STRING)
    return text_escape (json_node_get_string (node));
  if (json_node_get_value_type (node) == G_TYPE_INT64)
    {
      g_autofree char *words = explain_figure (name, json_node_get_int (node));

      if (words != NULL)
        return g_strdup_printf ("%" G_GINT64_FORMAT " (%s)", json_node_get_int (node), words);
    }
  return json_to_string (node, FALSE);
}

static void print_members (JsonObject *object,
                           guint       depth);

static void
print_elements (JsonArray *array,
                guint      depth)
{
  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      JsonNode *node = json_array_get_element (array, i);

      if (JSON_NODE_HOLDS_OBJECT (node))
        {
          g_print ("%*s-\n", (int) depth * 2, "");
          print_members (json_node_get_object (node), depth + 1);
        }
      else
        {
          g_autofree char *text = format_value ("", node);

          g_print ("%*s- %s\n", (int) depth * 2, "", text);
        }
    }
}

static void
print_member (const char *name,
              JsonNode   *node,
              guint       depth)
{
  g_autofree char *escaped = text_escape (name);
  gboolean nested = (JSON_NODE_HOLDS_OBJECT (node) &&
                     json_object_get_size (json_node_get_object (node)) > 0) ||
                    (JSON_NODE_HOLDS_ARRAY (node) &&
                     json_array_get_length (json_node_get_array (node)) > 0);

  if (!nested || depth >= DEPTH_MAX)
    {
      g_autofree char *text = format_value (name, node);

      g_print ("%*s%s: %s\n", (int) depth * 2, "", escaped, text);
      return;
    }

  g_print ("%*s%s:\n", (int) depth * 2, "", escaped);
  if (JSON_NODE_HOLDS_OBJECT (node))
    print_members (json_node_get_object (node), depth + 1);
  else
    print_elements (json_node_get_array (node), depth + 1);
}

static void
print_members (JsonObject *object,
               guint       depth)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  json_object_iter_init_ordered (&iter, object);
  while (json_object_iter_next_ordered (&iter, &name, &node))
    {
      /* What there is not needs no line. */
      if (!JSON_NODE_HOLDS_NULL (node))
        print_member (name, node, depth);
    }
}

/**
 * output_members:
 * @object: any object
 *
 * Prints it for people: a member a line, what is inside it indented.
 */
void
output_members (JsonObject *object)
{
  print_members (object, 0);
}
