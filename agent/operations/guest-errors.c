/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what an error on the way to a guest means for the one who asked. */

#include "guest-errors.h"

#include <core/error.h>

/**
 * guest_error_name:
 * @guest: (nullable): the guest that was spoken to
 * @error: (transfer full): an error of libqmp, or any other
 *
 * Returns: (transfer full): the same as an AGENT_ERROR that names the guest
 */
GError *
guest_error_name (Guest *guest, GError *error)
{
  GError *named = guest_error_adopt (error);
  g_autofree char *prefix = guest != NULL ? g_strdup_printf ("guest %s: ", guest_get_id (guest))
                                          : g_strdup ("");

  /* Whoever passes it on may have named it before. */
  if (!g_str_has_prefix (named->message, prefix))
    g_prefix_error (&named, "%s", prefix);
  return named;
}

/**
 * guest_require_client:
 * @guest: (nullable): a guest
 * @error: return location: AGENT_ERROR_UNAVAILABLE
 *
 * Returns: (transfer none): the link to its monitor
 */
QmpClient *
guest_require_client (Guest *guest, GError **error)
{
  QmpClient *client = guest != NULL ? guest_get_client (guest) : NULL;
  const GError *reason = guest != NULL ? guest_get_error (guest) : NULL;

  if (client == NULL)
    agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "try again when its QEMU runs",
                     "guest %s is not attached%s%s",
                     guest != NULL ? guest_get_id (guest) : "(unknown)",
                     reason != NULL ? ": " : "", reason != NULL ? reason->message : "");
  return client;
}

/**
 * guest_error_is_refusal:
 * @error: an error of libqmp
 *
 * Returns: TRUE when QEMU answered the command with an error; after a time-out or a lost link it
 *   may have happened
 */
gboolean
guest_error_is_refusal (const GError *error)
{
  return g_error_matches (error, QMP_ERROR, QMP_ERROR_COMMAND)
         || g_error_matches (error, QMP_ERROR, QMP_ERROR_COMMAND_NOT_FOUND)
         || g_error_matches (error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_FOUND)
         || g_error_matches (error, QMP_ERROR, QMP_ERROR_DEVICE_NOT_ACTIVE);
}
