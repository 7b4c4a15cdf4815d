/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the errors of an image service are to us. */

#include "glance-errors.h"

#include <core/error.h>
#include <glance/error.h>

static const struct
{
  GlanceError  theirs;
  AgentError   ours;
  const char  *hint;
} errors[] = {
  { GLANCE_ERROR_INVALID,      AGENT_ERROR_INVALID,      NULL },
  { GLANCE_ERROR_UNAUTHORIZED, AGENT_ERROR_UNAUTHORIZED,
   "Are the daemon's token, or its credentials, good?" },
  { GLANCE_ERROR_FORBIDDEN,    AGENT_ERROR_STORE,        "The token's owner may not do this." },
  { GLANCE_ERROR_NOT_FOUND,    AGENT_ERROR_NOT_FOUND,    "Somebody may have deleted it." },
  { GLANCE_ERROR_CONFLICT,     AGENT_ERROR_CONFLICT,
   "Ask the image service what became of it." },
  { GLANCE_ERROR_NO_SPACE,     AGENT_ERROR_NO_SPACE,     "Remove images, or raise the quota." },
  { GLANCE_ERROR_REFUSED,      AGENT_ERROR_STORE,        "Upload the disk as a standalone qcow2." },
  { GLANCE_ERROR_DEAD,         AGENT_ERROR_CONFLICT,     "Create another image with a new id." },
  { GLANCE_ERROR_MISMATCH,     AGENT_ERROR_STORE,        "Something on the way changes bytes." },
  { GLANCE_ERROR_UNAVAILABLE,  AGENT_ERROR_UNAVAILABLE,
   "Ask again when the image service answers." },
  { GLANCE_ERROR_TIMEOUT,      AGENT_ERROR_TIMEOUT,
   "Is it overloaded? [glance] timeout and deadline say how long it is waited for." },
  { GLANCE_ERROR_SERVER,       AGENT_ERROR_STORE,        "Look into the image service's log." },
  { GLANCE_ERROR_PROTOCOL,     AGENT_ERROR_STORE,
   "Is the address that of an image service?" },
  { GLANCE_ERROR_NO_ENDPOINT,  AGENT_ERROR_STORE,
   "Do region_name and interface in clouds.yaml say what the catalogue says?" },
};

/**
 * glance_error_translate:
 * @error: (transfer full): an error of a call to the service
 *
 * Returns: (transfer full): an AGENT_ERROR; others than the service's own pass
 */
GError *
glance_error_translate (GError *error)
{
  g_autoptr (GError) old = error;
  const char *request_id;

  if (error->domain != GLANCE_ERROR)
    return g_steal_pointer (&old);

  request_id = glance_error_get_request_id (error);
  for (gsize i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      if ((int) errors[i].theirs == error->code)
        return agent_error_new (errors[i].ours, errors[i].hint, "%s%s%s%s", error->message,
                                request_id != NULL ? " (request " : "",
                                request_id != NULL ? request_id : "",
                                request_id != NULL ? ")" : "");
    }

  return agent_error_new (AGENT_ERROR_STORE, NULL, "%s", error->message);
}
