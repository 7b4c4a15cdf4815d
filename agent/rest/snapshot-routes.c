/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what takes a point: /v1/guests/{guest}/snapshots and /v1/guests/{guest}/images. */

#include "answer.h"
#include "begin.h"

#include <operations/disks.h>

static void
points_known (GObject      *source,
              GAsyncResult *result,
              gpointer      user_data)
{
  GError *error = NULL;
  Request *request = user_data;
  JsonNode *points = operations_points_finish (AGENT_OPERATIONS (source), result, &error);

  if (points == NULL)
    request_answer_error (request, error);
  else
    request_answer (request, SOUP_STATUS_OK, answer_wrap ("snapshots", points));
}

/**
 * snapshots_list:
 * @request: (transfer full): GET /v1/guests/{guest}/snapshots
 */
void
snapshots_list (Request *request)
{
  Guest *guest = request_find_guest (request);

  if (guest != NULL)
    operations_points_async (request_get_operations (request), guest,
                             request_get_cancellable (request), points_known, request);
}

static void
snapshot_begun (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  GError *error = NULL;
  g_autoptr (Operation) operation = operations_snapshot_finish (AGENT_OPERATIONS (source), result,
                                                                &error);

  begin_answer (user_data, operation, error);
}

static void
image_begun (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  GError *error = NULL;
  g_autoptr (Operation) operation = operations_image_finish (AGENT_OPERATIONS (source), result,
                                                             &error);

  begin_answer (user_data, operation, error);
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
  const char *key = NULL;
  Guest *guest = request_find_guest (request);

  if (guest == NULL)
    return;

  /* Not cancelled with the request: who lost the connection asks again, with the same key. */
  if (begin_get_key (request, &key, &error))
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
