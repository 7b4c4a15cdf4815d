/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which events somebody waits for, and keeps them until they are fetched.
 *
 * A listener is a private queue: opened before the command is sent, so that nothing which the
 * command causes is missed, not even what comes before its answer. */

#include <qmp/listener.h>

#include <string.h>

#include <qmp/error.h>

#include "client-private.h"

/* Beyond either the oldest events go, and the owner has to catch up by asking. */
#define QUEUE_EVENTS 65536
#define QUEUE_BYTES  (16 * 1024 * 1024)

/* What a QmpEvent is inside: shared by all listeners that want it. */
typedef struct
{
  QmpEvent event;
  gsize    size;                /* of the line that it came in */
} SharedEvent;

struct _QmpListener
{
  GObject         parent_instance;

  QmpClient      *client;
  char          **names;        /* (nullable): all */
  QmpEventFilter  filter;       /* (nullable) */
  gpointer        user_data;
  GDestroyNotify  destroy;
  gboolean        closed;

  GQueue          queue;        /* of SharedEvent */
  gsize           bytes;
  guint           lost;

  GTask          *next;         /* who waits for an event */
  GSource        *deadline;
  GSource        *cancelled;
};

enum
{
  EVENT,
  N_SIGNALS
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (QmpListener, qmp_listener, G_TYPE_OBJECT)

/* --- events --- */

static void
shared_event_clear (gpointer data)
{
  SharedEvent *shared = data;

  g_free (shared->event.name);
  json_object_unref (shared->event.data);
}

/**
 * qmp_event_free:
 * @event: (transfer full): an event from a listener
 */
void
qmp_event_free (QmpEvent *event)
{
  g_return_if_fail (event != NULL);

  g_atomic_rc_box_release_full (event, shared_event_clear);
}

static QmpEvent *
event_new (const QmpMessage *message)
{
  SharedEvent *shared = g_atomic_rc_box_new0 (SharedEvent);

  shared->size = message->line.length;
  shared->event.name = g_strndup (message->body.text + 1, message->body.length - 2);
  shared->event.timestamp_us = qmp_message_get_timestamp (message);
  if (message->data.text != NULL)
    {
      g_autoptr (JsonNode) data = qmp_json_build (message->data);

      shared->event.data = json_node_dup_object (data);
    }
  else
    shared->event.data = json_object_new ();

  return &shared->event;
}

static gboolean
wants_name (QmpListener *self,
            QmpSpan      quoted)
{
  gsize length = quoted.length - 2;

  if (self->names == NULL)
    return TRUE;
  for (char **name = self->names; *name != NULL; name++)
    {
      if (strncmp (*name, quoted.text + 1, length) == 0 && (*name)[length] == '\0')
        return TRUE;
    }
  return FALSE;
}

/* --- the queue --- */

static SharedEvent *
pop (QmpListener *self)
{
  SharedEvent *shared = g_queue_pop_head (&self->queue);

  if (shared != NULL)
    self->bytes -= shared->size;
  return shared;
}

static void
push (QmpListener *self,
      QmpEvent    *event)
{
  SharedEvent *shared = (SharedEvent *) g_atomic_rc_box_acquire (event);

  g_queue_push_tail (&self->queue, shared);
  self->bytes += shared->size;
  while (self->queue.length > QUEUE_EVENTS ||
         (self->bytes > QUEUE_BYTES && self->queue.length > 1))
    {
      qmp_event_free (&pop (self)->event);
      self->lost++;
    }
}

/* --- who waits --- */

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static GTask *
take_waiting (QmpListener *self)
{
  clear_source (&self->deadline);
  clear_source (&self->cancelled);
  return g_steal_pointer (&self->next);
}

static void
return_event (GTask    *task,
              QmpEvent *event)
{
  g_task_return_pointer (task, event, (GDestroyNotify) qmp_event_free);
}

static gboolean
on_deadline (gpointer user_data)
{
  QmpListener *self = user_data;
  g_autoptr (GTask) task = take_waiting (self);
  g_autofree char *names = self->names != NULL ? g_strjoinv (", ", self->names) : NULL;

  g_task_return_new_error (task, QMP_ERROR, QMP_ERROR_TIMEOUT, "no event (%s) within %u ms",
                           names != NULL ? names : "of any kind",
                           GPOINTER_TO_UINT (g_task_get_task_data (task)));
  return G_SOURCE_REMOVE;
}

static gboolean
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  g_autoptr (GTask) task = take_waiting (user_data);

