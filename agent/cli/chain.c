/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a chain of layers is drawn. */

#include "chain.h"

#include "fields.h"
#include "text.h"

#include <string.h>

typedef struct
{
  char *branch;
  char *name;                   /* escaped */
  char *about;
} Line;

static void
line_clear (gpointer data)
{
  Line *line = data;

  g_free (line->branch);
  g_free (line->name);
  g_free (line->about);
}

static void
append_flag (GString    *text,
             gboolean    set,
             const char *flag)
{
  if (set)
    g_string_append_printf (text, "  %s", flag);
}

/* "qcow2  1.5 GiB used of 10.0 GiB  active" */
static char *
describe_layer (JsonObject *layer,
                gboolean    active)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *format = text_escape (field_text (layer, "format"));
  g_autofree char *used = text_size (field_int (layer, "allocated", -1));
  g_autofree char *size = text_size (field_int (layer, "virtual_size", -1));

  g_string_append_printf (text, "%-6s %9s of %s", format, used, size);
  append_flag (text, active, "active");
  append_flag (text, active && field_bool (layer, "read_only"), "read-only");
  append_flag (text, field_bool (layer, "encrypted"), "encrypted");
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
add_line (GArray     *lines,
          JsonObject *layer,
          guint       depth)
{
  const char *path = field_text (layer, "path");
  gboolean utf8 = text_is_utf8 ();
  Line line;

  /* Each layer stands on the one below it. */
  line.branch = depth == 0 ? g_strdup (utf8 ? "● " : "* ")
                           : g_strdup_printf ("%*s%s", (int) (depth - 1) * 3, "",
                                              utf8 ? "└─ " : "`- ");
  line.name = text_escape (path != NULL ? path : field_text (layer, "node"));
  line.about = describe_layer (layer, depth == 0);
  g_array_append_val (lines, line);
}

static void
print_lines (GArray *lines)
{
  guint width = 0;

  for (guint i = 0; i < lines->len; i++)
    {
      Line *line = &g_array_index (lines, Line, i);

      width = MAX (width, text_width (line->branch) + text_width (line->name));
    }

  for (guint i = 0; i < lines->len; i++)
    {
      Line *line = &g_array_index (lines, Line, i);
      guint used = text_width (line->branch) + text_width (line->name);

      g_print ("  %s%s%*s  %s\n", line->branch, line->name, (int) (width - used), "", line->about);
    }
}

/**
 * chain_print_disk:
 * @disk: a disk as the daemon shows it
 *
 * Prints its name, and its layers below.
 */
void
chain_print_disk (JsonObject *disk)
{
  JsonArray *layers = field_array (disk, "layers");
  const char *skipped = field_text (disk, "skipped");
  const char *published = field_text (disk, "path");
  const char *status = field_text (disk, "io_status");
  g_autofree char *name = text_escape (field_text (disk, "name"));
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (Line));

  g_array_set_clear_func (lines, line_clear);
  g_print ("%s", name);
  if (skipped != NULL)
    {
      g_autofree char *reason = text_escape (skipped);

      g_print (" (left out: %s)", reason);
    }
  if (status != NULL && strcmp (status, "ok") != 0)
    {
      g_autofree char *shown = text_escape (status);

      g_print (" (I/O: %s)", shown);
    }
  g_print ("\n");

  for (guint i = 0; i < array_length (layers); i++)
    add_line (lines, array_object (layers, i), i);
  print_lines (lines);

  if (published != NULL)
    {
      g_autofree char *path = text_escape (published);

      g_print ("  starts from %s\n", path);
    }
}
