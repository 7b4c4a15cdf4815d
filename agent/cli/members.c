/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how words of a command line become members of a request. */

#include "members.h"

#include "error.h"

#include <string.h>

/**
 * members_set_text:
 * @object: a request
 * @name: a member
 * @text: (nullable): its value; %NULL leaves it out
 */
void
members_set_text (JsonObject *object,
                  const char *name,
                  const char *text)
{
  if (text != NULL)
    json_object_set_string_member (object, name, text);
}

/**
 * members_set_path:
 * @object: a request
 * @name: a member
 * @path: (nullable): a path, made absolute since the daemon has a working folder of its own; %NULL
 *   leaves it out
 */
void
members_set_path (JsonObject *object,
                  const char *name,
                  const char *path)
{
  g_autofree char *absolute = path != NULL ? g_canonicalize_filename (path, NULL) : NULL;

  members_set_text (object, name, absolute);
}

/**
 * members_set_flag:
 * @object: a request
 * @name: a member
 * @set: whether it is true; else it is left out
 */
void
members_set_flag (JsonObject *object,
                  const char *name,
                  gboolean    set)
{
  if (set)
    json_object_set_boolean_member (object, name, TRUE);
}

/**
 * members_set_disks:
 * @object: a request; its member "disks" is set
 * @disks: (nullable): disks, named one by one
 * @list: (nullable): disks, parted by commas; or "all"
 * @error: return location
 *
 * Returns: whether this makes sense; else %CLI_ERROR_USAGE
 */
gboolean
members_set_disks (JsonObject  *object,
                   char       **disks,
                   const char  *list,
                   GError     **error)
{
  g_auto (GStrv) names = list != NULL ? g_strsplit (list, ",", -1) : NULL;
  gboolean all = g_strcmp0 (list, "all") == 0;
  JsonArray *array;

  if (all && disks != NULL)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "--disks all leaves nothing to --disk %s",
                   disks[0]);
      return FALSE;
    }
  if (names != NULL && (names[0] == NULL || g_strv_contains ((const char *const *) names, "")))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                   "--disks %s: must be disks, parted by commas, or all", list);
      return FALSE;
    }
  if (all)
    json_object_set_string_member (object, "disks", "all");
  if (all || (disks == NULL && names == NULL))
    return TRUE;

  array = json_array_new ();
  for (char **each = disks; each != NULL && *each != NULL; each++)
    json_array_add_string_element (array, *each);
  for (char **each = names; each != NULL && *each != NULL; each++)
    json_array_add_string_element (array, *each);
  json_object_set_array_member (object, "disks", array);
  return TRUE;
}

/* "1.5G" -> 1610612736; -1 when it is no such number. */
static gint64
parse_bytes (const char *text)
{
  static const char units[] = "KMGT";
  const char *unit;
  char *end = NULL;
  double value;

  /* Neither a sign nor what else strtod() knows. */
  if (!g_ascii_isdigit (text[0]))
    return -1;
  value = g_ascii_strtod (text, &end);
  if ((gsize) (end - text) != strspn (text, "0123456789."))
    return -1;

  unit = *end != '\0' ? strchr (units, g_ascii_toupper (*end)) : NULL;
  if (unit != NULL)
    {
      for (const char *each = units; each <= unit; each++)
        value *= 1024;
      end++;
      if (*end == 'i')
        end++;
    }
  if (*end == 'B')
    end++;
  if (g_str_has_prefix (end, "/s"))
    end += strlen ("/s");
  return *end == '\0' && value < (double) G_MAXINT64 ? (gint64) value : -1;
}

/**
 * members_set_bytes:
 * @object: a request
 * @name: a member
 * @option: the option that has it, for the error
 * @text: (nullable): bytes, such as "500K", "10M", "1.5GiB/s"; "max" is 0, which stands for no
 *   limit; %NULL leaves the member out
 * @error: return location
 *
 * Returns: whether it is a number; else %CLI_ERROR_USAGE
 */
gboolean
members_set_bytes (JsonObject  *object,
                   const char  *name,
                   const char  *option,
                   const char  *text,
                   GError     **error)
{
  gint64 bytes;

  if (text == NULL)
    return TRUE;
  bytes = strcmp (text, "max") == 0 ? 0 : parse_bytes (text);
  if (bytes < 0)
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE,
                   "%s %s: must be a number of bytes, such as 500K, 10M or 1.5G, or max", option,
                   text);
      return FALSE;
    }
  json_object_set_int_member (object, name, bytes);
  return TRUE;
}

/**
 * members_set_count:
 * @object: a request
 * @name: a member
 * @option: the option that has it, for the error
 * @text: (nullable): a whole number; %NULL leaves the member out
 * @what: what it must be, for the error
 * @error: return location
 *
 * Returns: whether it is one; else %CLI_ERROR_USAGE
 */
gboolean
members_set_count (JsonObject  *object,
                   const char  *name,
                   const char  *option,
                   const char  *text,
                   const char  *what,
                   GError     **error)
{
  guint64 number = 0;

  if (text == NULL)
    return TRUE;
  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &number, NULL))
    {
      g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "%s %s: must be %s", option, text, what);
      return FALSE;
    }
  json_object_set_int_member (object, name, (gint64) number);
  return TRUE;
}

/**
 * members_set_pairs:
 * @object: a request
 * @name: a member
 * @option: the option that has the words, for the error
 * @words: (nullable): "KEY=VALUE" each; %NULL leaves the member out
 * @lone: (nullable): the key of a word without "="; %NULL: each must have one
 * @error: return location
 *
 * Returns: whether all words were pairs; else %CLI_ERROR_USAGE
 */
gboolean
members_set_pairs (JsonObject  *object,
                   const char  *name,
                   const char  *option,
                   char       **words,
                   const char  *lone,
                   GError     **error)
{
  JsonObject *map;

  if (words == NULL)
    return TRUE;
  map = json_object_new ();
  json_object_set_object_member (object, name, map);

  for (; *words != NULL; words++)
    {
      const char *equals = strchr (*words, '=');
      g_autofree char *key = equals != NULL ? g_strndup (*words, (gsize) (equals - *words))
                                            : g_strdup (lone);

      if (key == NULL || key[0] == '\0')
        {
          g_set_error (error, CLI_ERROR, CLI_ERROR_USAGE, "%s %s: must be KEY=VALUE", option,
                       *words);
          return FALSE;
        }
      json_object_set_string_member (map, key, equals != NULL ? equals + 1 : *words);
    }
  return TRUE;
}
