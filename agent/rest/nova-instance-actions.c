/* SPDX-License-Identifier: Apache-2.0 */

/* Knows /v2.1/servers/{server}/os-instance-actions: each operation is an action of Nova's, each of
 * its steps an event. */

#include "nova-instance-actions.h"

#include "answer.h"
#include "nova.h"
#include "nova-request.h"

#include <core/error.h>

#include <string.h>

#define MINOR_WITH_UPDATED 58
#define MINOR_WITH_HOST    62
#define MINOR_WITH_DETAILS 84

/**
 * nova_instance_action_id:
 * @operation: an operation
 *
 * Returns: (transfer full): "req-" and its id
 */
char *
nova_instance_action_id (Operation *operation)
{
  return g_strconcat ("req-", operation_get_id (operation), NULL);
}

/* Times of actions have no zone in Nova: they are UTC. */
static void
set_time (JsonObject *object,
          const char *member,
          const char *time)
{
  g_autofree char *text = g_strdup (time);

  if (text != NULL && g_str_has_suffix (text, "Z"))
    text[strlen (text) - 1] = '\0';
  nova_set_text (object, member, text);
}

static const char *
get_text (JsonObject *object,
          const char *member)
{
  return json_object_get_string_member (object, member);
}

static JsonObject *
step_to_event (JsonObject *step,
               guint       minor)
{
  JsonObject *event = json_object_new ();
  const char *state = get_text (step, "state");
  const char *error = get_text (step, "error");

  nova_set_text (event, "event", get_text (step, "name"));
  set_time (event, "start_time", get_text (step, "begun"));
  set_time (event, "finish_time", get_text (step, "ended"));
  nova_set_text (event, "result", g_str_equal (state, "done")     ? "Success"
                             : g_str_equal (state, "failed") ? "Error"
                                                             : NULL);
  nova_set_text (event, "traceback", error);
  if (minor >= MINOR_WITH_HOST)
    {
      const char *host = g_get_host_name ();
      g_autofree char *host_id = g_compute_checksum_for_string (G_CHECKSUM_SHA256, host, -1);

      json_object_set_string_member (event, "host", host);
      json_object_set_string_member (event, "hostId", host_id);
    }
  if (minor >= MINOR_WITH_DETAILS)
    nova_set_text (event, "details", error);
  return event;
}

/* Steps that have begun, which is what Nova knows of. */
static JsonArray *
steps_to_events (JsonObject *operation,
                 guint       minor)
{
  JsonArray *steps = json_object_get_array_member (operation, "steps");
  JsonArray *events = json_array_new ();

  for (guint i = 0; i < json_array_get_length (steps); i++)
    {
      JsonObject *step = json_array_get_object_element (steps, i);

      if (get_text (step, "begun") != NULL)
        json_array_add_object_element (events, step_to_event (step, minor));
    }
  return events;
}

/* @minor: the version 2.N that is spoken. */
static JsonObject *
action_to_json (Operation  *operation,
                const char *server,
                const char *project,
                gboolean    with_events,
                guint       minor)
{
  g_autoptr (JsonNode) node = operation_to_json (operation);
  JsonObject *known = json_node_get_object (node);
  JsonObject *action = json_object_new ();
  const char *kind = operation_get_kind (operation);
  const GError *error = operation_get_error (operation);
  g_autofree char *id = nova_instance_action_id (operation);
  g_autofree char *message = error != NULL ? g_utf8_make_valid (error->message, -1) : NULL;
  const char *updated = get_text (known, "finished");

  json_object_set_string_member (action, "action",
                                 g_str_equal (kind, "image")     ? "createImage"
                                 : g_str_equal (kind, "restore") ? "rebuild"
                                                                 : kind);
  json_object_set_string_member (action, "instance_uuid", server);
  json_object_set_string_member (action, "request_id", id);
  json_object_set_string_member (action, "user_id", "");
  json_object_set_string_member (action, "project_id", project != NULL ? project : "");
  set_time (action, "start_time", get_text (known, "created"));
  nova_set_text (action, "message", message);
  if (minor >= MINOR_WITH_UPDATED)
    set_time (action, "updated_at",
              updated != NULL                      ? updated
              : get_text (known, "started") != NULL ? get_text (known, "started")
                                                   : get_text (known, "created"));
  if (with_events)
    json_object_set_array_member (action, "events", steps_to_events (known, minor));
  return action;
}

/**
 * nova_actions_list:
 * @request: (transfer full): GET /v2.1/servers/{server}/os-instance-actions
 */
void
nova_actions_list (Request *request)
{
  Guest *guest = nova_request_find_guest (request);
  g_autoptr (GPtrArray) list = NULL;
  g_autoptr (JsonArray) actions = NULL;
  g_autofree char *server = NULL;
  g_auto (NovaView) view = { 0 };

  if (guest == NULL)
    return;

  nova_request_get_view (request, &view);
  server = nova_server_id (guest);
  actions = json_array_new ();
  list = engine_list (operations_get_engine (request_get_operations (request)),
                      guest_get_id (guest));
  for (guint i = 0; i < list->len; i++)
    json_array_add_object_element (actions,
                                   action_to_json (g_ptr_array_index (list, i), server,
                                                   view.project, FALSE, view.minor));
  request_answer (request, SOUP_STATUS_OK,
                  answer_wrap ("instanceActions",
                               json_node_init_array (json_node_alloc (), actions)));
}

/**
 * nova_action_show:
 * @request: (transfer full): GET /v2.1/servers/{server}/os-instance-actions/{request}
 */
void
nova_action_show (Request *request)
{
  Engine *engine = operations_get_engine (request_get_operations (request));
  const char *id = request_get_second_name (request);
  Guest *guest = nova_request_find_guest (request);
  Operation *operation = NULL;
  g_autoptr (JsonObject) action = NULL;
  g_autofree char *server = NULL;
  g_auto (NovaView) view = { 0 };

  if (guest == NULL)
    return;

  server = nova_server_id (guest);
  if (g_str_has_prefix (id, "req-"))
    operation = engine_find (engine, id + strlen ("req-"));
  if (operation == NULL ||
      !g_str_equal (operation_get_guest (operation), guest_get_id (guest)))
    {
      request_answer_error (request,
                            agent_error_new (AGENT_ERROR_NOT_FOUND, NULL,
                                             "Action for request_id %.255s on instance %s not "
                                             "found", id, server));
      return;
    }

  nova_request_get_view (request, &view);
  action = action_to_json (operation, server, view.project, TRUE, view.minor);
  request_answer (request, SOUP_STATUS_OK,
                  answer_wrap ("instanceAction",
                               json_node_init_object (json_node_alloc (), action)));
}
