/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/client.h>

G_BEGIN_DECLS

/* The states of QEMU's JobStatus, in the order of its life (see qapi/job.json):
 *
 *   undefined -> created -> running <-> paused
 *                              |  \
 *                              |   ready <-> standby
 *                              v     v
 *                           waiting -> pending -> concluded -> null
 *                              \-> aborting ->-/
 */
typedef enum
{
  QMP_JOB_UNDEFINED,
  QMP_JOB_CREATED,
  QMP_JOB_RUNNING,
  QMP_JOB_PAUSED,
  QMP_JOB_READY,
  QMP_JOB_STANDBY,
  QMP_JOB_WAITING,
  QMP_JOB_PENDING,
  QMP_JOB_ABORTING,
  QMP_JOB_CONCLUDED,
  QMP_JOB_NULL,
} QmpJobState;

typedef struct
{
  char        *id;
  char        *type;            /* "commit", "stream", "mirror", "backup", "create", ... */
  QmpJobState  state;
  gint64       progress;        /* no unit: QEMU only promises that it grows */
  gint64       total;           /* may grow; progress == total says nothing of the state */
  char        *error;           /* (nullable): QEMU's words, once it failed */
} QmpJobInfo;

void       qmp_job_info_free (QmpJobInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpJobInfo, qmp_job_info_free)

const char *qmp_job_state_to_string (QmpJobState state);
gboolean    qmp_job_state_from_string (const char *text, QmpJobState *state);

/* All jobs of a QEMU, as query-jobs tells them. */
void        qmp_jobs_query_async  (QmpClient *client, guint deadline_ms, GCancellable *cancellable,
                                   GAsyncReadyCallback callback, gpointer user_data);
GPtrArray  *qmp_jobs_query_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

#define QMP_TYPE_JOB (qmp_job_get_type ())
G_DECLARE_FINAL_TYPE (QmpJob, qmp_job, QMP, JOB, GObject)

/* Signal "changed" (QmpJob *self): state moved, or progress was asked for and came. */

/* Watches a job by its id; make it before the command that starts the job is sent. */
QmpJob           *qmp_job_watch          (QmpClient *client, const char *id);
const QmpJobInfo *qmp_job_get_info       (QmpJob *self);

/* Waits until the job has reached @state or one after it. A job that fails or is cancelled before
 * that ends the wait with QMP_ERROR_JOB and QEMU's words. Catches up by query-jobs first. */
void              qmp_job_await_async    (QmpJob *self, QmpJobState state, guint deadline_ms,
                                          GCancellable *cancellable, GAsyncReadyCallback callback,
                                          gpointer user_data);
gboolean          qmp_job_await_finish   (QmpJob *self, GAsyncResult *result,
                                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Reads progress and error now. */
void              qmp_job_refresh_async  (QmpJob *self, guint deadline_ms,
                                          GCancellable *cancellable, GAsyncReadyCallback callback,
                                          gpointer user_data);
gboolean          qmp_job_refresh_finish (QmpJob *self, GAsyncResult *result,
                                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
