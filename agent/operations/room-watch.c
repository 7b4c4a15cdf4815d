/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how operations that take much room leave the reserve alone: while little is left their jobs
 * wait. Guests take room, too, so it is looked at again and again, but only while there is such an
 * operation. */

#include "room.h"

#include <disk/space.h>

#include "control.h"

#define LOOK_S  5
#define NEAR    4               /* times the reserve: where it is looked at each second */
#define MIB     ((gint64) 1 << 20)
#define WAITING "waiting"       /* in the plan, and shown: since when, and for what */

struct _RoomWatch
{
  Operations   *operations;     /* (unowned) */
  GCancellable *ended;
  gboolean      looking;
  guint         timer;
  guint         period_s;       /* of the timer */
};

/* One operation, and the file system with the least room among those that it writes to. */
typedef struct
{
  Operation *operation;
  GPtrArray *paths;             /* of char * */
  char      *folder;            /* (nullable): not known */
  gint64     left;              /* bytes */
} Look;

typedef struct
{
  RoomWatch    *watch;          /* (unowned): gone once it is @ended */
  GCancellable *ended;
  GPtrArray    *looks;          /* of Look */
} Round;

static void
look_free (Look *self)
{
  g_object_unref (self->operation);
  g_ptr_array_unref (self->paths);
  g_free (self->folder);
  g_free (self);
}

static void
round_free (Round *self)
{
  g_object_unref (self->ended);
  g_ptr_array_unref (self->looks);
  g_free (self);
}

/**
 * room_judge:
 * @left: bytes on the fullest of the file systems
 * @reserve: bytes that are to stay free
 * @waited_s: how long the operation has waited; -1: it does not wait
 * @wait_most_s: how long it may
 *
 * Who has begun to wait goes on only when there is a quarter more: else it would stop and go.
 *
 * Returns: what becomes of the operation
 */
RoomVerdict
room_judge (gint64 left, gint64 reserve, gint64 waited_s, gint64 wait_most_s)
{
  if (waited_s < 0)
    return left > reserve ? ROOM_GO_ON : ROOM_WAIT;
  if (left > reserve + reserve / 4)
    return ROOM_WAIT_NO_LONGER;
  return waited_s < wait_most_s ? ROOM_WAIT : ROOM_GIVE_UP;
}

/* --- what is told --- */

static char *
now_text (void)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

  return g_date_time_format (now, "%Y-%m-%dT%H:%M:%SZ");
}

/* Seconds; -1: it does not wait. */
static gint64
waited_s (Operation *operation)
{
  JsonObject *plan = operation_get_plan (operation);
  g_autoptr (GDateTime) since = NULL;
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

  if (!json_object_has_member (plan, WAITING))
    return -1;
  since = g_date_time_new_from_iso8601 (
    json_object_get_string_member (json_object_get_object_member (plan, WAITING), "since"), NULL);
  return since != NULL ? MAX (g_date_time_difference (now, since) / G_USEC_PER_SEC, 0) : 0;
}

static void
tell_waiting (const Look *look, gint64 reserve, const char *outcome)
{
  JsonObject *plan = operation_get_plan (look->operation);
  JsonObject *waiting = json_object_new ();
  g_autofree char *now = now_text ();
  g_autofree char *message = g_strdup_printf ("the file system of %s has %" G_GINT64_FORMAT
                                              " MiB left, and %" G_GINT64_FORMAT
                                              " MiB are to stay free: %s",
                                              look->folder, look->left / MIB, reserve / MIB,
                                              outcome);

  json_object_set_string_member (waiting, "code", "no-space");
  json_object_set_string_member (waiting, "message", message);
  json_object_set_string_member (waiting, "hint", "make room there, or cancel the operation");
  json_object_set_string_member (waiting, "since", now);
  json_object_set_object_member (plan, WAITING, waiting);
}

static void
warn (Operation *operation)
{
  JsonObject *plan = operation_get_plan (operation);

  if (json_object_has_member (plan, WAITING))
    g_warning ("operation %s of guest %s: %s", operation_get_id (operation),
               operation_get_guest (operation),
               json_object_get_string_member (json_object_get_object_member (plan, WAITING),
                                              "message"));
}

/* --- what is done --- */

