/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how an operation that runs is slowed down, paused and resumed: its jobs by QEMU, those that
 * it begins later by its plan. */

#include "control.h"

#include <operations/operations.h>

#include <core/error.h>
#include <string.h>

#include "guest-errors.h"
#include "snapshot-plan.h"

#define SPEED  "speed"
#define PAUSED "paused"

typedef struct
{
  Operation *operation;
  Guest     *guest;
  JsonNode  *speed;             /* (nullable): not to be changed */
  JsonNode  *paused;            /* (nullable) */
  JsonNode  *speed_before;      /* (nullable): in the plan */
  JsonNode  *paused_before;     /* (nullable) */
  GPtrArray *jobs;              /* of QmpJobInfo: the operation's, once they are known */
} Change;

static void
change_free (Change *self)
{
  g_clear_object (&self->operation);
  g_clear_object (&self->guest);
  g_clear_pointer (&self->speed, json_node_unref);
  g_clear_pointer (&self->paused, json_node_unref);
  g_clear_pointer (&self->speed_before, json_node_unref);
  g_clear_pointer (&self->paused_before, json_node_unref);
  g_clear_pointer (&self->jobs, g_ptr_array_unref);
  g_free (self);
}

/* --- what may be asked for --- */

static gboolean
take_member (Change *self, const char *member, JsonNode *value, GError **error)
{
  GType type = json_node_get_value_type (value);

  if (g_str_equal (member, SPEED) && type == G_TYPE_INT64 && json_node_get_int (value) >= 0)
    self->speed = json_node_copy (value);
  else if (g_str_equal (member, PAUSED) && type == G_TYPE_BOOLEAN)
    self->paused = json_node_copy (value);
  else if (g_str_equal (member, SPEED))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "0 takes a limit away.",
                       "\"speed\" must be a number of bytes a second");
      return FALSE;
    }
  else if (g_str_equal (member, PAUSED))
    {
      agent_set_error (error, AGENT_ERROR_INVALID, NULL, "\"paused\" must be true or false");
      return FALSE;
    }
  else
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "There are speed and paused.",
                       "of an operation \"%.64s\" cannot be changed", member);
      return FALSE;
    }
  return TRUE;
}

static gboolean
take_change (Change *self, JsonObject *change, GError **error)
{
  JsonObjectIter iter;
  const char *member;
  JsonNode *value;

  json_object_iter_init (&iter, change);
  while (json_object_iter_next (&iter, &member, &value))
    if (!take_member (self, member, value, error))
      return FALSE;

  if (self->speed != NULL || self->paused != NULL)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID,
                   "Send {\"speed\": BYTES}, {\"paused\": true}, or both.",
                   "there is nothing to be changed");
  return FALSE;
}

/* Whether operations of this kind move data by jobs of QEMU. */
static gboolean
has_jobs (const char *kind)
{
  static const char *const kinds[] = { "commit", "stream", "mirror", "delete", "shorten", NULL };

  return g_strv_contains (kinds, kind);
}

/* Asked again whenever time has gone by. */
static gboolean
check_operation (Operations *operations, Operation *operation, GError **error)
{
  const char *id = operation_get_id (operation);

  if (operation_is_finished (operation))
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "operation %s is over: it has %s", id,
                     operation_state_to_string (operation_get_state (operation)));
  else if (!has_jobs (operation_get_kind (operation)))
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "That can be done to commit, stream, mirror, delete and shorten.",
                     "an operation of the kind %s cannot be slowed down or paused",
                     operation_get_kind (operation));
  else if (g_cancellable_is_cancelled (operation_get_cancellable (operation)))
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "operation %s is being cancelled", id);
  else if (engine_is_holding_for (operations_get_engine (operations), operation))
    agent_set_error (error, AGENT_ERROR_CONFLICT, "That takes milliseconds: ask again.",
                     "the guest stands still for operation %s now", id);
  else
    return TRUE;
  return FALSE;
}

/* One that is ready is taken over at any moment, and that does not work on one that waits. */
static gboolean
check_jobs (const Change *self, GError **error)
{
  gboolean pauses = self->paused != NULL && json_node_get_boolean (self->paused);

  for (guint i = 0; pauses && i < self->jobs->len; i++)
    {
      const QmpJobInfo *job = g_ptr_array_index (self->jobs, i);

      if (job->state == QMP_JOB_READY)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, "Let it end, or cancel it.",
                           "operation %s has copied everything, and is about to move the device",
                           operation_get_id (self->operation));
          return FALSE;
        }
    }
  return TRUE;
}

/* --- doing it --- */

static gboolean
can_be_changed (const QmpJobInfo *job)
{
  return job->state == QMP_JOB_CREATED || job->state == QMP_JOB_RUNNING ||
         job->state == QMP_JOB_PAUSED || job->state == QMP_JOB_READY ||
         job->state == QMP_JOB_STANDBY;
}

/* What is refused has ended meanwhile, or is as it is to be. */
static void
add_commands (const Change *self, QmpBatch *batch)
{
  for (guint i = 0; i < self->jobs->len; i++)
    {
      const QmpJobInfo *job = g_ptr_array_index (self->jobs, i);

      if (!can_be_changed (job))
        continue;
      if (self->speed != NULL)
        qmp_batch_add_tolerant (batch, "block-job-set-speed",
                                qmp_args ("device", "s", job->id, "speed", "i",
                                          json_node_get_int (self->speed), NULL));
      if (self->paused != NULL)
        qmp_batch_add_tolerant (batch,
                                json_node_get_boolean (self->paused) ? "job-pause" : "job-resume",
                                qmp_args ("id", "s", job->id, NULL));
    }
}

