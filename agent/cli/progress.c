/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to draw the progress of an operation. */

#include "progress.h"

#include "fields.h"
#include "phases.h"
#include "rate.h"
#include "text.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_WIDTH_MAX  30
#define BAR_WIDTH_MIN  5
#define COLUMNS        80       /* where the terminal does not say */

struct _Progress
{
  gboolean  terminal;
  gboolean  drawn;              /* there is a line to overwrite */
  char     *phase;              /* the last one shown */
  Rate      rate;               /* of what that phase transfers */
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
  g_free (self->phase);
  g_free (self);
}

/* In people's words; a step without any is shown by its name. */
static char *
describe_phase (JsonObject *operation)
{
  const char *state = field_text (operation, "state");
  const char *step = field_text (operation, "step");
  JsonObject *waiting = field_object (operation, "waiting");
  const char *phase;

  if (g_strcmp0 (state, "running") == 0 && waiting != NULL)
    return g_strdup (g_strcmp0 (field_text (waiting, "code"), "no-space") == 0 ? "waiting for room"
                                                                               : "waiting");
  if (g_strcmp0 (state, "running") == 0 && field_bool (operation, "paused"))
    return g_strdup ("paused");
  if (step == NULL)
    return text_escape (g_strcmp0 (state, "running") == 0 ? "starting" : state);
  phase = phase_of_step (step);
  return text_escape (phase != NULL ? phase : step);
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
  gint64 seconds = rate_seconds_left (self->rate, total);
  g_autofree char *done_text = text_size (done);
  g_autofree char *total_text = text_size (total);

  g_string_append_printf (text, " %3d%%  %s of %s", (int) ((double) done / (double) total * 100),
                          done_text, total_text);
  if (seconds >= 0)
    {
      g_autofree char *rate = text_size ((gint64) self->rate.speed);
      g_autofree char *left = text_duration (seconds);

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
  g_autofree char *phase = describe_phase (operation);
  gboolean is_new = g_strcmp0 (self->phase, phase) != 0;
  g_autoptr (GString) line = g_string_new (phase);

  self->rate = rate_measure (is_new ? (Rate) { 0 } : self->rate, done, g_get_monotonic_time ());

  if (!self->terminal)
    {
      if (is_new)
        g_printerr ("%s\n", line->str);
    }
  else
    {
      guint told = text_columns (STDERR_FILENO);
      guint columns = (told > 0 ? told : COLUMNS) - 1;

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

  g_free (self->phase);
  self->phase = g_steal_pointer (&phase);
}
