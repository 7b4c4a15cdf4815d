/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a running guest's layers become one while its device stays where it is: an intermediate
 * commit, or a stream. Neither is crash-safe by itself: QEMU writes the header that lets the merged
 * layers go before the data is on disk. So the job waits before its end (auto-finalize off) until
 * the data has been flushed.
 *
 *   look --> begin --> follow --> pending: flush --> finalize --> look --> settle the header
 *     ^                  |
 *     +--- it failed ----+
 *
 * A stream dismisses itself: as long as one stands concluded, QEMU dies of whoever asks for its
 * block graph. What it has come to shows in the graph; its words come with its last event. */

#include "move-run.h"

#include <core/error.h>
#include <errno.h>
#include <string.h>

#include "../control.h"
#include "../guest-errors.h"
#include "../prepare-check.h"

#define CONCLUDE_MS 60000       /* for what QEMU does at once unless its storage hangs */
#define REFUSED_MS  1000        /* where somebody else may have told it already */

typedef struct
{
  MovesJob  *job;
  guint      index;
  char      *id;                /* of its job */
  MoveWatch *watch;             /* (nullable) */
  gboolean   tried;             /* a job was begun, or found */
  gboolean   again;             /* it was begun once more, see has_header() */
  char      *words;             /* (nullable): of the job's failure */
  char      *into_node;         /* (nullable): what QEMU calls the file that takes the data, if that
                                 * is a name that it has made up */
  guint64    allocated;         /* bytes of the file that takes the data, before */
} MoveRun;

static void look (GTask *task);

static MoveRun *
run_of (GTask *task)
{
  return g_task_get_task_data (task);
}

static ChainMove *
move_of (GTask *task)
{
  MoveRun *self = run_of (task);

  return g_ptr_array_index (self->job->moves, self->index);
}

static void
run_free (MoveRun *self)
{
  g_clear_pointer (&self->watch, move_watch_free);
  g_free (self->id);
  g_free (self->words);
  g_free (self->into_node);
  g_free (self);
}

/* Takes @task and @error: nobody knows yet what becomes of the move. */
static void
leave (GTask *task, GError *error)
{
  g_clear_pointer (&run_of (task)->watch, move_watch_free);
  g_task_return_error (task, guest_error_name (run_of (task)->job->guest, error));
  g_object_unref (task);
}

/* Takes @task and @reason. */
static void
fail (GTask *task, GError *reason)
{
  MoveRun *self = run_of (task);

  g_clear_pointer (&self->watch, move_watch_free);
  moves_job_fail (self->job, self->index, guest_error_name (self->job->guest, reason));
  g_task_return_boolean (task, TRUE);
  g_object_unref (task);
}

/* Takes @task. */
static void
succeed (GTask *task)
{
  MoveRun *self = run_of (task);

  g_clear_pointer (&self->watch, move_watch_free);
  moves_job_merged (self->job, self->index);
  g_task_return_boolean (task, TRUE);
  g_object_unref (task);
}

static GError *
error_called_off (void)
{
  return agent_error_new (AGENT_ERROR_CANCELLED, NULL,
                          "it was called off; the chain is as it was");
}

/* --- the end --- */

static void
on_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  GError *error = NULL;

  /* That it ends with an error is what a cancel asks for; the graph tells the rest. */
  if (g_task_propagate_boolean (G_TASK (result), &error))
    look (task);
  else
    leave (task, error);
}

/* Cancelled, waited for, dismissed. */
static void
end_job (GTask *task)
{
  MoveRun *self = run_of (task);
  const char *const ids[] = { self->id, NULL };

  if (self->watch != NULL && self->words == NULL)
    self->words = g_strdup (move_watch_get_words (self->watch));
  g_clear_pointer (&self->watch, move_watch_free);
  peer_end_jobs (g_task_new (NULL, NULL, on_ended, task), &self->job->pivots.peer, ids);
}

/* Takes @error. The first words count. */
static void
note_words (MoveRun *self, GError *error)
{
  if (self->words == NULL)
    self->words = g_strdup (error->message);
  g_error_free (error);
}

