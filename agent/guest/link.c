/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what is true of a guest while it is attached: its process, and the state it runs in. */

#include "link.h"

#include "backoff.h"
#include "process.h"

/* How long a state that passes unheard is believed. */
#define BELIEVED_FIRST_MS 500
#define BELIEVED_LAST_MS  10000

struct _GuestLink
{
  GObject       parent_instance;

  QmpClient    *client;
  QmpListener  *listener;
  QmpFeatures  *features;
  GuestKind     kind;
  GPid          pid;
  guint64       start_time;

  char         *run_state;
  gboolean      asking;         /* query-status is under way */
  gboolean      stale;          /* and was sent too early */
  Backoff       belief;
  guint         again;          /* source, while a state may pass unheard */
  GCancellable *cancellable;    /* ends with the link */
};

G_DEFINE_TYPE (GuestLink, guest_link, G_TYPE_OBJECT)

enum
{
  SIGNAL_CLOSED,
  SIGNAL_RUN_STATE_CHANGED,
  SIGNAL_EVENT,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

static void ask_run_state (GuestLink *self);

/* When a guest has gone to another QEMU, or has come from one and was told to stand still, no event
 * says so. */
static gboolean
may_pass_unheard (const char *run_state)
{
  static const char *const states[] = { "inmigrate", "finish-migrate", NULL };

  return run_state != NULL && g_strv_contains (states, run_state);
}

static gboolean
on_again (gpointer user_data)
{
  GuestLink *self = user_data;

  self->again = 0;
  ask_run_state (self);

  return G_SOURCE_REMOVE;
}

static void
ask_again_later (GuestLink *self)
{
  g_clear_handle_id (&self->again, g_source_remove);

  if (g_cancellable_is_cancelled (self->cancellable))
    return;
  if (may_pass_unheard (self->run_state))
    self->again = g_timeout_add (backoff_next (&self->belief), on_again, self);
  else
    backoff_reset (&self->belief);
}

static void
on_run_state (GObject      *source,
              GAsyncResult *result,
              gpointer      user_data)
{
  g_autoptr (GuestLink) self = user_data;
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *run_state = NULL;

  self->asking = FALSE;
  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply != NULL)
    run_state = guest_read_run_state (reply, &error);

  if (g_cancellable_is_cancelled (self->cancellable))
    return;

  if (run_state == NULL)
    {
      g_debug ("process %d does not tell its run state: %s", self->pid, error->message);
      /* It was too slow, so it is asked once more; whatever else is wrong would be wrong again. */
      if (g_error_matches (error, QMP_ERROR, QMP_ERROR_TIMEOUT))
        self->stale = TRUE;
    }
  else if (g_strcmp0 (run_state, self->run_state) != 0)
    {
      g_free (self->run_state);
      self->run_state = g_steal_pointer (&run_state);
      g_signal_emit (self, signals[SIGNAL_RUN_STATE_CHANGED], 0);
    }

  if (self->stale && qmp_client_is_open (self->client))
    ask_run_state (self);
  else
    ask_again_later (self);
}

/* An event says that something moved, never what holds now; so many in a row cost two questions. */
static void
ask_run_state (GuestLink *self)
{
  if (self->kind != GUEST_KIND_QEMU || g_cancellable_is_cancelled (self->cancellable))
    return;

  self->stale = self->asking;
  if (self->asking)
    return;

  self->asking = TRUE;
  qmp_client_execute_async (self->client, "query-status", NULL, GUEST_COMMAND_MS, self->cancellable,
                            on_run_state, g_object_ref (self));
}

static void
on_event (QmpListener    *listener,
          const QmpEvent *event,
          gpointer        user_data)
{
  g_autoptr (GuestLink) self = g_object_ref (user_data);

  if (guest_event_moves_run_state (event))
    ask_run_state (self);

  g_signal_emit (self, signals[SIGNAL_EVENT], 0, event);
}

static void
on_closed (QmpClient    *client,
           const GError *reason,
           gpointer      user_data)
{
  g_autoptr (GuestLink) self = g_object_ref (user_data);

  g_cancellable_cancel (self->cancellable);
  g_clear_handle_id (&self->again, g_source_remove);
  g_signal_emit (self, signals[SIGNAL_CLOSED], 0, reason);
}

