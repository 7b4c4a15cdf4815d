/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how jobs of ours are ended that no operation knows any more. One that waits to be finalized
 * holds the guest's writes; one that runs would write into a layer some day. */

#include "rebuild-parts.h"

#include <disk/names.h>
#include <string.h>

#include "guest-errors.h"
#include "rebuild-judge.h"
#include "snapshot-plan.h"

#define JOB_DEADLINE_MS 10000
#define OUR_PREFIX      "qsnap-"

typedef struct
{
  Guest      *guest;
  QmpClient  *client;
  char      **owned;            /* ids of operations */
  GPtrArray  *jobs;             /* of QmpJobInfo: those of nobody */
  GPtrArray  *done;             /* of char * */
  QmpJob     *watched;          /* the one in hand */
  guint       next;
  guint       n_pending;
  guint       n_moved;
  StrayAction action;
} Strays;

static void
strays_free (Strays *self)
{
  g_object_unref (self->guest);
  g_object_unref (self->client);
  g_strfreev (self->owned);
  g_clear_pointer (&self->jobs, g_ptr_array_unref);
  g_clear_pointer (&self->done, g_ptr_array_unref);
  g_clear_object (&self->watched);
  g_free (self);
}

static void end_next (GTask *task);

static void
fail (GTask *task, GError *error)
{
  Strays *self = g_task_get_task_data (task);

  g_task_return_error (task, guest_error_name (self->guest, error));
}

static gboolean
pivots (const QmpJobInfo *job)
{
  return g_strcmp0 (job->type, "commit") == 0 || g_strcmp0 (job->type, "mirror") == 0;
}

static const char *
current_id (const Strays *self)
{
  return ((const QmpJobInfo *) g_ptr_array_index (self->jobs, self->next))->id;
}

static void
on_dismissed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Strays *self = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) reply = qmp_client_execute_finish (self->client, result, &error);

  /* One that dismisses itself is gone. */
  if (reply == NULL)
    g_debug ("job %s: %s", current_id (self), error->message);
  self->next++;
  end_next (task);
}