static void
on_paused (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Operation) operation = user_data;
  g_autoptr (GError) error = NULL;

  if (operations_control_finish (AGENT_OPERATIONS (source), result, &error))
    {
      warn (operation);
      return;
    }
  /* It has copied everything, or the guest is away: the next look tells. */
  g_debug ("operation %s cannot be told to wait: %s", operation_get_id (operation),
           error->message);
  if (!control_is_paused (operation))
    json_object_remove_member (operation_get_plan (operation), WAITING);
}

static void
on_saved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Operation) operation = user_data;
  g_autoptr (GError) error = NULL;

  if (!engine_save_plan_finish (AGENT_ENGINE (source), result, &error))
    g_debug ("operation %s: the journal still has it that it waits: %s",
             operation_get_id (operation), error->message);
}

static void
on_resumed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Operation) operation = user_data;
  g_autoptr (GError) error = NULL;

  if (!operations_control_finish (AGENT_OPERATIONS (source), result, &error))
    {
      g_debug ("operation %s cannot be told to go on yet: %s", operation_get_id (operation),
               error->message);
      return;
    }
  g_message ("operation %s goes on: there is room again", operation_get_id (operation));
  json_object_remove_member (operation_get_plan (operation), WAITING);
  g_signal_emit_by_name (operation, "changed");
  /* Or the time from now on would count, too, after a restart. */
  if (!operation_is_finished (operation))
    engine_save_plan_async (operations_get_engine (AGENT_OPERATIONS (source)), operation, on_saved,
                            g_object_ref (operation));
}

static void
set_paused (RoomWatch *self, Operation *operation, gboolean paused)
{
  g_autoptr (JsonObject) change = json_object_new ();

  json_object_set_boolean_member (change, "paused", paused);
  operations_control_async (self->operations, operation, change, self->ended,
                            paused ? on_paused : on_resumed, g_object_ref (operation));
}

static void
act (RoomWatch *self, const Look *look)
{
  const Config *config = operations_get_config (self->operations);
  Operation *operation = look->operation;
  gint64 reserve = room_reserve (config, operation_get_kind (operation));
  gint64 waited = waited_s (operation);
  g_autoptr (GError) error = NULL;

  /* Who waits because somebody wants it to needs no room; without a reserve nobody begins to. */
  if (look->folder == NULL || operation_is_finished (operation)
      || g_cancellable_is_cancelled (operation_get_cancellable (operation))
      || (waited < 0 && (reserve == 0 || control_is_paused (operation))))
    return;
  switch (room_judge (look->left, reserve, waited, config->wait_for_room_s))
    {
    case ROOM_GO_ON:
      break;

    case ROOM_WAIT:
      if (waited < 0)
        tell_waiting (look, reserve, "it waits until there is more");
      if (!control_is_paused (operation))
        set_paused (self, operation, TRUE);
      break;

    case ROOM_WAIT_NO_LONGER:
      set_paused (self, operation, FALSE);
      break;

    case ROOM_GIVE_UP:
      tell_waiting (look, reserve, "it has waited for long enough, and was cancelled");
      warn (operation);
      if (!engine_cancel (operations_get_engine (self->operations), operation, &error))
        g_debug ("operation %s: %s", operation_get_id (operation), error->message);
      break;

    default:
      g_assert_not_reached ();
    }
}

/* --- looking --- */

static gboolean on_time (gpointer user_data);

/* A job on fast storage writes most of a GiB in a second. */
static gboolean
is_near (const Look *look, const Config *config)
{
  return look->folder != NULL && (guint64) look->left / NEAR < config->reserve;
}

static void
set_period (RoomWatch *self, guint seconds)
{
  if (self->timer != 0 && self->period_s == seconds)
    return;
  g_clear_handle_id (&self->timer, g_source_remove);
  self->period_s = seconds;
  self->timer = g_timeout_add_seconds (seconds, on_time, self);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Round *round = g_task_get_task_data (G_TASK (result));
  RoomWatch *self = round->watch;
  gboolean near = FALSE;

  if (g_cancellable_is_cancelled (round->ended))
    return;
  self->looking = FALSE;
  for (guint i = 0; i < round->looks->len; i++)
    {
      const Look *look = g_ptr_array_index (round->looks, i);

      near = near || is_near (look, operations_get_config (self->operations));
      act (self, look);
    }
  set_period (self, near ? 1 : LOOK_S);
}