  g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                           "waiting for an event was cancelled");
  return G_SOURCE_REMOVE;
}

static gboolean
on_failed_later (gpointer user_data)
{
  GTask *task = user_data;

  g_task_return_error (task, g_error_copy (g_task_get_task_data (task)));
  return G_SOURCE_REMOVE;
}

/* From the main context: whoever closes a listener may stand in the middle of anything. */
static void
fail_later (GTask  *task,
            GError *error)
{
  g_autoptr (GSource) idle = g_idle_source_new ();

  g_source_set_priority (idle, G_PRIORITY_DEFAULT);
  g_task_set_task_data (task, error, (GDestroyNotify) g_error_free);
  g_task_attach_source (task, idle, on_failed_later);
}

static GError *
why_nothing_comes (QmpListener *self)
{
  const GError *reason = qmp_client_get_reason (self->client);

  if (self->closed)
    return g_error_new_literal (G_IO_ERROR, G_IO_ERROR_CLOSED, "the listener is closed");
  if (reason != NULL)
    return g_error_new (QMP_ERROR, QMP_ERROR_LINK, "no more events: %s", reason->message);
  return NULL;
}

/* --- what the client calls --- */

void
qmp_listener_deliver (QmpListener       *self,
                      const QmpMessage  *message,
                      QmpEvent         **event)
{
  g_autoptr (QmpListener) hold = NULL;

  if (!wants_name (self, message->body))
    return;
  if (*event == NULL)
    *event = event_new (message);
  hold = g_object_ref (self);
  if (self->filter != NULL && !self->filter (*event, self->user_data))
    return;

  if (g_signal_has_handler_pending (self, signals[EVENT], 0, FALSE))
    g_signal_emit (self, signals[EVENT], 0, *event);
  else if (self->next != NULL)
    {
      g_autoptr (GTask) task = take_waiting (self);

      return_event (task, g_atomic_rc_box_acquire (*event));
    }
  else if (!self->closed)
    push (self, *event);
}

void
qmp_listener_link_dropped (QmpListener *self)
{
  if (self->next != NULL)
    {
      g_autoptr (GTask) task = take_waiting (self);

      g_task_return_error (task, why_nothing_comes (self));
    }
}

/* --- what others call --- */

/**
 * qmp_listener_new:
 * @client: a client
 * @names: (nullable): the events wanted, such as "JOB_STATUS_CHANGE"; %NULL for all
 * @filter: (nullable): called for each of them; may look, but not act
 * @user_data: passed on to @filter
 * @destroy: (nullable): called with @user_data at the end of the listener
 *
 * Gathers events from here on. Make it before the command is sent that causes them. At most 65,536
 * events and 16 MiB of them are kept: see qmp_listener_get_lost().
 *
 * Returns: (transfer full): the listener
 */
QmpListener *
qmp_listener_new (QmpClient          *client,
                  const char *const  *names,
                  QmpEventFilter      filter,
                  gpointer            user_data,
                  GDestroyNotify      destroy)
{
  QmpListener *self;

  g_return_val_if_fail (QMP_IS_CLIENT (client), NULL);

  self = g_object_new (QMP_TYPE_LISTENER, NULL);
  self->client = g_object_ref (client);
  self->names = g_strdupv ((char **) names);
  self->filter = filter;
  self->user_data = user_data;
  self->destroy = destroy;
  qmp_listener_list_add (qmp_client_get_listeners (client), self);

  return self;
}

static void
wait_for_event (QmpListener *self,
                GTask       *task,
                guint        deadline_ms)
{
  GMainContext *context = g_task_get_context (task);
  GCancellable *cancellable = g_task_get_cancellable (task);

  self->next = g_object_ref (task);
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
}

