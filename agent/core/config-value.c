/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how each type of setting is written, and what is wrong with one that is not. */

#include "config-private.h"

#include <core/error.h>

#include <string.h>

static gpointer
field_of (const ConfigKey *key,
          gconstpointer    settings)
{
  return (guint8 *) settings + key->offset;
}

static gboolean
is_address (const char *text)
{
  const char *colon = strrchr (text, ':');
  guint64 port;

  if (colon == NULL || colon == text || strpbrk (text, " \t/") != NULL)
    return FALSE;

  /* An IPv6 address has colons of its own and stands in brackets. */
  if (memchr (text, ':', (gsize) (colon - text)) != NULL && (*text != '[' || colon[-1] != ']'))
    return FALSE;

  return g_ascii_string_to_unsigned (colon + 1, 10, 1, 65535, &port, NULL);
}

static gboolean
is_url (const char *text)
{
  g_autoptr (GUri) uri = g_uri_parse (text, G_URI_FLAGS_NONE, NULL);

  return uri != NULL &&
         (g_str_equal (g_uri_get_scheme (uri), "http") ||
          g_str_equal (g_uri_get_scheme (uri), "https")) &&
         g_uri_get_host (uri) != NULL && *g_uri_get_host (uri) != '\0';
}

static gboolean
is_word (const char *text,
         const char *words)
{
  g_auto (GStrv) all = g_strsplit (words, " ", -1);

  return g_strv_contains ((const char *const *) all, text);
}

/* Why @text cannot be a value of @key; NULL when it can. */
static char *
complain (const ConfigKey *key,
          const char      *text)
{
  switch (key->type)
    {
    case CONFIG_PATH:
      return g_path_is_absolute (text) ? NULL : g_strdup ("is not an absolute path");
    case CONFIG_ADDRESS:
      return is_address (text) ? NULL : g_strdup ("is not HOST:PORT");
    case CONFIG_MONITOR:
      return g_path_is_absolute (text) || is_address (text)
             ? NULL : g_strdup ("is neither an absolute path nor HOST:PORT");
    case CONFIG_URL:
      return is_url (text) ? NULL : g_strdup ("is not an http:// or https:// address");
    case CONFIG_UUID:
      return g_uuid_string_is_valid (text) ? NULL : g_strdup ("is not a UUID");
    case CONFIG_WORD:
      return is_word (text, key->words)
             ? NULL : g_strdup_printf ("is none of: %s", key->words);
    default:
      return NULL;
    }
}

static gboolean
parse_boolean (const char *text,
               gboolean   *value)
{
  if (is_word (text, "true yes"))
    *value = TRUE;
  else if (is_word (text, "false no"))
    *value = FALSE;
  else
    return FALSE;

  return TRUE;
}

static gboolean
is_count (const ConfigKey *key)
{
  return key->type == CONFIG_COUNT || key->type == CONFIG_OPTIONAL_COUNT;
}

/* A number with a unit, or without one in the unit of the key. */
static gboolean
parse_number (const ConfigKey *key,
              const char      *text,
              guint           *value)
{
  static const struct { const char *suffix; guint ms; } units[] = {
    { "ms", 1 }, { "s", 1000 }, { "min", 60 * 1000 }, { "h", 60 * 60 * 1000 },
  };
  guint own_ms = key->type == CONFIG_SECONDS ? 1000 : 1;
  guint unit_ms = own_ms;
  g_autofree char *digits = g_strdup (text);
  guint64 number;

  for (gsize i = 0; i < G_N_ELEMENTS (units) && !is_count (key); i++)
    {
      gsize n_digits = strspn (text, "0123456789");

      if (n_digits > 0 && g_str_equal (g_strchug (digits + n_digits), units[i].suffix))
        {
          digits[n_digits] = '\0';
          unit_ms = units[i].ms;
          break;
        }
    }

  if (!g_ascii_string_to_unsigned (digits, 10, 0, G_MAXUINT, &number, NULL) ||
      number * unit_ms % own_ms != 0)
    return FALSE;

  number = number * unit_ms / own_ms;

  if (number < key->least || number > key->most)
    return FALSE;

  *value = (guint) number;

  return TRUE;
}

/* Units of 1024, with or without the "iB" behind them. */
static gboolean
parse_bytes (const char *text,
             guint64    *value)
{
  static const char units[] = "KMGT";
  gsize n_digits = strspn (text, "0123456789");
  g_autofree char *digits = g_strndup (text, n_digits);
  g_autofree char *unit = g_strstrip (g_strdup (text + n_digits));
  const char *found = *unit != '\0' ? strchr (units, *unit) : NULL;
  guint shift = found != NULL ? 10 * (guint) (found - units + 1) : 0;
  guint64 number;

  if ((*unit != '\0' && (found == NULL || !is_word (unit + 1, " B iB"))) ||
      !g_ascii_string_to_unsigned (digits, 10, 0, (guint64) G_MAXINT64 >> shift, &number, NULL))
    return FALSE;

  *value = number << shift;

  return TRUE;
}

static const char *
unit_of (const ConfigKey *key)
{
  switch (key->type)
    {
    case CONFIG_SECONDS:
      return " s (whole seconds; \"10s\" and \"2min\" are understood)";
    case CONFIG_MILLISECONDS:
      return " ms (\"500ms\", \"10s\" and \"2min\" are understood)";
    default:
      return "";
    }
}

