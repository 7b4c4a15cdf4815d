/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what is left to do once layers are one: their points and images are in another file, their
 * nodes are nobody's, and so are the files. What can still be needed stays. */

#include "moves.h"

#include <core/error.h>

#include "../guest-errors.h"
#include "../image-records.h"
#include "../node-batch.h"
#include "leftovers.h"

typedef struct
{
  MovesJob  *job;
  GTask     *step;
  FileFacts *into;              /* as they are now: one for each move */
  FileFacts *above;
  gboolean  *upper_is_there;
  Leftovers *leftovers;         /* (nullable) */
} Settling;

static void
settling_finish (Settling *self, GError *error)
{
  moves_job_save (self->job, operation_get_plan (self->job->operation));
  if (error == NULL)
    g_task_return_boolean (self->step, TRUE);
  else
    g_task_return_error (self->step, guest_error_name (self->job->guest, error));
  g_object_unref (self->step);
  g_clear_pointer (&self->leftovers, leftovers_free);
  g_free (self->into);
  g_free (self->above);
  g_free (self->upper_is_there);
  g_free (self);
}

static gboolean
is_to_settle (MovesJob *job, guint index)
{
  return job->fates[index].merged && !((ChainMove *) g_ptr_array_index (job->moves, index))->done;
}

/* --- points --- */

static gboolean
forget (MovesJob *job, Journal *journal, GError **error)
{
  const char *guest = operation_get_guest (job->operation);

  for (guint i = 0; job->forget != NULL && job->forget[i] != NULL; i++)
    if (!points_forget (journal, job->forget[i], error))
      return FALSE;
  for (guint i = 0; i < job->moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (job->moves, i);

      /* What the uppermost shows, the result will show. */
      for (guint j = 0; j + 1 < move->files->len; j++)
        {
          const ChainFile *file = g_ptr_array_index (move->files, j);

          if ((move->kind == MOVE_COMMIT || !file->stays)
              && !points_forget_layer (journal, guest, (guint64) file->dev, (guint64) file->ino,
                                       error))
            return FALSE;
        }
    }
  for (guint i = 0; i < job->remove->len; i++)
    {
      const ChainFile *file = g_ptr_array_index (job->remove, i);

      if (!points_forget_layer (journal, guest, (guint64) file->dev, (guint64) file->ino, error))
        return FALSE;
    }
  return TRUE;
}

/* What a commit of the layers above has put below them shows through these, as they are. */
static gboolean
spend_between (const ChainMove *move, Journal *journal, GError **error)
{
  for (guint i = 1; i + 1 < move->files->len; i++)
    {
      const FileFacts facts = chain_file_facts (g_ptr_array_index (move->files, i));

      if (!image_records_spend_layer (journal, &facts, &facts, error))
        return FALSE;
    }
  return TRUE;
}

/* That a device is written to shows by nothing: from here on it is spent. Of a file see
 * record_remains(). */
static gboolean
spend_devices (MovesJob *job, Journal *journal, GError **error)
{
  for (guint i = 0; i < job->moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (job->moves, i);
      const FileFacts then = chain_file_facts (chain_move_into (move));
      FileFacts facts = { 0 };

      if (move->kind == MOVE_COMMIT && files_look (chain_move_into (move)->path, &facts, NULL)
          && facts.block_device
          && !(image_records_spend_layer (journal, &then, &then, error)
               && spend_between (move, journal, error)))
        return FALSE;
    }
  return TRUE;
}

/**
 * moves_forget_points:
 * @step: (transfer full): returned when the journal knows it
 * @user_data: the job
 *
 * A point that is listed is exact: before the first byte goes into a layer its points are none.
 */
void
moves_forget_points (GTask *step, gpointer user_data)
{
  MovesJob *job = user_data;
  Journal *journal = operations_get_journal (job->operations);
  GError *error = NULL;

  if (!journal_begin (journal, &error))
    g_task_return_error (step, error);
  else if (!forget (job, journal, &error) || !spend_devices (job, journal, &error))
    {
      journal_rollback (journal);
      g_task_return_error (step, error);
    }
  else if (!journal_commit (journal, &error))
    g_task_return_error (step, error);
  else
    g_task_return_boolean (step, TRUE);
  g_object_unref (step);
}

