/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which answer belongs to which command, and what becomes of the commands that get none.
 *
 * A monitor echoes the id of a command. A guest agent has no ids: its answers come in order, so
 * that after one command without an answer nothing that it says can be trusted, and the link is
 * dropped. */

#include "client-private.h"

#include <qmp/error.h>

#include "listener-list.h"
#include "meter.h"
#include "pending.h"
#include "transport.h"

#define MOST_STALE 2u

struct _QmpClient
{
  GObject           parent_instance;

  QmpDialect        dialect;
  QmpTransport     *transport;  /* NULL once the link has dropped */
  GError           *reason;     /* why it has */
  GMainContext     *context;

  QmpClientGreeted  greeted;    /* NULL once called */
  gpointer          greeted_data;
  char             *version;
  gboolean          has_oob;
  GPid              peer_pid;

  QmpPending       *pending;
  guint64           last_id;
  guint64           answered;   /* the last id that was answered; 0: none yet */
  guint             n_stale;    /* monitor: answers to somebody who used it before */
  gboolean          synced;     /* guest agent: a sync has succeeded */

  QmpListenerList  *listeners;
  QmpMeter          meter;      /* of events */
};

enum
{
  CLOSED,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (QmpClient, qmp_client, G_TYPE_OBJECT)

/* --- the end of the link --- */

static gboolean
announce_drop (gpointer user_data)
{
  QmpClient *self = user_data;

  qmp_pending_fail_all (self->pending, self->reason);
  qmp_listener_list_tell_drop (self->listeners);
  g_signal_emit (self, signals[CLOSED], 0, self->reason);
  return G_SOURCE_REMOVE;
}

/* Nothing is sent or read from here on. Callers learn of it from the main context, as whoever
 * brought this about may stand in the middle of anything. */
static void
drop (QmpClient *self,
      GError    *reason)
{
  g_autoptr (GSource) idle = NULL;

  if (self->reason != NULL)
    {
      g_error_free (reason);
      return;
    }

  self->reason = reason;
  g_clear_pointer (&self->transport, qmp_transport_free);

  idle = g_idle_source_new ();
  g_source_set_priority (idle, G_PRIORITY_DEFAULT);
  g_source_set_callback (idle, announce_drop, g_object_ref (self), g_object_unref);
  g_source_attach (idle, self->context);
}

static void
on_dropped (GError   *reason,
            gpointer  user_data)
{
  drop (user_data, reason);
}

static void
on_given_up (const QmpCall *call,
             gpointer       owner)
{
  QmpClient *self = owner;

  if (self->dialect == QMP_DIALECT_GUEST_AGENT)
    drop (self, g_error_new (QMP_ERROR, QMP_ERROR_LINK,
                             "the guest agent is out of step: its answer to %s was given up",
                             call->command));
}

/* --- what comes in --- */

static void
drop_quoting (QmpClient  *self,
              const char *what,
              QmpSpan     line)
{
  g_autofree char *quote = qmp_json_quote (line);

  drop (self, g_error_new (QMP_ERROR, QMP_ERROR_PROTOCOL, "%s: \"%s\"", what, quote));
}

static void
take_greeting (QmpClient        *self,
               const QmpMessage *message)
{
  QmpClientGreeted greeted = self->greeted;
  GError *error = NULL;

  self->greeted = NULL;
  if (greeted == NULL)
    drop_quoting (self, "a greeting where none was expected", message->line);
  else if (!qmp_message_get_greeting (message, &self->version, &self->has_oob, &error))
    drop (self, error);
  else
    greeted (self->greeted_data);
}

static void
take_answer (QmpClient        *self,
             QmpCall          *call,
             const QmpMessage *message)
{
  if (call->task == NULL)
    qmp_pending_forget (self->pending, call);
  else if (message->kind == QMP_MESSAGE_RETURN)
    qmp_pending_finish (self->pending, call, qmp_json_build (message->body), NULL);
  else
    qmp_pending_finish (self->pending, call, NULL,
                        qmp_message_get_refusal (message, call->command, call->arguments));
}

static void
take_event (QmpClient        *self,
            const QmpMessage *message)
{
  GError *error = NULL;

  if (qmp_meter_count (&self->meter, message->line.length, &error))
    qmp_listener_list_deliver (self->listeners, message);
  else
    drop (self, error);
}

/* QEMU gives the answer to what it was executing when its client left to the next one: of the one
 * command at a time, and one out of band. Ours come behind it. */
static void
take_stray (QmpClient  *self,
            const char *what,
            QmpSpan     line)
{
  if (self->answered != 0 || self->n_stale++ >= MOST_STALE)
    drop_quoting (self, what, line);
}

static void
monitor_line (QmpClient        *self,
              const QmpMessage *message)
{
  guint64 id = 0;
  QmpCall *call;

  if (message->kind == QMP_MESSAGE_GREETING)
    take_greeting (self, message);
  else if (self->greeted != NULL)
    drop_quoting (self, "no greeting, but", message->line);
  else if (message->kind == QMP_MESSAGE_EVENT)
    take_event (self, message);
  else if (!qmp_message_get_id (message, &id))
    take_stray (self, "an answer that names no command", message->line);
  else if ((call = qmp_pending_find (self->pending, id)) == NULL)
    take_stray (self, "an answer to no command, or a second one", message->line);
  else
    {
      self->answered = id;
      take_answer (self, call, message);
    }
}

static gboolean
is_sync (const QmpCall *call)
{
  return g_strcmp0 (call->command, "guest-sync-delimited") == 0 && call->arguments != NULL;
}

static gboolean
is_sync_answer (QmpCall          *call,
                const QmpMessage *message)
{
  g_autoptr (JsonNode) value = NULL;
  JsonNode *id;

  if (message->kind != QMP_MESSAGE_RETURN)
    return FALSE;
  value = qmp_json_build (message->body);
  id = json_object_get_member (json_node_get_object (call->arguments), "id");
  return id != NULL && json_node_equal (value, id);
}

/* FALSE for what is left over from somebody who used this agent before. */
static gboolean
is_for_us (QmpClient        *self,
           QmpCall          *call,
           const QmpMessage *message,
           gboolean          resynced)
{
  if (call == NULL)
    return self->synced;
  return !is_sync (call) || (resynced && message != NULL && is_sync_answer (call, message));
}

static void
agent_line (QmpClient        *self,
            const QmpMessage *message,
            gboolean          resynced,
            GError           *error)
{
  guint64 id = self->answered + 1;
  QmpCall *call = qmp_pending_find (self->pending, id);

  if (!is_for_us (self, call, message, resynced))
    g_clear_error (&error);
  else if (message == NULL)
    drop (self, error);
  else if (call == NULL || message->kind == QMP_MESSAGE_GREETING ||
           message->kind == QMP_MESSAGE_EVENT)
    drop_quoting (self, "the guest agent speaks unasked", message->line);
  else
    {
      self->answered = id;
      self->synced |= is_sync (call);
      take_answer (self, call, message);
    }
}

static void
on_line (QmpSpan   line,
         gboolean  resynced,
         gpointer  user_data)
{
  g_autoptr (QmpClient) self = g_object_ref (user_data);
  GError *error = NULL;
  QmpMessage message;
  gboolean good = qmp_message_read (&message, line, &error);

  if (self->dialect == QMP_DIALECT_GUEST_AGENT)
    agent_line (self, good ? &message : NULL, resynced, error);
  else if (!good)
    drop (self, error);
  else
    monitor_line (self, &message);
}

/* --- sending --- */

/* Byte 0xFF makes a guest agent forget half a command of somebody else. */
static GString *
write_line (QmpClient   *self,
            QmpCall     *call,
            gboolean     oob,
            GError     **error)
{
  GString *line;

  if (self->dialect == QMP_DIALECT_MONITOR)
    return qmp_message_write (oob ? "exec-oob" : "execute", call->command, call->arguments,
                              call->id, error);

  line = qmp_message_write ("execute", call->command, call->arguments, 0, error);
  if (line != NULL && is_sync (call))
    g_string_prepend_c (line, (char) 0xff);
  return line;
}

static gboolean
send_call (QmpClient  *self,
           QmpCall    *call,
           gboolean    oob,
           GError    **error)
{
  GString *line;
  gboolean sent;

  if (g_cancellable_set_error_if_cancelled (g_task_get_cancellable (call->task), error))
    return FALSE;
  if (self->reason != NULL)
    {
      g_set_error (error, QMP_ERROR, QMP_ERROR_LINK, "%s: the link is closed: %s", call->command,
                   self->reason->message);
      return FALSE;
    }
  if (oob && !self->has_oob)
    {
      g_set_error (error, QMP_ERROR, QMP_ERROR_UNSUPPORTED,
                   "%s: this monitor executes nothing out of band", call->command);
      return FALSE;
    }

  line = write_line (self, call, oob, error);
  if (line == NULL)
    return FALSE;
  sent = qmp_transport_send (self->transport, line, error);
  g_string_free (line, TRUE);
  if (!sent)
    g_prefix_error (error, "%s: ", call->command);
  return sent;
}

/* Takes @arguments. */
static void
execute (QmpClient           *self,
         gboolean             oob,
         const char          *command,
         JsonNode            *arguments,
         guint                deadline_ms,
         GCancellable        *cancellable,
         GAsyncReadyCallback  callback,
         gpointer             user_data)
{
  g_autoptr (QmpCall) call = g_new0 (QmpCall, 1);
  GError *error = NULL;

  call->task = g_task_new (self, cancellable, callback, user_data);
  /* An answer that came counts, whatever is cancelled afterwards. */
  g_task_set_check_cancellable (call->task, FALSE);
  call->id = self->last_id + 1;
  call->command = g_strdup (command);
  call->arguments = arguments;
  call->deadline_ms = deadline_ms;

  if (!send_call (self, call, oob, &error))
    {
      g_task_return_error (call->task, error);
      return;
    }

  self->last_id = call->id;
  qmp_pending_add (self->pending, g_steal_pointer (&call));
}

/**
 * qmp_client_execute_async:
 * @self: a client
 * @command: the command
 * @arguments: (nullable) (transfer full): an object, see qmp_args()
 * @deadline_ms: how long to wait for the answer, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait, not the command
 * @callback: called in the main context of @self, never before this returns
 * @user_data: passed on to @callback
 *
 * Sends a command; many may be under way. A guest agent has no ids, so that a command which passes
 * its deadline or is cancelled takes the link along. There, `guest-sync-delimited` is answered only
 * by what stands behind byte 0xFF and has its number; all else that comes before is passed over.
 */
void
qmp_client_execute_async (QmpClient           *self,
                          const char          *command,
                          JsonNode            *arguments,
                          guint                deadline_ms,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_return_if_fail (QMP_IS_CLIENT (self));
  g_return_if_fail (command != NULL);
  g_return_if_fail (arguments == NULL || JSON_NODE_HOLDS_OBJECT (arguments));

  execute (self, FALSE, command, arguments, deadline_ms, cancellable, callback, user_data);
}

/**
 * qmp_client_execute_oob_async:
 * @self: a client
 * @command: a command that QEMU lets overtake others, such as `yank` or `migrate-pause`
 * @arguments: (nullable) (transfer full): an object, see qmp_args()
 * @deadline_ms: how long to wait for the answer, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait, not the command
 * @callback: called in the main context of @self, never before this returns
 * @user_data: passed on to @callback
 *
 * Sends a command that is executed before those which wait. Ends with %QMP_ERROR_UNSUPPORTED where
 * qmp_client_has_oob() is %FALSE. Finish it with qmp_client_execute_finish().
 */
void
qmp_client_execute_oob_async (QmpClient           *self,
                              const char          *command,
                              JsonNode            *arguments,
                              guint                deadline_ms,
                              GCancellable        *cancellable,
                              GAsyncReadyCallback  callback,
                              gpointer             user_data)
{
  g_return_if_fail (QMP_IS_CLIENT (self));
  g_return_if_fail (command != NULL);
  g_return_if_fail (arguments == NULL || JSON_NODE_HOLDS_OBJECT (arguments));

  execute (self, TRUE, command, arguments, deadline_ms, cancellable, callback, user_data);
}

/**
 * qmp_client_execute_finish:
 * @self: a client
 * @result: what the callback got
 * @error: return location
 *
 * Errors: %QMP_ERROR_COMMAND and its kin for a refusal (qmp_error_get_class() is set);
 * %QMP_ERROR_LINK when the link dropped first, %QMP_ERROR_TIMEOUT, %G_IO_ERROR_CANCELLED: after
 * these three the command may have taken effect, or still take it. %QMP_ERROR_UNSUPPORTED and
 * %G_IO_ERROR_INVALID_ARGUMENT: nothing was sent.
 *
 * Returns: (transfer full): the value that the peer returned
 */
JsonNode *
qmp_client_execute_finish (QmpClient     *self,
                           GAsyncResult  *result,
                           GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/* --- private parts --- */

static GPid
read_peer_pid (GIOStream *stream)
{
  g_autoptr (GCredentials) credentials = NULL;

  if (!G_IS_SOCKET_CONNECTION (stream))
    return 0;
  credentials = g_socket_get_credentials (
    g_socket_connection_get_socket (G_SOCKET_CONNECTION (stream)), NULL);
  return credentials != NULL ? MAX (g_credentials_get_unix_pid (credentials, NULL), 0) : 0;
}

/* A monitor client is ready when it has called @greeted; a guest agent's client at once. */
QmpClient *
qmp_client_begin (GIOStream         *stream,
                  QmpDialect         dialect,
                  QmpClientGreeted   greeted,
                  gpointer           user_data,
                  GError           **error)
{
  g_autoptr (QmpClient) self = g_object_new (QMP_TYPE_CLIENT, NULL);

  self->dialect = dialect;
  self->greeted = dialect == QMP_DIALECT_MONITOR ? greeted : NULL;
  self->greeted_data = user_data;
  self->peer_pid = read_peer_pid (stream);
  self->transport = qmp_transport_new (stream, dialect == QMP_DIALECT_GUEST_AGENT, on_line,
                                       on_dropped, self, error);
  return self->transport != NULL ? g_steal_pointer (&self) : NULL;
}

char *
qmp_client_get_partial (QmpClient *self)
{
  return self->transport != NULL ? qmp_transport_get_partial (self->transport) : NULL;
}

const GError *
qmp_client_get_reason (QmpClient *self)
{
  return self->reason;
}

QmpListenerList *
qmp_client_get_listeners (QmpClient *self)
{
  return self->listeners;
}

/* --- the object --- */

/**
 * qmp_client_is_open:
 * @self: a client
 *
 * A peer is hung up on when it says what is no QMP, a message of more than 16 MiB or a million
 * values, or, in five seconds, more than 100,000 events or 32 MiB of them (%QMP_ERROR_FLOOD). So
 * an answer costs some 300 MiB at the very most, for as long as it is kept; all else that a peer
 * can make us keep is a line, our own commands that it does not read, and the events of each
 * listener that does not fetch them: 16 MiB each, as they came.
 *
 * Returns: whether the link is up, as far as is known
 */
gboolean
qmp_client_is_open (QmpClient *self)
{
  g_return_val_if_fail (QMP_IS_CLIENT (self), FALSE);

  return self->reason == NULL;
}

/**
 * qmp_client_has_oob:
 * @self: a client
 *
 * Returns: whether qmp_client_execute_oob_async() works here
 */
gboolean
qmp_client_has_oob (QmpClient *self)
{
  g_return_val_if_fail (QMP_IS_CLIENT (self), FALSE);

  return self->has_oob;
}

/**
 * qmp_client_get_peer_pid:
 * @self: a client
 *
 * The process that made the peer's end of a Unix socket, by SO_PEERCRED: QEMU itself, unless a
 * manager made the listening socket and passed it on.
 *
 * Returns: the process; 0 when it cannot be known
 */
GPid
qmp_client_get_peer_pid (QmpClient *self)
{
  g_return_val_if_fail (QMP_IS_CLIENT (self), 0);

  return self->peer_pid;
}

/**
 * qmp_client_get_version:
 * @self: a client
 *
 * Returns: (transfer none): the version that the greeting told, with the package in brackets; ""
 *   for a guest agent. To be shown; decide by #QmpFeatures.
 */
const char *
qmp_client_get_version (QmpClient *self)
{
  g_return_val_if_fail (QMP_IS_CLIENT (self), "");

  return self->version != NULL ? self->version : "";
}

/**
 * qmp_client_close:
 * @self: a client
 *
 * Closes the link at once. Pending calls fail with %QMP_ERROR_LINK and "closed" is emitted from the
 * main context, after this has returned.
 */
void
qmp_client_close (QmpClient *self)
{
  g_return_if_fail (QMP_IS_CLIENT (self));

  drop (self, g_error_new_literal (QMP_ERROR, QMP_ERROR_LINK, "closed on this side"));
}

static void
qmp_client_dispose (GObject *object)
{
  QmpClient *self = QMP_CLIENT (object);

  g_clear_pointer (&self->transport, qmp_transport_free);

  G_OBJECT_CLASS (qmp_client_parent_class)->dispose (object);
}

static void
qmp_client_finalize (GObject *object)
{
  QmpClient *self = QMP_CLIENT (object);

  qmp_pending_free (self->pending);
  qmp_listener_list_free (self->listeners);
  g_main_context_unref (self->context);
  g_clear_error (&self->reason);
  g_free (self->version);

  G_OBJECT_CLASS (qmp_client_parent_class)->finalize (object);
}

static void
qmp_client_class_init (QmpClientClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = qmp_client_dispose;
  object_class->finalize = qmp_client_finalize;

  /**
   * QmpClient::closed:
   * @self: a client
   * @reason: why
   *
   * Emitted once, when the link has dropped and every pending call has failed.
   */
  signals[CLOSED] = g_signal_new ("closed", QMP_TYPE_CLIENT, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                  NULL, G_TYPE_NONE, 1, G_TYPE_ERROR | G_SIGNAL_TYPE_STATIC_SCOPE);
}

static void
qmp_client_init (QmpClient *self)
{
  self->context = g_main_context_ref_thread_default ();
  self->pending = qmp_pending_new (self, on_given_up);
  self->listeners = qmp_listener_list_new ();
}
