/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a request begins an operation: under which key, and what is answered then. */

#include "begin.h"

#include <core/error.h>

#include <string.h>

#define KEY_LENGTH_MAX 255

/**
 * begin_get_key:
 * @request: a request
 * @key: (out) (nullable) (transfer none): its Idempotency-Key; %NULL where there is none
 * @error: return location
 *
 * Returns: whether the key, if any, can be one; else %AGENT_ERROR_INVALID
 */
gboolean
begin_get_key (Request     *request,
               const char **key,
               GError     **error)
{
  const char *given = request_get_header (request, "Idempotency-Key");
  gsize length = given != NULL ? strlen (given) : 1;

  if (length > 0 && length <= KEY_LENGTH_MAX && (given == NULL || g_str_is_ascii (given)))
    {
      *key = given;
      return TRUE;
    }

  agent_set_error (error, AGENT_ERROR_INVALID, "A UUID is a good one.",
                   "Idempotency-Key must be 1 to %d plain characters", KEY_LENGTH_MAX);
  return FALSE;
}

/**
 * begin_answer:
 * @request: (transfer full): a request that was to begin an operation
 * @operation: (nullable): what it has become
 * @error: (transfer full) (nullable): why there is none
 */
void
begin_answer (Request   *request,
              Operation *operation,
              GError    *error)
{
  if (operation == NULL)
    request_answer_error (request, error);
  else
    request_answer_at (request, SOUP_STATUS_ACCEPTED,
                       request_location ("operations", operation_get_id (operation)),
                       operation_to_json (operation));
}
