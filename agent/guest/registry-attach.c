/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a guest is attached and detached by request. */

#include "registry-private.h"

#include "guest-records.h"

#include <core/error.h>

/* A request that waits for its guest. */
typedef struct
{
  Guest   *guest;
  gulong   state_handler;
  GSource *cancelled;           /* (nullable) */
} Attach;

static void
attach_free (Attach *attach)
{
  g_clear_object (&attach->guest);
  g_free (attach);
}

/**
 * registry_get_attaching:
 * @self: a registry
 * @index: below the length of its requests
 *
 * Returns: (transfer none): the guest that the request waits for
 */
Guest *
registry_get_attaching (GuestRegistry *self,
                        guint          index)
{
  Attach *attach = g_task_get_task_data (g_ptr_array_index (self->attaching, index));

  return attach->guest;
}

static void
attach_leave (GuestRegistry *self,
              GTask         *task)
{
  Attach *attach = g_task_get_task_data (task);

  g_clear_signal_handler (&attach->state_handler, attach->guest);
  if (attach->cancelled != NULL)
    g_source_destroy (attach->cancelled);
  g_clear_pointer (&attach->cancelled, g_source_unref);
  g_ptr_array_remove (self->attaching, task);
  guest_registry_settle (self);
}

/* @error: (transfer full) */
static void
attach_fail (GuestRegistry *self,
             GTask         *task,
             GError        *error)
{
  Attach *attach = g_task_get_task_data (task);
  g_autoptr (GTask) hold = g_object_ref (task);

  attach_leave (self, task);
  guest_stop (attach->guest);
  g_task_return_error (task, error);
}

/**
 * registry_fail_attaching:
 * @self: a registry
 *
 * Ends all requests that wait.
 */
void
registry_fail_attaching (GuestRegistry *self)
{
  while (self->attaching->len > 0)
    attach_fail (self, g_ptr_array_index (self->attaching, 0),
                 agent_error_new (AGENT_ERROR_UNAVAILABLE, "Try again when the daemon is up.",
                                  "the daemon is going down"));
}

static GError *
was_cancelled (void)
{
  return agent_error_new (AGENT_ERROR_CANCELLED, NULL, "attaching was cancelled");
}

static gboolean
on_attach_cancelled (GCancellable *cancellable,
                     gpointer      user_data)
{
  GTask *task = user_data;

  attach_fail (g_task_get_source_object (task), task, was_cancelled ());

  return G_SOURCE_REMOVE;
}

static void
on_attach_state (Guest    *guest,
                 gpointer  user_data)
{
  g_autoptr (GTask) task = g_object_ref (user_data);
  GuestRegistry *self = g_task_get_source_object (task);
  GError *error = NULL;

  if (guest_get_state (guest) != GUEST_ATTACHED)
    error = g_error_copy (guest_get_error (guest));
  else
    error = registry_check_attached (self, guest);

  if (error != NULL || !guest_records_save (self->journal, guest, &error))
    {
      attach_fail (self, task, error);
      return;
    }

  attach_leave (self, task);
  registry_add (self, guest);
  registry_tell (self, guest);
  g_task_return_pointer (task, g_object_ref (guest), g_object_unref);
}

/**
 * guest_registry_attach_async:
 * @self: a registry
 * @config: what is known of the guest; copied
 * @cancellable: (nullable): leaves nothing behind
 * @callback: when the guest is attached, or cannot be
 * @user_data: for @callback
 *
 * Attaches a guest and remembers it in the journal. One try is made.
 */
void
guest_registry_attach_async (GuestRegistry       *self,
                             const GuestConfig   *config,
                             GCancellable        *cancellable,
                             GAsyncReadyCallback  callback,
                             gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (GuestConfig) normal = registry_dup_normal (config);
  Attach *attach;
  GError *error = NULL;

  /* An attach that has come to its end is one, whatever is cancelled after. */
  g_task_set_check_cancellable (task, FALSE);
  if (g_cancellable_is_cancelled (cancellable))
    {
      g_task_return_error (task, was_cancelled ());
      return;
    }

  if (!registry_check_config (self, normal, &error))
    {
      g_task_return_error (task, error);
      return;
    }

  attach = g_new0 (Attach, 1);
  attach->guest = guest_new (normal, self->cache);
  guest_set_origin (attach->guest, GUEST_ORIGIN_REQUEST);
  g_task_set_task_data (task, attach, (GDestroyNotify) attach_free);
  attach->state_handler =
    g_signal_connect (attach->guest, "state-changed", G_CALLBACK (on_attach_state), task);
  if (cancellable != NULL)
    {
      attach->cancelled = g_cancellable_source_new (cancellable);
      g_source_set_callback (attach->cancelled, G_SOURCE_FUNC (on_attach_cancelled), task, NULL);
      g_source_attach (attach->cancelled, g_task_get_context (task));
    }

  g_ptr_array_add (self->attaching, g_object_ref (task));
  guest_start (attach->guest);
}

/**
 * guest_registry_attach_finish:
 * @self: a registry
 * @result: what the callback was given
 * @error: return location
 *
 * Returns: (transfer full): the guest; %NULL with AGENT_ERROR_INVALID, AGENT_ERROR_CONFLICT (its id
 *   or socket is taken, or it has another UUID), AGENT_ERROR_UNAVAILABLE or AGENT_ERROR_TIMEOUT
 *   (nobody there, or nobody answers), AGENT_ERROR_GUEST (whatever is there is no QMP, or too old),
 *   AGENT_ERROR_CANCELLED, or AGENT_ERROR_INTERNAL
 */
Guest *
guest_registry_attach_finish (GuestRegistry  *self,
                              GAsyncResult   *result,
                              GError        **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * guest_registry_detach:
 * @self: a registry
 * @guest: one of its guests
 * @error: return location
 *
 * Lets go of @guest and forgets it; QEMU does not notice. Where it came by watching, its socket is
 * left alone until it is made anew.
 *
 * Returns: %FALSE with AGENT_ERROR_CONFLICT for a guest of the configuration,
 *   AGENT_ERROR_NOT_FOUND, or AGENT_ERROR_INTERNAL
 */
gboolean
guest_registry_detach (GuestRegistry  *self,
                       Guest          *guest,
                       GError        **error)
{
  if (!g_ptr_array_find (self->guests, guest, NULL))
    {
      agent_set_error (error, AGENT_ERROR_NOT_FOUND, NULL, "guest %s is detached already",
                       guest_get_id (guest));
      return FALSE;
    }

  switch (guest_get_origin (guest))
    {
    case GUEST_ORIGIN_REQUEST:
      if (!guest_records_delete (self->journal, guest_get_id (guest), error))
        return FALSE;
      break;
    case GUEST_ORIGIN_WATCH:
      g_hash_table_add (self->ignored, g_strdup (guest_get_config (guest)->monitor));
      break;
    case GUEST_ORIGIN_CONFIG:
    default:
      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "Remove its section from the configuration and reload it.",
                       "guest %s is in the configuration, it would come back",
                       guest_get_id (guest));
      return FALSE;
    }

  registry_remove (self, guest);

  return TRUE;
}
