/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what of the guest agent's commands a snapshot needs.
 *
 * The agent runs in the guest: it may be silent because nobody runs it, or because the guest hangs
 * in the very freeze that it was asked for. So every call has a deadline, and a call that passes
 * it takes the link along (QmpClient sees to that); a fresh one is in step again after its sync. */

#include "deadline.h"

#include <qmp/batch.h>
#include <qmp/error.h>
#include <qmp/guest-agent.h>

struct _QmpGuestAgent
{
  GObject    parent_instance;

  QmpClient *client;
};

G_DEFINE_FINAL_TYPE (QmpGuestAgent, qmp_guest_agent, G_TYPE_OBJECT)

static void
qmp_guest_agent_finalize (GObject *object)
{
  QmpGuestAgent *self = QMP_GUEST_AGENT (object);

  if (self->client != NULL)
    qmp_client_close (self->client);
  g_clear_object (&self->client);

  G_OBJECT_CLASS (qmp_guest_agent_parent_class)->finalize (object);
}

static void
qmp_guest_agent_class_init (QmpGuestAgentClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = qmp_guest_agent_finalize;
}

static void
qmp_guest_agent_init (QmpGuestAgent *self)
{
}

typedef struct
{
  gint64         deadline;      /* see deadline.h */
  QmpGuestAgent *agent;         /* (nullable): once connected */
} Opening;

static void
opening_free (Opening *opening)
{
  g_clear_object (&opening->agent);
  g_free (opening);
}

static void
synced (GObject      *source,
        GAsyncResult *result,
        gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Opening *opening = g_task_get_task_data (task);
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL)
    {
      g_prefix_error (&error, "The guest agent does not answer; it may not be running: ");
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  g_task_return_pointer (task, g_steal_pointer (&opening->agent), g_object_unref);
}

static void
connected (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Opening *opening = g_task_get_task_data (task);
  g_autoptr (QmpClient) client = NULL;
  g_autoptr (GError) error = NULL;

  client = qmp_client_open_finish (result, &error);
  if (client == NULL)
    {
      g_prefix_error (&error, "Cannot reach the guest agent: ");
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }

  /* The client passes over everything before the mark and the id of this very sync: answers to
   * somebody who used the agent before and did not stay to read them. */
  opening->agent = g_object_new (QMP_TYPE_GUEST_AGENT, NULL);
  opening->agent->client = g_steal_pointer (&client);
  qmp_client_execute_async (opening->agent->client, "guest-sync-delimited",
                            qmp_args ("id", "i", (gint64) (g_random_int () & G_MAXINT32), NULL),
                            qmp_deadline_left (opening->deadline), g_task_get_cancellable (task),
                            synced, g_object_ref (task));
}

/**
 * qmp_guest_agent_open_async:
 * @address: the agent's socket on the host
 * @deadline_ms: how long connecting and syncing may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait
 * @callback: called when the agent has answered
 * @user_data: for @callback
 *
 * Connects to a guest agent and gets in step with it.
 */
void
qmp_guest_agent_open_async (GSocketConnectable  *address,
                            guint                deadline_ms,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  GTask *task;
  Opening *opening;

  g_return_if_fail (G_IS_SOCKET_CONNECTABLE (address));

  task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_check_cancellable (task, FALSE);
  opening = g_new0 (Opening, 1);
  opening->deadline = qmp_deadline_begin (deadline_ms);
  g_task_set_task_data (task, opening, (GDestroyNotify) opening_free);

  qmp_client_connect_async (address, QMP_DIALECT_GUEST_AGENT, deadline_ms, cancellable, connected,
                            task);
}

/**
 * qmp_guest_agent_open_finish:
 * @result: what the callback was given
 * @error: where to put an error
 *
 * Errors: %QMP_ERROR_TIMEOUT when the agent is silent; those of qmp_client_open_finish().
 *
 * Returns: (transfer full): the agent
 */
QmpGuestAgent *
qmp_guest_agent_open_finish (GAsyncResult  *result,
                             GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
answered (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply != NULL)
    g_task_return_pointer (task, g_steal_pointer (&reply), (GDestroyNotify) json_node_unref);
  else
    g_task_return_error (task, error);
}

/* The reply goes to the finish function of whoever calls. */
static void
call (QmpGuestAgent       *self,
      const char          *command,
      guint                deadline_ms,
      GCancellable        *cancellable,
      GAsyncReadyCallback  callback,
      gpointer             user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_check_cancellable (task, FALSE);

  g_task_set_check_cancellable (task, FALSE);
  qmp_client_execute_async (self->client, command, NULL, deadline_ms, cancellable, answered, task);
}

/* The number of filesystems in the reply of @command, or -1. */
static int
take_number (JsonNode    *reply,
             const char  *command,
             GError     **error)
{
  gint64 number;

  if (!JSON_NODE_HOLDS_VALUE (reply) || json_node_get_value_type (reply) != G_TYPE_INT64
      || (number = json_node_get_int (reply)) < 0 || number > G_MAXINT)
    {
      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL,
                   "Reply of %s: it is no number of filesystems", command);
      return -1;
    }

  return (int) number;
}

/**
 * qmp_guest_agent_status_async:
 * @self: an agent
 * @deadline_ms: how long it may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait, and the link
 * @callback: called when the agent has answered
 * @user_data: for @callback
 *
 * Asks whether the guest's filesystems are frozen.
 */
