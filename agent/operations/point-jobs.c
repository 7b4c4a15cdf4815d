/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how leftover block jobs are ended when the caller wants that: cancelled, waited for,
 * dismissed. */

#include "backup-steps.h"
#include "point-jobs.h"

#include <core/error.h>

#include "guest-errors.h"

#define END_DEADLINE_MS 60000

typedef struct
{
  Backup *job;
  GTask       *step;
  char       **ids;
  guint        next;
  QmpJob      *watched;
} Ending;

static void end_next (Ending *self);

static void
ending_finish (Ending *self, GError *error)
{
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, guest_error_name (self->job->guest, error));
  g_clear_object (&self->watched);
  g_strfreev (self->ids);
  g_free (self);
}

static void
on_dismissed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Ending *self = user_data;
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) error = NULL;

  /* One that dismisses itself has gone already. */
  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL && !guest_error_is_refusal (error))
    {
      ending_finish (self, g_steal_pointer (&error));
      return;
    }
  self->next++;
  end_next (self);
}

static void
on_concluded (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Ending *self = user_data;
  const char *id = self->ids[self->next];
  g_autoptr (GError) error = NULL;
  GError *no_link = NULL;
  QmpClient *client;

  /* That it ends with an error is what was asked for. */
  if (!qmp_job_await_finish (QMP_JOB (source), result, &error)
      && !g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    {
      ending_finish (self, g_steal_pointer (&error));
      return;
    }
  client = backup_client (self->job, &no_link);
  if (client == NULL)
    ending_finish (self, no_link);
  else
    qmp_client_execute_async (client, "job-dismiss", qmp_args ("id", "s", id, NULL),
                              GUEST_COMMAND_DEADLINE_MS, NULL, on_dismissed, self);
}

static void
on_cancelled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Ending *self = user_data;
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) error = NULL;

  /* Refused when it has ended by now, or is ending: the await tells. */
  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL && !guest_error_is_refusal (error))
    ending_finish (self, g_steal_pointer (&error));
  else
    qmp_job_await_async (self->watched, QMP_JOB_CONCLUDED, END_DEADLINE_MS, NULL, on_concluded,
                         self);
}

static void
end_next (Ending *self)
{
  const char *id = self->ids[self->next];
  GError *error = NULL;
  QmpClient *client;

  if (id == NULL)
    {
      ending_finish (self, NULL);
      return;
    }
  client = backup_client (self->job, &error);
  if (client == NULL)
    {
      ending_finish (self, error);
      return;
    }
  g_clear_object (&self->watched);
  self->watched = qmp_job_watch (client, id);
  qmp_client_execute_async (client, "job-cancel", qmp_args ("id", "s", id, NULL),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_cancelled, self);
}

/**
 * point_jobs_end:
 * @step: (transfer full): a task
 * @job: whose guest it is
 * @ids: ids of jobs
 */
void
point_jobs_end (GTask *step, Backup *job, char **ids)
{
  Ending *self = g_new0 (Ending, 1);

  self->job = job;
  self->step = step;
  self->ids = g_strdupv (ids);
  end_next (self);
}

void
backup_end_jobs (GTask *step, gpointer user_data)
{
  Backup *job = user_data;

  point_jobs_end (step, job, job->jobs);
}
