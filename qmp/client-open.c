/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a link becomes a session: connect, greeting, capabilities, all within one deadline.
 * Nobody gets the client before it is complete. */

#include "client-private.h"

#include <gio/gunixsocketaddress.h>
#include <qmp/batch.h>
#include <qmp/error.h>

typedef enum
{
  CONNECTING,
  AWAITING_GREETING,
  NEGOTIATING,
} Phase;

typedef struct
{
  GTask        *task;           /* NULL once it has returned */
  Phase         phase;
  QmpDialect    dialect;
  guint         deadline_ms;
  char         *peer;           /* as people call it */
  GSource      *deadline;
  GSource      *cancelled;
  GCancellable *connecting;
  QmpClient    *client;
} Opening;

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
opening_clear (gpointer data)
{
  Opening *self = data;

  g_assert (self->task == NULL);
  g_free (self->peer);
  g_object_unref (self->connecting);
}

static void
opening_unref (Opening *self)
{
  g_rc_box_release_full (self, opening_clear);
}

typedef Opening OpeningHold;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OpeningHold, opening_unref)

/* Ends it, once: without @error it has succeeded. */
static void
opening_return (Opening *self,
                GError  *error)
{
  g_autoptr (GTask) task = g_steal_pointer (&self->task);
  g_autoptr (QmpClient) client = g_steal_pointer (&self->client);

  clear_source (&self->deadline);
  clear_source (&self->cancelled);
  g_cancellable_cancel (self->connecting);
  if (client != NULL)
    g_signal_handlers_disconnect_by_data (client, self);

  if (error == NULL)
    g_task_return_pointer (task, g_steal_pointer (&client), g_object_unref);
  else
    {
      if (client != NULL)
        qmp_client_close (client);
      g_prefix_error (&error, "%s: ", self->peer);
      g_task_return_error (task, error);
    }
  opening_unref (self);
}

/* --- deadline and cancellation --- */

static GError *
explain_silence (Opening *self)
{
  g_autofree char *partial = NULL;

  switch (self->phase)
    {
    case AWAITING_GREETING:
      partial = qmp_client_get_partial (self->client);
      if (partial != NULL)
        return g_error_new (QMP_ERROR, QMP_ERROR_NO_GREETING,
                            "no whole greeting within %u ms, only \"%s\": is this a QMP socket?",
                            self->deadline_ms, partial);
      return g_error_new (QMP_ERROR, QMP_ERROR_NO_GREETING,
                          "connected, but no greeting within %u ms: a QMP socket serves one client "
                          "at a time, and another one probably holds it; close that one, or give "
                          "QEMU a second -qmp socket", self->deadline_ms);
    case NEGOTIATING:
      return g_error_new (QMP_ERROR, QMP_ERROR_TIMEOUT,
                          "qmp_capabilities: no answer within %u ms", self->deadline_ms);
    case CONNECTING:
    default:
      return g_error_new (QMP_ERROR, QMP_ERROR_TIMEOUT, "cannot connect within %u ms",
                          self->deadline_ms);
    }
}

static gboolean
on_deadline (gpointer user_data)
{
  Opening *self = user_data;

  opening_return (self, explain_silence (self));
  return G_SOURCE_REMOVE;
}

static gboolean
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  opening_return (user_data, g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                                  "opening was cancelled"));
  return G_SOURCE_REMOVE;
}

static void
on_closed (QmpClient    *client,
           const GError *reason,
           Opening      *self)
{
  opening_return (self, g_error_copy (reason));
}

/* --- the way to a session --- */

static void
on_negotiated (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  g_autoptr (OpeningHold) self = user_data;
  g_autoptr (JsonNode) value = NULL;
  GError *error = NULL;

  value = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (self->task == NULL)
    g_clear_error (&error);
  else
    opening_return (self, error);
}

static void
on_greeted (gpointer user_data)
{
  Opening *self = user_data;
  JsonNode *arguments = NULL;

  if (qmp_client_has_oob (self->client))
    {
      JsonArray *enable = json_array_sized_new (1);

      json_array_add_string_element (enable, "oob");
      arguments = qmp_args ("enable", "n", json_node_init_array (json_node_alloc (), enable), NULL);
      json_array_unref (enable);
    }
  self->phase = NEGOTIATING;
  qmp_client_execute_async (self->client, "qmp_capabilities", arguments, 0, NULL, on_negotiated,
                            g_rc_box_acquire (self));
}

static void
begin (Opening   *self,
       GIOStream *stream)
{
  GError *error = NULL;

  self->phase = AWAITING_GREETING;
  self->client = qmp_client_begin (stream, self->dialect, on_greeted, self, &error);
  if (self->client == NULL || self->dialect == QMP_DIALECT_GUEST_AGENT)
    {
      opening_return (self, error);
      return;
    }
  g_signal_connect (self->client, "closed", G_CALLBACK (on_closed), self);
}

