/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the daemon's log looks. */

#include "log.h"

#include <stdio.h>
#include <string.h>

/* The log's level may change while threads write to it. */
struct _Log
{
  gint lowest;
};

static const struct
{
  const char     *word;
  GLogLevelFlags  level;
} levels[] = {
  { "error",   G_LOG_LEVEL_CRITICAL },
  { "warning", G_LOG_LEVEL_WARNING  },
  { "info",    G_LOG_LEVEL_INFO     },
  { "debug",   G_LOG_LEVEL_DEBUG    },
};

static const char *
word_for (GLogLevelFlags level)
{
  if (level <= G_LOG_LEVEL_CRITICAL)
    return "error";
  if (level == G_LOG_LEVEL_WARNING)
    return "warning";
  return level == G_LOG_LEVEL_DEBUG ? "debug" : "info";
}

/* One line on stderr, however many the message has: what peers say is quoted in it. */
static void
write_line (GLogLevelFlags  level,
            const char     *domain,
            const char     *message)
{
  g_autoptr (GString) line = g_string_new (NULL);
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, "%Y-%m-%dT%H:%M:%S");

  g_string_append_printf (line, "%s.%03dZ %-7s ", time, g_date_time_get_microsecond (now) / 1000,
                          word_for (level));
  if (domain != NULL)
    g_string_append_printf (line, "%s: ", domain);
  for (const char *c = message; *c != '\0'; c++)
    {
      if ((guchar) *c < 0x20 || *c == 0x7f)
        g_string_append_printf (line, "\\x%02x", (guchar) *c);
      else
        g_string_append_c (line, *c);
    }
  g_string_append_c (line, '\n');
  fwrite (line->str, 1, line->len, stderr);
  fflush (stderr);
}

static GLogWriterOutput
write_log (GLogLevelFlags   level,
           const GLogField *fields,
           gsize            n_fields,
           gpointer         user_data)
{
  Log *self = user_data;
  GLogLevelFlags plain = level & G_LOG_LEVEL_MASK;
  const char *message = "";
  const char *domain = NULL;

  if (plain > (GLogLevelFlags) g_atomic_int_get (&self->lowest))
    return G_LOG_WRITER_HANDLED;

  for (gsize i = 0; i < n_fields; i++)
    {
      if (strcmp (fields[i].key, "MESSAGE") == 0 && fields[i].length < 0)
        message = fields[i].value;
      else if (strcmp (fields[i].key, "GLIB_DOMAIN") == 0 && fields[i].length < 0)
        domain = fields[i].value;
    }
  /* What these have to tell of themselves is of no interest while nothing is wrong. */
  if (plain > G_LOG_LEVEL_WARNING && domain != NULL &&
      (g_str_has_prefix (domain, "GLib") || g_str_has_prefix (domain, "libsoup")))
    return G_LOG_WRITER_HANDLED;

  if (g_log_writer_is_journald (fileno (stderr)))
    return g_log_writer_journald (level, fields, n_fields, NULL);
  write_line (plain, domain, message);
  return G_LOG_WRITER_HANDLED;
}

/**
 * log_set_level:
 * @self: the log
 * @level: "error", "warning", "info" or "debug"
 *
 * From now on, what is at least as grave is written.
 */
void
log_set_level (Log        *self,
               const char *level)
{
  GLogLevelFlags lowest = G_LOG_LEVEL_INFO;

  for (gsize i = 0; i < G_N_ELEMENTS (levels); i++)
    if (strcmp (levels[i].word, level) == 0)
      lowest = levels[i].level;
  g_atomic_int_set (&self->lowest, (gint) lowest);
}

/**
 * log_begin:
 * @level: "error", "warning", "info" or "debug"
 *
 * From now on, what is at least as grave goes to stderr, or to the journal when that is where
 * stderr leads. To be called once.
 *
 * Returns: (transfer none): the log, which lives as long as the process
 */
Log *
log_begin (const char *level)
{
  Log *self = g_new0 (Log, 1);

  log_set_level (self, level);
  g_log_set_writer_func (write_log, self, NULL);
  return self;
}