static gboolean
record_move (Settling *self, guint index, Journal *journal, GError **error)
{
  const ChainMove *move = g_ptr_array_index (self->job->moves, index);
  const ChainFile *upper = chain_move_upper (move);
  const ChainFile *into = chain_move_into (move);
  const FileFacts upper_then = chain_file_facts (upper);

  /* An inode is used again once the file is gone: then this was done before. */
  if (move->kind == MOVE_COMMIT && self->upper_is_there[index]
      && !points_move_layer (journal, operation_get_guest (self->job->operation),
                             &upper_then, into->path, into->format, &self->into[index], error))
    return FALSE;
  if (!image_records_move_layer (journal, &upper_then, into->path, &self->into[index], error))
    return FALSE;
  if (move->kind == MOVE_COMMIT && move->above != NULL
      && !moves_job_shares_above (self->job, index))
    {
      const FileFacts above_then = chain_file_facts (move->above);

      return image_records_move_layer (journal, &above_then, move->above->path,
                                       &self->above[index], error);
    }
  return TRUE;
}

/* The file that was to take the data holds some of it, maybe. Of a stream it shows what it did. */
static gboolean
record_remains (Settling *self, guint index, Journal *journal, GError **error)
{
  const ChainMove *move = g_ptr_array_index (self->job->moves, index);
  const ChainFile *into = chain_move_into (move);
  const FileFacts then = chain_file_facts (into);
  const FileFacts *now = &self->into[index];

  if (now->ino == 0 || (now->size == then.size && now->mtime_ns == then.mtime_ns))
    return TRUE;
  return move->kind == MOVE_COMMIT
         ? image_records_spend_layer (journal, &then, now, error)
           && spend_between (move, journal, error)
         : image_records_move_layer (journal, &then, into->path, now, error);
}

static gboolean
record_one (Settling *self, guint index, Journal *journal, GError **error)
{
  if (is_to_settle (self->job, index))
    return record_move (self, index, journal, error);
  return self->job->fates[index].merged || record_remains (self, index, journal, error);
}

static gboolean
record (Settling *self, GError **error)
{
  Journal *journal = operations_get_journal (self->job->operations);

  if (!journal_begin (journal, error))
    return FALSE;
  for (guint i = 0; i < self->job->moves->len; i++)
    if (!record_one (self, i, journal, error))
      {
        journal_rollback (journal);
        return FALSE;
      }
  return journal_commit (journal, error);
}

/* --- files that nobody needs --- */

static void
add_paths (JsonObject *told, const char *member, GPtrArray *paths)
{
  JsonArray *list = json_array_new ();

  for (guint i = 0; i < paths->len; i++)
    json_array_add_string_element (list, g_ptr_array_index (paths, i));
  json_object_set_array_member (told, member, list);
}

static void
on_removed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Settling *self = user_data;
  JsonObject *told = operation_get_result (self->job->operation);
  GError *error = NULL;

  if (!leftovers_remove_finish (result, &error))
    {
      settling_finish (self, error);
      return;
    }
  add_paths (told, "removed", self->leftovers->removed);
  add_paths (told, "left", self->leftovers->left);
  for (guint i = 0; i < self->job->moves->len; i++)
    if (is_to_settle (self->job, i))
      ((ChainMove *) g_ptr_array_index (self->job->moves, i))->done = TRUE;
  settling_finish (self, NULL);
}

static void
add_leaving (Leftovers *leftovers, const ChainMove *move)
{
  for (guint i = 0; i < move->files->len; i++)
    {
      const ChainFile *file = g_ptr_array_index (move->files, i);

      if (file != chain_move_into (move) && !file->stays)
        leftovers_add (leftovers, file);
    }
}