static GError *
explain_no_connection (const GError *error)
{
  /* What connect() says of a Unix socket whose queue of clients is full. */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    return g_error_new_literal (QMP_ERROR, QMP_ERROR_NO_GREETING,
                                "cannot connect: the socket serves one client at a time, and "
                                "others wait for it already");

  return g_error_new (QMP_ERROR, QMP_ERROR_LINK, "cannot connect: %s", error->message);
}

static void
on_connected (GObject      *source,
              GAsyncResult *result,
              gpointer      user_data)
{
  g_autoptr (OpeningHold) self = user_data;
  g_autoptr (GSocketConnection) connection = NULL;
  g_autoptr (GError) error = NULL;

  connection = g_socket_client_connect_finish (G_SOCKET_CLIENT (source), result, &error);
  if (self->task == NULL)
    return;
  if (connection == NULL)
    opening_return (self, explain_no_connection (error));
  else
    begin (self, G_IO_STREAM (connection));
}

/* --- what others call --- */

/* Returns it with its deadline running; opening_return() ends it. */
static Opening *
opening_new (QmpDialect           dialect,
             char                *peer,
             guint                deadline_ms,
             GCancellable        *cancellable,
             GAsyncReadyCallback  callback,
             gpointer             user_data)
{
  Opening *self = g_rc_box_new0 (Opening);
  GMainContext *context;

  self->task = g_task_new (NULL, cancellable, callback, user_data);
  g_task_set_check_cancellable (self->task, FALSE);
  context = g_task_get_context (self->task);
  self->dialect = dialect;
  self->deadline_ms = deadline_ms;
  self->peer = peer;
  self->connecting = g_cancellable_new ();

  if (deadline_ms > 0)
    {
      self->deadline = g_timeout_source_new (deadline_ms);
      g_source_set_callback (self->deadline, on_deadline, self, NULL);
      g_source_attach (self->deadline, context);
    }
  if (cancellable != NULL)
    {
      self->cancelled = g_cancellable_source_new (cancellable);
      g_source_set_callback (self->cancelled, G_SOURCE_FUNC (on_cancelled), self, NULL);
      g_source_attach (self->cancelled, context);
    }
  return self;
}

/**
 * qmp_client_connect_async:
 * @address: where the peer listens, such as a #GUnixSocketAddress or a #GNetworkAddress
 * @dialect: what it speaks
 * @deadline_ms: how long all of it may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): cancels it
 * @callback: called in the main context that is the thread's default
 * @user_data: passed on to @callback
 *
 * Connects, reads the greeting, and enables what the peer offers. Use qmp_client_open_finish().
 */
void
qmp_client_connect_async (GSocketConnectable  *address,
                          QmpDialect           dialect,
                          guint                deadline_ms,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr (GSocketClient) client = NULL;
  Opening *self;

  g_return_if_fail (G_IS_SOCKET_CONNECTABLE (address));

  client = g_socket_client_new ();
  g_socket_client_set_enable_proxy (client, FALSE);
  self = opening_new (dialect, g_socket_connectable_to_string (address), deadline_ms, cancellable,
                      callback, user_data);
  g_socket_client_connect_async (client, address, self->connecting, on_connected,
                                 g_rc_box_acquire (self));
}

/**
 * qmp_client_adopt_async:
 * @stream: a link that is up, such as a #GSocketConnection made of a passed file descriptor; the
 *   client closes it at its end
 * @dialect: what the peer speaks
 * @deadline_ms: how long the greeting may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): cancels it
 * @callback: called in the main context that is the thread's default
 * @user_data: passed on to @callback
 *
 * Makes a session over @stream. Use qmp_client_open_finish().
 */
void
qmp_client_adopt_async (GIOStream           *stream,
                        QmpDialect           dialect,
                        guint                deadline_ms,
                        GCancellable        *cancellable,
                        GAsyncReadyCallback  callback,
                        gpointer             user_data)
{
  g_return_if_fail (G_IS_IO_STREAM (stream));

  begin (opening_new (dialect, g_strdup ("passed link"), deadline_ms, cancellable, callback,
                      user_data),
         stream);
}

/**
 * qmp_client_open_finish:
 * @result: what the callback got
 * @error: return location
 *
 * Errors: %QMP_ERROR_LINK when it cannot connect or the peer hangs up; %QMP_ERROR_NO_GREETING when
 * the peer stays silent; %QMP_ERROR_PROTOCOL when it speaks, but no QMP; %QMP_ERROR_TIMEOUT;
 * %G_IO_ERROR_CANCELLED; %G_IO_ERROR_NOT_SUPPORTED for a stream that cannot be polled.
 *
 * Returns: (transfer full): a client that is ready for commands
 */
QmpClient *
qmp_client_open_finish (GAsyncResult  *result,
                        GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, NULL), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}
