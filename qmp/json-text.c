/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how values are written: one line of JSON, and foreign bytes quoted for people. */

#include "strict-json.h"

#include <gio/gio.h>
#include <math.h>

#define QUOTE_MAX 120

static gboolean append_value (GString   *line,
                              JsonNode  *value,
                              guint      depth,
                              GError   **error);

/**
 * qmp_json_append_string:
 * @line: where to append
 * @text: UTF-8
 * @error: return location
 *
 * Returns: %FALSE with %G_IO_ERROR_INVALID_ARGUMENT when @text is not UTF-8
 */
gboolean
qmp_json_append_string (GString     *line,
                        const char  *text,
                        GError     **error)
{
  const char *plain = text;

  /* A file name may be any bytes, but JSON has no way to say them. */
  if (!g_utf8_validate (text, -1, NULL))
    {
      g_autofree char *quote = qmp_json_quote ((QmpSpan) { text, strlen (text) });

      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "\"%s\" is not UTF-8, so it cannot be told to QEMU", quote);
      return FALSE;
    }

  g_string_append_c (line, '"');
  for (; *text != '\0'; text++)
    {
      guchar byte = (guchar) *text;

      if (byte >= 0x20 && byte != '"' && byte != '\\')
        continue;
      g_string_append_len (line, plain, text - plain);
      if (byte < 0x20)
        g_string_append_printf (line, "\\u%04x", byte);
      else
        {
          g_string_append_c (line, '\\');
          g_string_append_c (line, (char) byte);
        }
      plain = text + 1;
    }
  g_string_append_len (line, plain, text - plain);
  g_string_append_c (line, '"');
  return TRUE;
}

static gboolean
append_object (GString     *line,
               JsonObject  *object,
               guint        depth,
               GError     **error)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;
  const char *separator = "";

  g_string_append_c (line, '{');
  json_object_iter_init_ordered (&iter, object);
  while (json_object_iter_next_ordered (&iter, &name, &value))
    {
      g_string_append (line, separator);
      separator = ", ";
      if (!qmp_json_append_string (line, name, error))
        return FALSE;
      g_string_append (line, ": ");
      if (!append_value (line, value, depth, error))
        return FALSE;
    }
  g_string_append_c (line, '}');
  return TRUE;
}

static gboolean
append_array (GString    *line,
              JsonArray  *array,
              guint       depth,
              GError    **error)
{
  guint length = json_array_get_length (array);

  g_string_append_c (line, '[');
  for (guint i = 0; i < length; i++)
    {
      if (i > 0)
        g_string_append (line, ", ");
      if (!append_value (line, json_array_get_element (array, i), depth, error))
        return FALSE;
    }
  g_string_append_c (line, ']');
  return TRUE;
}

static gboolean
append_double (GString  *line,
               double    value,
               GError  **error)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  if (!isfinite (value))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "JSON has no number for %f", value);
      return FALSE;
    }
  g_string_append (line, g_ascii_dtostr (text, sizeof text, value));
  return TRUE;
}

static gboolean
append_scalar (GString   *line,
               JsonNode  *value,
               GError   **error)
{
  GType type = json_node_get_value_type (value);

  if (type == G_TYPE_STRING)
    return qmp_json_append_string (line, json_node_get_string (value), error);
  if (type == G_TYPE_DOUBLE)
    return append_double (line, json_node_get_double (value), error);
  if (type == G_TYPE_BOOLEAN)
    g_string_append (line, json_node_get_boolean (value) ? "true" : "false");
  else
    g_string_append_printf (line, "%" G_GINT64_FORMAT, json_node_get_int (value));
  return TRUE;
}

static gboolean
append_value (GString   *line,
              JsonNode  *value,
              guint      depth,
              GError   **error)
{
  if (depth > QMP_JSON_DEPTH_MAX)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                   "arguments are nested more than %d deep", QMP_JSON_DEPTH_MAX);
      return FALSE;
    }

  switch (json_node_get_node_type (value))
    {
    case JSON_NODE_OBJECT:
      return append_object (line, json_node_get_object (value), depth + 1, error);
    case JSON_NODE_ARRAY:
      return append_array (line, json_node_get_array (value), depth + 1, error);
    case JSON_NODE_VALUE:
      return append_scalar (line, value, error);
    case JSON_NODE_NULL:
    default:
      g_string_append (line, "null");
      return TRUE;
    }
}

/**
 * qmp_json_append:
 * @line: where to append
 * @value: any value
 * @error: return location
 *
 * Writes @value without a line break. @line is left with a part of it on failure.
 *
 * Returns: %FALSE with %G_IO_ERROR_INVALID_ARGUMENT for what JSON cannot say: a string that is not
 *   UTF-8, an infinite number, nesting beyond %QMP_JSON_DEPTH_MAX
 */
gboolean
qmp_json_append (GString   *line,
                 JsonNode  *value,
                 GError   **error)
{
  return append_value (line, value, 0, error);
}

/**
 * qmp_json_to_text:
 * @value: any value that was sent or received
 *
 * Returns: (transfer full): @value as one line, for people
 */
char *
qmp_json_to_text (JsonNode *value)
{
  GString *line = g_string_new (NULL);

  if (!qmp_json_append (line, value, NULL))
    g_string_append (line, "...");
  return g_string_free (line, FALSE);
}

/**
 * qmp_json_quote:
 * @text: bytes of any kind
 *
 * Returns: (transfer full): @text fit for an error message: what is not plain ASCII escaped, and
 *   shortened to about 120 characters
 */
char *
qmp_json_quote (QmpSpan text)
{
  GString *quote = g_string_new (NULL);
  gsize i;

  for (i = 0; i < text.length && quote->len < QUOTE_MAX; i++)
    {
      guchar byte = (guchar) text.text[i];

      if (byte >= 0x20 && byte < 0x7f)
        g_string_append_c (quote, (char) byte);
      else
        g_string_append_printf (quote, "\\x%02x", byte);
    }
  if (i < text.length)
    g_string_append_printf (quote, "... (%" G_GSIZE_FORMAT " bytes)", text.length);

  return g_string_free (quote, FALSE);
}
