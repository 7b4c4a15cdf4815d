/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a guest tells of itself to the rest of the agent. */

#include "guest-private.h"

#include "process.h"

/**
 * guest_get_id:
 * @self: a guest
 *
 * The id of its configuration; else QEMU's name if that is a good id, else QEMU's UUID, else the
 * socket's name without extension. Before a guest without a configured id is attached for the first
 * time, the last of these is all there is.
 *
 * Returns: (transfer none): how requests name it
 */
const char *
guest_get_id (Guest *self)
{
  return self->id;
}

/**
 * guest_has_id:
 * @self: a guest
 *
 * Returns: whether guest_get_id() will say the same for ever
 */
gboolean
guest_has_id (Guest *self)
{
  return self->config->id != NULL || self->identity->told;
}

/**
 * guest_get_name:
 * @self: a guest
 *
 * Returns: (transfer none) (nullable): the name that QEMU gave when it was last attached
 */
const char *
guest_get_name (Guest *self)
{
  return self->identity->name;
}

/**
 * guest_get_uuid:
 * @self: a guest
 *
 * Returns: (transfer none) (nullable): the UUID, lower case, that QEMU gave when it was last
 *   attached
 */
const char *
guest_get_uuid (Guest *self)
{
  return self->identity->uuid;
}

/**
 * guest_get_identity:
 * @self: a guest
 *
 * Returns: (transfer none): who it must be
 */
Identity *
guest_get_identity (Guest *self)
{
  return self->identity;
}

/**
 * guest_get_state:
 * @self: a guest
 *
 * Returns: whether it can be used; see the drawing in guest.h
 */
GuestState
guest_get_state (Guest *self)
{
  return self->state;
}

/**
 * guest_get_kind:
 * @self: a guest
 *
 * Returns: what speaks there, as far as it was ever attached
 */
GuestKind
guest_get_kind (Guest *self)
{
  return self->identity->kind;
}

/**
 * guest_get_origin:
 * @self: a guest
 *
 * Returns: whose word it is that this guest is ours
 */
GuestOrigin
guest_get_origin (Guest *self)
{
  return self->origin;
}

/**
 * guest_get_error:
 * @self: a guest
 *
 * Returns: (transfer none) (nullable): why it is not attached, of the domain AGENT_ERROR
 */
const GError *
guest_get_error (Guest *self)
{
  return self->error;
}

/**
 * guest_is_replaced:
 * @self: a guest
 *
 * Returns: whether its place is taken by another guest than the one that was attached there
 */
gboolean
guest_is_replaced (Guest *self)
{
  return self->state == GUEST_REFUSED && self->identity->told && self->holder == NULL;
}

/**
 * guest_get_config:
 * @self: a guest
 *
 * Returns: (transfer none): what it was made of
 */
const GuestConfig *
guest_get_config (Guest *self)
{
  return self->config;
}

/**
 * guest_get_run_state:
 * @self: a guest
 *
 * Returns: (transfer none) (nullable): QEMU's RunState; %NULL while it is not attached, and for a
 *   storage daemon
 */
const char *
guest_get_run_state (Guest *self)
{
  return self->link != NULL ? guest_link_get_run_state (self->link) : NULL;
}

/**
 * guest_get_client:
 * @self: a guest
 *
 * Returns: (transfer none) (nullable): its link; %NULL while it is not attached
 */
QmpClient *
guest_get_client (Guest *self)
{
  return self->link != NULL ? guest_link_get_client (self->link) : NULL;
}

/**
 * guest_get_features:
 * @self: a guest
 *
 * Returns: (transfer none) (nullable): what its QEMU can do; %NULL while it is not attached
 */
QmpFeatures *
guest_get_features (Guest *self)
{
  return self->link != NULL ? guest_link_get_features (self->link) : NULL;
}

/**
 * guest_get_pid:
 * @self: a guest
 *
 * Returns: the process that listens there; 0 while it is not attached, and over TCP
 */
GPid
guest_get_pid (Guest *self)
{
  return self->link != NULL ? guest_link_get_pid (self->link) : 0;
}

/**
 * guest_get_start_time:
 * @self: a guest
 *
 * Returns: when the process of guest_get_pid() started, in clock ticks since boot; 0 when that is
 *   unknown
 */
guint64
guest_get_start_time (Guest *self)
{
  return self->link != NULL ? guest_link_get_start_time (self->link) : 0;
}

/**
 * guest_process_is_alive:
 * @pid: what guest_get_pid() said once
 * @start_time: what guest_get_start_time() said then
 *
 * Returns: whether the very same process still runs; %FALSE when it was not known
 */
gboolean
guest_process_is_alive (GPid    pid,
                        guint64 start_time)
{
  return process_is_alive (pid, start_time);
}

/**
 * guest_last_process_is_alive:
 * @self: a guest
 *
 * A monitor may be lost while its guest runs on.
 *
 * Returns: whether the process that was attached last still runs; %FALSE when none ever was
 */
gboolean
guest_last_process_is_alive (Guest *self)
{
  return process_is_alive (self->last_pid, self->last_start_time);
}

/**
 * guest_dup_folder:
 * @self: a guest
 *
 * Returns: (transfer full) (nullable): where QEMU looks for files with relative names
 */
char *
guest_dup_folder (Guest *self)
{
  return process_dup_folder (guest_get_pid (self), guest_get_start_time (self));
}

/**
 * guest_answers_to:
 * @self: a guest
 * @name: what somebody calls it
 *
 * Returns: whether @name is its id, its name or its UUID
 */
gboolean
guest_answers_to (Guest      *self,
                  const char *name)
{
  return g_strcmp0 (self->id, name) == 0 || g_strcmp0 (self->identity->name, name) == 0 ||
         (self->identity->uuid != NULL && g_ascii_strcasecmp (self->identity->uuid, name) == 0);
}
