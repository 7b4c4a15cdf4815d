/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to look at a guest's disks: jobs first (a concluded stream job makes the question
 * for the block graph deadly), then the graph, then the files. */

#include "inspect.h"

#include <core/error.h>

#include "guest-errors.h"
#include "migration.h"
#include "reply.h"

typedef struct
{
  Guest      *guest;
  QmpClient  *client;
  char      **exports;          /* (nullable) */
  Inspection *inspection;
} Look;

void
inspection_free (Inspection *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->disks, g_ptr_array_unref);
  g_clear_pointer (&self->jobs, g_ptr_array_unref);
  g_clear_object (&self->graph);
  g_free (self);
}

static void
look_free (Look *self)
{
  g_clear_object (&self->guest);
  g_clear_object (&self->client);
  g_strfreev (self->exports);
  inspection_free (self->inspection);
  g_free (self);
}

static void
fail (GTask *task, GError *error)
{
  Look *look = g_task_get_task_data (task);

  g_task_return_error (task, guest_error_name (look->guest, error));
}

static void
look_at_files (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (disks_look_at_files (task_data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_files (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *look = g_task_get_task_data (task);
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_pointer (task, g_steal_pointer (&look->inspection),
                           (GDestroyNotify) inspection_free);
  else
    g_task_return_error (task, error);
}

static void
on_graph (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *look = g_task_get_task_data (task);
  g_autofree char *folder = guest_dup_folder (look->guest);
  g_autoptr (GTask) files = NULL;
  GError *error = NULL;

  look->inspection->graph = qmp_graph_read_finish (result, &error);
  if (look->inspection->graph == NULL)
    {
      fail (task, error);
      return;
    }
  look->inspection->disks = disks_from_graph (look->inspection->graph, folder,
                                              (const char *const *) look->exports);
  /* The thread has the disks alone: guests are let go of here. */
  files = g_task_new (NULL, NULL, on_files, g_object_ref (task));
  g_task_set_task_data (files, g_ptr_array_ref (look->inspection->disks),
                        (GDestroyNotify) g_ptr_array_unref);
  g_task_run_in_thread (files, look_at_files);
}

static void
on_exports (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *look = g_task_get_task_data (task);
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;
  JsonArray *array;

  reply = qmp_client_execute_finish (look->client, result, &error);
  if (reply == NULL)
    {
      fail (task, error);
      return;
    }
  array = JSON_NODE_HOLDS_ARRAY (reply) ? json_node_get_array (reply) : NULL;
  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      const char *node = reply_text (json_array_get_element (array, i), "node-name");

      if (node != NULL)
        g_strv_builder_add (names, node);
    }
  look->exports = g_strv_builder_end (names);
  qmp_graph_read_async (look->client, GUEST_COMMAND_DEADLINE_MS, g_task_get_cancellable (task),
                        on_graph, g_object_ref (task));
}

static void
read_graph (GTask *task)
{
  Look *look = g_task_get_task_data (task);

  if (guest_get_kind (look->guest) == GUEST_KIND_STORAGE_DAEMON)
    qmp_client_execute_async (look->client, "query-block-exports", NULL,
                              GUEST_COMMAND_DEADLINE_MS, g_task_get_cancellable (task),
                              on_exports, g_object_ref (task));
  else
    qmp_graph_read_async (look->client, GUEST_COMMAND_DEADLINE_MS, g_task_get_cancellable (task),
                          on_graph, g_object_ref (task));
}

static void
on_migration (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *look = g_task_get_task_data (task);
  GError *error = NULL;

  if (migration_ask_finish (result, &look->inspection->migrating, &error))
    read_graph (task);
  else
    fail (task, error);
}

static void
ask_migration (GTask *task)
{
  Look *look = g_task_get_task_data (task);

  migration_ask_async (look->guest, g_task_get_cancellable (task), on_migration,
                       g_object_ref (task));
}

static void
on_iothreads (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *look = g_task_get_task_data (task);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (look->client, result, &error);
  if (reply == NULL)
    {
      fail (task, error);
      return;
    }
  look->inspection->reopen_kills = JSON_NODE_HOLDS_ARRAY (reply)
                                   && json_array_get_length (json_node_get_array (reply)) > 0;
  ask_migration (task);
}

/* Seen on 7.2 and not on 10.0: "qemu_mutex_unlock_impl: Operation not permitted", SIGABRT. The
 * locks in question went with 9.0, which no command tells; backing-mask-protocol came with it. */
static gboolean
has_context_locks (Guest *guest)
{
  QmpFeatures *features = guest_get_features (guest);

  return qmp_features_has_command (features, "query-iothreads")
         && !qmp_features_has_argument (features, "block-commit", "backing-mask-protocol");
}

/* Those of ours dismiss themselves; another client may have left one. */
static GError *
find_trap (GPtrArray *jobs)
{
  for (guint i = 0; i < jobs->len; i++)
    {
      const QmpJobInfo *job = g_ptr_array_index (jobs, i);

      if (job->state == QMP_JOB_CONCLUDED && g_strcmp0 (job->type, "stream") == 0)
        return agent_error_new (AGENT_ERROR_UNAVAILABLE, "try again; if it is not ours, dismiss it "
                                "(job-dismiss)",
                                "the stream job \"%s\" has concluded and is not dismissed: QEMU "
                                "would crash if it was asked for its block nodes", job->id);
    }
  return NULL;
}

static void
on_jobs (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *look = g_task_get_task_data (task);
  GError *error = NULL;

  look->inspection->jobs = qmp_jobs_query_finish (result, &error);
  if (look->inspection->jobs != NULL)
    error = find_trap (look->inspection->jobs);
  if (error != NULL)
    fail (task, error);
  else if (has_context_locks (look->guest))
    qmp_client_execute_async (look->client, "query-iothreads", NULL, GUEST_COMMAND_DEADLINE_MS,
                              g_task_get_cancellable (task), on_iothreads, g_object_ref (task));
  else
    ask_migration (task);
}

/**
 * inspect_async:
 * @guest: an attached guest
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Looks at the guest's jobs, block graph and files.
 */
void
inspect_async (Guest *guest, GCancellable *cancellable, GAsyncReadyCallback callback,
               gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  GError *error = NULL;
  QmpClient *client = guest_require_client (guest, &error);
  Look *look;

  if (client == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  look = g_new0 (Look, 1);
  look->guest = g_object_ref (guest);
  look->client = g_object_ref (client);
  look->inspection = g_new0 (Inspection, 1);
  g_task_set_task_data (task, look, (GDestroyNotify) look_free);
  qmp_jobs_query_async (client, GUEST_COMMAND_DEADLINE_MS, cancellable, on_jobs,
                        g_object_ref (task));
}

/**
 * inspect_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT or GUEST
 *
 * Returns: (transfer full): how the disks stand
 */
Inspection *
inspect_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * inspection_check:
 * @self: how the guest's disks stand
 * @expected: what a plan took one of them for
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Somebody else may have resized a disk, or begun to move the guest away, since the plan was made.
 *
 * Returns: whether all is as it was
 */
gboolean
inspection_check (const Inspection *self, const ExpectedDisk *expected, GError **error)
{
  if (self->migrating)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "wait until the migration has ended",
                       "the guest is being migrated");
      return FALSE;
    }
  for (guint i = 0; i < self->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (self->disks, i);
      const Layer *active = disk_get_active (disk);

      if (active != NULL && active->known
          && g_strcmp0 (active->node, expected->active_node) == 0
          && (expected->root_node == NULL || g_strcmp0 (disk->root, expected->root_node) == 0)
          && file_facts_are (&active->facts, expected->dev, expected->ino)
          && active->virtual_size == expected->virtual_size)
        return TRUE;
    }
  agent_set_error (error, AGENT_ERROR_CONFLICT, "try again",
                   "disk %s is not any more what it was when this was planned: it has another "
                   "active layer or another size", expected->disk);
  return FALSE;
}
