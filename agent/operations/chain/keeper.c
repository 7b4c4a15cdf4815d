/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when a chain has become too long: after a snapshot whose layers are in the store. Only the
 * newest of these counts. What it asks for gives way to whatever anybody else asks for, and is
 * asked for again when that has ended, or the guest is back. */

#include "keeper.h"

#include <core/error.h>

#include "../document.h"
#include "../inspect.h"
#include "../snapshot-request.h"
#include "verb.h"

#define KIND_SNAPSHOT "snapshot"
#define KIND_SHORTEN  "shorten"

struct _ChainKeeper
{
  Operations   *operations;     /* (unowned) */
  GCancellable *ended;
  GHashTable   *settled;        /* ids of snapshots after which nothing is to be asked for */
  GHashTable   *turns;          /* id of a snapshot that is looked after -> Turn (unowned) */
};

/* One look at a guest, and what follows. */
typedef struct
{
  ChainKeeper  *keeper;         /* (unowned): gone once it is @ended */
  GCancellable *ended;
  Guest        *guest;
  char         *snapshot;       /* id of the operation */
  gint64        length;
  gboolean      again;          /* others have ended meanwhile */
} Turn;

static void look_after (ChainKeeper *self, Guest *guest);

static Turn *
turn_new (ChainKeeper *keeper, Guest *guest, Operation *snapshot, gint64 length)
{
  Turn *turn = g_new0 (Turn, 1);

  turn->keeper = keeper;
  turn->ended = g_object_ref (keeper->ended);
  turn->guest = g_object_ref (guest);
  turn->snapshot = g_strdup (operation_get_id (snapshot));
  turn->length = length;
  g_hash_table_insert (keeper->turns, turn->snapshot, turn);
  return turn;
}

static void
turn_free (Turn *turn)
{
  g_object_unref (turn->ended);
  g_object_unref (turn->guest);
  g_free (turn->snapshot);
  g_free (turn);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Turn, turn_free)

static gboolean
is_for_now (const GError *failure)
{
  return g_error_matches (failure, AGENT_ERROR, AGENT_ERROR_CONFLICT)
         || g_error_matches (failure, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
}

/* Nothing has been asked for, or is refused. @failure: (nullable): why */
static void
settle (Turn *turn, const GError *failure)
{
  ChainKeeper *self = turn->keeper;

  g_hash_table_remove (self->turns, turn->snapshot);
  if (failure != NULL && is_for_now (failure))
    {
      g_info ("the chains of guest %s are not shortened yet: %s", guest_get_id (turn->guest),
              failure->message);
      if (turn->again)
        look_after (self, turn->guest);
      return;
    }
  if (failure != NULL)
    g_warning ("the chains of guest %s are not shortened: %s", guest_get_id (turn->guest),
               failure->message);
  g_hash_table_add (self->settled, g_strdup (turn->snapshot));
}

/* Nobody has asked for these by name. */
static void
log_points (Operation *operation)
{
  JsonArray *points = document_array (operation_get_result (operation), "points_lost");
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; points != NULL && i < json_array_get_length (points); i++)
    g_string_append_printf (names, "%s\"%s\"", i > 0 ? ", " : "",
                            json_array_get_string_element (points, i));
  if (names->len > 0)
    g_info ("operation %s: folds points of guest %s away, whose images stay: %s",
            operation_get_id (operation), operation_get_guest (operation), names->str);
}

static void
on_asked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Turn) turn = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (Operation) operation = operations_request_finish (AGENT_OPERATIONS (source), result,
                                                               NULL, &error);

  if (g_cancellable_is_cancelled (turn->ended))
    return;
  if (operation == NULL)
    {
      settle (turn, error);
      return;
    }
  g_hash_table_remove (turn->keeper->turns, turn->snapshot);
  log_points (operation);
}

static JsonObject *
request_of (gint64 length)
{
  JsonObject *request = json_object_new ();

  json_object_set_int_member (request, "max_chain_length", length);
  json_object_set_boolean_member (request, REQUEST_GIVES_WAY, TRUE);
  return request;
}

/* (nullable): NULL when it was asked for, and nobody else wanted the disks then. The journal knows
 * it: what gave way is known by its own id. */
static char *
next_key (ChainKeeper *self, Guest *guest, const char *snapshot, gint64 length)
{
  Engine *engine = operations_get_engine (self->operations);
  g_autofree char *key = g_strdup_printf ("fold after %s to %" G_GINT64_FORMAT, snapshot, length);
  g_autoptr (JsonObject) request = request_of (length);
  Operation *earlier;

  while ((earlier = engine_repeated (engine, key, KIND_SHORTEN, guest_get_id (guest), request,
                                     NULL)) != NULL)
    {
      if (!operation_gave_way (earlier))
        return NULL;
      g_free (key);
      key = g_strdup_printf ("fold again after %s", operation_get_id (earlier));
    }
  return g_steal_pointer (&key);
}

