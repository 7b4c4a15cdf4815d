/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which commands of qemu-img tell their progress, and how. */

#include "qemu-img-private.h"

#include <disk/qemu-img.h>

#define MAX_FIELD 32u                           /* of "    (12.34/100%)\r" */

typedef struct
{
  QemuImgProgress  progress;    /* (nullable) */
  gpointer         progress_data;
  char             field[MAX_FIELD];    /* what came since the last opening parenthesis */
  gsize            length;
  gboolean         in_field;
  guint            permille;    /* that was told last */
  gint64           written;
} Run;

/* "12.34/100%" */
static void
tell_progress (Run *self)
{
  char *end;
  double percent = g_ascii_strtod (self->field, &end);
  guint permille;

  if (end == self->field || *end != '/' || !(percent >= 0 && percent <= 100))
    return;

  permille = (guint) (percent * 10);
  if (permille <= self->permille)
    return;

  self->permille = permille;
  self->progress (permille, self->progress_data);
}

static gboolean
on_output (const char  *text,
           gsize        length,
           gpointer     user_data,
           GError     **error)
{
  Run *self = user_data;

  for (gsize i = 0; i < length; i++)
    {
      if (text[i] == '(')
        {
          self->in_field = TRUE;
          self->length = 0;
        }
      else if (text[i] == ')' && self->in_field)
        {
          self->field[self->length] = '\0';
          self->in_field = FALSE;
          tell_progress (self);
        }
      else if (self->in_field && self->length + 1 < MAX_FIELD)
        {
          self->field[self->length++] = text[i];
        }
    }

  return TRUE;
}

static void
on_run (GObject      *source,
        GAsyncResult *result,
        gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Run *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (qemu_img_child_run_finish (result, &self->written, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static gboolean
tells_progress (const char *command)
{
  static const char *const commands[] = { "amend", "commit", "compare", "convert", "rebase", NULL };

  return command != NULL && g_strv_contains (commands, command);
}

/**
 * qemu_img_run_async:
 * @arguments: the command and what belongs to it, without -p; ended by %NULL
 * @stall_s: seconds without progress after which it is ended; 0: it may take for ever
 * @progress: (nullable): told whenever there is more of it
 * @progress_data: for @progress
 * @cancellable: (nullable): ends it
 * @callback: called when it is gone
 * @user_data: for @callback
 *
 * Runs qemu-img. It is killed when it is cancelled, gets stuck, or we die; images that it writes to
 * stay consistent then. What has been done when the cancellation comes is a success.
 */
void
qemu_img_run_async (const char *const   *arguments,
                    guint                stall_s,
                    QemuImgProgress      progress,
                    gpointer             progress_data,
                    GCancellable        *cancellable,
                    GAsyncReadyCallback  callback,
                    gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  Run *self = g_new0 (Run, 1);

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, self, g_free);
  self->progress = progress;
  self->progress_data = progress_data;

  for (guint i = 0; arguments[i] != NULL; i++)
    {
      g_ptr_array_add (words, (gpointer) arguments[i]);
      if (i == 0 && tells_progress (arguments[0]))
        g_ptr_array_add (words, (gpointer) "-p");
    }
  g_ptr_array_add (words, NULL);

  qemu_img_child_run_async ((const char *const *) words->pdata, stall_s,
                            progress != NULL ? on_output : NULL, self, cancellable, on_run,
                            g_object_ref (task));
}

/**
 * qemu_img_run_finish:
 * @result: what the callback got
 * @error: where to put an error
 *
 * Errors: %AGENT_ERROR_CONFLICT when an image is open elsewhere, %AGENT_ERROR_NO_SPACE,
 * %AGENT_ERROR_TIMEOUT when it got stuck, %AGENT_ERROR_CANCELLED, %AGENT_ERROR_UNAVAILABLE when
 * there is no qemu-img, else %AGENT_ERROR_INTERNAL; all but those of ours with its own words.
 *
 * Returns: whether it has succeeded
 */
gboolean
qemu_img_run_finish (GAsyncResult  *result,
                     GError       **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * qemu_img_run_get_written:
 * @result: what the callback got
 *
 * Returns: how many bytes it has written, as the kernel counted them: data, tables and headers, but
 *   not zeros that need no writing; 0 when that cannot be seen
 */
gint64
qemu_img_run_get_written (GAsyncResult *result)
{
  Run *self = g_task_get_task_data (G_TASK (result));

  return self->written;
}
