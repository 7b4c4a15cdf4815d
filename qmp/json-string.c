/* SPDX-License-Identifier: Apache-2.0 */

/* Knows JSON's strings: escapes, UTF-8 and nothing that only looks like it. */

#include "json-reader.h"

#include <string.h>

#define REPLACEMENT 0xfffd

gboolean
qmp_json_reader_fail (QmpJsonReader *reader,
                      const char    *problem)
{
  if (reader->problem == NULL)
    reader->problem = problem;
  return FALSE;
}

static gboolean
read_hex4 (QmpJsonReader *reader,
           guint32       *code)
{
  *code = 0;
  for (guint i = 0; i < 4; i++, reader->at++)
    {
      if (reader->at == reader->end || !g_ascii_isxdigit (*reader->at))
        return qmp_json_reader_fail (reader, "expected four hexadecimal digits");
      *code = *code << 4 | (guint32) g_ascii_xdigit_value (*reader->at);
    }
  return TRUE;
}

/* Stands behind the 'u' of an escape; takes the second half of a pair along. */
static gboolean
read_unicode_escape (QmpJsonReader *reader,
                     guint32       *code)
{
  const char *behind_first;
  guint32 low;

  if (!read_hex4 (reader, code))
    return FALSE;

  if (*code >= 0xd800 && *code < 0xdc00 && reader->end - reader->at >= 2 &&
      reader->at[0] == '\\' && reader->at[1] == 'u')
    {
      behind_first = reader->at;
      reader->at += 2;
      if (!read_hex4 (reader, &low))
        return FALSE;
      if (low >= 0xdc00 && low < 0xe000)
        *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
      else
        reader->at = behind_first;
    }

  if (*code == 0 || (*code >= 0xd800 && *code < 0xe000))
    *code = REPLACEMENT;
  return TRUE;
}

static gboolean
read_escape (QmpJsonReader *reader,
             guint32       *code)
{
  static const char letters[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  const char *found;
  char letter;

  if (reader->at == reader->end)
    return qmp_json_reader_fail (reader, "the text ends inside a string");

  letter = *reader->at;
  if (letter == 'u')
    {
      reader->at++;
      return read_unicode_escape (reader, code);
    }

  found = letter != '\0' ? strchr (letters, letter) : NULL;
  if (found == NULL)
    return qmp_json_reader_fail (reader, "unknown escape in a string");
  reader->at++;
  *code = (guint32) meanings[found - letters];
  return TRUE;
}

/* The length of the valid UTF-8 character beyond ASCII at @at; 0 when there is none. */
static guint
utf8_length (const guchar *at,
             gsize         left)
{
  guint length;

  if (at[0] < 0xc2 || at[0] > 0xf4)
    return 0;
  length = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
  if (left < length)
    return 0;
  for (guint i = 1; i < length; i++)
    if ((at[i] & 0xc0) != 0x80)
      return 0;
  /* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
  if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
      (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
    return 0;
  return length;
}

gboolean
qmp_json_reader_read_string (QmpJsonReader *reader,
                             QmpSpan       *raw,
                             GString       *decoded,
                             gboolean      *escaped)
{
  const char *plain;

  reader->at++;
  plain = raw->text = reader->at;
  *escaped = FALSE;

  for (;;)
    {
      guchar byte;

      if (reader->at == reader->end)
        return qmp_json_reader_fail (reader, "the text ends inside a string");

      byte = (guchar) *reader->at;
      if (byte == '"')
        break;
      if (byte == '\\')
        {
          guint32 code = 0;

          *escaped = TRUE;
          if (decoded != NULL)
            g_string_append_len (decoded, plain, reader->at - plain);
          reader->at++;
          if (!read_escape (reader, &code))
            return FALSE;
          if (decoded != NULL)
            g_string_append_unichar (decoded, code);
          plain = reader->at;
        }
      else if (byte < 0x20)
        return qmp_json_reader_fail (reader, "control character in a string");
      else if (byte < 0x80)
        reader->at++;
      else
        {
          guint length = utf8_length ((const guchar *) reader->at,
                                      (gsize) (reader->end - reader->at));

          if (length == 0)
            return qmp_json_reader_fail (reader, "invalid UTF-8");
          reader->at += length;
        }
    }

  if (decoded != NULL && *escaped)
    g_string_append_len (decoded, plain, reader->at - plain);
  raw->length = (gsize) (reader->at - raw->text);
  reader->at++;
  return TRUE;
}
