/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a mirror's target is opened in QEMU, and what is closed in the end. */

#include "mirror.h"

#include <core/error.h>
#include <string.h>

#include "../guest-errors.h"
#include "../node-batch.h"
#include "../pivot-facts.h"
#include "../told.h"

/* Takes @error. */
static void
step_failed (GTask *step, MirrorJob *job, GError *error)
{
  g_task_return_error (step, guest_error_name (job->guest, error));
  g_object_unref (step);
}

/* --- opening --- */

static JsonNode *
cache_options (const MirrorJob *self)
{
  return qmp_args ("direct", "b", self->cache_direct,
                   "no-flush", "b", self->cache_no_flush,
                   NULL);
}

static JsonNode *
nbd_server (const MirrorJob *self)
{
  if (self->path != NULL)
    return qmp_args ("type", "s", "unix", "path", "s", self->path, NULL);
  return qmp_args ("type", "s", "inet", "host", "s", self->nbd_host, "port", "s", self->nbd_port,
                   NULL);
}

static JsonNode *
protocol_node (const MirrorJob *self)
{
  if (self->target == MIRROR_TO_NBD)
    return qmp_args ("driver", "s", "nbd",
                     "node-name", "s", self->file_node,
                     "server", "n", nbd_server (self),
                     "export", "s", self->nbd_export,
                     "discard", "s", "unmap",
                     NULL);
  return qmp_args ("driver", "s", self->target == MIRROR_TO_DEVICE ? "host_device" : "file",
                   "node-name", "s", self->file_node,
                   "filename", "s", self->path,
                   "auto-read-only", "b", TRUE,
                   "discard", "s", "unmap",
                   "cache", "n", cache_options (self),
                   NULL);
}

/* What is there already and larger shows as much of it as the disk has. */
static JsonNode *
format_node (const MirrorJob *self)
{
  JsonNode *node = qmp_args ("driver", "s", self->format,
                             "node-name", "s", self->node,
                             "file", "s", self->file_node,
                             "detect-zeroes", "s", self->detect_zeroes,
                             "discard", "s", "unmap",
                             "cache", "n", cache_options (self),
                             NULL);
  JsonObject *options = json_node_get_object (node);

  if (strcmp (self->format, "raw") != 0 && self->backing_node != NULL)
    json_object_set_string_member (options, "backing", self->backing_node);
  else if (strcmp (self->format, "raw") != 0)
    json_object_set_null_member (options, "backing");
  else if (self->device_size > self->virtual_size)
    json_object_set_int_member (options, "size", self->virtual_size);
  return node;
}

/* An NBD server tells its size only now. */
static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  MirrorJob *job = g_task_get_task_data (step);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;
  QmpNode *node = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL)
    node = qmp_graph_find_node (inspection->graph, job->node);
  if (inspection != NULL && (node == NULL || node->virtual_size < job->virtual_size))
    error = agent_error_new (AGENT_ERROR_CONFLICT, "name a larger target",
                             "the target is too small for the disk's %" G_GINT64_FORMAT " bytes",
                             job->virtual_size);
  if (error != NULL)
    step_failed (step, job, error);
  else
    {
      mirror_job_pivot (job)->untried = TRUE;
      g_task_return_boolean (step, TRUE);
      g_object_unref (step);
    }
}

static void
on_opened (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  MirrorJob *job = g_task_get_task_data (step);
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    inspect_async (job->guest, NULL, on_inspected, step);
  else
    step_failed (step, job, error);
}

void
mirror_open (GTask *step, gpointer user_data)
{
  MirrorJob *job = user_data;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  GError *error = NULL;
  QmpClient *client = peer_client (&job->pivots.peer, &error);

  if (client == NULL)
    {
      step_failed (step, job, error);
      return;
    }
  g_task_set_task_data (step, job, NULL);
  qmp_batch_add (batch, "blockdev-add", protocol_node (job));
  qmp_batch_add (batch, "blockdev-add", format_node (job));
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_opened, step);
}

/* --- closing --- */

/* Whether the guest's device may be on the target, or the guest be started from it: then that is
 * not ours to take back. */
