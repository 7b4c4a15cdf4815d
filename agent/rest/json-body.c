/* SPDX-License-Identifier: Apache-2.0 */

/* Knows JSON as RFC 8259 has it, and nothing beside: json-glib's own parser takes comments, single
 * quotes and much else, and follows any depth. */

#include "json-body.h"

#include <core/error.h>

#include <math.h>
#include <string.h>

typedef struct
{
  const char *start;
  const char *at;
  const char *end;
  guint       depth;
  const char *problem;          /* static text, once something is wrong */
} Reader;

static JsonNode *read_value (Reader *reader);

static gpointer
fail (Reader     *reader,
      const char *problem)
{
  if (reader->problem == NULL)
    reader->problem = problem;
  return NULL;
}

/* The next character that is no space; 0 at the end. */
static char
peek (Reader *reader)
{
  while (reader->at < reader->end && strchr (" \t\r\n", *reader->at) != NULL && *reader->at != '\0')
    reader->at++;
  return reader->at < reader->end ? *reader->at : '\0';
}

/* Takes @wanted if it comes next. */
static gboolean
take (Reader *reader,
      char    wanted)
{
  if (peek (reader) != wanted)
    return FALSE;
  reader->at++;
  return TRUE;
}

/* The four digits behind \u, or -1. */
static gint32
read_unit (Reader *reader)
{
  gint32 unit = 0;

  if (reader->end - reader->at < 4)
    return -1;
  for (guint i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (*reader->at++);

      if (digit < 0)
        return -1;
      unit = unit * 16 + digit;
    }
  return unit;
}

/* A character written as \uXXXX, or as a pair of them. */
static gboolean
read_unicode_escape (Reader  *reader,
                     GString *text)
{
  gint32 code = read_unit (reader);

  if (code >= 0xd800 && code < 0xdc00)
    {
      gint32 low = -1;

      if (reader->end - reader->at >= 2 && reader->at[0] == '\\' && reader->at[1] == 'u')
        {
          reader->at += 2;
          low = read_unit (reader);
        }
      code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
                                           : -1;
    }

  if (code < 0 || (code >= 0xdc00 && code < 0xe000))
    {
      fail (reader, "a broken \\u escape in a string");
      return FALSE;
    }
  if (code == 0)
    {
      fail (reader, "a NUL character in a string");
      return FALSE;
    }
  g_string_append_unichar (text, (gunichar) code);
  return TRUE;
}

static gboolean
read_escape (Reader  *reader,
             GString *text)
{
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  char letter = reader->at < reader->end ? *reader->at++ : '\0';
  const char *found;

  if (letter == 'u')
    return read_unicode_escape (reader, text);

  found = letter != '\0' ? strchr (letters, letter) : NULL;
  if (found == NULL)
    {
      fail (reader, "an unknown escape in a string");
      return FALSE;
    }
  g_string_append_c (text, meanings[found - letters]);
  return TRUE;
}

/* Behind the opening quote. The whole body is UTF-8 already. */
static char *
read_string (Reader *reader)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (;;)
    {
      char next;

      if (reader->at == reader->end)
        return fail (reader, "a string without an end");

      next = *reader->at++;
      if (next == '"')
        return g_string_free (g_steal_pointer (&text), FALSE);
      if (next == '\\')
        {
          if (!read_escape (reader, text))
            return NULL;
        }
      else if ((guchar) next < 0x20)
        return fail (reader, "a control character in a string");
      else
        g_string_append_c (text, next);
    }
}

static gboolean
skip_digits (Reader *reader)
{
  const char *start = reader->at;

  while (reader->at < reader->end && g_ascii_isdigit (*reader->at))
    reader->at++;
  return reader->at > start;
}

static gboolean
skip_one_of (Reader     *reader,
             const char *characters)
{
  if (reader->at == reader->end || *reader->at == '\0' || strchr (characters, *reader->at) == NULL)
    return FALSE;
  reader->at++;
  return TRUE;
}

static JsonNode *
read_number (Reader *reader)
{
  const char *start = reader->at;
  const char *digits;
  g_autofree char *copy = NULL;
  gboolean whole = TRUE;
  gint64 integer;
  double value;

  skip_one_of (reader, "-");
  digits = reader->at;
  if (!skip_digits (reader) || (*digits == '0' && reader->at > digits + 1))
    return fail (reader, "a broken number");
  if (skip_one_of (reader, "."))
    {
      whole = FALSE;
      if (!skip_digits (reader))
        return fail (reader, "a broken number");
    }
  if (skip_one_of (reader, "eE"))
    {
      whole = FALSE;
      skip_one_of (reader, "+-");
      if (!skip_digits (reader))
        return fail (reader, "a broken number");
    }

  copy = g_strndup (start, (gsize) (reader->at - start));
  if (whole && g_ascii_string_to_signed (copy, 10, G_MININT64, G_MAXINT64, &integer, NULL))
    return json_node_init_int (json_node_alloc (), integer);

  value = g_ascii_strtod (copy, NULL);
  if (whole || !isfinite (value))
    return fail (reader, "a number out of range");
  return json_node_init_double (json_node_alloc (), value);
}

