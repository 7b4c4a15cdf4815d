/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how rows stand beneath each other. */

#include "table.h"

#include "text.h"

#include <stdarg.h>

struct _Table
{
  GPtrArray *cells;             /* of char *: escaped, row by row, the titles first */
  guint      columns;
  GArray    *figures;           /* of gboolean, one for each column */
};

/**
 * table_new:
 * @first: title of the first column; behind a > where the column has figures
 * @...: the other titles, and %NULL
 *
 * Returns: (transfer full): a table without rows
 */
Table *
table_new (const char *first,
           ...)
{
  Table *self = g_new0 (Table, 1);
  va_list titles;

  self->cells = g_ptr_array_new_with_free_func (g_free);
  self->figures = g_array_new (FALSE, FALSE, sizeof (gboolean));

  va_start (titles, first);
  for (const char *title = first; title != NULL; title = va_arg (titles, const char *))
    {
      gboolean figure = title[0] == '>';

      g_array_append_val (self->figures, figure);
      table_add (self, figure ? title + 1 : title);
      self->columns++;
    }
  va_end (titles);
  return self;
}

/**
 * table_free:
 * @self: (transfer full): the table
 */
void
table_free (Table *self)
{
  g_ptr_array_unref (self->cells);
  g_array_unref (self->figures);
  g_free (self);
}

/**
 * table_add:
 * @self: the table
 * @cell: (nullable): the next cell, row by row; any text
 */
void
table_add (Table      *self,
           const char *cell)
{
  g_ptr_array_add (self->cells, text_escape (cell));
}

/**
 * table_take:
 * @self: the table
 * @cell: (transfer full) (nullable): the next cell, row by row; any text
 */
void
table_take (Table *self,
            char  *cell)
{
  table_add (self, cell);
  g_free (cell);
}

static guint
column_width (Table *self,
              guint  column)
{
  guint width = 0;

  for (guint i = column; i < self->cells->len; i += self->columns)
    width = MAX (width, text_width (g_ptr_array_index (self->cells, i)));
  return width;
}

/**
 * table_print:
 * @self: a table
 *
 * Prints it; nothing but the titles when it has no rows.
 */
void
table_print (Table *self)
{
  g_autofree guint *widths = g_new0 (guint, self->columns);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint column = 0; column < self->columns; column++)
    widths[column] = column_width (self, column);

  for (guint i = 0; i < self->cells->len; i++)
    {
      const char *cell = g_ptr_array_index (self->cells, i);
      guint column = i % self->columns;
      int padding = (int) (widths[column] - text_width (cell));
      gboolean figure = g_array_index (self->figures, gboolean, column);
      gboolean last = column + 1 == self->columns;

      g_string_append_printf (text, "%*s%s%*s%s", figure ? padding : 0, "", cell,
                              figure || last ? 0 : padding, "", last ? "\n" : "  ");
    }
  g_print ("%s", text->str);
}
