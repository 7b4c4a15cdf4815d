/* SPDX-License-Identifier: Apache-2.0 */

/* Knows that each guest is there once: one guest to a socket, one to an id, one to a QEMU. */

#include "registry-private.h"

#include "address.h"
#include "process.h"

#include <core/error.h>

/**
 * registry_find_by_monitor:
 * @self: a registry
 * @monitor: an address, as address_normalize() writes it
 *
 * Returns: (transfer none) (nullable): the guest there, attached or asked for
 */
Guest *
registry_find_by_monitor (GuestRegistry *self,
                          const char    *monitor)
{
  for (guint i = 0; i < self->guests->len; i++)
    {
      Guest *guest = g_ptr_array_index (self->guests, i);

      if (g_str_equal (guest_get_config (guest)->monitor, monitor))
        return guest;
    }

  for (guint i = 0; i < self->attaching->len; i++)
    {
      Guest *guest = registry_get_attaching (self, i);

      if (g_str_equal (guest_get_config (guest)->monitor, monitor))
        return guest;
    }

  return NULL;
}

/* By an id that is settled; a guess stands in nobody's way. */
static Guest *
find_by_id (GuestRegistry *self,
            const char    *id)
{
  for (guint i = 0; i < self->guests->len; i++)
    {
      Guest *guest = g_ptr_array_index (self->guests, i);

      if (guest_has_id (guest) && g_str_equal (guest_get_id (guest), id))
        return guest;
    }

  for (guint i = 0; i < self->attaching->len; i++)
    {
      Guest *guest = registry_get_attaching (self, i);

      if (guest_has_id (guest) && g_str_equal (guest_get_id (guest), id))
        return guest;
    }

  return NULL;
}

/**
 * registry_is_agent_socket:
 * @self: a registry
 * @path: a socket
 *
 * Returns: whether a guest agent speaks there, to which a monitor's client would be in the way
 */
gboolean
registry_is_agent_socket (GuestRegistry *self,
                          const char    *path)
{
  for (guint i = 0; i < self->guests->len; i++)
    {
      Guest *guest = g_ptr_array_index (self->guests, i);

      if (g_strcmp0 (guest_get_config (guest)->agent, path) == 0)
        return TRUE;
    }

  return FALSE;
}

static GError *
id_is_taken (Guest *owner)
{
  return agent_error_new (AGENT_ERROR_CONFLICT, "Give this one another id.",
                          "the id %s is taken by the guest on %s", guest_get_id (owner),
                          guest_get_config (owner)->monitor);
}

/**
 * registry_check_config:
 * @self: a registry
 * @config: what a caller says of a guest
 * @error: return location
 *
 * Returns: whether it may be looked for; if not, AGENT_ERROR_INVALID, or AGENT_ERROR_CONFLICT when
 *   its id or socket is taken
 */
gboolean
registry_check_config (GuestRegistry      *self,
                       const GuestConfig  *config,
                       GError            **error)
{
  Guest *other;

  if (!guest_config_check (config, error))
    return FALSE;

  other = config->id != NULL ? find_by_id (self, config->id) : NULL;
  if (other != NULL)
    {
      g_propagate_error (error, id_is_taken (other));
      return FALSE;
    }

  other = registry_find_by_monitor (self, config->monitor);
  if (other != NULL)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "Use that guest, or detach it first.",
                       "the monitor %s is taken by guest %s", config->monitor,
                       guest_get_id (other));
      return FALSE;
    }

  return TRUE;
}

/* Whether two monitors belong to one QEMU. The process alone does not tell: a manager that made the
 * sockets of many QEMUs and passed them on is taken for their peer. */
static gboolean
same_process (Guest *a,
              Guest *b)
{
  return guest_get_start_time (a) != 0 && guest_get_start_time (a) == guest_get_start_time (b) &&
         guest_get_pid (a) == guest_get_pid (b) &&
         g_strcmp0 (guest_get_uuid (a), guest_get_uuid (b)) == 0 &&
         (guest_get_uuid (a) != NULL || process_is_qemu (guest_get_pid (a)));
}

/**
 * registry_check_attached:
 * @self: a registry
 * @guest: a guest that has just been attached
 *
 * Returns: (transfer full) (nullable): AGENT_ERROR_CONFLICT when what it says of itself is
 *   another's
 */
GError *
registry_check_attached (GuestRegistry *self,
                         Guest         *guest)
{
  for (guint i = 0; i < self->guests->len; i++)
    {
      Guest *other = g_ptr_array_index (self->guests, i);

      if (other == guest)
        continue;

      if (guest_has_id (other) && g_str_equal (guest_get_id (other), guest_get_id (guest)))
        return id_is_taken (other);

      if (same_process (guest, other))
        return agent_error_new (
            AGENT_ERROR_CONFLICT, "Use that guest, or detach it first.",
            "the QEMU on %s (process %d) is attached already, as guest %s on %s",
            guest_get_config (guest)->monitor, guest_get_pid (guest), guest_get_id (other),
            guest_get_config (other)->monitor);
    }

  return NULL;
}

/**
 * registry_dup_normal:
 * @config: what a caller says of a guest
 *
 * Returns: (transfer full): the same, with addresses that can be compared
 */
GuestConfig *
registry_dup_normal (const GuestConfig *config)
{
  GuestConfig *copy = guest_config_copy (config);

  if (config->monitor != NULL)
    {
      g_free (copy->monitor);
      copy->monitor = address_normalize (config->monitor);
    }
  if (config->agent != NULL)
    {
      g_free (copy->agent);
      copy->agent = address_normalize (config->agent);
    }

  return copy;
}