static gboolean
may_be_needed (MirrorJob *job, GError **error)
{
  const Pivot *pivot = mirror_job_pivot (job);
  PivotFacts facts = { 0 };

  if (pivot->way == PIVOT_COPY)
    return pivot->astray;
  if (pivot->published == NULL)
    return peer_is_gone (&job->pivots.peer);
  return !pivot_look_at_name (pivot, &facts, error) || !facts.name_on_from;
}

static void
tidy_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  MirrorJob *job = task_data;
  gboolean done = mirror_job_pivot (job)->state == PIVOT_DONE;
  gboolean ok;
  GError *error = NULL;

  if (done)
    ok = mirror_sync_file (job, &error);
  else if (may_be_needed (job, &error))
    ok = error == NULL;
  else
    {
      ok = mirror_remove_file (job, &error);
      /* Whoever has started the guest from it needs it when that has ended, too. */
      if (!ok && !peer_is_same (&job->pivots.peer)
          && g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT))
        {
          g_message ("operation %s: it stays: %s", operation_get_id (job->operation),
                     error->message);
          g_clear_error (&error);
          ok = TRUE;
        }
    }
  if (ok)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* Where the guest is to be started from by now; NULL for what has no path here. */
static const char *
path_of (const MirrorJob *job)
{
  const Pivot *pivot = mirror_job_pivot (job);

  if (pivot->published != NULL && !pivot->unpublish)
    return pivot->published;
  return job->target != MIRROR_TO_NBD ? job->path : NULL;
}

static void
tell (MirrorJob *job)
{
  const Pivot *pivot = mirror_job_pivot (job);
  JsonObject *told = told_find (job->operation, "disks", "disk", job->disk);

  if (told == NULL || pivot->state != PIVOT_DONE)
    return;
  json_object_remove_member (told, "kept");
  if (pivot->way == PIVOT_COPY)
    return;
  json_object_set_string_member (told, "left", pivot->from_path);
  if (path_of (job) == NULL)
    return;
  json_object_set_string_member (told, "path", path_of (job));
  json_object_set_string_member (operation_get_result (job->operation), "path", path_of (job));
}

static void
on_tidied (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  MirrorJob *job = g_task_get_task_data (G_TASK (result));
  GError *error = NULL;

  mirror_job_save (job, operation_get_plan (job->operation));
  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      step_failed (step, job, error);
      return;
    }
  tell (job);
  g_task_return_boolean (step, TRUE);
  g_object_unref (step);
}

static void
tidy (GTask *step, MirrorJob *job)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_tidied, step);

  g_task_set_task_data (task, job, NULL);
  g_task_run_in_thread (task, tidy_in_thread);
}

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  MirrorJob *job = g_task_get_task_data (step);
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    tidy (step, job);
  else
    step_failed (step, job, error);
}

/* QEMU keeps what was opened for it; what anybody uses refuses to go. */
static void
close_nodes (GTask *step, MirrorJob *job, QmpClient *client)
{
  const Pivot *pivot = mirror_job_pivot (job);
  gboolean moved = pivot->way == PIVOT_MIRROR && pivot->state == PIVOT_DONE;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  qmp_batch_add_tolerant (batch, "job-dismiss", qmp_args ("id", "s", pivot->job, NULL));
  for (guint i = 0; moved && job->left_nodes[i] != NULL; i++)
    node_batch_delete (batch, job->left_nodes[i]);
  if (!moved)
    {
      node_batch_delete (batch, job->node);
      node_batch_delete (batch, job->file_node);
    }
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_closed, step);
}

/* What was never begun is not there to be settled. */
void
mirror_close (GTask *step, gpointer user_data)
{
  MirrorJob *job = user_data;
  const Pivot *pivot = mirror_job_pivot (job);
  GError *error = NULL;
  QmpClient *client = NULL;

  g_task_set_task_data (step, job, NULL);
  if (pivot->state == PIVOT_RUNNING && !pivot_set_settled (&job->pivots, &error))
    step_failed (step, job, error);
  else if (peer_is_gone (&job->pivots.peer)
           || (job->guest != NULL && guest_get_client (job->guest) != NULL
               && !peer_is_same (&job->pivots.peer)))
    tidy (step, job);
  else if ((client = guest_require_client (job->guest, &error)) != NULL)
    close_nodes (step, job, client);
  else
    step_failed (step, job, error);
}