static void
remove_files (Settling *self, Inspection *inspection)
{
  MovesJob *job = self->job;
  GError *error = NULL;
  gboolean all = TRUE;

  self->leftovers = leftovers_new (job->operations, operation_get_guest (job->operation),
                                   inspection, &error);
  if (self->leftovers == NULL)
    {
      settling_finish (self, error);
      return;
    }
  for (guint i = 0; i < job->moves->len; i++)
    {
      all = all && job->fates[i].merged;
      if (is_to_settle (job, i))
        add_leaving (self->leftovers, g_ptr_array_index (job->moves, i));
    }
  for (guint i = 0; all && i < job->remove->len; i++)
    leftovers_add (self->leftovers, g_ptr_array_index (job->remove, i));
  leftovers_remove_async (self->leftovers, on_removed, self);
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Settling *self = user_data;
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL)
    remove_files (self, inspection);
  else
    settling_finish (self, error);
}

/* --- nodes that nobody needs --- */

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Settling *self = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    inspect_async (self->job->guest, NULL, on_inspected, self);
  else
    settling_finish (self, error);
}

static void
add_closing (QmpBatch *batch, const MovesJob *job, guint index)
{
  const ChainMove *move = g_ptr_array_index (job->moves, index);
  g_autofree char *id = moves_job_id (job, index);

  /* Of a pivot; it lets go of the nodes. */
  qmp_batch_add_tolerant (batch, "job-dismiss", qmp_args ("id", "s", id, NULL));
  /* From the top: what stands on another node holds it. */
  for (guint i = move->files->len; i-- > 0;)
    {
      const ChainFile *file = g_ptr_array_index (move->files, i);

      if (file == chain_move_into (move) || file->node == NULL)
        continue;
      node_batch_delete (batch, file->node);
      if (file->file_node != NULL)
        node_batch_delete (batch, file->file_node);
    }
}

/* What -drive has opened QEMU closes by itself; what anybody uses it does not let go. Names belong
 * to the process that the plan was made for. */
static void
close_nodes (Settling *self)
{
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  const Peer *peer = &self->job->pivots.peer;
  GError *error = NULL;
  QmpClient *client;

  client = guest_require_client (peer->guest, &error);
  if (client == NULL)
    {
      settling_finish (self, error);
      return;
    }
  for (guint i = 0; peer_is_same (peer) && i < self->job->moves->len; i++)
    if (is_to_settle (self->job, i))
      add_closing (batch, self->job, i);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_closed, self);
}

/* A plan that was made without a guest may find one by now. */
static gboolean
has_guest (MovesJob *job)
{
  if (job->guest != NULL && guest_get_client (job->guest) != NULL)
    return TRUE;
  return job->pivots.peer.start_time != 0 && !peer_is_gone (&job->pivots.peer);
}

/* --- headers --- */

static gboolean
look_at (const ChainFile *file, FileFacts *facts, GError **error)
{
  g_autoptr (GError) problem = NULL;

  if (!files_settle (file->path, error))
    return FALSE;
  if (files_look (file->path, facts, &problem) && file_facts_are (facts, file->dev, file->ino))
    return TRUE;
  if (problem != NULL)
    g_propagate_error (error, g_steal_pointer (&problem));
  else
    agent_set_error (error, AGENT_ERROR_CONFLICT, "it is tried again",
                     "%s is another file by now", file->path);
  return FALSE;
}

static gboolean
look_above (Settling *self, guint index, GError **error)
{
  const ChainMove *move = g_ptr_array_index (self->job->moves, index);
  FileFacts facts = { 0 };

  if (move->kind != MOVE_COMMIT || move->above == NULL)
    return TRUE;
  if (!moves_job_shares_above (self->job, index))
    return look_at (move->above, &self->above[index], error);
  /* It may be gone by now. */
  return !files_look (move->above->path, &facts, NULL)
         || !file_facts_are (&facts, move->above->dev, move->above->ino)
         || files_settle (move->above->path, error);
}

/* Of one that has come to nothing. */
static void
look_at_remains (const ChainFile *file, FileFacts *facts)
{
  FileFacts found = { 0 };

  if (files_look (file->path, &found, NULL) && file_facts_are (&found, file->dev, file->ino))
    *facts = found;
}

