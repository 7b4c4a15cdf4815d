/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which of our errors one of libqmp is. */

#include <core/error.h>
#include <errno.h>
#include <guest/guest.h>
#include <string.h>

static AgentError
code_of (QmpError code)
{
  switch (code)
    {
    case QMP_ERROR_LINK:
    case QMP_ERROR_NO_GREETING:
      return AGENT_ERROR_UNAVAILABLE;
    case QMP_ERROR_TIMEOUT:
      return AGENT_ERROR_TIMEOUT;
    case QMP_ERROR_PROTOCOL:
    case QMP_ERROR_COMMAND:
    case QMP_ERROR_COMMAND_NOT_FOUND:
    case QMP_ERROR_DEVICE_NOT_FOUND:
    case QMP_ERROR_DEVICE_NOT_ACTIVE:
    case QMP_ERROR_JOB:
    case QMP_ERROR_UNSUPPORTED:
    case QMP_ERROR_FLOOD:
      return AGENT_ERROR_GUEST;
    default:
      return AGENT_ERROR_INTERNAL;
    }
}

/* QEMU's words are strerror's. */
static gboolean
tells_no_space (const GError *error)
{
  return (error->code == QMP_ERROR_JOB || error->code == QMP_ERROR_COMMAND)
         && (strstr (error->message, g_strerror (ENOSPC)) != NULL
             || strstr (error->message, g_strerror (EDQUOT)) != NULL);
}

/**
 * guest_error_adopt:
 * @error: (transfer full) (nullable): an error of any domain
 *
 * A link that is not there becomes AGENT_ERROR_UNAVAILABLE, a deadline that passed
 * AGENT_ERROR_TIMEOUT, storage that is full AGENT_ERROR_NO_SPACE, and whatever else QEMU refused
 * AGENT_ERROR_GUEST; other domains as agent_error_adopt() has it.
 *
 * Returns: (transfer full) (nullable): an error of the domain AGENT_ERROR
 */
GError *
guest_error_adopt (GError *error)
{
  g_autoptr (GError) old = error;

  if (error == NULL || error->domain != QMP_ERROR)
    return agent_error_adopt (g_steal_pointer (&old));
  if (tells_no_space (error))
    return agent_error_new (AGENT_ERROR_NO_SPACE, "make room, then ask again", "%s", old->message);

  return agent_error_new (code_of ((QmpError) error->code),
                          old->code == QMP_ERROR_FLOOD ? "Find out why; it is tried again in 30 s."
                                                       : NULL,
                          "%s", old->message);
}