void
qmp_guest_agent_status_async (QmpGuestAgent       *self,
                              guint                deadline_ms,
                              GCancellable        *cancellable,
                              GAsyncReadyCallback  callback,
                              gpointer             user_data)
{
  g_return_if_fail (QMP_IS_GUEST_AGENT (self));

  call (self, "guest-fsfreeze-status", deadline_ms, cancellable, callback, user_data);
}

/**
 * qmp_guest_agent_status_finish:
 * @self: an agent
 * @result: what the callback was given
 * @status: (out): whether the guest is frozen; untouched on failure
 * @error: where to put an error
 *
 * Errors: %QMP_ERROR_PROTOCOL for another answer; those of qmp_client_execute_finish().
 *
 * Returns: whether the agent said so
 */
gboolean
qmp_guest_agent_status_finish (QmpGuestAgent  *self,
                               GAsyncResult   *result,
                               QmpFsfreeze    *status,
                               GError        **error)
{
  g_autoptr (JsonNode) reply = NULL;
  const char *text = NULL;

  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (status != NULL, FALSE);

  reply = g_task_propagate_pointer (G_TASK (result), error);
  if (reply == NULL)
    return FALSE;

  if (JSON_NODE_HOLDS_VALUE (reply) && json_node_get_value_type (reply) == G_TYPE_STRING)
    text = json_node_get_string (reply);

  if (g_strcmp0 (text, "thawed") == 0)
    *status = QMP_FSFREEZE_THAWED;
  else if (g_strcmp0 (text, "frozen") == 0)
    *status = QMP_FSFREEZE_FROZEN;
  else
    {
      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL,
                   "Reply of guest-fsfreeze-status: it is neither \"thawed\" nor \"frozen\"");
      return FALSE;
    }

  return TRUE;
}

/**
 * qmp_guest_agent_freeze_async:
 * @self: an agent
 * @deadline_ms: how long it may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait and the link, not the freeze
 * @callback: called when the agent has answered
 * @user_data: for @callback
 *
 * Freezes the guest's filesystems. Whatever becomes of this call, thaw afterwards.
 */
void
qmp_guest_agent_freeze_async (QmpGuestAgent       *self,
                              guint                deadline_ms,
                              GCancellable        *cancellable,
                              GAsyncReadyCallback  callback,
                              gpointer             user_data)
{
  g_return_if_fail (QMP_IS_GUEST_AGENT (self));

  call (self, "guest-fsfreeze-freeze", deadline_ms, cancellable, callback, user_data);
}

/**
 * qmp_guest_agent_freeze_finish:
 * @self: an agent
 * @result: what the callback was given
 * @error: where to put an error
 *
 * Errors: those of qmp_client_execute_finish(). Only after a refusal (qmp_error_get_class() is set)
 * it is sure that the guest is not frozen.
 *
 * Returns: the number of filesystems that were frozen, or -1
 */
int
qmp_guest_agent_freeze_finish (QmpGuestAgent  *self,
                               GAsyncResult   *result,
                               GError        **error)
{
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) failure = NULL;
  int number = -1;

  g_return_val_if_fail (g_task_is_valid (result, self), -1);

  reply = g_task_propagate_pointer (G_TASK (result), &failure);
  if (reply != NULL)
    number = take_number (reply, "guest-fsfreeze-freeze", &failure);

  if (failure != NULL)
    {
      if (qmp_error_get_class (failure) == NULL)
        g_prefix_error (&failure, "The guest may be frozen all the same, and has to be thawed over "
                        "a fresh link: ");
      g_propagate_error (error, g_steal_pointer (&failure));
    }

  return number;
}

/**
 * qmp_guest_agent_thaw_async:
 * @self: an agent
 * @deadline_ms: how long it may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait and the link, not the thaw
 * @callback: called when the agent has answered
 * @user_data: for @callback
 *
 * Thaws the guest's filesystems; harmless when they are not frozen.
 */
void
qmp_guest_agent_thaw_async (QmpGuestAgent       *self,
                            guint                deadline_ms,
                            GCancellable        *cancellable,
                            GAsyncReadyCallback  callback,
                            gpointer             user_data)
{
  g_return_if_fail (QMP_IS_GUEST_AGENT (self));

  call (self, "guest-fsfreeze-thaw", deadline_ms, cancellable, callback, user_data);
}

/**
 * qmp_guest_agent_thaw_finish:
 * @self: an agent
 * @result: what the callback was given
 * @error: where to put an error
 *
 * Errors: those of qmp_client_execute_finish().
 *
 * Returns: the number of filesystems that were thawed, or -1
 */
int
qmp_guest_agent_thaw_finish (QmpGuestAgent  *self,
                             GAsyncResult   *result,
                             GError        **error)
{
  g_autoptr (JsonNode) reply = NULL;

  g_return_val_if_fail (g_task_is_valid (result, self), -1);

  reply = g_task_propagate_pointer (G_TASK (result), error);
  return reply != NULL ? take_number (reply, "guest-fsfreeze-thaw", error) : -1;
}

/**
 * qmp_guest_agent_is_open:
 * @self: an agent
 *
 * Returns: whether the link is up; a call that passed its deadline has taken it along
 */
gboolean
qmp_guest_agent_is_open (QmpGuestAgent *self)
{
  g_return_val_if_fail (QMP_IS_GUEST_AGENT (self), FALSE);

  return qmp_client_is_open (self->client);
}

/**
 * qmp_guest_agent_close:
 * @self: an agent
 *
 * Closes the link; pending calls fail. Many agents serve one link at a time: close it when it is
 * not needed.
 */
void
qmp_guest_agent_close (QmpGuestAgent *self)
{
  g_return_if_fail (QMP_IS_GUEST_AGENT (self));

  qmp_client_close (self->client);
}
