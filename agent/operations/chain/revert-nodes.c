/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a revert needs of QEMU's block graph: the chain of the layer to go back to, opened
 * where it is not, the overlay on it, and an end for what nobody uses afterwards. */

#include "revert-steps.h"

#include "../guest-errors.h"
#include "../node-batch.h"
#include "../told.h"

/* --- open --- */

/* What the commands of a point want to know of a disk. */
static DiskPlan
options_of (const RevertDisk *disk)
{
  return (DiskPlan) {
    .detect_zeroes = disk->detect_zeroes,
    .cache_direct = disk->cache_direct,
    .cache_no_flush = disk->cache_no_flush,
  };
}

/* Opens the chain of the layer to go back to, as far as it is not open, the lowest first, and the
 * overlay on it, under nothing yet. */
static void
add_nodes (QmpBatch *batch, const RevertDisk *disk)
{
  char *below = disk->base_node;
  DiskPlan overlay = options_of (disk);

  for (guint i = 0; i < disk->opens->len; i++)
    {
      const RevertLayer *layer = g_ptr_array_index (disk->opens, i);
      DiskPlan plan = options_of (disk);

      plan.layer = layer->path;
      plan.layer_node = layer->node;
      plan.layer_file_node = layer->file_node;
      plan.active_format = layer->format;
      plan.below_node = below;
      node_batch_add_layer (batch, &plan, "auto");
      below = layer->node;
    }
  overlay.overlay = disk->overlay;
  overlay.overlay_node = disk->overlay_node;
  overlay.overlay_file_node = disk->overlay_file_node;
  node_batch_add_overlay (batch, &overlay, below);
}

/**
 * revert_delete_nodes:
 * @batch: what will be sent
 * @disk: a disk
 *
 * Closes again what revert_open_nodes() has opened, as far as nobody uses it.
 */
void
revert_delete_nodes (QmpBatch *batch, const RevertDisk *disk)
{
  node_batch_delete (batch, disk->overlay_node);
  node_batch_delete (batch, disk->overlay_file_node);
  for (guint i = disk->opens->len; i > 0; i--)
    {
      const RevertLayer *layer = g_ptr_array_index (disk->opens, i - 1);

      node_batch_delete (batch, layer->node);
      node_batch_delete (batch, layer->file_node);
    }
}

static void
on_opened (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    revert_step_over (self, step, NULL);
  else
    revert_step_over (self, step, error);
}

void
revert_open_nodes (GTask *step, gpointer job)
{
  Revert *self = job;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  GError *error = NULL;
  QmpClient *client = peer_client (&self->peer, &error);

  if (client == NULL)
    {
      revert_step_over (self, step, error);
      return;
    }
  for (guint i = 0; i < self->disks->len; i++)
    add_nodes (batch, g_ptr_array_index (self->disks, i));
  /* Half a batch is worse than a whole one: a cancel waits for its end. */
  g_task_set_task_data (step, self, NULL);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_opened, step);
}

/* --- nothing may have changed meanwhile --- */

static gboolean
check_disk (const Inspection *inspection, const RevertDisk *plan, GError **error)
{
  const ExpectedDisk expected = {
    .disk = plan->disk,
    .root_node = plan->root_node,
    .active_node = plan->active_node,
    .dev = plan->from_dev,
    .ino = plan->from_ino,
    .virtual_size = plan->from_size,
  };

  return inspection_check (inspection, &expected, error);
}

/* Another operation, that is: ours does not hold it yet. */
static gboolean
is_held (Revert *self)
{
  Engine *engine = operations_get_engine (self->operations);
  g_autoptr (GPtrArray) list = engine_list (engine, guest_get_id (self->guest));

  for (guint i = 0; i < list->len; i++)
    if (engine_is_holding_for (engine, g_ptr_array_index (list, i)))
      return TRUE;
  return FALSE;
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  for (guint i = 0; inspection != NULL && error == NULL && i < self->disks->len; i++)
    if (!check_disk (inspection, g_ptr_array_index (self->disks, i), &error))
      break;
  /* For who takes this up after a death of ours. Its owner may have paused or resumed it since the
   * plan was made; or another operation of ours holds it just now. */
  self->was_running = revert_is_to_run (self, guest_get_run_state (self->guest))
                      || is_held (self);
  revert_step_over (self, step, error);
}

void
revert_look_again (GTask *step, gpointer job)
{
  Revert *self = job;
  GError *error = NULL;

  if (peer_client (&self->peer, &error) == NULL)
    {
      revert_step_over (self, step, error);
      return;
    }
  g_task_set_task_data (step, self, NULL);
  inspect_async (self->guest, g_task_get_cancellable (step), on_looked, step);
}

/* --- close --- */

static void
tell_open (Revert *self, Inspection *inspection)
{
  revert_facts_judge (self, inspection->disks, inspection->jobs);
  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (self->disks, i);

      if (self->facts[i].from_open)
        g_message ("operation %s: QEMU still has %s open in the chain of a disk",
                   operation_get_id (self->operation), disk->from_name);
    }
}

static void
on_seen (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection != NULL)
    tell_open (self, inspection);
  revert_step_over (self, step, error);
}

static void
on_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *step = user_data;
  Revert *self = g_task_get_task_data (step);
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    inspect_async (self->guest, NULL, on_seen, step);
  else
    revert_step_over (self, step, error);
}

/* QEMU keeps what was opened by blockdev-add; what anybody uses refuses to go. Those that -drive
 * made have gone by themselves. */
void
revert_close_nodes (GTask *step, gpointer job)
{
  Revert *self = job;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  GError *error = NULL;
  QmpClient *client;

  /* Another process has nothing open of all that. */
  if (self->switched_us == 0 || self->guest_state != REVERT_GUEST_SAME)
    {
      revert_step_over (self, step, NULL);
      return;
    }
  client = guest_require_client (self->guest, &error);
  if (client == NULL)
    {
      revert_step_over (self, step, error);
      return;
    }
  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (self->disks, i);

      for (guint j = 0; j < disk->leaves->len; j++)
        {
          const RevertLayer *layer = g_ptr_array_index (disk->leaves, j);

          node_batch_delete (batch, layer->node);
          node_batch_delete (batch, layer->file_node);
        }
    }
  g_task_set_task_data (step, self, NULL);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_closed, step);
}
