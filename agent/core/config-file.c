/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the lines of a key file. GKeyFile does too, but not their numbers, and whoever mistypes a
 * setting wants to be told where. */

#include "config-private.h"

#include <core/error.h>

#include <string.h>

#define LARGEST_FILE (1024 * 1024)

typedef struct
{
  const char     *path;
  ConfigLineFunc  func;
  gpointer        user_data;
  char           *group;        /* (nullable): before the first one */
  GHashTable     *seen;         /* "group\nkey" -> number of its line */
} Reader;

static gboolean
take_group (Reader      *reader,
            const char  *where,
            char        *line,
            GError     **error)
{
  gsize length = strlen (line);

  if (length < 3 || line[length - 1] != ']')
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "%s: a group is written [name], not %s",
                       where, line);
      return FALSE;
    }

  line[length - 1] = '\0';
  g_free (reader->group);
  reader->group = g_strdup (g_strstrip (line + 1));

  return reader->func (where, reader->group, NULL, NULL, reader->user_data, error);
}

static gboolean
take_key (Reader      *reader,
          const char  *where,
          guint        number,
          char        *line,
          GError     **error)
{
  char *equals = strchr (line, '=');
  g_autofree char *name = NULL;
  guint first;

  if (equals == NULL || equals == line)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "comments begin with #",
                       "%s: neither [group] nor key = value: %s", where, line);
      return FALSE;
    }

  if (reader->group == NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "%s: a [group] must stand before %s",
                       where, line);
      return FALSE;
    }

  *equals = '\0';
  g_strchomp (line);
  name = g_strdup_printf ("%s\n%s", reader->group, line);
  first = GPOINTER_TO_UINT (g_hash_table_lookup (reader->seen, name));

  if (first != 0)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "%s: '%s' of [%s] is set a second time, first in line %u",
                       where, line, reader->group, first);
      return FALSE;
    }

  g_hash_table_insert (reader->seen, g_steal_pointer (&name), GUINT_TO_POINTER (number));

  return reader->func (where, reader->group, line, g_strchug (equals + 1), reader->user_data,
                       error);
}

static gboolean
read_lines (Reader  *reader,
            char    *text,
            GError **error)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *where = g_strdup_printf ("%s:%u", reader->path, i + 1);
      char *line = g_strstrip (lines[i]);
      gboolean ok = TRUE;

      if (*line == '[')
        ok = take_group (reader, where, line, error);
      else if (*line != '\0' && *line != '#')
        ok = take_key (reader, where, i + 1, line, error);

      if (!ok)
        return FALSE;
    }

  return TRUE;
}

/**
 * config_file_read:
 * @path: the file
 * @func: (scope call): called for each line that says something, in order
 * @user_data: handed to @func
 * @error: return location
 *
 * Reads a key file: [groups], "key = value", and comments that begin with # at the start of a line.
 * Values are taken as they stand, without blanks around them; there are no escapes.
 *
 * Returns: %FALSE with what @func says, AGENT_ERROR_INVALID, or an adopted error of reading the
 *   file
 */
gboolean
config_file_read (const char      *path,
                  ConfigLineFunc   func,
                  gpointer         user_data,
                  GError         **error)
{
  Reader reader = { path, func, user_data, NULL, NULL };
  g_autofree char *text = NULL;
  g_autoptr (GError) failure = NULL;
  const char *end;
  gsize length;
  gboolean ok;

  if (!g_file_get_contents (path, &text, &length, &failure))
    {
      g_propagate_error (error, agent_error_adopt (g_steal_pointer (&failure)));
      return FALSE;
    }

  if (length > LARGEST_FILE || !g_utf8_validate (text, (gssize) length, &end))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "%s is no configuration: it is larger than 1 MiB, or not UTF-8", path);
      return FALSE;
    }

  reader.seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  ok = read_lines (&reader, text, error);
  g_hash_table_unref (reader.seen);
  g_free (reader.group);

  return ok;
}