static char **
parse_paths (const char  *text,
             char       **wrong)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) parts = g_strsplit (text, ";", -1);

  for (guint i = 0; parts[i] != NULL; i++)
    {
      const char *part = g_strstrip (parts[i]);

      if (*part == '\0')
        continue;

      if (!g_path_is_absolute (part))
        {
          *wrong = g_strdup_printf ("is not a list of absolute paths parted by ';': there is '%s'",
                                    part);
          return NULL;
        }

      g_strv_builder_add (builder, part);
    }

  return g_strv_builder_end (builder);
}

static char *
set_field (const ConfigKey *key,
           gpointer         field,
           const char      *text)
{
  char *wrong = NULL;
  char **paths;

  switch (key->type)
    {
    case CONFIG_BOOLEAN:
      return parse_boolean (text, field) ? NULL : g_strdup ("is neither true nor false");

    case CONFIG_COUNT:
    case CONFIG_OPTIONAL_COUNT:
    case CONFIG_SECONDS:
    case CONFIG_MILLISECONDS:
      return parse_number (key, text, field)
             ? NULL : g_strdup_printf ("is not a number from %u to %u%s", key->least, key->most,
                                       unit_of (key));

    case CONFIG_BYTES:
      return parse_bytes (text, field)
             ? NULL
             : g_strdup ("is not a number of bytes (\"512MiB\" and \"1GiB\" are understood)");

    case CONFIG_PATHS:
      paths = parse_paths (text, &wrong);

      if (paths != NULL)
        {
          g_strfreev (*(char ***) field);
          *(char ***) field = paths;
        }

      return wrong;

    default:
      wrong = complain (key, text);

      if (wrong == NULL)
        {
          g_free (*(char **) field);
          *(char **) field = g_strdup (text);
        }

      return wrong;
    }
}

/**
 * config_value_set:
 * @key: the setting
 * @settings: the Config, or GuestConfig, that has it
 * @text: as it stands in the file; empty to unset what need not be set
 * @error: return location
 *
 * Returns: %FALSE with AGENT_ERROR_INVALID that says what would be right; then nothing has changed
 */
gboolean
config_value_set (const ConfigKey  *key,
                  gpointer          settings,
                  const char       *text,
                  GError          **error)
{
  g_autofree char *wrong = NULL;

  if (*text == '\0' && key->type != CONFIG_PATHS)
    {
      if (key->initial == NULL)
        config_value_clear (key, settings);
      else
        wrong = g_strdup_printf ("is empty; without this line it is %s", key->initial);
    }
  else
    wrong = set_field (key, field_of (key, settings), text);

  if (wrong == NULL)
    return TRUE;

  agent_set_error (error, AGENT_ERROR_INVALID, NULL, "%s = %s: the value %s", key->key, text,
                   wrong);

  return FALSE;
}

/**
 * config_value_clear:
 * @key: the setting
 * @settings: the Config, or GuestConfig, that has it
 *
 * Frees the field and leaves it unset.
 */
void
config_value_clear (const ConfigKey *key,
                    gpointer         settings)
{
  gpointer field = field_of (key, settings);

  switch (key->type)
    {
    case CONFIG_BOOLEAN:
    case CONFIG_COUNT:
    case CONFIG_SECONDS:
    case CONFIG_MILLISECONDS:
      *(guint *) field = 0;
      break;
    case CONFIG_BYTES:
      *(guint64 *) field = 0;
      break;
    case CONFIG_OPTIONAL_COUNT:
      *(gint *) field = -1;
      break;
    case CONFIG_PATHS:
      g_clear_pointer ((char ***) field, g_strfreev);
      break;
    default:
      g_clear_pointer ((char **) field, g_free);
      break;
    }
}

/**
 * config_value_copy:
 * @key: the setting
 * @from: settings of the same type as @to
 * @to: where the field is unset
 *
 * Copies one field.
 */
void
config_value_copy (const ConfigKey *key,
                   gconstpointer    from,
                   gpointer         to)
{
  gconstpointer source = field_of (key, from);
  gpointer target = field_of (key, to);

  switch (key->type)
    {
    case CONFIG_BOOLEAN:
    case CONFIG_COUNT:
    case CONFIG_SECONDS:
    case CONFIG_MILLISECONDS:
      *(guint *) target = *(const guint *) source;
      break;
    case CONFIG_BYTES:
      *(guint64 *) target = *(const guint64 *) source;
      break;
    case CONFIG_OPTIONAL_COUNT:
      *(gint *) target = *(const gint *) source;
      break;
    case CONFIG_PATHS:
      *(char ***) target = g_strdupv (*(char ***) source);
      break;
    default:
      *(char **) target = g_strdup (*(char *const *) source);
      break;
    }
}

/**
 * config_value_equal:
 * @key: the setting
 * @a: settings
 * @b: settings of the same type
 *
 * Returns: whether the field is the same in both
 */
gboolean
config_value_equal (const ConfigKey *key,
                    gconstpointer    a,
                    gconstpointer    b)
{
  gconstpointer one = field_of (key, a);
  gconstpointer other = field_of (key, b);

  switch (key->type)
    {
    case CONFIG_BOOLEAN:
    case CONFIG_COUNT:
    case CONFIG_SECONDS:
    case CONFIG_MILLISECONDS:
      return *(const guint *) one == *(const guint *) other;
    case CONFIG_BYTES:
      return *(const guint64 *) one == *(const guint64 *) other;
    case CONFIG_OPTIONAL_COUNT:
      return *(const gint *) one == *(const gint *) other;
    case CONFIG_PATHS:
      return g_strv_equal (*(const char *const **) one, *(const char *const **) other);
    default:
      return g_strcmp0 (*(char *const *) one, *(char *const *) other) == 0;
    }
}
