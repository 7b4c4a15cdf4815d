/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a guest's writes to a disk are limited for a while, so that a job gains on them. */

#include "pivot-private.h"

#include <core/error.h>
#include <string.h>

#include "guest-errors.h"
#include "reply.h"

/* Each write of a guest makes a job copy 64 KiB at most: so it gains on that many of them. Of
 * all limits only these two are set, which tells ours from an owner's. */
#define WRITES_PER_S       64
#define WRITE_BYTES_PER_S  (4 * 1024 * 1024)

typedef struct
{
  PivotSet  *set;
  Pivot     *pivot;
  gboolean   on;
  char      *device;            /* as block_set_io_throttle takes it */
} Throttle;

static void
throttle_free (Throttle *self)
{
  g_free (self->device);
  g_free (self);
}

static void
on_limited (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply != NULL)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static JsonNode *
limits (const char *device, gboolean on)
{
  return qmp_args ("id", "s", device,
                   "bps", "i", (gint64) 0,
                   "bps_rd", "i", (gint64) 0,
                   "bps_wr", "i", (gint64) (on ? WRITE_BYTES_PER_S : 0),
                   "iops", "i", (gint64) 0,
                   "iops_rd", "i", (gint64) 0,
                   "iops_wr", "i", (gint64) (on ? WRITES_PER_S : 0),
                   NULL);
}

static gint64
limit_of (JsonObject *inserted, const char *name)
{
  JsonNode *node = json_object_get_member (inserted, name);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node)
         && json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node) : 0;
}

static gboolean
has_limits (JsonObject *inserted)
{
  static const char *const names[] = { "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (limit_of (inserted, names[i]) != 0)
      return TRUE;
  return FALSE;
}

static gboolean
has_our_limits (JsonObject *inserted)
{
  return limit_of (inserted, "bps_wr") == WRITE_BYTES_PER_S
         && limit_of (inserted, "iops_wr") == WRITES_PER_S && limit_of (inserted, "bps") == 0
         && limit_of (inserted, "bps_rd") == 0 && limit_of (inserted, "iops") == 0
         && limit_of (inserted, "iops_rd") == 0;
}

/* What query-block says of the medium in @device; NULL when it does not know it. */
static JsonObject *
find_inserted (JsonNode *reply, const char *device)
{
  JsonArray *array = JSON_NODE_HOLDS_ARRAY (reply) ? json_node_get_array (reply) : NULL;

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      JsonNode *node = json_array_get_element (array, i);
      JsonNode *inserted = JSON_NODE_HOLDS_OBJECT (node)
        ? json_object_get_member (json_node_get_object (node), "inserted") : NULL;

      if (g_strcmp0 (reply_text (node, "qdev"), device) == 0 && inserted != NULL
          && JSON_NODE_HOLDS_OBJECT (inserted))
        return json_node_get_object (inserted);
    }
  return NULL;
}

static void
set_limits (GTask *task, QmpClient *client)
{
  Throttle *self = g_task_get_task_data (task);

  qmp_client_execute_async (client, "block_set_io_throttle", limits (self->device, self->on),
                            GUEST_COMMAND_DEADLINE_MS, NULL, on_limited, g_object_ref (task));
}

static void
on_limits (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Throttle *self = g_task_get_task_data (task);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;
  JsonObject *inserted;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  inserted = find_inserted (reply, self->device);
  if (self->on && (inserted == NULL || has_limits (inserted)))
    g_task_return_error (task, agent_error_new (AGENT_ERROR_CONFLICT, NULL,
                                                "device %s cannot be limited, or is by its owner",
                                                self->device));
  else if (!self->on && (inserted == NULL || !has_our_limits (inserted)))
    g_task_return_boolean (task, TRUE);
  else
    {
      if (self->on && self->pivot->limited_device == NULL)
        self->pivot->limited_device = g_strdup (self->device);
      set_limits (task, QMP_CLIENT (source));
    }
}

static char *
find_device (QmpGraph *graph, const char *root)
{
  GPtrArray *devices = qmp_graph_get_devices (graph);

  for (guint i = 0; i < devices->len; i++)
    {
      const QmpDevice *device = g_ptr_array_index (devices, i);

      if (device->root != NULL && strcmp (device->root->name, root) == 0)
        return g_strdup (device->qdev);
    }
  return NULL;
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Throttle *self = g_task_get_task_data (task);
  Pivot *pivot = self->pivot;
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;
  Disk *disk;
  QmpClient *client = NULL;

  inspection = inspect_finish (result, &error);
  disk = inspection != NULL ? pivot_find_disk (pivot, inspection->disks) : NULL;
  if (pivot->limited_device != NULL)
    self->device = g_strdup (pivot->limited_device);
  else if (disk != NULL)
    self->device = find_device (inspection->graph, disk->root);
  if (inspection != NULL)
    client = guest_require_client (self->set->peer.guest, &error);
  if (error != NULL)
    g_task_return_error (task, error);
  else if (self->device == NULL && self->on)
    g_task_return_error (task, agent_error_new (AGENT_ERROR_CONFLICT, NULL,
                                                "disk %s has no device that could be throttled",
                                                pivot->disk));
  else if (self->device == NULL)
    g_task_return_boolean (task, TRUE);
  else
    qmp_client_execute_async (client, "query-block", NULL, GUEST_COMMAND_DEADLINE_MS, NULL,
                              on_limits, g_object_ref (task));
}

/**
 * pivot_throttle_async:
 * @set: pivots
 * @pivot: one of them
 * @on: whether its writes are to be limited, or a limit of ours to be taken away
 * @callback: called with the result
 * @user_data: for @callback
 */
void
pivot_throttle_async (PivotSet *set, Pivot *pivot, gboolean on, GAsyncReadyCallback callback,
                      gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Throttle *self = g_new0 (Throttle, 1);

  self->set = set;
  self->pivot = pivot;
  self->on = on;
  g_task_set_task_data (task, self, (GDestroyNotify) throttle_free);
  inspect_async (set->peer.guest, NULL, on_inspected, g_object_ref (task));
}

/**
 * pivot_throttle_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR_CONFLICT when the disk cannot be throttled, or its owner
 *   does; others of the guest
 *
 * Returns: whether it is as it was asked for
 */
gboolean
pivot_throttle_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
