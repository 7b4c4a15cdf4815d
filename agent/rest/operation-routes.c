/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v1/operations. */

#include "answer.h"
#include "arrivals.h"
#include "request.h"

#include <core/error.h>

#define WAIT_MAX 300            /* seconds */

static gboolean
parse_state (const char      *word,
             OperationState  *state,
             GError         **error)
{
  for (*state = OPERATION_QUEUED; *state <= OPERATION_CANCELLED; (*state)++)
    if (g_strcmp0 (operation_state_to_string (*state), word) == 0)
      return TRUE;

  agent_set_error (error, AGENT_ERROR_INVALID,
                   "There are queued, running, succeeded, failed and cancelled.",
                   "state: operations have no such state");
  return FALSE;
}

/**
 * operations_list:
 * @request: (transfer full): GET /v1/operations
 */
void
operations_list (Request *request)
{
  Operations *operations = request_get_operations (request);
  const char *guest_name = request_get_query (request, "guest");
  const char *state_word = request_get_query (request, "state");
  g_autoptr (JsonArray) array = json_array_new ();
  g_autoptr (GPtrArray) list = NULL;
  g_autoptr (GError) error = NULL;
  OperationState state = OPERATION_QUEUED;

  if (state_word != NULL && !parse_state (state_word, &state, &error))
    {
      request_answer_error (request, g_steal_pointer (&error));
      return;
    }
  if (guest_name != NULL)
    {
      /* A guest that was detached has operations still. */
      Guest *guest = guest_registry_find (operations_get_guests (operations), guest_name, NULL);

      guest_name = guest != NULL ? guest_get_id (guest) : guest_name;
    }

  list = engine_list (operations_get_engine (operations), guest_name);
  for (guint i = 0; i < list->len; i++)
    {
      Operation *operation = g_ptr_array_index (list, i);

      if (state_word == NULL || operation_get_state (operation) == state)
        json_array_add_element (array, operation_to_json (operation));
    }
  request_answer (request, SOUP_STATUS_OK,
                  answer_wrap ("operations", json_node_init_array (json_node_alloc (), array)));
}

/* NULL, and answered, when there is none. */
static Operation *
find_operation (Request *request)
{
  Engine *engine = operations_get_engine (request_get_operations (request));
  Operation *operation = engine_find (engine, request_get_name (request));

  if (operation == NULL)
    request_answer_error (request, agent_error_new (AGENT_ERROR_NOT_FOUND, NULL,
                                                    "there is no operation \"%s\"",
                                                    request_get_name (request)));
  return operation;
}

static void
operation_waited (GObject      *source,
                  GAsyncResult *result,
                  gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;

  if (operation_wait_finish (AGENT_OPERATION (source), result, &error))
    request_answer (request, SOUP_STATUS_OK, operation_to_json (AGENT_OPERATION (source)));
  else
    request_answer_error (request, g_steal_pointer (&error));
}

/**
 * operation_show:
 * @request: (transfer full): GET /v1/operations/{operation}: at once, or when it is over
 */
void
operation_show (Request *request)
{
  const char *wait = request_get_query (request, "wait");
  g_autoptr (GError) error = NULL;
  guint64 seconds = 0;
  Operation *operation;

  if (wait != NULL && !g_ascii_string_to_unsigned (wait, 10, 0, WAIT_MAX, &seconds, NULL))
    {
      request_answer_error (request, agent_error_new (AGENT_ERROR_INVALID, NULL,
                                                      "wait: must be 0 to %d seconds", WAIT_MAX));
      return;
    }

  operation = find_operation (request);
  if (operation == NULL)
    return;

  if (seconds == 0 || operation_is_finished (operation))
    request_answer (request, SOUP_STATUS_OK, operation_to_json (operation));
  else if (!arrival_wait (arrival_of (request_get_message (request))))
    request_answer_error (
      request, agent_error_new (AGENT_ERROR_UNAVAILABLE, "Ask without it, every now and then.",
                                "wait: %d requests wait already", ARRIVALS_WAITS_MAX));
  else
    operation_wait_async (operation, (guint) seconds, request_get_cancellable (request),
                          operation_waited, request);
}

static void
operation_changed (GObject      *source,
                   GAsyncResult *result,
                   gpointer      user_data)
{
  Request *request = user_data;
  g_autoptr (GError) error = NULL;
  Operation *operation;

  if (!operations_control_finish (AGENT_OPERATIONS (source), result, &error))
    {
      request_answer_error (request, g_steal_pointer (&error));
      return;
    }
  /* One that is over by now may have been forgotten. */
  operation = find_operation (request);
  if (operation != NULL)
    request_answer (request, SOUP_STATUS_OK, operation_to_json (operation));
}

/**
 * operation_change:
 * @request: (transfer full): PATCH /v1/operations/{operation}: answered when QEMU has been told
 */
void
operation_change (Request *request)
{
  Operation *operation = find_operation (request);

  if (operation != NULL)
    operations_control_async (request_get_operations (request), operation,
                              request_get_body (request), request_get_cancellable (request),
                              operation_changed, request);
}

/**
 * operation_cancel:
 * @request: (transfer full): DELETE /v1/operations/{operation}
 */
void
operation_cancel (Request *request)
{
  Engine *engine = operations_get_engine (request_get_operations (request));
  g_autoptr (GError) error = NULL;
  Operation *operation = find_operation (request);

  if (operation == NULL)
    return;

  if (engine_cancel (engine, operation, &error))
    request_answer (request, SOUP_STATUS_ACCEPTED, operation_to_json (operation));
  else
    request_answer_error (request, g_steal_pointer (&error));
}
