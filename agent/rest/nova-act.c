/* SPDX-License-Identifier: Apache-2.0 */

/* Knows POST /v2.1/servers/{server}/action: an image is begun, and told of as soon as the store has
 * it, since clients look for it there at once; or a server is rebuilt from one, and shown as it is
 * meanwhile. */

#include "answer.h"
#include "nova-action.h"
#include "nova-instance-actions.h"
#include "nova-request.h"

#include <core/error.h>

#define MINOR_WITH_IMAGE_ID 45

typedef struct
{
  Request   *request;
  Guest     *guest;
  NovaAction action;
  Operation *operation;         /* (nullable): not yet */
} Act;

static void
act_free (Act *self)
{
  g_object_unref (self->guest);
  g_clear_object (&self->operation);
  g_free (self);
}

/* Whether Nova would do it to a server in this state. */
static gboolean
check_state (Act     *self,
             GError **error)
{
  NovaState state = nova_server_state (request_get_operations (self->request), self->guest);
  g_autofree char *id = nova_server_id (self->guest);
  /* Nova rebuilds servers that are in error, too. */
  gboolean is_wrong = self->action != NOVA_ACTION_REBUILD && !nova_state_has_image (&state);

  if (!is_wrong && state.task_state == NULL)
    return TRUE;

  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                   "Cannot '%s' instance %s while it is in %s %s",
                   nova_action_to_string (self->action), id,
                   is_wrong ? "vm_state" : "task_state",
                   is_wrong ? state.vm_state : state.task_state);
  return FALSE;
}

static void
act_fail (Act    *self,
          GError *error)
{
  request_answer_error (self->request, error);
  act_free (self);
}

static void
image_known (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  Act *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *id = operations_await_image_finish (AGENT_OPERATIONS (source), result, &error);
  g_autofree char *task = NULL;
  g_auto (NovaView) view = { 0 };

  if (id == NULL)
    {
      act_fail (self, g_steal_pointer (&error));
      return;
    }

  task = nova_instance_action_id (self->operation);
  answer_name_task (request_get_message (self->request), task);
  nova_request_get_view (self->request, &view);
  if (view.minor >= MINOR_WITH_IMAGE_ID)
    request_answer (self->request, SOUP_STATUS_ACCEPTED,
                    answer_wrap ("image_id", json_node_init_string (json_node_alloc (), id)));
  else
    request_answer_at (self->request, SOUP_STATUS_ACCEPTED,
                       g_strconcat (view.base, "/v1/images/", id, NULL), NULL);
  act_free (self);
}

/* It is being rebuilt now: clients wait for the end of that. */
static void
act_show_server (Act *self)
{
  Operations *operations = request_get_operations (self->request);
  g_autofree char *task = nova_instance_action_id (self->operation);
  g_autofree char *id = nova_server_id (self->guest);
  g_auto (NovaView) view = { 0 };
  JsonNode *server = json_node_new (JSON_NODE_OBJECT);

  answer_name_task (request_get_message (self->request), task);
  nova_request_get_view (self->request, &view);
  json_node_take_object (server, nova_server_to_json (operations, self->guest, &view));
  request_answer_at (self->request, SOUP_STATUS_ACCEPTED,
                     g_strconcat (view.base, "/v2.1/servers/", id, NULL),
                     answer_wrap ("server", server));
  act_free (self);
}

static void
act_begun (Act       *self,
           Operation *operation,
           GError    *error)
{
  g_autoptr (GError) state_error = NULL;

  if (operation != NULL && self->action == NOVA_ACTION_REBUILD)
    {
      self->operation = operation;
      act_show_server (self);
    }
  else if (operation != NULL)
    {
      self->operation = operation;
      operations_await_image_async (request_get_operations (self->request), operation,
                                    request_get_cancellable (self->request), image_known, self);
    }
  /* Somebody was faster: say so as if it had been seen at once. */
  else if (g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT) &&
           !check_state (self, &state_error))
    {
      g_error_free (error);
      act_fail (self, g_steal_pointer (&state_error));
    }
  else
    act_fail (self, error);
}

static void
image_begun (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  GError *error = NULL;
  Operation *operation = operations_image_finish (AGENT_OPERATIONS (source), result, &error);

  act_begun (user_data, operation, error);
}

static void
snapshot_begun (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  GError *error = NULL;
  Operation *operation = operations_snapshot_finish (AGENT_OPERATIONS (source), result, &error);

  act_begun (user_data, operation, error);
}

static void
rebuild_begun (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  GError *error = NULL;
  g_autoptr (JsonNode) plan = NULL;
  Operation *operation = operations_request_finish (AGENT_OPERATIONS (source), result, &plan,
                                                    &error);

  act_begun (user_data, operation, error);
}

/**
 * nova_server_act:
 * @request: (transfer full): POST /v2.1/servers/{server}/action: answered when the image is there,
 *   or the rebuild has begun
 */
void
nova_server_act (Request *request)
{
  Operations *operations = request_get_operations (request);
  Guest *guest = nova_request_find_guest (request);
  g_autoptr (JsonObject) wish = NULL;
  GError *error = NULL;
  Act *self;

  if (guest == NULL)
    return;

  self = g_new0 (Act, 1);
  self->request = request;
  self->guest = g_object_ref (guest);
  wish = nova_action_parse (request_get_body (request), &self->action, &error);
  if (wish == NULL || !check_state (self, &error))
    {
      act_fail (self, error);
      return;
    }

  /* Not cancelled with the request: whoever lost the connection finds the image in the store. */
  if (self->action == NOVA_ACTION_CREATE_IMAGE)
    operations_image_async (operations, guest, wish, NULL, NULL, image_begun, self);
  else if (self->action == NOVA_ACTION_REBUILD)
    operations_request_async (operations, guest, "restore", wish, NULL, NULL, rebuild_begun, self);
  else
    {
      if (!json_object_has_member (wish, "image"))
        json_object_set_string_member (wish, "image", "layer");
      operations_snapshot_async (operations, guest, wish, NULL, NULL, snapshot_begun, self);
    }
}
