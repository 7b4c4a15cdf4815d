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
