/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what takes a point: /v1/guests/{guest}/snapshots and /v1/guests/{guest}/images. */

#include "answer.h"
#include "request.h"

#include <core/error.h>

#include <string.h>

#define KEY_LENGTH_MAX 255

/**
 * snapshots_list:
 * @request: (transfer full): GET /v1/guests/{guest}/snapshots
 */
void
snapshots_list (Request *request)
{
  g_autoptr (GError) error = NULL;
  Guest *guest = request_find_guest (request);
  JsonNode *points;

  if (guest == NULL)
    return;

  points = operations_points (request_get_operations (request), guest, &error);
  if (points == NULL)
    request_answer_error (request, g_steal_pointer (&error));
  else
    request_answer (request, SOUP_STATUS_OK, answer_wrap ("snapshots", points));
}

static void
answer_begun (Request   *request,
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

static void
snapshot_begun (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  GError *error = NULL;
  g_autoptr (Operation) operation = operations_snapshot_finish (AGENT_OPERATIONS (source), result,
                                                                &error);

  answer_begun (user_data, operation, error);
}

static void
image_begun (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  GError *error = NULL;
  g_autoptr (Operation) operation = operations_image_finish (AGENT_OPERATIONS (source), result,
                                                             &error);

  answer_begun (user_data, operation, error);
}

static gboolean
check_key (const char  *key,
           GError     **error)
{
  gsize length = key != NULL ? strlen (key) : 1;

  if (length > 0 && length <= KEY_LENGTH_MAX && (key == NULL || g_str_is_ascii (key)))
    return TRUE;

  agent_set_error (error, AGENT_ERROR_INVALID, "A UUID is a good one.",
                   "Idempotency-Key must be 1 to %d plain characters", KEY_LENGTH_MAX);
  return FALSE;
}

/* What operations_snapshot_async() and its like have in common. */
typedef void (*Begin) (Operations *operations, Guest *guest, JsonObject *request,
                       const char *idempotency_key, GCancellable *cancellable,
                       GAsyncReadyCallback callback, gpointer user_data);

static void
begin (Request             *request,
       Begin                operation,
       GAsyncReadyCallback  begun)
{
  GError *error = NULL;
  const char *key = request_get_header (request, "Idempotency-Key");
  Guest *guest = request_find_guest (request);

  if (guest == NULL)
    return;

  /* Not cancelled with the request: who lost the connection asks again, with the same key. */
  if (check_key (key, &error))
    operation (request_get_operations (request), guest, request_get_body (request), key, NULL,
               begun, request);
  else
    request_answer_error (request, error);
}

/**
 * snapshots_take:
 * @request: (transfer full): POST /v1/guests/{guest}/snapshots: answered when it has begun
 */
void
snapshots_take (Request *request)
{
  begin (request, operations_snapshot_async, snapshot_begun);
}

/**
 * guest_image_take:
 * @request: (transfer full): POST /v1/guests/{guest}/images: answered when it has begun
 */
void
guest_image_take (Request *request)
{
  begin (request, operations_image_async, image_begun);
}
