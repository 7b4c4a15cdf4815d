/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when disks are looked at to be remembered; what was left in QEMU is let go then. */

#include "known-disks.h"

#include "strays.h"

typedef struct
{
  Operations *operations;
  Guest      *guest;
  Inspection *inspection;
  GPtrArray  *known;            /* of KnownDisk */
} Look;

static void
look_free (Look *self)
{
  g_object_unref (self->operations);
  g_object_unref (self->guest);
  inspection_free (self->inspection);
  g_clear_pointer (&self->known, g_ptr_array_unref);
  g_free (self);
}

/**
 * known_disks_is_idle:
 * @operations: the operations
 * @guest: a guest
 *
 * While an operation is under way a name may lead to a file for a moment only.
 *
 * Returns: whether none of them works on the guest
 */
gboolean
known_disks_is_idle (Operations *operations, Guest *guest)
{
  g_autoptr (GPtrArray) list = engine_list (operations_get_engine (operations),
                                            guest_get_id (guest));

  for (guint i = 0; i < list->len; i++)
    if (!operation_is_finished (g_ptr_array_index (list, i)))
      return FALSE;
  return TRUE;
}

static void
on_named (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *self = g_task_get_task_data (task);
  Journal *journal = operations_get_journal (self->operations);
  GError *error = NULL;

  g_task_propagate_boolean (G_TASK (result), NULL);
  if (journal_get_damage (journal) == NULL && known_disks_is_idle (self->operations, self->guest)
      && !known_disks_save (journal, guest_get_id (self->guest), self->inspection->disks, &error))
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, g_steal_pointer (&self->inspection),
                           (GDestroyNotify) inspection_free);
}

/* The thread has the lists alone: guests are let go of in the main loop. */
typedef struct
{
  GPtrArray *known;
  GPtrArray *disks;
} Naming;

static void
naming_free (Naming *self)
{
  g_ptr_array_unref (self->known);
  g_ptr_array_unref (self->disks);
  g_free (self);
}

static void
name_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Naming *self = task_data;

  known_disks_name (self->known, self->disks);
  g_task_return_boolean (task, TRUE);
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *self = g_task_get_task_data (task);
  g_autoptr (GTask) naming = NULL;
  Naming *lists;
  GError *error = NULL;

  self->inspection = inspect_finish (result, &error);
  if (self->inspection == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  self->known = known_disks_load (operations_get_journal (self->operations),
                                    guest_get_id (self->guest), &error);
  if (self->known == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  lists = g_new0 (Naming, 1);
  lists->known = g_ptr_array_ref (self->known);
  lists->disks = g_ptr_array_ref (self->inspection->disks);
  naming = g_task_new (NULL, NULL, on_named, g_object_ref (task));
  g_task_set_task_data (naming, lists, (GDestroyNotify) naming_free);
  g_task_run_in_thread (naming, name_in_thread);
}

/**
 * known_disks_inspect_async:
 * @operations: the operations
 * @guest: an attached guest
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Looks at the guest's jobs, block graph and files, as inspect_async() does; its disks are then
 * called as they have been called before.
 */
void
known_disks_inspect_async (Operations *operations, Guest *guest, GCancellable *cancellable,
                           GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Look *self = g_new0 (Look, 1);

  self->operations = g_object_ref (operations);
  self->guest = g_object_ref (guest);
  g_task_set_task_data (task, self, (GDestroyNotify) look_free);
  inspect_async (guest, cancellable, on_inspected, g_object_ref (task));
}

/**
 * known_disks_inspect_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, TIMEOUT, GUEST, NO_SPACE or INTERNAL
 *
 * Returns: (transfer full): how the disks stand
 */
Inspection *
known_disks_inspect_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* --- without being asked --- */

typedef struct
{
  Operations *operations;
  Guest      *guest;
} Unasked;

static void
unasked_free (Unasked *self)
{
  g_object_unref (self->operations);
  g_object_unref (self->guest);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Unasked, unasked_free)

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (Unasked) self = user_data;
  g_autoptr (Inspection) inspection = NULL;
  g_autoptr (GError) error = NULL;

  inspection = known_disks_inspect_finish (result, &error);
  if (inspection == NULL)
    g_debug ("disks: not remembered: %s", error->message);
  else if (journal_get_damage (operations_get_journal (self->operations)) == NULL
           && known_disks_is_idle (self->operations, self->guest))
    strays_close (self->operations, self->guest, g_steal_pointer (&inspection));
}

static void
look_if_idle (Operations *operations, Guest *guest)
{
  Unasked *self;

  if (guest_get_client (guest) == NULL || !known_disks_is_idle (operations, guest))
    return;
  self = g_new0 (Unasked, 1);
  self->operations = g_object_ref (operations);
  self->guest = g_object_ref (guest);
  known_disks_inspect_async (operations, guest, NULL, on_looked, self);
}

static void
on_guest_changed (GuestRegistry *guests, Guest *guest, gpointer user_data)
{
  look_if_idle (user_data, guest);
}

static void
on_operation (Engine *engine, Operation *operation, gpointer user_data)
{
  Operations *operations = user_data;
  Guest *guest;

  if (!operation_is_finished (operation))
    return;
  guest = guest_registry_find (operations_get_guests (operations), operation_get_guest (operation),
                               NULL);
  if (guest != NULL)
    look_if_idle (operations, guest);
}

/**
 * known_disks_watch:
 * @operations: the operations, with their engine and their guests
 *
 * What an operation has done to the disks is known before the guest is shut off; and so are the
 * disks of a guest of which nothing was ever asked.
 */
void
known_disks_watch (Operations *operations)
{
  g_signal_connect_object (operations_get_guests (operations), "guest-changed",
                           G_CALLBACK (on_guest_changed), operations, 0);
  g_signal_connect_object (operations_get_engine (operations), "operation",
                           G_CALLBACK (on_operation), operations, 0);
}