static void
on_finalized (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  GError *error = NULL;

  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    end_job (task);
  else if (g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    {
      note_words (run_of (task), error);
      end_job (task);
    }
  else
    leave (task, error);
}

static void
on_finalize_sent (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  MoveRun *self = run_of (task);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL && !guest_error_is_refusal (error))
    {
      leave (task, error);
      return;
    }
  g_clear_error (&error);
  qmp_job_await_async (move_watch_get_job (self->watch),
                       move_of (task)->kind == MOVE_STREAM ? QMP_JOB_NULL : QMP_JOB_CONCLUDED,
                       reply != NULL ? CONCLUDE_MS : REFUSED_MS, NULL, on_finalized, task);
}

static void
on_flushed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  MoveRun *self = run_of (task);
  GError *error = NULL;
  QmpClient *client;

  if (!move_flush_finish (result, &error))
    {
      if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE))
        {
          leave (task, error);
          return;
        }
      note_words (self, error);
      end_job (task);
    }
  else if ((client = peer_client (&self->job->pivots.peer, &error)) == NULL)
    leave (task, error);
  else
    qmp_client_execute_async (client, "job-finalize", qmp_args ("id", "s", self->id, NULL),
                              GUEST_COMMAND_DEADLINE_MS, NULL, on_finalize_sent, task);
}

static void
on_measured (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  MoveRun *self = run_of (task);
  ChainMove *move = move_of (task);
  gint64 now = g_task_propagate_int (G_TASK (result), NULL);

  /* A stream writes what was not there; a commit may write over what is, and all of it was frozen
   * when its map was made. */
  if (move->kind == MOVE_STREAM && now >= (gint64) self->allocated && self->allocated != 0)
    move->moved = now - (gint64) self->allocated;
  else
    move->moved = move->estimate;
  move_flush_async (self->job, self->index, self->into_node, on_flushed, task);
}

static void
measure_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  FileFacts facts = { 0 };

  g_task_return_int (task, files_look (task_data, &facts, NULL) ? (gint64) facts.allocated : -1);
}

static void
measure (GTask *task, GAsyncReadyCallback callback)
{
  g_autoptr (GTask) measuring = g_task_new (NULL, NULL, callback, task);

  g_task_set_task_data (measuring, g_strdup (chain_move_into (move_of (task))->path), g_free);
  g_task_run_in_thread (measuring, measure_in_thread);
}

/* --- while it runs --- */

static void
on_pending (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  GError *error = NULL;

  if (move_watch_await_finish (result, &error))
    measure (task, on_measured);
  else if (g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB)
           || g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)
           || g_error_matches (error, AGENT_ERROR, AGENT_ERROR_TIMEOUT))
    {
      note_words (run_of (task), error);
      end_job (task);
    }
  else
    leave (task, error);
}

static void
follow (GTask *task)
{
  move_watch_await_async (run_of (task)->watch, on_pending, task);
}

static void
watch (GTask *task, QmpClient *client)
{
  MoveRun *self = run_of (task);

  self->tried = TRUE;
  g_clear_pointer (&self->watch, move_watch_free);
  self->watch = move_watch_new (self->job, self->index, client);
}

/* --- the beginning --- */

static void
on_begun (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    follow (task);
  else if (guest_error_is_refusal (error))
    fail (task, error);
  else
    leave (task, error);
}

static JsonNode *
commit_arguments (MoveRun *self, const ChainMove *move, Disk *disk, gint64 speed)
{
  return qmp_args ("job-id", "s", self->id,
                   "device", "s", disk->root,
                   "top-node", "s", chain_file_find (chain_move_upper (move), disk, NULL)->node,
                   "base-node", "s", chain_file_find (chain_move_into (move), disk, NULL)->node,
                   "backing-file", "s", move->backing_name,
                   "speed", "i", speed,
                   "on-error", "s", self->job->on_error,
                   "auto-finalize", "b", FALSE,
                   "auto-dismiss", "b", FALSE,
                   NULL);
}