static void
dismiss (GTask *task)
{
  Strays *self = g_task_get_task_data (task);

  g_clear_object (&self->watched);
  qmp_client_execute_async (self->client, "job-dismiss", qmp_args ("id", "s", current_id (self),
                                                                   NULL),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_dismissed, g_object_ref (task));
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Strays *self = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;

  /* One that was cancelled has failed, to who waits for its end. */
  if (!qmp_job_await_finish (self->watched, result, &error)
      && !g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    fail (task, g_steal_pointer (&error));
  else
    dismiss (task);
}

static void
on_told (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Strays *self = g_task_get_task_data (task);
  GError *error = NULL;
  g_autoptr (JsonNode) reply = qmp_client_execute_finish (self->client, result, &error);

  if (reply == NULL)
    fail (task, error);
  else
    qmp_job_await_async (self->watched, QMP_JOB_CONCLUDED, JOB_DEADLINE_MS, NULL, on_ended,
                         g_object_ref (task));
}

static void
end_next (GTask *task)
{
  static const char *const words[] = { "cancelled", "finalized", "dismissed", "left alone" };
  Strays *self = g_task_get_task_data (task);
  const QmpJobInfo *job;

  if (self->next == self->jobs->len)
    {
      g_task_return_pointer (task, g_steal_pointer (&self->done),
                             (GDestroyNotify) g_ptr_array_unref);
      return;
    }
  job = g_ptr_array_index (self->jobs, self->next);
  self->action = rebuild_judge_stray (job->state == QMP_JOB_PENDING,
                                      job->state >= QMP_JOB_CONCLUDED, pivots (job),
                                      self->n_pending, self->n_moved);
  g_ptr_array_add (self->done,
                   g_strdup_printf ("job %s (%s), which no operation knows, was %s", job->id,
                                    job->type, words[self->action]));
  if (self->action == STRAY_LEAVE)
    {
      self->next++;
      end_next (task);
      return;
    }
  if (self->action == STRAY_DISMISS)
    {
      dismiss (task);
      return;
    }
  self->watched = qmp_job_watch (self->client, job->id);
  qmp_client_execute_async (self->client,
                            self->action == STRAY_FINALIZE ? "job-finalize" : "job-cancel",
                            qmp_args ("id", "s", job->id, NULL), GUEST_COMMAND_DEADLINE_MS, NULL,
                            on_told, g_object_ref (task));
}

/* A job has its target open: a layer below, or a node of ours beside the chain. QEMU's filters call
 * themselves as the file does that they are on. */
static gboolean
is_in_reach (QmpGraph *graph, const Disk *disk, const Layer *active, const FileFacts *file)
{
  const QmpNode *own = qmp_graph_find_node (graph, active->file_node);
  GPtrArray *nodes = qmp_graph_get_nodes (graph);

  for (guint i = 1; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      if (layer->known && file_facts_agree (&layer->facts, file))
        return TRUE;
    }
  for (guint i = 0; i < nodes->len; i++)
    {
      const QmpNode *node = g_ptr_array_index (nodes, i);
      FileFacts facts = { 0 };

      if (g_str_has_prefix (node->name, OUR_PREFIX) && node->filename != NULL
          && g_path_is_absolute (node->filename)
          && (own == NULL || g_strcmp0 (node->filename, own->filename) != 0)
          && files_look (node->filename, &facts, NULL) && file_facts_agree (&facts, file))
        return TRUE;
    }
  return FALSE;
}

/* Whether the disk is started from another file than its device is on. Since its own start QEMU has
 * that open by the disk's name, which now tells of the other file; else by a layer's name. */
static gboolean
is_moved (QmpGraph *graph, Disk *disk)
{
  const Layer *active = disk_get_active (disk);
  g_autofree char *published = NULL;
  FileFacts facts = { 0 };

  if (active == NULL || !active->known || active->path == NULL)
    return FALSE;
  if (is_in_reach (graph, disk, active, &active->facts))
    return TRUE;
  return names_split_layer (active->path, &published, NULL)
         && files_look (published, &facts, NULL)
         && !file_facts_agree (&facts, &active->facts)
         && is_in_reach (graph, disk, active, &facts);
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Strays *self = g_task_get_task_data (task);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  for (guint i = 0; i < inspection->disks->len; i++)
    self->n_moved += is_moved (inspection->graph, g_ptr_array_index (inspection->disks, i)) ? 1 : 0;
  end_next (task);
}

static gboolean
is_owned (const char *job, const char *const *owned)
{
  for (guint i = 0; owned[i] != NULL; i++)
    {
      g_autofree char *prefix = snapshot_node_name (owned[i], 0, "");

      /* Up to the disk's number. */
      *(strrchr (prefix, '-') + 1) = '\0';
      if (g_str_has_prefix (job, prefix))
        return TRUE;
    }
  return FALSE;
}

static void
on_jobs (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Strays *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->jobs = qmp_jobs_query_finish (result, &error);
  if (self->jobs == NULL)
    {
      fail (task, error);
      return;
    }
  for (guint i = self->jobs->len; i-- > 0;)
    {
      const QmpJobInfo *job = g_ptr_array_index (self->jobs, i);

      if (!g_str_has_prefix (job->id, OUR_PREFIX)
          || is_owned (job->id, (const char *const *) self->owned))
        g_ptr_array_remove_index (self->jobs, i);
      else if (job->state == QMP_JOB_PENDING && pivots (job))
        self->n_pending++;
    }
  if (self->n_pending > 0)
    inspect_async (self->guest, NULL, on_inspected, g_object_ref (task));
  else
    end_next (task);
}

/**
 * rebuild_strays_async:
 * @guest: an attached guest
 * @owned: (array zero-terminated=1): ids of operations that look after their jobs themselves
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Ends each job of ours that none of these operations knows.
 */
void
rebuild_strays_async (Guest *guest, const char *const *owned, GAsyncReadyCallback callback,
                      gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Strays *self = g_new0 (Strays, 1);

  self->guest = g_object_ref (guest);
  self->client = g_object_ref (guest_get_client (guest));
  self->done = g_ptr_array_new_with_free_func (g_free);
  g_task_set_task_data (task, self, (GDestroyNotify) strays_free);
  self->owned = g_strdupv ((char **) owned);
  qmp_jobs_query_async (self->client, GUEST_COMMAND_DEADLINE_MS, NULL, on_jobs,
                        g_object_ref (task));
}

/**
 * rebuild_strays_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR GUEST, TIMEOUT, UNAVAILABLE
 *
 * Returns: (transfer full) (element-type utf8): a line about each
 */
GPtrArray *
rebuild_strays_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
