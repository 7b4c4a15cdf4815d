/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when a guest's disks are not to be touched: it is on the way to another host, or somebody
 * else works on them. */

#include "prepare-check.h"

#include <core/error.h>

#include "guest-errors.h"

/**
 * prepare_check_guest:
 * @guest: a guest
 * @error: return location: AGENT_ERROR_UNAVAILABLE, AGENT_ERROR_CONFLICT
 *
 * Returns: whether something may be done with its disks, as far as is known without asking it
 */
gboolean
prepare_check_guest (Guest *guest, GError **error)
{
  static const char *const not_now[] = {
    "inmigrate", "finish-migrate", "postmigrate", "save-vm", "restore-vm", "colo", NULL
  };
  const char *run_state = guest_get_run_state (guest);

  if (guest_require_client (guest, error) == NULL)
    return FALSE;
  if (run_state == NULL || !g_strv_contains (not_now, run_state))
    return TRUE;
  /* QEMU itself would say yes to a snapshot while it is inmigrate. */
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   g_str_equal (run_state, "postmigrate")
                   ? "it has gone to another QEMU: ask there; only when it is lost there, tell "
                     "this one to go on (cont)"
                   : "wait until the migration has ended",
                   "guest %s is in the state \"%s\"", guest_get_id (guest), run_state);
  return FALSE;
}

/**
 * prepare_check_known:
 * @operations: the operations
 * @guest: a guest that was there when the request came
 * @error: return location: AGENT_ERROR_UNAVAILABLE
 *
 * Returns: whether it has neither been detached nor taken out of the configuration since
 */
gboolean
prepare_check_known (Operations *operations, Guest *guest, GError **error)
{
  g_autoptr (GPtrArray) guests = guest_registry_list (operations_get_guests (operations));

  if (g_ptr_array_find (guests, guest, NULL))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "attach it again, then ask again",
                   "guest %s was let go of meanwhile", guest_get_id (guest));
  return FALSE;
}

/**
 * prepare_check_same:
 * @guest: a guest
 * @client: (nullable): the link to it when it was looked at; %NULL: it was shut off
 * @error: return location: AGENT_ERROR_UNAVAILABLE
 *
 * Returns: whether it is as it was: the process that a plan names is the one that was looked at
 */
gboolean
prepare_check_same (Guest *guest, QmpClient *client, GError **error)
{
  if (guest_get_client (guest) == client)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "ask again", "guest %s was %s meanwhile",
                   guest_get_id (guest),
                   guest_get_client (guest) == NULL ? "shut off" : "started");
  return FALSE;
}

/**
 * prepare_check_migration:
 * @guest: a guest
 * @inspection: how it stands
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether nobody moves the guest away
 */
gboolean
prepare_check_migration (Guest *guest, const Inspection *inspection, GError **error)
{
  if (!inspection->migrating)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "wait until the migration has ended",
                   "guest %s is being migrated: what is done to its disks here would be lost there",
                   guest_get_id (guest));
  return FALSE;
}

static void
add_node_jobs (QmpNode *node, GPtrArray *names)
{
  for (guint i = 0; i < node->jobs->len; i++)
    if (!g_ptr_array_find_with_equal_func (names, g_ptr_array_index (node->jobs, i), g_str_equal,
                                           NULL))
      g_ptr_array_add (names, g_ptr_array_index (node->jobs, i));
}

/**
 * prepare_check_idle:
 * @operations: the operations
 * @guest: a guest
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether no operation works on it
 */
gboolean
prepare_check_idle (Operations *operations, Guest *guest, GError **error)
{
  g_autoptr (GPtrArray) list = engine_list (operations_get_engine (operations),
                                            guest_get_id (guest));

  for (guint i = 0; i < list->len; i++)
    {
      Operation *operation = g_ptr_array_index (list, i);

      if (operation_is_finished (operation))
        continue;
      agent_set_error (error, AGENT_ERROR_CONFLICT, "wait for it, or cancel it first",
                       "operation %s works on guest %s", operation_get_id (operation),
                       guest_get_id (guest));
      return FALSE;
    }
  return TRUE;
}

/**
 * prepare_jobs_of_disk:
 * @graph: the block graph of a guest
 * @disk: one of its disks
 *
 * Returns: (transfer container) (element-type utf8): the block jobs that hold a node of its chain
 */
GPtrArray *
prepare_jobs_of_disk (QmpGraph *graph, Disk *disk)
{
  GPtrArray *names = g_ptr_array_new ();

  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      QmpNode *node = qmp_graph_find_node (graph, layer->node);

      if (node != NULL)
        add_node_jobs (node, names);
    }
  return names;
}

void
prepared_claim_clear (PreparedClaim *self)
{
  g_clear_object (&self->claim);
  g_clear_pointer (&self->disks, g_strfreev);
}

static char **
dup_names (GPtrArray *disks)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();

  for (guint i = 0; i < disks->len; i++)
    g_strv_builder_add (names, ((Disk *) g_ptr_array_index (disks, i))->name);
  return g_strv_builder_end (names);
}

static void
on_claimed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  PreparedClaim *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->claim = engine_claim_finish (AGENT_ENGINE (source), result, &error);
  if (self->claim != NULL)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* Of one that gives way itself. */
static void
claim_at_once (GTask *task, Engine *engine, const char *guest, const char *id)
{
  PreparedClaim *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->claim = engine_claim (engine, guest, (const char *const *) self->disks, id, &error);
  if (self->claim == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  claim_give_way (self->claim, self->gives_way);
  g_task_return_boolean (task, TRUE);
}

/* What is claimed is all of @names, or it becomes that. */
static gboolean
settle_for (PreparedClaim *self, Guest *guest, char **names, GError **error)
{
  if (self->disks == NULL)
    {
      claim_narrow (self->claim, (const char *const *) names);
      self->disks = g_strdupv (names);
      return TRUE;
    }
  if (g_strv_equal ((const char *const *) self->disks, (const char *const *) names))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "try again",
                   "the disks of guest %s changed meanwhile", guest_get_id (guest));
  return FALSE;
}

/**
 * prepare_claim_async:
 * @self: (inout): what is claimed; a claim without names of disks, on the whole guest, is narrowed
 * @operations: the operations
 * @guest: the guest
 * @disks: (nullable) (element-type Disk): the disks that are meant; %NULL: the whole guest
 * @id: the operation's id
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Where disks are held by an operation that gives way to all others, its end is awaited.
 */
void
prepare_claim_async (PreparedClaim *self, Operations *operations, Guest *guest, GPtrArray *disks,
                     const char *id, GCancellable *cancellable, GAsyncReadyCallback callback,
                     gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_auto (GStrv) names = disks != NULL ? dup_names (disks) : NULL;
  Engine *engine = operations_get_engine (operations);
  GError *error = NULL;

  g_task_set_task_data (task, self, NULL);
  if (self->claim != NULL)
    {
      if (settle_for (self, guest, names, &error))
        g_task_return_boolean (task, TRUE);
      else
        g_task_return_error (task, error);
      return;
    }
  self->disks = g_steal_pointer (&names);
  if (self->gives_way != NULL)
    claim_at_once (task, engine, guest_get_id (guest), id);
  else
    engine_claim_async (engine, guest_get_id (guest), (const char *const *) self->disks, id,
                        cancellable, on_claimed, g_object_ref (task));
}

/**
 * prepare_claim_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR_CONFLICT names the holder; or other disks are meant now
 *
 * Returns: whether they are claimed
 */
gboolean
prepare_claim_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