static JsonNode *
stream_arguments (MoveRun *self, const ChainMove *move, Disk *disk, gint64 speed)
{
  const Layer *below = move->below != NULL ? chain_file_find (move->below, disk, NULL) : NULL;

  return qmp_args ("job-id", "s", self->id,
                   "device", "s", chain_file_find (chain_move_into (move), disk, NULL)->node,
                   "base-node", "s", below != NULL ? below->node : NULL,
                   "backing-file", "s", below != NULL ? move->backing_name : NULL,
                   "speed", "i", speed,
                   "on-error", "s", self->job->on_error,
                   "auto-finalize", "b", FALSE,
                   "auto-dismiss", "b", TRUE,
                   NULL);
}

static void
begin (GTask *task, Disk *disk)
{
  MoveRun *self = run_of (task);
  ChainMove *move = move_of (task);
  const Layer *into = chain_file_find (chain_move_into (move), disk, NULL);
  gboolean is_commit = move->kind == MOVE_COMMIT;
  gint64 speed = control_speed (self->job->operation, move->speed);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  GError *error = NULL;
  QmpClient *client = peer_client (&self->job->pivots.peer, &error);

  if (client == NULL)
    {
      leave (task, error);
      return;
    }
  if (move->below != NULL && chain_file_find (move->below, disk, NULL) == NULL)
    {
      fail (task, agent_error_new (AGENT_ERROR_CONFLICT, "ask again",
                                   "%s is not in the chain of disk %s any more",
                                   move->below->path, disk->name));
      return;
    }
  move->begun = TRUE;
  self->allocated = into->facts.allocated;
  /* One that QEMU has named itself; of others their place in its graph is asked for then. */
  self->into_node = into->auto_named ? g_strdup (into->node) : NULL;
  watch (task, client);
  qmp_batch_add (batch, is_commit ? "block-commit" : "block-stream",
                 is_commit ? commit_arguments (self, move, disk, speed)
                           : stream_arguments (self, move, disk, speed));
  control_add_pause (batch, self->job->operation, self->id);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_begun, task);
}

/* --- looking --- */

/* QEMU's words are strerror's. */
static GError *
error_of_job (MoveRun *self)
{
  const char *words = self->words != NULL ? self->words
                      : "its job has ended, and the chain is as it was";
  gboolean is_full = strstr (words, g_strerror (ENOSPC)) != NULL;

  return agent_error_new (is_full ? AGENT_ERROR_NO_SPACE : AGENT_ERROR_GUEST,
                          is_full ? "make room, then ask again" : NULL, "%s", words);
}

static void
has_header_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  MoveStand stand;

  g_task_return_boolean (task, move_stand_on_disk (move_of (task_data), &stand, NULL)
                               && stand == MOVE_MERGED);
}

static void
on_header (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  MoveRun *self = run_of (task);

  if (!g_task_propagate_boolean (G_TASK (result), NULL))
    {
      fail (task, error_of_job (self));
      return;
    }
  self->again = TRUE;
  self->tried = FALSE;
  g_clear_pointer (&self->words, g_free);
  look (task);
}

/* Whether a stream's file stands on what it should while QEMU has it on what it stood on: somebody
 * else has finished the job just before the file was opened again as it was (move-flush.c). Once
 * more, then: there is nothing left to copy. */
static void
has_header (GTask *task)
{
  g_autoptr (GTask) looking = g_task_new (NULL, NULL, on_header, task);

  g_task_set_task_data (looking, task, NULL);
  g_task_run_in_thread (looking, has_header_in_thread);
}

static void
judge (GTask *task, MoveStand stand, Disk *disk, const Inspection *inspection)
{
  MoveRun *self = run_of (task);
  GError *error = NULL;

  if (stand == MOVE_MERGED)
    succeed (task);
  else if (stand == MOVE_LOST)
    fail (task, agent_error_new (AGENT_ERROR_CONFLICT, "ask again",
                                 "the chain of disk %s is not what it was any more",
                                 move_of (task)->disk));
  else if (moves_job_is_over (self->job))
    fail (task, error_called_off ());
  else if (self->tried && !self->again && move_of (task)->kind == MOVE_STREAM)
    has_header (task);
  else if (self->tried)
    fail (task, error_of_job (self));
  else if (!peer_is_same (&self->job->pivots.peer))
    fail (task, agent_error_new (AGENT_ERROR_UNAVAILABLE, "ask again",
                                 "the guest was started anew before the layers were one; the "
                                 "chain is as it was"));
  else if (prepare_check_migration (self->job->guest, inspection, &error))
    begin (task, disk);
  else
    fail (task, error);
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;
  MoveStand stand;
  Disk *disk;

  inspection = inspect_finish (result, &error);
  if (inspection == NULL)
    {
      leave (task, error);
      return;
    }
  stand = move_stand_in (move_of (task), inspection->disks, &disk);
  judge (task, stand, disk, inspection);
}