static void
settle_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Settling *self = task_data;
  GError *error = NULL;

  for (guint i = 0; i < self->job->moves->len; i++)
    {
      const ChainMove *move = g_ptr_array_index (self->job->moves, i);
      const ChainFile *upper = chain_move_upper (move);
      FileFacts facts = { 0 };

      if (!self->job->fates[i].merged)
        look_at_remains (chain_move_into (move), &self->into[i]);
      if (!is_to_settle (self->job, i))
        continue;
      if (!look_at (chain_move_into (move), &self->into[i], &error)
          || !look_above (self, i, &error))
        {
          g_task_return_error (task, error);
          return;
        }
      self->upper_is_there[i] = files_look (upper->path, &facts, NULL)
                                && file_facts_are (&facts, upper->dev, upper->ino);
    }
  g_task_return_boolean (task, TRUE);
}

static void
on_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Settling *self = user_data;
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error) || !record (self, &error))
    settling_finish (self, error);
  else if (has_guest (self->job))
    close_nodes (self);
  else
    remove_files (self, NULL);
}

/* --- what has come of the pivots --- */

static Pivot *
find_pivot (MovesJob *job, guint index)
{
  g_autofree char *id = moves_job_id (job, index);

  for (guint i = 0; i < job->pivots.pivots->len; i++)
    {
      Pivot *pivot = g_ptr_array_index (job->pivots.pivots, i);

      if (g_strcmp0 (pivot->job, id) == 0)
        return pivot;
    }
  return NULL;
}

static void
take_pivot (MovesJob *job, guint index, const Pivot *pivot)
{
  ChainMove *move = g_ptr_array_index (job->moves, index);
  ChainFile *upper = chain_move_upper (move);

  if (pivot->state != PIVOT_DONE)
    {
      moves_job_fail (job, index, pivot->kept != NULL
                      ? agent_error_new (pivot->kept_code, NULL, "%s", pivot->kept)
                      : agent_error_new (AGENT_ERROR_CONFLICT, NULL, "the device stays"));
      return;
    }
  /* It may have been given a name for life. */
  g_free (upper->path);
  upper->path = g_strdup (pivot->from_path);
  move->moved = pivot->moved;
  moves_job_merged (job, index);
}

/**
 * moves_settle:
 * @step: (transfer full): returned when nothing is left to do
 * @user_data: the job
 */
void
moves_settle (GTask *step, gpointer user_data)
{
  MovesJob *job = user_data;
  Settling *self = g_new0 (Settling, 1);
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;

  self->job = job;
  self->step = step;
  self->into = g_new0 (FileFacts, job->moves->len + 1);
  self->above = g_new0 (FileFacts, job->moves->len + 1);
  self->upper_is_there = g_new0 (gboolean, job->moves->len + 1);
  if (!pivot_set_settled (&job->pivots, &error))
    {
      settling_finish (self, error);
      return;
    }
  for (guint i = 0; i < job->moves->len; i++)
    {
      const Pivot *pivot = find_pivot (job, i);

      if (pivot != NULL && !job->fates[i].merged)
        take_pivot (job, i, pivot);
    }
  task = g_task_new (NULL, NULL, on_settled, self);
  g_task_set_task_data (task, self, NULL);
  g_task_run_in_thread (task, settle_in_thread);
}

static gboolean
is_cause (const GError *failure)
{
  return failure != NULL && !g_error_matches (failure, AGENT_ERROR, AGENT_ERROR_CANCELLED);
}

/**
 * moves_check:
 * @step: (transfer full): fails when a move was not done
 * @user_data: the job
 *
 * What was called off was so for another's failure, unless by the caller.
 */
void
moves_check (GTask *step, gpointer user_data)
{
  MovesJob *job = user_data;
  const GError *failure = NULL;

  for (guint i = 0; i < job->moves->len; i++)
    if (failure == NULL || (!is_cause (failure) && is_cause (job->fates[i].failure)))
      failure = job->fates[i].failure;
  if (failure == NULL)
    g_task_return_boolean (step, TRUE);
  else
    g_task_return_error (step, g_error_copy (failure));
  g_object_unref (step);
}
