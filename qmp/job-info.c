/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what query-jobs says. */

#include "fields.h"

#include <qmp/error.h>
#include <qmp/job.h>

static const char *const state_names[] = {
  [QMP_JOB_UNDEFINED] = "undefined",
  [QMP_JOB_CREATED]   = "created",
  [QMP_JOB_RUNNING]   = "running",
  [QMP_JOB_PAUSED]    = "paused",
  [QMP_JOB_READY]     = "ready",
  [QMP_JOB_STANDBY]   = "standby",
  [QMP_JOB_WAITING]   = "waiting",
  [QMP_JOB_PENDING]   = "pending",
  [QMP_JOB_ABORTING]  = "aborting",
  [QMP_JOB_CONCLUDED] = "concluded",
  [QMP_JOB_NULL]      = "null",
};

/**
 * qmp_job_state_to_string:
 * @state: a state
 *
 * Returns: QEMU's word for it
 */
const char *
qmp_job_state_to_string (QmpJobState state)
{
  g_return_val_if_fail ((guint) state < G_N_ELEMENTS (state_names), "undefined");

  return state_names[state];
}

/**
 * qmp_job_state_from_string:
 * @text: QEMU's word for a state
 * @state: (out): where to put the state; untouched when @text is none
 *
 * Returns: whether @text is a state
 */
gboolean
qmp_job_state_from_string (const char  *text,
                           QmpJobState *state)
{
  g_return_val_if_fail (text != NULL && state != NULL, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (state_names); i++)
    if (g_str_equal (state_names[i], text))
      {
        *state = (QmpJobState) i;
        return TRUE;
      }

  return FALSE;
}

/**
 * qmp_job_info_free:
 * @info: (transfer full): a job's description
 *
 * Frees @info.
 */
void
qmp_job_info_free (QmpJobInfo *info)
{
  g_free (info->id);
  g_free (info->type);
  g_free (info->error);
  g_free (info);
}

static QmpJobInfo *
read_info (QmpFields  *fields,
           JsonObject *object)
{
  QmpJobInfo *info = g_new0 (QmpJobInfo, 1);
  const char *status;

  info->id = g_strdup (qmp_fields_text (fields, object, "id"));
  fields->subject = info->id;
  info->type = g_strdup (qmp_fields_text (fields, object, "type"));
  info->progress = qmp_fields_count (fields, object, "current-progress");
  info->total = qmp_fields_count (fields, object, "total-progress");
  info->error = g_strdup (qmp_fields_maybe_text (fields, object, "error"));
  status = qmp_fields_text (fields, object, "status");
  if (!qmp_job_state_from_string (status, &info->state))
    qmp_fields_fault (fields, "\"status\" is \"%s\", which no job state is called", status);
  fields->subject = NULL;

  return info;
}

static GPtrArray *
parse_jobs (JsonNode  *reply,
            GError   **error)
{
  g_autoptr (GPtrArray) jobs = g_ptr_array_new_with_free_func ((GDestroyNotify) qmp_job_info_free);
  QmpFields fields = { .command = "query-jobs" };
  JsonArray *array = qmp_fields_reply_array (&fields, reply);
  guint n = array != NULL ? json_array_get_length (array) : 0;

  for (guint i = 0; i < n && fields.error == NULL; i++)
    {
      JsonObject *object = qmp_fields_element (&fields, array, i);

      if (object != NULL)
        g_ptr_array_add (jobs, read_info (&fields, object));
    }

  return qmp_fields_close (&fields, error) ? g_steal_pointer (&jobs) : NULL;
}

static void
reply_came (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GPtrArray) jobs = NULL;
  g_autoptr (GError) error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  jobs = reply != NULL ? parse_jobs (reply, &error) : NULL;

  if (jobs != NULL)
    g_task_return_pointer (task, g_steal_pointer (&jobs), (GDestroyNotify) g_ptr_array_unref);
  else
    g_task_return_error (task, g_steal_pointer (&error));
}

/**
 * qmp_jobs_query_async:
 * @client: a monitor
 * @deadline_ms: how long it may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait
 * @callback: called when the reply is there
 * @user_data: for @callback
 *
 * Asks for all jobs. Safe in every state of every job, unlike the block graph.
 */
void
qmp_jobs_query_async (QmpClient           *client,
                      guint                deadline_ms,
                      GCancellable        *cancellable,
                      GAsyncReadyCallback  callback,
                      gpointer             user_data)
{
  GTask *task;

  g_return_if_fail (QMP_IS_CLIENT (client));

  task = g_task_new (client, cancellable, callback, user_data);
  g_task_set_check_cancellable (task, FALSE);
  qmp_client_execute_async (client, "query-jobs", NULL, deadline_ms, cancellable, reply_came, task);
}

/**
 * qmp_jobs_query_finish:
 * @result: what the callback was given
 * @error: where to put an error
 *
 * Errors: %QMP_ERROR_PROTOCOL for a reply that makes no sense; those of
 * qmp_client_execute_finish().
 *
 * Returns: (transfer full) (element-type QmpJobInfo): the jobs, those not dismissed included
 */
GPtrArray *
qmp_jobs_query_finish (GAsyncResult  *result,
                       GError       **error)
{
  g_return_val_if_fail (G_IS_TASK (result), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