static const QmpJobInfo *
find_job (GPtrArray *jobs, const char *id)
{
  for (guint i = 0; i < jobs->len; i++)
    {
      const QmpJobInfo *info = g_ptr_array_index (jobs, i);

      if (g_strcmp0 (info->id, id) == 0)
        return info;
    }
  return NULL;
}

/* One that was begun in a life before. */
static void
take_up (GTask *task, QmpClient *client, const QmpJobInfo *info)
{
  MoveRun *self = run_of (task);

  if (info->state >= QMP_JOB_ABORTING || moves_job_is_over (self->job))
    {
      self->tried = TRUE;
      g_free (self->words);
      self->words = g_strdup (info->error);
      end_job (task);
      return;
    }
  watch (task, client);
  follow (task);
}

static void
on_jobs (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  MoveRun *self = run_of (task);
  g_autoptr (GPtrArray) jobs = NULL;
  const QmpJobInfo *info;
  GError *error = NULL;
  QmpClient *client;

  jobs = qmp_jobs_query_finish (result, &error);
  info = jobs != NULL ? find_job (jobs, self->id) : NULL;
  client = jobs != NULL ? guest_require_client (self->job->guest, &error) : NULL;
  if (client == NULL)
    leave (task, error);
  else if (info != NULL)
    take_up (task, client, info);
  else
    inspect_async (self->job->guest, NULL, on_inspected, task);
}

/* --- without a guest --- */

static void
on_headers (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  GError *error = NULL;
  gssize stand = g_task_propagate_int (G_TASK (result), &error);

  if (error != NULL)
    fail (task, error);
  else if (stand == MOVE_MERGED)
    succeed (task);
  else
    fail (task, agent_error_new (AGENT_ERROR_UNAVAILABLE, "ask again; it can be done without the "
                                                          "guest, too",
                                 "the guest ended before the layers were one; nothing is lost, and "
                                 "the chain is as it was"));
}

static void
read_headers (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  MoveStand stand;
  GError *error = NULL;

  if (move_stand_on_disk (task_data, &stand, &error))
    g_task_return_int (task, stand);
  else
    g_task_return_error (task, error);
}

static void
look_without_guest (GTask *task)
{
  g_autoptr (GTask) reading = g_task_new (NULL, NULL, on_headers, task);

  g_task_set_task_data (reading, move_of (task), NULL);
  g_task_run_in_thread (reading, read_headers);
}

/* Jobs first: a stream that stands concluded makes the question for the graph deadly. */
static void
look (GTask *task)
{
  MoveRun *self = run_of (task);
  GError *error = NULL;
  QmpClient *client;

  if (peer_is_gone (&self->job->pivots.peer))
    look_without_guest (task);
  else if ((client = guest_require_client (self->job->guest, &error)) == NULL)
    leave (task, error);
  else
    qmp_jobs_query_async (client, GUEST_COMMAND_DEADLINE_MS, NULL, on_jobs, task);
}

/**
 * move_run_async:
 * @job: a job
 * @index: one of its moves, of a guest that runs, or ran when it was planned
 * @callback: called with the result
 * @user_data: for @callback
 */
void
move_run_async (MovesJob *job, guint index, GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);
  MoveRun *self = g_new0 (MoveRun, 1);

  self->job = job;
  self->index = index;
  self->id = moves_job_id (job, index);
  g_task_set_task_data (task, self, (GDestroyNotify) run_free);
  look (task);
}

/**
 * move_run_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT, GUEST: it is to be asked again
 *
 * Returns: whether the move's fate is known
 */
gboolean
move_run_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
