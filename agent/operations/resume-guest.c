/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a guest goes on that QEMU has stopped at an error of a disk: never one that its owner,
 * or an operation, has stopped, and not into the same error once more. */

#include <operations/operations.h>

#include <core/error.h>
#include <disk/names.h>
#include <disk/space.h>
#include <guest/alarm.h>

#include "guest-errors.h"

#define ROOM_TO_GO_ON ((gint64) 4 << 20)        /* bytes: it would stop at once with less */
#define SETTLE_MS     2000                      /* for its run state to be told */

typedef struct
{
  Guest     *guest;
  GPtrArray *paths;             /* of char *: files on whose file systems there was no room */
  gulong     handler;
  guint      timer;
} Resume;

static void
stop_waiting (Resume *self)
{
  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->handler != 0)
    g_signal_handler_disconnect (self->guest, self->handler);
  self->handler = 0;
}

static void
resume_free (Resume *self)
{
  stop_waiting (self);
  g_object_unref (self->guest);
  g_ptr_array_unref (self->paths);
  g_free (self);
}

/* --- may it? --- */

static gboolean
check_holding (Operations *operations, Guest *guest, GError **error)
{
  Engine *engine = operations_get_engine (operations);
  g_autoptr (GPtrArray) list = engine_list (engine, guest_get_id (guest));

  for (guint i = 0; i < list->len; i++)
    {
      Operation *operation = g_ptr_array_index (list, i);

      if (operation_is_finished (operation) || !engine_is_holding_for (engine, operation))
        continue;
      agent_set_error (error, AGENT_ERROR_CONFLICT, "that takes milliseconds: ask again",
                       "guest %s stands still for operation %s now", guest_get_id (guest),
                       operation_get_id (operation));
      return FALSE;
    }
  return TRUE;
}

/* Asked again whenever time has gone by. */
static gboolean
check_guest (Operations *operations, Guest *guest, GError **error)
{
  const char *run_state = guest_get_run_state (guest);

  if (guest_require_client (guest, error) == NULL)
    return FALSE;
  if (guest_is_at_error (guest))
    return check_holding (operations, guest, error);
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "only a guest that was stopped at an error of a disk is resumed here; what its "
                   "owner has stopped its owner lets go on",
                   "guest %s does not stand at an error%s%s", guest_get_id (guest),
                   run_state != NULL ? ": it is " : "", run_state != NULL ? run_state : "");
  return FALSE;
}

static void
check_room_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Resume *self = task_data;
  g_autoptr (GPtrArray) needs = g_ptr_array_new_with_free_func ((GDestroyNotify) space_need_free);
  GError *error = NULL;

  for (guint i = 0; i < self->paths->len; i++)
    {
      /* What is no local file is for QEMU to find out. */
      if (!space_add (needs, g_ptr_array_index (self->paths, i), ROOM_TO_GO_ON, &error))
        g_clear_error (&error);
    }
  if (space_check (needs, 0, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* --- doing it --- */

static void
on_run_state (Guest *guest, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;

  stop_waiting (g_task_get_task_data (task));
  g_task_return_boolean (task, TRUE);
}

static gboolean
on_time (gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Resume *self = g_task_get_task_data (task);

  self->timer = 0;
  stop_waiting (self);
  g_task_return_boolean (task, TRUE);
  return G_SOURCE_REMOVE;
}

static void
on_continued (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Resume *self = g_task_get_task_data (task);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply != NULL && guest_is_at_error (self->guest))
    {
      /* It is told by an event, and may be at the same error again. */
      self->handler = g_signal_connect (self->guest, "run-state-changed",
                                        G_CALLBACK (on_run_state), task);
      self->timer = g_timeout_add (SETTLE_MS, on_time, task);
      return;
    }
  if (reply != NULL)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, guest_error_name (self->guest, error));
  g_object_unref (task);
}

static void
on_room (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Resume *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    g_prefix_error (&error, "guest %s would stop again: ", guest_get_id (self->guest));
  else if (check_guest (g_task_get_source_object (task), self->guest, &error))
    {
      g_message ("guest %s is let go on", guest_get_id (self->guest));
      qmp_client_execute_async (guest_get_client (self->guest), "cont", NULL,
                                GUEST_COMMAND_DEADLINE_MS, NULL, on_continued,
                                g_steal_pointer (&task));
      return;
    }
  g_task_return_error (task, error);
}

static GPtrArray *
list_paths (Guest *guest)
{
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);
  GPtrArray *alarms = guest_get_alarms (guest);
  g_autofree char *folder = guest_dup_folder (guest);

  for (guint i = 0; i < alarms->len; i++)
    {
      const GuestAlarm *alarm = g_ptr_array_index (alarms, i);

      if (alarm->no_space && alarm->path != NULL
          && (g_path_is_absolute (alarm->path) || folder != NULL))
        g_ptr_array_add (paths, names_absolute (alarm->path, folder));
    }
  return paths;
}

/**
 * operations_resume_guest_async:
 * @self: the operations
 * @guest: a guest that QEMU has stopped at an error of a disk
 * @cancellable: (nullable): ends the wait before anything is done
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Lets it go on: QEMU tries once more what has failed. Returns when the guest's run state has
 * moved, or has stayed the same for a moment.
 */
void
operations_resume_guest_async (Operations *self, Guest *guest, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (GTask) looking = NULL;
  Resume *resume;
  GError *error = NULL;

  g_task_set_check_cancellable (task, FALSE);
  if (!check_guest (self, guest, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  resume = g_new0 (Resume, 1);
  resume->guest = g_object_ref (guest);
  resume->paths = list_paths (guest);
  g_task_set_task_data (task, resume, (GDestroyNotify) resume_free);
  looking = g_task_new (NULL, cancellable, on_room, g_object_ref (task));
  g_task_set_task_data (looking, resume, NULL);
  g_task_run_in_thread (looking, check_room_in_thread);
}

/**
 * operations_resume_guest_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR_CONFLICT when it does not stand at an error; NO_SPACE when
 *   it would stop again; UNAVAILABLE, TIMEOUT or GUEST
 *
 * Returns: whether QEMU was told to go on
 */
gboolean
operations_resume_guest_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