/**
 * guest_link_new:
 * @probe: what the first talk has brought, with its link open; what is taken is gone from it
 *
 * Returns: (transfer full): the link, which listens to events from now on
 */
GuestLink *
guest_link_new (GuestProbe *probe)
{
  GuestLink *self = g_object_new (TYPE_GUEST_LINK, NULL);

  self->client = g_steal_pointer (&probe->client);
  self->listener = g_steal_pointer (&probe->listener);
  self->features = g_steal_pointer (&probe->features);
  self->run_state = g_steal_pointer (&probe->run_state);
  self->kind = probe->kind;
  self->pid = qmp_client_get_peer_pid (self->client);
  self->start_time = process_get_start_time (self->pid);

  g_signal_connect (self->client, "closed", G_CALLBACK (on_closed), self);
  g_signal_connect (self->listener, "event", G_CALLBACK (on_event), self);

  if (probe->run_state_stale)
    ask_run_state (self);
  else
    ask_again_later (self);

  return self;
}

/**
 * guest_link_close:
 * @self: a link
 *
 * Lets go of the monitor, without a signal.
 */
void
guest_link_close (GuestLink *self)
{
  g_cancellable_cancel (self->cancellable);
  g_clear_handle_id (&self->again, g_source_remove);
  g_signal_handlers_disconnect_by_data (self->listener, self);
  g_signal_handlers_disconnect_by_data (self->client, self);
  qmp_listener_close (self->listener);
  qmp_client_close (self->client);
}

/**
 * guest_link_get_client:
 * @self: a link
 *
 * Returns: (transfer none): the monitor
 */
QmpClient *
guest_link_get_client (GuestLink *self)
{
  return self->client;
}

/**
 * guest_link_get_features:
 * @self: a link
 *
 * Returns: (transfer none): what the QEMU behind it can do
 */
QmpFeatures *
guest_link_get_features (GuestLink *self)
{
  return self->features;
}

/**
 * guest_link_get_run_state:
 * @self: a link
 *
 * Returns: (transfer none) (nullable): QEMU's RunState as it last told it; %NULL for a storage
 *   daemon
 */
const char *
guest_link_get_run_state (GuestLink *self)
{
  return self->run_state;
}

/**
 * guest_link_get_pid:
 * @self: a link
 *
 * Returns: who listens on the socket; 0 over TCP
 */
GPid
guest_link_get_pid (GuestLink *self)
{
  return self->pid;
}

/**
 * guest_link_get_start_time:
 * @self: a link
 *
 * Returns: when that process started, in clock ticks since boot; 0 when unknown
 */
guint64
guest_link_get_start_time (GuestLink *self)
{
  return self->start_time;
}

static void
guest_link_dispose (GObject *object)
{
  GuestLink *self = AGENT_GUEST_LINK (object);

  if (self->client != NULL)
    guest_link_close (self);
  g_clear_object (&self->listener);
  g_clear_object (&self->client);
  g_clear_object (&self->features);

  G_OBJECT_CLASS (guest_link_parent_class)->dispose (object);
}

static void
guest_link_finalize (GObject *object)
{
  GuestLink *self = AGENT_GUEST_LINK (object);

  g_clear_object (&self->cancellable);
  g_clear_pointer (&self->run_state, g_free);

  G_OBJECT_CLASS (guest_link_parent_class)->finalize (object);
}

static void
guest_link_class_init (GuestLinkClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = guest_link_dispose;
  object_class->finalize = guest_link_finalize;

  signals[SIGNAL_CLOSED] =
    g_signal_new ("closed", TYPE_GUEST_LINK, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                  G_TYPE_POINTER);
  signals[SIGNAL_RUN_STATE_CHANGED] = g_signal_new (
      "run-state-changed", TYPE_GUEST_LINK, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[SIGNAL_EVENT] =
    g_signal_new ("event", TYPE_GUEST_LINK, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1,
                  G_TYPE_POINTER);
}

static void
guest_link_init (GuestLink *self)
{
  self->cancellable = g_cancellable_new ();
  self->belief = (Backoff) { BELIEVED_FIRST_MS, BELIEVED_LAST_MS, 0 };
}
