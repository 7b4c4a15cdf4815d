/* SPDX-License-Identifier: Apache-2.0 */

/* Knows whether what answers now is the guest that answered before. README.md tells the idea. */

#include "identity.h"

#include "address.h"

#include <core/error.h>

/**
 * identity_new:
 *
 * Returns: (transfer full): the identity of a guest that nothing is known of
 */
Identity *
identity_new (void)
{
  return g_new0 (Identity, 1);
}

/**
 * identity_free:
 * @self: an identity
 */
void
identity_free (Identity *self)
{
  g_free (self->required_uuid);
  g_free (self->pinned_uuid);
  g_free (self->pinned_name);
  g_free (self->uuid);
  g_free (self->name);
  g_free (self);
}

/* In words, for an error. */
static char *
describe (GuestKind   kind,
          const char *uuid,
          const char *name)
{
  const char *what = kind == GUEST_KIND_STORAGE_DAEMON ? "a storage daemon" : "a guest";

  if (uuid != NULL && name != NULL)
    return g_strdup_printf ("%s with UUID %s and name \"%s\"", what, uuid, name);
  if (uuid != NULL)
    return g_strdup_printf ("%s with UUID %s", what, uuid);
  if (name != NULL)
    return g_strdup_printf ("%s with name \"%s\" and without a UUID", what, name);

  return g_strdup_printf ("%s without UUID and name", what);
}

/**
 * identity_accepts:
 * @self: an identity
 * @probe: what answers now
 * @place: where, for the error
 * @error: return location
 *
 * Returns: whether it is the guest that is meant; if not, AGENT_ERROR_CONFLICT tells both
 */
gboolean
identity_accepts (Identity          *self,
                  const GuestProbe  *probe,
                  const char        *place,
                  GError           **error)
{
  g_autofree char *now = describe (probe->kind, probe->uuid, probe->name);
  g_autofree char *before = NULL;

  if (self->required_uuid != NULL && g_strcmp0 (self->required_uuid, probe->uuid) != 0)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT,
                       "Correct the UUID or the monitor's address, whichever is wrong.",
                       "on %s speaks %s, where UUID %s is demanded", place, now,
                       self->required_uuid);
      return FALSE;
    }

  if (!self->pinned)
    return TRUE;

  if (self->pinned_uuid != NULL)
    {
      if (g_strcmp0 (self->pinned_uuid, probe->uuid) == 0)
        return TRUE;
    }
  else if (probe->uuid == NULL && g_strcmp0 (self->pinned_name, probe->name) == 0 &&
           (self->kind == GUEST_KIND_UNKNOWN || self->kind == probe->kind))
    return TRUE;

  before = describe (self->kind, self->pinned_uuid, self->pinned_name);
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "Detach the guest that was there before, then attach this one.",
                   "on %s speaks another guest: %s, where there was %s", place, now, before);

  return FALSE;
}

/**
 * identity_take:
 * @self: an identity
 * @probe: what answers now, and was accepted
 *
 * Takes what is told for what holds; the first time, for ever.
 */
void
identity_take (Identity         *self,
               const GuestProbe *probe)
{
  self->kind = probe->kind;
  g_free (self->uuid);
  self->uuid = g_strdup (probe->uuid);
  g_free (self->name);
  self->name = g_strdup (probe->name);

  if (!self->pinned)
    identity_restore (self, probe->uuid, probe->name);
  self->told = TRUE;
}

/**
 * identity_restore:
 * @self: an identity
 * @uuid: (nullable): the UUID that the guest had
 * @name: (nullable): its name, which counts only where it had no UUID
 *
 * Pins what was seen once.
 */
void
identity_restore (Identity   *self,
                  const char *uuid,
                  const char *name)
{
  g_clear_pointer (&self->pinned_uuid, g_free);
  g_clear_pointer (&self->pinned_name, g_free);

  if (uuid != NULL)
    self->pinned_uuid = g_ascii_strdown (uuid, -1);
  else
    self->pinned_name = g_strdup (name);
  self->pinned = TRUE;
}

/**
 * identity_make_id:
 * @self: an identity
 * @place: the monitor's address
 *
 * Returns: (transfer full): the best id that can be made of it
 */
char *
identity_make_id (Identity   *self,
                  const char *place)
{
  if (guest_id_is_good (self->name))
    return g_strdup (self->name);
  if (self->uuid != NULL)
    return g_strdup (self->uuid);

  return address_guess_id (place);
}