/* Jobs that begin later keep to it. Gives back what the plan said before. */
static JsonNode *
plan_replace (Operation *operation, const char *member, JsonNode *value)
{
  JsonObject *plan = operation_get_plan (operation);
  JsonNode *before = json_object_dup_member (plan, member);

  if (value != NULL)
    json_object_set_member (plan, member, json_node_copy (value));
  else if (before != NULL)
    json_object_remove_member (plan, member);
  return before;
}

/* The jobs have not been told: those that begin later are as they are. */
static void
take_back (Change *self)
{
  g_autoptr (JsonNode) speed = NULL;
  g_autoptr (JsonNode) paused = NULL;

  if (self->speed != NULL)
    speed = plan_replace (self->operation, SPEED, self->speed_before);
  if (self->paused != NULL)
    paused = plan_replace (self->operation, PAUSED, self->paused_before);
}

static void
on_changed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Change *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    {
      g_signal_emit_by_name (self->operation, "changed");
      g_task_return_boolean (task, TRUE);
    }
  else
    g_task_return_error (task, guest_error_name (self->guest, error));
}

static void
on_saved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Change *self = g_task_get_task_data (task);
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  QmpClient *client = NULL;
  GError *error = NULL;

  if (!engine_save_plan_finish (AGENT_ENGINE (source), result, &error) ||
      !check_operation (g_task_get_source_object (task), self->operation, &error) ||
      (client = guest_require_client (self->guest, &error)) == NULL)
    {
      take_back (self);
      g_task_return_error (task, error);
      return;
    }
  add_commands (self, batch);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_changed,
                       g_steal_pointer (&task));
}

static gboolean
is_ours (const QmpJobInfo *job, Operation *operation)
{
  /* Of any disk and for any purpose: what stands behind the operation's digits is left off. */
  g_autofree char *name = snapshot_node_name (operation_get_id (operation), 0, "");
  gsize length = (gsize) (strrchr (name, '-') - name) + 1;

  return strncmp (job->id, name, length) == 0;
}

static void
on_jobs (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Change *self = g_task_get_task_data (task);
  Operations *operations = g_task_get_source_object (task);
  GError *error = NULL;

  self->jobs = qmp_jobs_query_finish (result, &error);
  if (self->jobs == NULL)
    {
      g_task_return_error (task, guest_error_name (self->guest, error));
      return;
    }
  for (guint i = self->jobs->len; i > 0; i--)
    if (!is_ours (g_ptr_array_index (self->jobs, i - 1), self->operation))
      g_ptr_array_remove_index (self->jobs, i - 1);

  if (!check_operation (operations, self->operation, &error) || !check_jobs (self, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  /* First: a job that begins meanwhile is to know of it. */
  if (self->speed != NULL)
    self->speed_before = plan_replace (self->operation, SPEED, self->speed);
  if (self->paused != NULL)
    self->paused_before = plan_replace (self->operation, PAUSED, self->paused);
  engine_save_plan_async (operations_get_engine (operations), self->operation, on_saved,
                          g_steal_pointer (&task));
}

/**
 * operations_control_async:
 * @self: the operations
 * @operation: one that runs
 * @change: "speed", in bytes a second with 0 for no limit, "paused", or both
 * @cancellable: (nullable): ends the wait before anything is changed
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Changes how fast the operation moves data, or lets it wait. Jobs that it begins later keep to it,
 * too, also after a restart of ours.
 */
void
operations_control_async (Operations *self, Operation *operation, JsonObject *change,
                          GCancellable *cancellable, GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Change *call = g_new0 (Change, 1);
  GError *error = NULL;
  QmpClient *client = NULL;
  Guest *guest;

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, call, (GDestroyNotify) change_free);
  call->operation = g_object_ref (operation);
  if (take_change (call, change, &error) && check_operation (self, operation, &error))
    {
      guest = guest_registry_find (operations_get_guests (self), operation_get_guest (operation),
                                   &error);
      call->guest = guest != NULL ? g_object_ref (guest) : NULL;
      client = guest != NULL ? guest_require_client (guest, &error) : NULL;
    }
  if (client == NULL)
    g_task_return_error (task, error);
  else
    qmp_jobs_query_async (client, GUEST_COMMAND_DEADLINE_MS, cancellable, on_jobs,
                          g_steal_pointer (&task));
}

/**
 * operations_control_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR INVALID; CONFLICT when the operation is over, has no jobs,
 *   or holds its guest still right now; UNAVAILABLE, TIMEOUT or GUEST
 *
 * Returns: whether it is as it was asked for
 */
gboolean
operations_control_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/* --- for those who begin jobs --- */

/**
 * control_speed:
 * @operation: an operation
 * @planned: bytes a second; 0: as fast as it goes
 *
 * Returns: how fast its jobs may be by now
 */
gint64
control_speed (Operation *operation, gint64 planned)
{
  JsonNode *node = json_object_get_member (operation_get_plan (operation), SPEED);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node)
                                                                          : planned;
}

/**
 * control_is_paused:
 * @operation: an operation
 *
 * Returns: whether its jobs are to wait
 */
gboolean
control_is_paused (Operation *operation)
{
  JsonNode *node = json_object_get_member (operation_get_plan (operation), PAUSED);

  return node != NULL && json_node_get_value_type (node) == G_TYPE_BOOLEAN &&
         json_node_get_boolean (node);
}

/**
 * control_add_pause:
 * @batch: where the command goes that begins @job
 * @operation: whose job it is
 * @job: its id
 */
void
control_add_pause (QmpBatch *batch, Operation *operation, const char *job)
{
  if (control_is_paused (operation))
    qmp_batch_add_tolerant (batch, "job-pause", qmp_args ("id", "s", job, NULL));
}