/**
 * qmp_listener_next_async:
 * @self: a listener without a handler of "event"
 * @deadline_ms: how long to wait, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the wait
 * @callback: called in the main context, never before this returns
 * @user_data: passed on to @callback
 *
 * Takes the next event. What came before the link dropped can still be fetched afterwards. One wait
 * at a time.
 */
void
qmp_listener_next_async (QmpListener         *self,
                         guint                deadline_ms,
                         GCancellable        *cancellable,
                         GAsyncReadyCallback  callback,
                         gpointer             user_data)
{
  g_autoptr (GTask) task = NULL;
  GError *error = NULL;

  g_return_if_fail (QMP_IS_LISTENER (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_task_data (task, GUINT_TO_POINTER (deadline_ms), NULL);
  /* An event that was taken from the queue must arrive. */
  g_task_set_check_cancellable (task, FALSE);

  if (self->next != NULL)
    g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_PENDING,
                             "somebody waits for the next event already");
  else if (g_cancellable_set_error_if_cancelled (cancellable, &error))
    g_task_return_error (task, error);
  else if (self->queue.length > 0)
    return_event (task, &pop (self)->event);
  else if ((error = why_nothing_comes (self)) != NULL)
    g_task_return_error (task, error);
  else
    wait_for_event (self, task, deadline_ms);
}

/**
 * qmp_listener_next_finish:
 * @self: a listener
 * @result: what the callback got
 * @error: return location
 *
 * Errors: %QMP_ERROR_TIMEOUT; %QMP_ERROR_LINK once the link has dropped and the queue is empty;
 * %G_IO_ERROR_CANCELLED; %G_IO_ERROR_CLOSED after qmp_listener_close(); %G_IO_ERROR_PENDING for a
 * second wait.
 *
 * Returns: (transfer full): the event, not to be changed, as other listeners may share it
 */
QmpEvent *
qmp_listener_next_finish (QmpListener   *self,
                          GAsyncResult  *result,
                          GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * qmp_listener_get_lost:
 * @self: a listener
 *
 * When this has grown the owner must learn by queries what it has missed.
 *
 * Returns: how many events were thrown away so far, as nobody fetched them in time
 */
guint
qmp_listener_get_lost (QmpListener *self)
{
  g_return_val_if_fail (QMP_IS_LISTENER (self), 0);

  return self->lost;
}

/**
 * qmp_listener_close:
 * @self: a listener
 *
 * Gathers no more events and forgets those not fetched yet. Who waits gets %G_IO_ERROR_CLOSED.
 */
void
qmp_listener_close (QmpListener *self)
{
  g_return_if_fail (QMP_IS_LISTENER (self));

  if (self->closed)
    return;
  self->closed = TRUE;
  qmp_listener_list_remove (qmp_client_get_listeners (self->client), self);
  while (self->queue.length > 0)
    qmp_event_free (&pop (self)->event);

  if (self->next != NULL)
    {
      g_autoptr (GTask) task = take_waiting (self);

      fail_later (task, why_nothing_comes (self));
    }
}

static void
qmp_listener_finalize (GObject *object)
{
  QmpListener *self = QMP_LISTENER (object);

  qmp_listener_close (self);
  if (self->destroy != NULL)
    self->destroy (self->user_data);
  g_strfreev (self->names);
  g_object_unref (self->client);

  G_OBJECT_CLASS (qmp_listener_parent_class)->finalize (object);
}

static void
qmp_listener_class_init (QmpListenerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = qmp_listener_finalize;

  /**
   * QmpListener::event:
   * @self: a listener
   * @event: (type gpointer): a #QmpEvent, valid during the call
   *
   * Emitted for each event, which then is not kept.
   */
  signals[EVENT] = g_signal_new ("event", QMP_TYPE_LISTENER, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                 NULL, G_TYPE_NONE, 1, G_TYPE_POINTER);
}

static void
qmp_listener_init (QmpListener *self)
{
  g_queue_init (&self->queue);
}
