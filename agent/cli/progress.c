/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to draw the progress of an operation. */

#include "progress.h"

#include "fields.h"
#include "text.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_WIDTH_MAX  30
#define BAR_WIDTH_MIN  5
#define COLUMNS        80       /* where the terminal does not say */
#define RATE_SMOOTHING 0.3      /* weight of the newest rate */

struct _Progress
{
  gboolean  terminal;
  gboolean  drawn;              /* there is a line to overwrite */
  char     *step;               /* the last one shown */
  gint64    last_done;
  gint64    last_time;          /* monotonic microseconds; 0: no measure yet */
  double    rate;               /* bytes per second */
};

/**
 * progress_new:
 * Returns: (transfer full): a display that has shown nothing yet
 */
Progress *
progress_new (void)
{
  Progress *self = g_new0 (Progress, 1);

  self->terminal = isatty (STDERR_FILENO);
  return self;
}

/**
 * progress_free:
 * @self: (transfer full): the display; what it drew on a terminal is taken away
 */
void
progress_free (Progress *self)
{
  if (self->drawn)
    fputs ("\r\033[K", stderr);
  g_free (self->step);
  g_free (self);
}

static guint
terminal_columns (void)
{
  struct winsize size;

  return ioctl (STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS;
}

static void
measure_rate (Progress *self,
              gint64    done)
{
  gint64 now = g_get_monotonic_time ();

  if (done < self->last_done)
    self->last_time = 0;
  if (self->last_time != 0 && now > self->last_time && done > self->last_done)
    {
      double rate = (double) (done - self->last_done) * G_USEC_PER_SEC
                    / (double) (now - self->last_time);

      self->rate = self->rate > 0 ? self->rate + RATE_SMOOTHING * (rate - self->rate) : rate;
    }
  if (self->last_time == 0 || done != self->last_done)
    {
      self->last_time = now;
      self->last_done = done;
    }
}

static void
append_bar (GString *line,
            double   fraction,
            int      width)
{
  gboolean utf8 = text_is_utf8 ();
  int filled = (int) (fraction * width);

  if (width < BAR_WIDTH_MIN)
    return;
  g_string_append (line, " [");
  for (int i = 0; i < width; i++)
    g_string_append (line, i < filled ? (utf8 ? "█" : "#") : (utf8 ? "░" : "."));
  g_string_append (line, "]");
}

/* " 45%  1.2 GiB of 2.6 GiB  120.0 MiB/s  12 s left" */
static char *
describe_transfer (Progress *self,
                   gint64    done,
                   gint64    total)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *done_text = text_size (done);
  g_autofree char *total_text = text_size (total);

  g_string_append_printf (text, " %3d%%  %s of %s", (int) ((double) done / (double) total * 100),
                          done_text, total_text);
  if (self->rate >= 1)
    {
      g_autofree char *rate = text_size ((gint64) self->rate);
      g_autofree char *left = text_duration ((gint64) ((double) (total - done) / self->rate));

      g_string_append_printf (text, "  %s/s  %s left", rate, left);
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* As many characters of @line as have room in @columns. */
static void
cut (GString *line,
     guint    columns)
{
  while (line->len > 0 && text_width (line->str) > columns)
    g_string_truncate (line, (gsize) (g_utf8_find_prev_char (line->str, line->str + line->len)
                                      - line->str));
}

/**
 * progress_show:
 * @self: where
 * @operation: an operation as the daemon shows it
 */
void
progress_show (Progress   *self,
               JsonObject *operation)
{
  JsonObject *progress = field_object (operation, "progress");
  gint64 total = field_int (progress, "total", 0);
  gint64 done = CLAMP (field_int (progress, "done", 0), 0, MAX (total, 0));
  const char *step = field_text (operation, "step");
  g_autoptr (GString) line = g_string_new (NULL);
  g_autofree char *shown = text_escape (step != NULL ? step : field_text (operation, "state"));

  measure_rate (self, done);
  g_string_append (line, shown);

  if (!self->terminal)
    {
      if (g_strcmp0 (self->step, shown) != 0)
        g_printerr ("%s\n", line->str);
    }
  else
    {
      guint columns = terminal_columns () - 1;

      if (total > 0)
        {
          g_autofree char *transfer = describe_transfer (self, done, total);
          int room = (int) columns - (int) (text_width (line->str) + text_width (transfer)) - 3;

          append_bar (line, (double) done / (double) total, MIN (room, BAR_WIDTH_MAX));
          g_string_append (line, transfer);
        }
      cut (line, columns);
      g_printerr ("\r%s\033[K", line->str);
      self->drawn = TRUE;
    }

  g_free (self->step);
  self->step = g_steal_pointer (&shown);
}
