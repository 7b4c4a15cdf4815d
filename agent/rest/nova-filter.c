/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what may stand behind the ? of a list of servers. A name is a regular expression, as Nova
 * has it; since anybody can write one that takes for ever, its work is limited. Parameters that
 * Nova would not take from a user either are passed over. */

#include "nova-filter.h"

#include <core/error.h>

#include <string.h>

#define PATTERN_BYTES_MAX 255
#define MARKER_BYTES_MAX  255
/* PCRE2 itself counts; the pattern can only lower what stands in front of it. */
#define PATTERN_LIMITS    "(*LIMIT_MATCH=10000)(*LIMIT_DEPTH=1000)(*LIMIT_HEAP=1024)"

struct _NovaFilter
{
  GRegex  *name;                /* (nullable): any */
  char    *status;              /* (nullable): any */
  char    *marker;              /* (nullable): from the beginning */
  guint    limit;
  gboolean nothing;             /* something is wanted that no server has */
};

/* NULL for nothing; parameters come from strangers in any bytes. */
static gboolean
take_text (GHashTable  *query,
           const char  *key,
           gsize        length_max,
           const char **text,
           GError     **error)
{
  *text = query != NULL ? g_hash_table_lookup (query, key) : NULL;

  if (*text == NULL || (strlen (*text) <= length_max && g_utf8_validate (*text, -1, NULL)))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                   "Invalid input for query parameters %s. It must be UTF-8 of at most %u bytes.",
                   key, (guint) length_max);
  return FALSE;
}

static gboolean
take_name (NovaFilter  *self,
           GHashTable  *query,
           GError     **error)
{
  g_autoptr (GError) problem = NULL;
  g_autofree char *limited = NULL;
  const char *pattern;

  if (!take_text (query, "name", PATTERN_BYTES_MAX, &pattern, error))
    return FALSE;
  if (pattern == NULL || pattern[0] == '\0')
    return TRUE;

  limited = g_strconcat (PATTERN_LIMITS, pattern, NULL);
  self->name = g_regex_new (limited, G_REGEX_DEFAULT, G_REGEX_MATCH_DEFAULT, &problem);
  if (self->name != NULL)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                   "Invalid input for query parameters name. It is no regular expression.");
  return FALSE;
}

static gboolean
take_limit (NovaFilter  *self,
            GHashTable  *query,
            GError     **error)
{
  guint64 limit = NOVA_LIMIT_MAX;
  const char *text;

  if (!take_text (query, "limit", 20, &text, error))
    return FALSE;
  if (text != NULL && !g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &limit, NULL))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                       "Invalid input for query parameters limit. It must be 0 to %d.", G_MAXINT);
      return FALSE;
    }
  self->limit = (guint) MIN (limit, NOVA_LIMIT_MAX);
  return TRUE;
}

static gboolean
is_true (const char *text)
{
  static const char *const words[] = { "1", "t", "true", "on", "y", "yes", NULL };
  g_autofree char *lower = g_ascii_strdown (text, -1);

  return g_strv_contains (words, lower);
}

/* Our servers have no image, no address and no tag to be found by, and none is a deleted one. */
static gboolean
wants_nothing (GHashTable *query)
{
  const char *deleted = query != NULL ? g_hash_table_lookup (query, "deleted") : NULL;
  static const char *const keys[] = {
    "image", "ip", "ip6", "tags", "tags-any", "reservation_id", "key_name", NULL
  };

  for (gsize i = 0; query != NULL && keys[i] != NULL; i++)
    {
      const char *value = g_hash_table_lookup (query, keys[i]);

      if (value != NULL && value[0] != '\0')
        return TRUE;
    }
  return deleted != NULL && is_true (deleted);
}

/**
 * nova_filter_new:
 * @query: (nullable): the parameters, decoded
 * @error: return location
 *
 * Returns: (transfer full): what they ask for; else %NULL with %AGENT_ERROR_INVALID
 */
NovaFilter *
nova_filter_new (GHashTable  *query,
                 GError     **error)
{
  g_autoptr (NovaFilter) self = g_new0 (NovaFilter, 1);
  const char *status, *marker;

  if (!take_name (self, query, error) || !take_limit (self, query, error) ||
      !take_text (query, "status", PATTERN_BYTES_MAX, &status, error) ||
      !take_text (query, "marker", MARKER_BYTES_MAX, &marker, error))
    return NULL;

  self->status = g_strdup (status);
  self->marker = g_strdup (marker);
  self->nothing = wants_nothing (query);
  return g_steal_pointer (&self);
}

/**
 * nova_filter_free:
 * @self: (transfer full): a filter
 */
void
nova_filter_free (NovaFilter *self)
{
  g_clear_pointer (&self->name, g_regex_unref);
  g_free (self->status);
  g_free (self->marker);
  g_free (self);
}

/**
 * nova_filter_matches:
 * @self: a filter
 * @name: a server's name; UTF-8
 * @status: its status
 * @is_match: (out): whether it is wanted
 * @error: return location
 *
 * Returns: whether that could be found out; else %AGENT_ERROR_INVALID
 */
gboolean
nova_filter_matches (const NovaFilter  *self,
                     const char        *name,
                     const char        *status,
                     gboolean          *is_match,
                     GError           **error)
{
  g_autoptr (GError) problem = NULL;

  *is_match = !self->nothing &&
              (self->status == NULL || g_ascii_strcasecmp (self->status, status) == 0) &&
              (self->name == NULL || g_regex_match_full (self->name, name, -1, 0,
                                                         G_REGEX_MATCH_DEFAULT, NULL, &problem));
  if (problem == NULL)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, "Write a simpler one.",
                   "Invalid input for query parameters name. The expression takes too long.");
  return FALSE;
}

/**
 * nova_filter_get_limit:
 * @self: a filter
 *
 * Returns: how many servers a page has at most
 */
guint
nova_filter_get_limit (const NovaFilter *self)
{
  return self->limit;
}

/**
 * nova_filter_get_marker:
 * @self: a filter
 *
 * Returns: (transfer none) (nullable): the id of the last server on the page before
 */
const char *
nova_filter_get_marker (const NovaFilter *self)
{
  return self->marker;
}
