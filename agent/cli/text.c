/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how words and figures look on a terminal. */

#include "text.h"

#include <sys/ioctl.h>

/**
 * text_escape:
 * @text: (nullable): from a guest, an image or a peer; need not be UTF-8
 *
 * Returns: (transfer full): @text, fit for a terminal
 */
char *
text_escape (const char *text)
{
  GString *escaped = g_string_new (NULL);

  if (text == NULL)
    return g_string_free (g_string_append_c (escaped, '-'), FALSE);

  while (*text != '\0')
    {
      gunichar c = g_utf8_get_char_validated (text, -1);

      if (c == (gunichar) -1 || c == (gunichar) -2)
        g_string_append_printf (escaped, "\\x%02x", (guchar) *text++);
      else
        {
          if (g_unichar_isprint (c))
            g_string_append_unichar (escaped, c);
          else
            g_string_append_printf (escaped, c < 0x100 ? "\\x%02x" : "\\u{%x}", c);
          text = g_utf8_next_char (text);
        }
    }
  return g_string_free (escaped, FALSE);
}

/**
 * text_width:
 * @text: valid UTF-8
 *
 * Returns: how many columns it takes on a terminal
 */
guint
text_width (const char *text)
{
  guint width = 0;

  for (; *text != '\0'; text = g_utf8_next_char (text))
    {
      gunichar c = g_utf8_get_char (text);

      width += g_unichar_iszerowidth (c) ? 0 : g_unichar_iswide (c) ? 2 : 1;
    }
  return width;
}

/**
 * text_size:
 * @bytes: a size; negative when it is not known
 *
 * Returns: (transfer full): such as "1.5 GiB", or "-"
 */
char *
text_size (gint64 bytes)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  double value = (double) bytes;
  guint unit = 0;

  if (bytes < 0)
    return g_strdup ("-");
  for (; value >= 1023.95 && unit + 1 < G_N_ELEMENTS (units); unit++)
    value /= 1024;
  return g_strdup_printf ("%.*f %s", unit > 0, value, units[unit]);
}

/**
 * text_duration:
 * @seconds: not negative
 *
 * Returns: (transfer full): such as "2 min 5 s"
 */
char *
text_duration (gint64 seconds)
{
  if (seconds < 60)
    return g_strdup_printf ("%d s", (int) seconds);
  if (seconds < 60 * 60)
    return g_strdup_printf ("%d min %d s", (int) (seconds / 60), (int) (seconds % 60));
  return g_strdup_printf ("%" G_GINT64_FORMAT " h %d min", seconds / 3600,
                          (int) (seconds / 60 % 60));
}

/**
 * text_milliseconds:
 * @microseconds: not negative
 *
 * Returns: (transfer full): such as "12.3 ms"
 */
char *
text_milliseconds (gint64 microseconds)
{
  return g_strdup_printf ("%.1f ms", (double) microseconds / 1000);
}

/**
 * text_time:
 * @time: (nullable): "2026-11-20T11:46:30.160131Z", in UTC
 *
 * Returns: (transfer full): "2026-11-20 11:46:30"; anything else as it is
 */
char *
text_time (const char *time)
{
  g_autoptr (GDateTime) parsed = time != NULL ? g_date_time_new_from_iso8601 (time, NULL) : NULL;

  return parsed != NULL ? g_date_time_format (parsed, "%Y-%m-%d %H:%M:%S") : g_strdup (time);
}

/**
 * text_columns:
 * @fd: a descriptor
 *
 * Returns: how many columns the terminal there has; 0 for what is no terminal
 */
guint
text_columns (int fd)
{
  struct winsize size;

  return ioctl (fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/**
 * text_is_utf8:
 * Returns: whether the terminal can show more than ASCII
 */
gboolean
text_is_utf8 (void)
{
  return g_get_charset (NULL);
}
