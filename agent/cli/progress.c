/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to draw the progress of an operation. */

#include "progress.h"

#include "fields.h"
#include "text.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_WIDTH      24
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

Progress *
progress_new (void)
{
  Progress *self = g_new0 (Progress, 1);

  self->terminal = isatty (STDERR_FILENO);
  return self;
}

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
            gint64   done,
            gint64   total)
{
  gboolean utf8 = text_is_utf8 ();
  gint64 filled = (gint64) ((double) done / (double) total * BAR_WIDTH);

  g_string_append (line, " [");
  for (gint64 i = 0; i < BAR_WIDTH; i++)
    g_string_append (line, i < filled ? (utf8 ? "█" : "#") : (utf8 ? "░" : "."));
  g_string_append_printf (line, "] %3d%%", (int) ((double) done / (double) total * 100));
}

static void
append_figures (Progress *self,
                GString  *line,
                gint64    done,
                gint64    total)
{
  g_autofree char *done_text = text_size (done);
  g_autofree char *total_text = text_size (total);

  g_string_append_printf (line, "  %s of %s", done_text, total_text);
  if (self->rate >= 1)
    {
      g_autofree char *rate = text_size ((gint64) self->rate);
      g_autofree char *left = text_duration ((gint64) ((double) (total - done) / self->rate));

      g_string_append_printf (line, "  %s/s  %s left", rate, left);
    }
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
      if (total > 0)
        {
          append_bar (line, done, total);
          append_figures (self, line, done, total);
        }
      cut (line, terminal_columns () - 1);
      g_printerr ("\r%s\033[K", line->str);
      self->drawn = TRUE;
    }

  g_free (self->step);
  self->step = g_steal_pointer (&shown);
}
