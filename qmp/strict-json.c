/* SPDX-License-Identifier: Apache-2.0 */

/* Knows JSON as RFC 8259 has it, and takes nothing else: json-glib's own parser lets comments,
 * single quotes and hexadecimal numbers pass, cuts strings at \u0000, and makes invalid UTF-8 of
 * half a surrogate pair.
 *
 * One recursive reader does two things: it checks (target == NULL), or it checks and builds nodes.
 * Where the RFC leaves a choice:
 *  - of members with the same name the last one counts;
 *  - integers beyond 64 bits become doubles; those between INT64_MAX and UINT64_MAX are kept as
 *    json-glib can keep them, in 64 bits: cast what json_node_get_int() says to guint64;
 *  - half a surrogate pair and \u0000 become U+FFFD, as no C string can hold them.
 */

#include "json-reader.h"

#include <math.h>
#include <string.h>

#include <qmp/error.h>

typedef QmpJsonReader Reader;

static gboolean read_value (Reader    *reader,
                            JsonNode **target);

static inline void
skip_space (Reader *reader)
{
  while (reader->at < reader->end &&
         (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n' || *reader->at == '\r'))
    reader->at++;
}

/* The next character that is no space; 0 at the end, as no value starts with a NUL either. */
static inline char
peek (Reader *reader)
{
  skip_space (reader);
  return reader->at < reader->end ? *reader->at : '\0';
}

static inline gboolean
is_digit (Reader *reader)
{
  return reader->at < reader->end && g_ascii_isdigit (*reader->at);
}

/* --- values --- */

/* The string that stands here, decoded. */
static char *
read_and_copy_string (Reader *reader)
{
  QmpSpan raw;
  gboolean escaped;

  if (reader->scratch == NULL)
    reader->scratch = g_string_new (NULL);
  g_string_truncate (reader->scratch, 0);

  if (!qmp_json_reader_read_string (reader, &raw, reader->scratch, &escaped))
    return NULL;
  return escaped ? g_strndup (reader->scratch->str, reader->scratch->len)
                 : g_strndup (raw.text, raw.length);
}

static JsonNode *
integer_node (const char *digits,
              const char *end,
              gboolean    negative)
{
  guint64 value = 0;
  guint64 limit = negative ? (guint64) G_MAXINT64 + 1 : G_MAXUINT64;

  for (; digits < end; digits++)
    {
      guint digit = (guint) (*digits - '0');

      if (value > (limit - digit) / 10)
        return NULL;
      value = value * 10 + digit;
    }
  return json_node_init_int (json_node_alloc (), (gint64) (negative ? -value : value));
}

static gboolean
read_number (Reader    *reader,
             JsonNode **target)
{
  const char *start = reader->at;
  const char *digits;
  gboolean negative = *reader->at == '-';
  gboolean whole = TRUE;
  double value;

  if (negative)
    reader->at++;
  digits = reader->at;
  if (!is_digit (reader))
    return qmp_json_reader_fail (reader, "expected a digit");
  if (*reader->at == '0')
    reader->at++;
  else
    while (is_digit (reader))
      reader->at++;
  if (is_digit (reader))
    return qmp_json_reader_fail (reader, "a number starts with 0");

  if (reader->at < reader->end && *reader->at == '.')
    {
      whole = FALSE;
      reader->at++;
      if (!is_digit (reader))
        return qmp_json_reader_fail (reader, "expected a digit");
      while (is_digit (reader))
        reader->at++;
    }
  if (reader->at < reader->end && (*reader->at == 'e' || *reader->at == 'E'))
    {
      whole = FALSE;
      reader->at++;
      if (reader->at < reader->end && (*reader->at == '+' || *reader->at == '-'))
        reader->at++;
      if (!is_digit (reader))
        return qmp_json_reader_fail (reader, "expected a digit");
      while (is_digit (reader))
        reader->at++;
    }

  /* Up to 300 digits no double overflows, so that a mere check need not look closer. */
  if (whole && (target == NULL ? reader->at - digits < 300
                               : (*target = integer_node (digits, reader->at, negative)) != NULL))
    return TRUE;

  /* Every number stands inside an object, so that a character ends it: no NUL is needed. */
  value = g_ascii_strtod (start, NULL);
  if (!isfinite (value))
    return qmp_json_reader_fail (reader, "number out of range");
  if (target != NULL)
    *target = json_node_init_double (json_node_alloc (), value);
  return TRUE;
}

static gboolean
read_word (Reader     *reader,
           const char *word)
{
  gsize length = strlen (word);

  if ((gsize) (reader->end - reader->at) < length || memcmp (reader->at, word, length) != 0)
    return qmp_json_reader_fail (reader, "expected a value");
  reader->at += length;
  return TRUE;
}

static gboolean
enter (Reader *reader)
{
  if (++reader->depth > QMP_JSON_DEPTH_MAX)
    return qmp_json_reader_fail (reader, "nested more than 1024 deep");
  reader->at++;
  return TRUE;
}

/* Behind a value inside @closer: TRUE with @more when another follows. */
static gboolean
read_separator (Reader     *reader,
                char        closer,
                const char *expectation,
                gboolean   *more)
{
  char next = peek (reader);

  if (next != ',' && next != closer)
    return qmp_json_reader_fail (reader, expectation);
  *more = next == ',';
  reader->at++;
  return TRUE;
}

static gboolean
read_array (Reader    *reader,
            JsonArray *array)
{
  gboolean more = TRUE;

  if (!enter (reader))
    return FALSE;

  if (peek (reader) == ']')
    {
      reader->at++;
      more = FALSE;
    }
  while (more)
    {
      JsonNode *value = NULL;

      if (!read_value (reader, array != NULL ? &value : NULL))
        return FALSE;
      if (array != NULL)
        json_array_add_element (array, value);
      if (!read_separator (reader, ']', "expected ',' or ']'", &more))
        return FALSE;
    }

  reader->depth--;
  return TRUE;
}

/* Reads a name and the colon behind it; @copy (nullable) receives the name decoded. */
static gboolean
read_name (Reader   *reader,
           QmpSpan  *raw,
           char    **copy)
{
  gboolean escaped;

  if (peek (reader) != '"')
    return qmp_json_reader_fail (reader, "expected a name in double quotes");
  if (copy != NULL ? (*copy = read_and_copy_string (reader)) == NULL
                   : !qmp_json_reader_read_string (reader, raw, NULL, &escaped))
    return FALSE;
  if (peek (reader) != ':')
    return qmp_json_reader_fail (reader, "expected ':'");
  reader->at++;
  return TRUE;
}

static gboolean
read_object (Reader     *reader,
             JsonObject *object)
{
  gboolean more = TRUE;
  guint members = 0;

  if (!enter (reader))
    return FALSE;

  if (peek (reader) == '}')
    {
      reader->at++;
      more = FALSE;
    }
  while (more)
    {
      g_autofree char *name = NULL;
      JsonNode *value = NULL;
      QmpSpan raw;

      if (++members > QMP_JSON_MEMBERS_MAX)
        return qmp_json_reader_fail (reader, "more than 1024 members in one object");
      if (!read_name (reader, &raw, object != NULL ? &name : NULL) ||
          !read_value (reader, object != NULL ? &value : NULL))
        return FALSE;
      if (object != NULL)
        json_object_set_member (object, name, value);
      if (!read_separator (reader, '}', "expected ',' or '}'", &more))
        return FALSE;
    }

  reader->depth--;
  return TRUE;
}

static gboolean
read_string_value (Reader    *reader,
                   JsonNode **target)
{
  g_autofree char *copy = NULL;
  QmpSpan raw;
  gboolean escaped;

  if (target == NULL)
    return qmp_json_reader_read_string (reader, &raw, NULL, &escaped);

  copy = read_and_copy_string (reader);
  if (copy == NULL)
    return FALSE;
  *target = json_node_init_string (json_node_alloc (), copy);
  return TRUE;
}

static gboolean
read_object_value (Reader    *reader,
                   JsonNode **target)
{
  g_autoptr (JsonObject) object = target != NULL ? json_object_new () : NULL;

  if (!read_object (reader, object))
    return FALSE;
  if (target != NULL)
    *target = json_node_init_object (json_node_alloc (), object);
  return TRUE;
}

static gboolean
read_array_value (Reader    *reader,
                  JsonNode **target)
{
  g_autoptr (JsonArray) array = target != NULL ? json_array_new () : NULL;

  if (!read_array (reader, array))
    return FALSE;
  if (target != NULL)
    *target = json_node_init_array (json_node_alloc (), array);
  return TRUE;
}

static gboolean
read_value (Reader    *reader,
            JsonNode **target)
{
  char first = peek (reader);

  if (++reader->values > QMP_JSON_VALUES_MAX)
    return qmp_json_reader_fail (reader, "more than a million values");

  switch (first)
    {
    case '{':
      return read_object_value (reader, target);
    case '[':
      return read_array_value (reader, target);
    case '"':
      return read_string_value (reader, target);
    case 't':
    case 'f':
      if (!read_word (reader, first == 't' ? "true" : "false"))
        return FALSE;
      if (target != NULL)
        *target = json_node_init_boolean (json_node_alloc (), first == 't');
      return TRUE;
    case 'n':
      if (!read_word (reader, "null"))
        return FALSE;
      if (target != NULL)
        *target = json_node_init_null (json_node_alloc ());
      return TRUE;
    default:
      if (first == '-' || g_ascii_isdigit (first))
        return read_number (reader, target);
      return qmp_json_reader_fail (reader, reader->at == reader->end ? "the text ends too early"
                                                     : "expected a value");
    }
}

/* --- what others call --- */

static gboolean
walk (Reader         *reader,
      QmpJsonMember   member,
      gpointer        user_data,
      GError        **error)
{
  gboolean more = TRUE;

  if (peek (reader) != '{')
    return qmp_json_reader_fail (reader, "expected an object");
  reader->depth = 1;
  reader->at++;

  if (peek (reader) == '}')
    {
      reader->at++;
      more = FALSE;
    }
  while (more)
    {
      QmpSpan name = { NULL, 0 };
      QmpSpan value;

      if (!read_name (reader, &name, NULL))
        return FALSE;
      skip_space (reader);
      value.text = reader->at;
      if (!read_value (reader, NULL))
        return FALSE;
      value.length = (gsize) (reader->at - value.text);
      if (!read_separator (reader, '}', "expected ',' or '}'", &more))
        return FALSE;
      if (!member (name, value, user_data, error))
        return FALSE;
    }

  skip_space (reader);
  return reader->at == reader->end || qmp_json_reader_fail (reader, "something follows the object");
}

/**
 * qmp_json_walk:
 * @object: a text
 * @member: (scope call): called for each member of the outermost object, in order; returns %FALSE
 *   with its error set to end the walk
 * @user_data: passed on to @member
 * @error: return location
 *
 * Checks that @object is one JSON object and nothing else. Takes time linear in its length and, but
 * for an error, no memory.
 *
 * Returns: whether it is; else %QMP_ERROR_PROTOCOL with what is wrong, where, and a quote
 */
gboolean
qmp_json_walk (QmpSpan         object,
               QmpJsonMember   member,
               gpointer        user_data,
               GError        **error)
{
  Reader reader = { object.text, object.text, object.text + object.length, 0, 0, NULL, NULL };
  g_autofree char *quote = NULL;

  if (walk (&reader, member, user_data, error))
    return TRUE;

  if (reader.problem != NULL)
    {
      quote = qmp_json_quote (object);
      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL, "not QMP: %s at byte %" G_GSIZE_FORMAT
                   " of \"%s\"", reader.problem, (gsize) (reader.at - reader.start), quote);
    }
  return FALSE;
}

/**
 * qmp_json_build:
 * @value: a value that qmp_json_walk() gave
 *
 * Returns: (transfer full): @value as nodes
 */
JsonNode *
qmp_json_build (QmpSpan value)
{
  Reader reader = { value.text, value.text, value.text + value.length, 0, 0, NULL, NULL };
  JsonNode *node = NULL;
  gboolean good = read_value (&reader, &node);

  g_assert (good);
  if (reader.scratch != NULL)
    g_string_free (reader.scratch, TRUE);
  return node;
}
