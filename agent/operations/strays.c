/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what operations that have ended have left in a QEMU, and lets it go. */

#include "strays.h"

#include <errno.h>
#include <sys/stat.h>

#include <qmp/batch.h>

#include "guest-errors.h"
#include "known-disks.h"

#define OUR_PREFIX "qsnap-"

/**
 * strays_find_jobs:
 * @jobs: (element-type QmpJobInfo): all jobs of a QEMU on which no operation works
 *
 * One that has not ended may be somebody's way to finish what we began: it is nobody's stray.
 *
 * Returns: (transfer container) (element-type utf8): the ids of those to be dismissed
 */
GPtrArray *
strays_find_jobs (GPtrArray *jobs)
{
  GPtrArray *found = g_ptr_array_new ();

  for (guint i = 0; i < jobs->len; i++)
    {
      const QmpJobInfo *info = g_ptr_array_index (jobs, i);

      if (g_str_has_prefix (info->id, OUR_PREFIX) && info->state == QMP_JOB_CONCLUDED)
        g_ptr_array_add (found, info->id);
    }
  return found;
}

static gboolean
is_on_device (QmpGraph *graph, const QmpNode *node)
{
  GPtrArray *devices = qmp_graph_get_devices (graph);

  for (guint i = 0; i < devices->len; i++)
    if (((const QmpDevice *) g_ptr_array_index (devices, i))->root == node)
      return TRUE;
  return FALSE;
}

static gboolean
goes (QmpGraph *graph, const QmpNode *node, GHashTable *found, GHashTable *held)
{
  if (!g_str_has_prefix (node->name, OUR_PREFIX) || g_hash_table_contains (found, node)
      || (held != NULL && g_hash_table_contains (held, node->name)) || node->jobs->len > 0
      || is_on_device (graph, node))
    return FALSE;
  for (guint i = 0; i < node->parents->len; i++)
    if (!g_hash_table_contains (found, g_ptr_array_index (node->parents, i)))
      return FALSE;
  return TRUE;
}

/**
 * strays_find_nodes:
 * @graph: the nodes of a QEMU on which no operation works
 * @held: (nullable) (element-type utf8): a set of names of nodes that stay
 *
 * An export is not seen here: QEMU refuses to let its node go.
 *
 * Returns: (transfer container) (element-type utf8): the names of those to be closed, in this order
 */
GPtrArray *
strays_find_nodes (QmpGraph *graph, GHashTable *held)
{
  g_autoptr (GHashTable) found = g_hash_table_new (NULL, NULL);
  GPtrArray *nodes = qmp_graph_get_nodes (graph);
  GPtrArray *names = g_ptr_array_new ();
  guint before;

  do
    {
      before = names->len;
      for (guint i = 0; i < nodes->len; i++)
        {
          QmpNode *node = g_ptr_array_index (nodes, i);

          if (goes (graph, node, found, held))
            {
              g_hash_table_add (found, node);
              g_ptr_array_add (names, node->name);
            }
        }
    }
  while (names->len > before);
  return names;
}

/* --- letting go --- */

typedef struct
{
  Operations *operations;
  Guest      *guest;
  Inspection *inspection;
} Strays;

static void
strays_free (Strays *self)
{
  g_object_unref (self->operations);
  g_object_unref (self->guest);
  inspection_free (self->inspection);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Strays, strays_free)

/* The thread has these alone: guests are let go of in the main loop. */
typedef struct
{
  GPtrArray  *nodes;            /* of char * */
  GPtrArray  *paths;            /* of char *, beside them */
  GHashTable *held;             /* of char * */
} Look;

static void
look_free (Look *self)
{
  g_ptr_array_unref (self->nodes);
  g_ptr_array_unref (self->paths);
  g_hash_table_unref (self->held);
  g_free (self);
}

static Look *
look_new (const Inspection *inspection, GPtrArray *names)
{
  Look *self = g_new0 (Look, 1);

  self->nodes = g_ptr_array_new_with_free_func (g_free);
  self->paths = g_ptr_array_new_with_free_func (g_free);
  self->held = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      const QmpNode *node = qmp_graph_find_node (inspection->graph, name);

      /* What QEMU calls a format node tells its options too. */
      g_ptr_array_add (self->nodes, g_strdup (name));
      g_ptr_array_add (self->paths,
                       g_strdup (node->file != NULL ? node->file->filename : node->filename));
    }
  return self;
}

/* A disk that was unplugged, and may be plugged in again, has a name beside its layer's own: what a
 * guest is started from. */
static gboolean
may_be_disk (const char *path)
{
  struct stat status;

  if (path == NULL || !g_path_is_absolute (path))
    return TRUE;
  if (lstat (path, &status) != 0)
    return errno != ENOENT;
  return !S_ISREG (status.st_mode) || status.st_nlink > 1;
}

static void
look_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Look *self = task_data;

  for (guint i = 0; i < self->nodes->len; i++)
    if (may_be_disk (g_ptr_array_index (self->paths, i)))
      g_hash_table_add (self->held, g_strdup (g_ptr_array_index (self->nodes, i)));
  g_task_return_boolean (task, TRUE);
}

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autofree char *guest = user_data;
  g_autoptr (GError) error = NULL;

  if (!qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    g_debug ("guest %s: what was left in QEMU may still be there: %s", guest, error->message);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Strays) self = user_data;
  const Look *look = g_task_get_task_data (G_TASK (result));
  g_autoptr (GPtrArray) jobs = strays_find_jobs (self->inspection->jobs);
  g_autoptr (GPtrArray) nodes = strays_find_nodes (self->inspection->graph, look->held);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  QmpClient *client = guest_get_client (self->guest);

  g_task_propagate_boolean (G_TASK (result), NULL);
  if (client == NULL || jobs->len + nodes->len == 0
      || !known_disks_is_idle (self->operations, self->guest))
    return;
  for (guint i = 0; i < jobs->len; i++)
    qmp_batch_add_tolerant (batch, "job-dismiss",
                            qmp_args ("id", "s", g_ptr_array_index (jobs, i), NULL));
  for (guint i = 0; i < nodes->len; i++)
    qmp_batch_add_tolerant (batch, "blockdev-del",
                            qmp_args ("node-name", "s", g_ptr_array_index (nodes, i), NULL));
  g_message ("guest %s: %u jobs and %u nodes that nobody uses were left in QEMU; they are let go",
             guest_get_id (self->guest), jobs->len, nodes->len);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_closed,
                       g_strdup (guest_get_id (self->guest)));
}

/**
 * strays_close:
 * @operations: the operations
 * @guest: an attached guest on which none of them works
 * @inspection: (transfer full): how it stands just now
 *
 * Dismisses jobs and closes nodes of ours that nobody uses. A guest that somebody moves away is
 * left alone.
 */
void
strays_close (Operations *operations, Guest *guest, Inspection *inspection)
{
  g_autoptr (GPtrArray) jobs = strays_find_jobs (inspection->jobs);
  g_autoptr (GPtrArray) nodes = strays_find_nodes (inspection->graph, NULL);
  g_autoptr (GTask) task = NULL;
  Strays *self;

  if (inspection->migrating || jobs->len + nodes->len == 0)
    {
      inspection_free (inspection);
      return;
    }
  self = g_new0 (Strays, 1);
  self->operations = g_object_ref (operations);
  self->guest = g_object_ref (guest);
  self->inspection = inspection;
  task = g_task_new (NULL, NULL, on_looked, self);
  g_task_set_task_data (task, look_new (inspection, nodes), (GDestroyNotify) look_free);
  g_task_run_in_thread (task, look_in_thread);
}