/* @turn: (transfer full) */
static void
ask (Turn *turn)
{
  g_autoptr (JsonObject) request = request_of (turn->length);
  g_autofree char *key = next_key (turn->keeper, turn->guest, turn->snapshot, turn->length);

  if (key != NULL)
    operations_request_async (turn->keeper->operations, turn->guest, KIND_SHORTEN, request, key,
                              turn->ended, on_asked, turn);
  else
    {
      settle (turn, NULL);
      turn_free (turn);
    }
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Turn) turn = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (Inspection) inspection = inspect_finish (result, &error);
  gboolean too_long = FALSE;

  if (g_cancellable_is_cancelled (turn->ended))
    return;
  for (guint i = 0; inspection != NULL && i < inspection->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (inspection->disks, i);

      too_long = too_long || (disk->skipped == NULL && disk->layers->len > turn->length);
    }
  if (too_long)
    ask (g_steal_pointer (&turn));
  else
    settle (turn, error);
}

/* The layers that the chains may have after the snapshot; 0: any number; -1: it has no images. */
static gint64
length_after (ChainKeeper *self, Guest *guest, Operation *snapshot)
{
  g_autoptr (SnapshotRequest) request =
    snapshot_request_parse (operation_get_request (snapshot), REQUEST_SNAPSHOT,
                            operations_get_config (self->operations), guest_get_config (guest),
                            NULL);

  return request != NULL && request->image != IMAGE_NONE ? request->max_chain_length : -1;
}

/* (transfer full) (nullable): the newest snapshot that was uploaded. */
static Operation *
find_newest (ChainKeeper *self, Guest *guest, gint64 *length)
{
  g_autoptr (GPtrArray) list = engine_list (operations_get_engine (self->operations),
                                            guest_get_id (guest));

  for (guint i = 0; i < list->len; i++)
    {
      Operation *operation = g_ptr_array_index (list, i);

      if (!g_str_equal (operation_get_kind (operation), KIND_SNAPSHOT)
          || operation_get_state (operation) != OPERATION_SUCCEEDED)
        continue;
      *length = length_after (self, guest, operation);
      if (*length >= 0)
        return g_object_ref (operation);
    }
  return NULL;
}

static void
look_after (ChainKeeper *self, Guest *guest)
{
  g_autoptr (Operation) snapshot = NULL;
  g_autofree char *key = NULL;
  const char *id;
  gint64 length;
  Turn *turn;

  if (guest_get_state (guest) != GUEST_ATTACHED)
    return;
  snapshot = find_newest (self, guest, &length);
  if (snapshot == NULL || length == 0)
    return;
  id = operation_get_id (snapshot);
  turn = g_hash_table_lookup (self->turns, id);
  if (turn != NULL)
    turn->again = TRUE;
  if (turn != NULL || g_hash_table_contains (self->settled, id))
    return;
  key = next_key (self, guest, id, length);
  if (key != NULL)
    inspect_async (guest, self->ended, on_inspected, turn_new (self, guest, snapshot, length));
}

static void
look_after_id (ChainKeeper *self, const char *id)
{
  Guest *guest = guest_registry_find (operations_get_guests (self->operations), id, NULL);

  if (guest != NULL)
    look_after (self, guest);
}

static void
on_operation (Engine *engine, Operation *operation, gpointer user_data)
{
  if (operation_is_finished (operation))
    look_after_id (user_data, operation_get_guest (operation));
}

/* Also of a request that was refused in the end, and that something has given way to. */
static void
on_freed (Engine *engine, const char *guest, gpointer user_data)
{
  look_after_id (user_data, guest);
}

static void
on_guest (GuestRegistry *guests, Guest *guest, gpointer user_data)
{
  look_after (user_data, guest);
}

/**
 * chain_keeper_new:
 * @operations: (unowned): the operations, which outlive the keeper
 *
 * Returns: (transfer full): a keeper that watches over all guests
 */
ChainKeeper *
chain_keeper_new (Operations *operations)
{
  ChainKeeper *self = g_new0 (ChainKeeper, 1);

  self->operations = operations;
  self->ended = g_cancellable_new ();
  self->settled = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->turns = g_hash_table_new (g_str_hash, g_str_equal);
  g_signal_connect (operations_get_engine (operations), "operation", G_CALLBACK (on_operation),
                    self);
  g_signal_connect (operations_get_engine (operations), "freed", G_CALLBACK (on_freed), self);
  g_signal_connect (operations_get_guests (operations), "guest-changed", G_CALLBACK (on_guest),
                    self);
  return self;
}

/**
 * chain_keeper_free:
 * @self: (transfer full): a keeper
 */
void
chain_keeper_free (ChainKeeper *self)
{
  g_cancellable_cancel (self->ended);
  g_signal_handlers_disconnect_by_data (operations_get_engine (self->operations), self);
  g_signal_handlers_disconnect_by_data (operations_get_guests (self->operations), self);
  g_object_unref (self->ended);
  g_hash_table_unref (self->settled);
  g_hash_table_unref (self->turns);
  g_free (self);
}