static void
look_at (Look *look)
{
  g_autoptr (GPtrArray) needs = g_ptr_array_new_with_free_func ((GDestroyNotify) space_need_free);

  for (guint i = 0; i < look->paths->len; i++)
    {
      g_autoptr (GError) error = NULL;

      if (!space_add (needs, g_ptr_array_index (look->paths, i), 0, &error))
        g_debug ("%s", error->message);
    }
  for (guint i = 0; i < needs->len; i++)
    {
      const SpaceNeed *need = g_ptr_array_index (needs, i);

      if (look->folder != NULL && need->left >= look->left)
        continue;
      g_free (look->folder);
      look->folder = g_strdup (need->folder);
      look->left = need->left;
    }
}

static void
look_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Round *round = task_data;

  for (guint i = 0; i < round->looks->len; i++)
    look_at (g_ptr_array_index (round->looks, i));
  g_task_return_boolean (task, TRUE);
}

/* The rest of them writes little, or gives back more than it takes. */
static gboolean
is_watched (Operation *operation)
{
  static const char *const kinds[] = { "mirror", "stream", NULL };

  return !operation_is_finished (operation)
         && g_strv_contains (kinds, operation_get_kind (operation))
         && json_object_has_member (operation_get_plan (operation), "room");
}

static Look *
look_new (Operation *operation)
{
  JsonArray *list = json_object_get_array_member (operation_get_plan (operation), "room");
  Look *self = g_new0 (Look, 1);

  self->operation = g_object_ref (operation);
  self->paths = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      JsonObject *need = json_array_get_object_element (list, i);

      g_ptr_array_add (self->paths, g_strdup (json_object_get_string_member (need, "path")));
    }
  return self;
}

static void
look_around (RoomWatch *self, GPtrArray *watched)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_looked, NULL);
  Round *round = g_new0 (Round, 1);

  round->watch = self;
  round->ended = g_object_ref (self->ended);
  round->looks = g_ptr_array_new_with_free_func ((GDestroyNotify) look_free);
  for (guint i = 0; i < watched->len; i++)
    g_ptr_array_add (round->looks, look_new (g_ptr_array_index (watched, i)));
  g_task_set_task_data (task, round, (GDestroyNotify) round_free);
  self->looking = TRUE;
  g_task_run_in_thread (task, look_in_thread);
}

static gboolean
on_time (gpointer user_data)
{
  RoomWatch *self = user_data;
  g_autoptr (GPtrArray) list = engine_list (operations_get_engine (self->operations), NULL);
  g_autoptr (GPtrArray) watched = g_ptr_array_new ();

  for (guint i = 0; i < list->len; i++)
    if (is_watched (g_ptr_array_index (list, i)))
      g_ptr_array_add (watched, g_ptr_array_index (list, i));
  if (watched->len == 0)
    {
      self->timer = 0;
      return G_SOURCE_REMOVE;
    }
  /* A file system that hangs is not asked twice. */
  if (!self->looking)
    look_around (self, watched);
  return G_SOURCE_CONTINUE;
}

static void
on_operation (Engine *engine, Operation *operation, gpointer user_data)
{
  RoomWatch *self = user_data;

  if (self->timer == 0 && is_watched (operation))
    set_period (self, 1);
}

/**
 * room_watch_new:
 * @operations: (unowned): the operations, which outlive the watch
 *
 * Returns: (transfer full): who looks after room while operations take it
 */
RoomWatch *
room_watch_new (Operations *operations)
{
  RoomWatch *self = g_new0 (RoomWatch, 1);

  self->operations = operations;
  self->ended = g_cancellable_new ();
  g_signal_connect (operations_get_engine (operations), "operation", G_CALLBACK (on_operation),
                    self);
  return self;
}

/**
 * room_watch_free:
 * @self: (transfer full): a watch
 */
void
room_watch_free (RoomWatch *self)
{
  g_cancellable_cancel (self->ended);
  g_signal_handlers_disconnect_by_data (operations_get_engine (self->operations), self);
  g_clear_handle_id (&self->timer, g_source_remove);
  g_object_unref (self->ended);
  g_free (self);
}