static gboolean
take_word (Reader     *reader,
           const char *word)
{
  gsize length = strlen (word);

  if ((gsize) (reader->end - reader->at) < length || memcmp (reader->at, word, length) != 0)
    return FALSE;
  reader->at += length;
  return TRUE;
}

static JsonNode *
read_array (Reader *reader)
{
  g_autoptr (JsonArray) array = json_array_new ();

  if (!take (reader, ']'))
    {
      do
        {
          JsonNode *value = read_value (reader);

          if (value == NULL)
            return NULL;
          json_array_add_element (array, value);
        }
      while (take (reader, ','));

      if (!take (reader, ']'))
        return fail (reader, "expected ',' or ']'");
    }
  return json_node_init_array (json_node_alloc (), array);
}

static gboolean
read_member (Reader     *reader,
             JsonObject *object)
{
  g_autofree char *name = NULL;
  JsonNode *value;

  if (!take (reader, '"'))
    fail (reader, "expected a name in double quotes");
  else if ((name = read_string (reader)) == NULL)
    return FALSE;
  else if (json_object_has_member (object, name))
    fail (reader, "a name stands twice in one object");
  else if (!take (reader, ':'))
    fail (reader, "expected ':'");
  else if ((value = read_value (reader)) != NULL)
    {
      json_object_set_member (object, name, value);
      return TRUE;
    }
  return FALSE;
}

static JsonNode *
read_object (Reader *reader)
{
  g_autoptr (JsonObject) object = json_object_new ();

  if (!take (reader, '}'))
    {
      do
        if (!read_member (reader, object))
          return NULL;
      while (take (reader, ','));

      if (!take (reader, '}'))
        return fail (reader, "expected ',' or '}'");
    }
  return json_node_init_object (json_node_alloc (), object);
}

static JsonNode *
read_value (Reader *reader)
{
  char first = peek (reader);
  JsonNode *node;

  if (first == '{' || first == '[')
    {
      if (++reader->depth > JSON_BODY_DEPTH_MAX)
        return fail (reader, "nested more than " G_STRINGIFY (JSON_BODY_DEPTH_MAX) " deep");
      reader->at++;
      node = first == '{' ? read_object (reader) : read_array (reader);
      reader->depth--;
      return node;
    }
  if (first == '"')
    {
      g_autofree char *text = NULL;

      reader->at++;
      text = read_string (reader);
      return text != NULL ? json_node_init_string (json_node_alloc (), text) : NULL;
    }
  if (first == '-' || g_ascii_isdigit (first))
    return read_number (reader);
  if (take_word (reader, "true"))
    return json_node_init_boolean (json_node_alloc (), TRUE);
  if (take_word (reader, "false"))
    return json_node_init_boolean (json_node_alloc (), FALSE);
  if (take_word (reader, "null"))
    return json_node_init_null (json_node_alloc ());
  return fail (reader, reader->at == reader->end ? "the text ends too early"
                                                 : "expected a value");
}

/**
 * json_body_parse:
 * @text: what a client sent; need not end in NUL
 * @length: bytes of it
 * @error: return location
 *
 * Returns: (transfer full): the object that @text is; on error %NULL with %AGENT_ERROR_INVALID,
 *   which says what is wrong and where
 */
JsonObject *
json_body_parse (const char  *text,
                 gsize        length,
                 GError     **error)
{
  Reader reader = { text, text, text + length, 0, NULL };
  g_autoptr (JsonNode) node = NULL;

  if (!g_utf8_validate_len (text, length, &reader.at))
    fail (&reader, "invalid UTF-8, or a NUL character");
  else if (reader.at = text, peek (&reader) != '{')
    fail (&reader, "expected an object");
  else if ((node = read_value (&reader)) != NULL && (peek (&reader), reader.at != reader.end))
    fail (&reader, "something follows the object");

  if (reader.problem != NULL)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "Send one JSON object, encoded in UTF-8.",
                       "the body is no JSON object: %s at byte %" G_GSIZE_FORMAT, reader.problem,
                       (gsize) (reader.at - reader.start));
      return NULL;
    }
  return json_object_ref (json_node_get_object (node));
}
