/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a tree of layers is drawn. A chain goes down in one column; a branch that was left
 * stands to the right of it, above the layer on which both stand:
 *
 *   * disk.3     192 KiB  active
 *   o disk.1     1.0 MiB
 *   |   @ upgraded  2026-11-20 11:46:30  image 2f7349d1
 *   | o disk.2   5.0 MiB
 *   | |   @ before revert to first  2026-11-20 12:00:00
 *   |-'
 *   o disk.0     1.5 GiB
 *       @ first  2026-11-20 11:00:00
 *
 * What has no layer in common with it comes below an empty line.
 */

#include "tree.h"

#include "fields.h"
#include "text.h"

#include <string.h>

typedef struct
{
  const char *active, *layer, *point, *line, *join, *cut;
} Marks;

static const Marks ascii_marks = { "*", "o", "@", "|", "|-'", ">" };
static const Marks utf8_marks  = { "●", "○", "◆", "│", "├─╯", "…" };

typedef struct
{
  char *left;                   /* lines and name; escaped */
  char *right;                  /* (nullable): in a column of its own */
} Line;

typedef struct
{
  const Marks *marks;
  const char  *disk;            /* (nullable) */
  char        *folder;          /* (nullable): of the published name: left off from paths */
  JsonArray   *layers;
  JsonArray   *points;          /* (nullable) */
  GHashTable  *by_path;         /* path -> JsonObject: layers not yet drawn */
  GArray      *lines;           /* of Line */
} Drawing;

static void
line_clear (gpointer data)
{
  Line *line = data;

  g_free (line->left);
  g_free (line->right);
}

/* @left, @right: (transfer full) */
static void
add_line (Drawing *self,
          char    *left,
          char    *right)
{
  Line line = { left, right };

  g_array_append_val (self->lines, line);
}

static JsonObject *
find_member (JsonArray  *array,
             const char *member,
             const char *value)
{
  for (guint i = 0; value != NULL && i < array_length (array); i++)
    if (g_strcmp0 (field_text (array_object (array, i), member), value) == 0)
      return array_object (array, i);
  return NULL;
}

/* --- what is said of a layer --- */

static char *
shorten_path (const Drawing *self,
              const char    *path)
{
  gsize length = self->folder != NULL ? strlen (self->folder) : 0;

  if (length > 0 && path != NULL && strncmp (path, self->folder, length) == 0 &&
      path[length] == '/' && strchr (path + length + 1, '/') == NULL)
    path += length + 1;
  return text_escape (path);
}

static void
append_remark (GString    *text,
               const char *remark)
{
  g_string_append_printf (text, "%s%s", text->len > 0 ? "  " : "", remark);
}

static void
append_users (GString    *text,
              JsonObject *layer)
{
  JsonArray *users = field_array (layer, "users");

  for (guint i = 0; i < array_length (users); i++)
    {
      const char *who = array_text (users, i);
      g_autofree char *shown = text_escape (who);

      if (who != NULL)
        {
          append_remark (text, i == 0 ? "used by " : "and ");
          g_string_append (text, shown);
        }
    }
}

static gboolean
is_needed (JsonObject *layer)
{
  return field_bool (layer, "in_chain") || array_length (field_array (layer, "points")) > 0 ||
         array_length (field_array (layer, "users")) > 0 ||
         array_length (field_array (layer, "children")) > 0;
}

/* What a layer stands on that is not drawn. */
static void
append_base (const Drawing *self,
             GString       *text,
             JsonObject    *layer)
{
  const char *backing = field_text (layer, "backing");
  g_autofree char *shown = NULL;

  if (backing == NULL || find_member (self->layers, "path", backing) != NULL)
    return;
  shown = shorten_path (self, backing);
  append_remark (text, "stands on ");
  g_string_append (text, shown);
}

/* " 1.0 MiB  raw  active" */
static char *
describe_layer (const Drawing *self,
                JsonObject    *layer)
{
  g_autoptr (GString) remarks = g_string_new (NULL);
  g_autofree char *size = text_size (field_int (layer, "allocated", -1));
  const char *format = field_text (layer, "format");

  if (format != NULL && strcmp (format, "qcow2") != 0)
    {
      g_autofree char *shown = text_escape (format);

      append_remark (remarks, shown);
    }
  if (field_bool (layer, "active"))
    append_remark (remarks, "active");
  if (!is_needed (layer))
    append_remark (remarks, "needed by nothing");
  append_base (self, remarks, layer);
  append_users (remarks, layer);
  return g_strdup_printf ("%9s%s%s", size, remarks->len > 0 ? "  " : "", remarks->str);
}

/* --- what is said of a point --- */

static char *
describe_point (const Drawing *self,
                const char    *id)
{
  JsonObject *point = find_member (self->points, "id", id);
  JsonObject *disk = find_member (field_array (point, "disks"), "disk", self->disk);
  const char *image = field_text (disk, "image_id");
  g_autofree char *name = text_escape (point != NULL ? field_text (point, "name") : id);
  g_autofree char *time = text_time (field_text (point, "taken"));
  g_autofree char *when = text_escape (time);
  g_autoptr (GString) text = g_string_new (name);

  if (time != NULL)
    append_remark (text, when);
  if (field_bool (point, "quiesced"))
    append_remark (text, "quiesced");
  if (field_bool (point, "pinned"))
    append_remark (text, "kept");
  if (image != NULL)
    {
      g_autofree char *shown = text_escape (image);

      append_remark (text, "image ");
      g_string_append (text, shown);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
add_points (Drawing    *self,
            JsonObject *layer,
            const char *columns,
            gboolean    stands_on_something)
{
  JsonArray *points = field_array (layer, "points");

  for (guint i = 0; i < array_length (points); i++)
    {
      const char *id = array_text (points, i);
      g_autofree char *text = NULL;

      if (id == NULL)
        continue;
      text = describe_point (self, id);
      add_line (self, g_strdup_printf ("%s%s   %s %s", columns,
                                       stands_on_something ? self->marks->line : " ",
                                       self->marks->point, text), NULL);
    }
}

/* --- the tree --- */

/* Layers that stand on @path and are not drawn yet, that of the guest's chain first. */
static GPtrArray *
find_children (const Drawing *self,
               const char    *path)
{
  GPtrArray *children = g_ptr_array_new ();

  for (guint i = 0; i < array_length (self->layers); i++)
    {
      JsonObject *layer = array_object (self->layers, i);
      const char *own = field_text (layer, "path");

      if (own != NULL && g_strcmp0 (field_text (layer, "backing"), path) == 0 &&
          g_hash_table_lookup (self->by_path, own) == layer)
        g_ptr_array_insert (children, field_bool (layer, "in_chain") ? 0 : -1, layer);
    }
  return children;
}

/* @columns: the lines that go by on the left. */
static void
draw_layer (Drawing    *self,
            JsonObject *layer,
            const char *columns,
            gboolean    stands_on_something)
{
  const char *path = field_text (layer, "path");
  g_autofree char *name = shorten_path (self, path);
  g_autofree char *beside = g_strconcat (columns, self->marks->line, " ", NULL);
  g_autoptr (GPtrArray) children = NULL;

  /* Once: an answer in which layers stand on each other in a ring is drawn as well. */
  g_hash_table_remove (self->by_path, path);
  children = find_children (self, path);

  for (guint i = 0; i < children->len; i++)
    {
      JsonObject *child = g_ptr_array_index (children, i);

      if (!g_hash_table_contains (self->by_path, field_text (child, "path")))
        continue;
      draw_layer (self, child, i == 0 ? columns : beside, TRUE);
      if (i > 0)
        add_line (self, g_strconcat (columns, self->marks->join, NULL), NULL);
    }

  add_line (self,
            g_strdup_printf ("%s%s %s", columns,
                             field_bool (layer, "active") ? self->marks->active
                                                          : self->marks->layer, name),
            describe_layer (self, layer));
  add_points (self, layer, columns, stands_on_something);
}

/* What stands on nothing that is told, the guest's own chain first; then what is left of rings. */
static void
draw_all (Drawing *self)
{
  for (guint pass = 0; pass < 3; pass++)
    for (guint i = 0; i < array_length (self->layers); i++)
      {
        JsonObject *layer = array_object (self->layers, i);
        const char *path = field_text (layer, "path");
        const char *backing = field_text (layer, "backing");

        if (path == NULL || g_hash_table_lookup (self->by_path, path) != layer)
          continue;
        if (pass == 2 || (find_member (self->layers, "path", backing) == NULL &&
                          (pass == 1 || field_bool (layer, "in_chain"))))
          {
            if (self->lines->len > 0)
              add_line (self, g_strdup (""), NULL);
            draw_layer (self, layer, "  ", FALSE);
          }
      }
}

/* As much of @text as has room. */
static void
append_cut (GString     *all,
            const char  *text,
            guint        columns,
            const Marks *marks)
{
  g_autoptr (GString) line = g_string_new (text);

  if (columns > 0 && text_width (text) > columns)
    {
      while (line->len > 0 && text_width (line->str) >= columns)
        g_string_truncate (line, (gsize) (g_utf8_find_prev_char (line->str, line->str + line->len)
                                          - line->str));
      g_string_append (line, marks->cut);
    }
  g_string_append_printf (all, "%s\n", line->str);
}

static char *
lines_to_text (const Drawing *self,
               guint          columns)
{
  GString *text = g_string_new (NULL);
  guint width = 0;

  for (guint i = 0; i < self->lines->len; i++)
    {
      const Line *line = &g_array_index (self->lines, Line, i);

      if (line->right != NULL)
        width = MAX (width, text_width (line->left));
    }

  for (guint i = 0; i < self->lines->len; i++)
    {
      const Line *line = &g_array_index (self->lines, Line, i);
      g_autofree char *whole = NULL;

      if (line->right != NULL)
        whole = g_strdup_printf ("%s%*s %s", line->left, (int) (width - text_width (line->left)),
                                 "", line->right);
      append_cut (text, whole != NULL ? whole : line->left, columns, self->marks);
    }
  return g_string_free (text, FALSE);
}

/**
 * tree_draw:
 * @disk: a disk with "layers", as the daemon's tree has it
 * @points: (nullable): the guest's points, with their names and times
 * @columns: of the terminal; 0 where lines need not be cut
 * @utf8: whether there is more than ASCII to draw with
 *
 * Returns: (transfer full): the lines
 */
char *
tree_draw (JsonObject *disk,
           JsonArray  *points,
           guint       columns,
           gboolean    utf8)
{
  const char *published = field_text (disk, "published");
  const char *place = published != NULL ? published : field_text (disk, "active");
  g_autofree char *folder = place != NULL ? g_path_get_dirname (place) : NULL;
  g_autoptr (GHashTable) by_path = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GArray) lines = g_array_new (FALSE, FALSE, sizeof (Line));
  Drawing self = {
    .marks = utf8 ? &utf8_marks : &ascii_marks, .disk = field_text (disk, "disk"),
    .folder = folder, .layers = field_array (disk, "layers"), .points = points,
    .by_path = by_path, .lines = lines,
  };

  g_array_set_clear_func (lines, line_clear);
  for (guint i = 0; i < array_length (self.layers); i++)
    {
      JsonObject *layer = array_object (self.layers, i);
      const char *path = field_text (layer, "path");

      if (path != NULL && !g_hash_table_contains (by_path, path))
        g_hash_table_insert (by_path, (gpointer) path, layer);
    }
  draw_all (&self);
  return lines_to_text (&self, columns);
}
