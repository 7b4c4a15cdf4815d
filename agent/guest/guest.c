/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the life of one guest's link: when to try, and whom to take for the guest. */

#include "guest-private.h"

#include "address.h"
#include "process.h"

#include <core/error.h>

/* A link that held for less has not ended a row of failures. */
#define STEADY_US (10 * G_USEC_PER_SEC)

G_DEFINE_TYPE (Guest, guest, G_TYPE_OBJECT)

enum
{
  SIGNAL_STATE_CHANGED,
  SIGNAL_RUN_STATE_CHANGED,
  SIGNAL_EVENT,
  SIGNAL_ALARMS_CHANGED,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

/* The edges of the drawing in guest.h: from, to. */
static const gboolean moves[4][4] = {
  [GUEST_CONNECTING] = { [GUEST_ATTACHED] = TRUE, [GUEST_GONE] = TRUE, [GUEST_REFUSED] = TRUE },
  [GUEST_ATTACHED]   = { [GUEST_GONE] = TRUE, [GUEST_REFUSED] = TRUE },
  [GUEST_GONE]       = { [GUEST_CONNECTING] = TRUE },
  [GUEST_REFUSED]    = { [GUEST_CONNECTING] = TRUE, [GUEST_GONE] = TRUE },
};

static void
move_to (Guest      *self,
         GuestState  state)
{
  g_assert (moves[self->state][state]);
  self->state = state;
}

static void
let_go (Guest *self)
{
  g_clear_pointer (&self->process_hold, guest_hold_free);
  g_clear_pointer (&self->monitor_hold, guest_hold_free);
}

/* Ends a try, or a link, that did not end well. @reason: (transfer full) */
static void
leave (Guest      *self,
       GuestState  state,
       GError     *reason)
{
  g_autoptr (GError) old = g_steal_pointer (&self->error);

  move_to (self, state);
  self->error = reason;
  let_go (self);

  g_debug ("guest %s is not attached: %s", self->id, reason->message);
  if (self->started)
    retry_failed (self->retry);

  if (old == NULL || old->code != reason->code || g_strcmp0 (old->message, reason->message) != 0)
    g_signal_emit (self, signals[SIGNAL_STATE_CHANGED], 0);
}

/* Ends a try, or a link, that its peer has brought to an end. One that floods us is left alone for
 * a while. @reason: (transfer full) */
static void
leave_peer (Guest  *self,
            GError *reason)
{
  if (g_error_matches (reason, QMP_ERROR, QMP_ERROR_FLOOD))
    retry_tire (self->retry);
  leave (self, GUEST_GONE, guest_error_adopt (reason));
}

/* --- Other daemons --- */

static void
stop_waiting_for_holder (Guest *self)
{
  if (self->holder != NULL)
    g_source_destroy (self->holder);
  g_clear_pointer (&self->holder, g_source_unref);
}

static gboolean
on_holder (GSocket      *socket,
           GIOCondition  condition,
           gpointer      user_data)
{
  Guest *self = user_data;

  stop_waiting_for_holder (self);
  guest_retry (self);

  return G_SOURCE_REMOVE;
}

/* Another daemon has the guest. @holder: (transfer full); @reason: (transfer full) */
static void
leave_to (Guest   *self,
          GSocket *holder,
          GError  *reason)
{
  g_autoptr (GSocket) socket = holder;

  self->holder = g_socket_create_source (socket, G_IO_IN, NULL);
  g_source_set_callback (self->holder, G_SOURCE_FUNC (on_holder), self, NULL);
  g_source_attach (self->holder, g_main_context_get_thread_default ());

  retry_tire (self->retry);
  leave (self, GUEST_REFUSED, reason);
}

/* --- The link --- */

static void
drop_link (Guest *self)
{
  if (self->attempt != NULL)
    g_cancellable_cancel (self->attempt);
  g_clear_object (&self->attempt);

  if (self->link != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->link, self);
      guest_link_close (self->link);
    }
  g_clear_object (&self->link);
  let_go (self);
  guest_update_alarms (self);
}

static void
on_closed (GuestLink    *link,
           const GError *reason,
           gpointer      user_data)
{
  g_autoptr (Guest) self = g_object_ref (user_data);
  GError *error = g_error_copy (reason);

  if (g_get_monotonic_time () - self->attached_us >= STEADY_US)
    retry_forgive (self->retry);

  drop_link (self);
  g_prefix_error (&error, "the guest has gone from %s: ", self->config->monitor);
  leave_peer (self, error);
}

static void
on_run_state_changed (GuestLink *link,
                      gpointer   user_data)
{
  guest_update_alarms (user_data);
  g_signal_emit (user_data, signals[SIGNAL_RUN_STATE_CHANGED], 0);
}

static void
on_event (GuestLink      *link,
          const QmpEvent *event,
          gpointer        user_data)
{
  g_signal_emit (user_data, signals[SIGNAL_EVENT], 0, event);
}

/* --- A try --- */

static void
attach (Guest      *self,
        GuestProbe *probe)
{
  gboolean had_id = guest_has_id (self);

  identity_take (self->identity, probe);
  if (!had_id)
    {
      g_free (self->id);
      self->id = identity_make_id (self->identity, self->config->monitor);
    }

  self->link = guest_link_new (probe);
  g_signal_connect (self->link, "closed", G_CALLBACK (on_closed), self);
  g_signal_connect (self->link, "run-state-changed", G_CALLBACK (on_run_state_changed), self);
  g_signal_connect (self->link, "event", G_CALLBACK (on_event), self);

  move_to (self, GUEST_ATTACHED);
  self->last_pid = guest_link_get_pid (self->link);
  self->last_start_time = guest_link_get_start_time (self->link);
  g_clear_error (&self->error);
  self->attached_us = g_get_monotonic_time ();
  retry_succeeded (self->retry);
  guest_update_alarms (self);

  g_signal_emit (self, signals[SIGNAL_STATE_CHANGED], 0);
}

static void
on_probed (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (Guest) self = user_data;
  g_autoptr (GuestProbe) probe = NULL;
  GSocket *holder = NULL;
  GPid pid;
  GError *error = NULL;

  probe = guest_probe_finish (result, &error);

  /* Stopped meanwhile, and perhaps started again: then this is not the try that counts. */
  if (self->attempt == NULL || self->attempt != g_task_get_cancellable (G_TASK (result)))
    {
      g_clear_error (&error);
      return;
    }
  g_clear_object (&self->attempt);

  if (probe != NULL && !qmp_client_is_open (probe->client))
    {
      g_clear_pointer (&probe, guest_probe_free);
      error = g_error_new (QMP_ERROR, QMP_ERROR_LINK, "it hung up after the first questions");
    }

  if (probe == NULL)
    {
      g_prefix_error (&error, "no guest on %s: ", self->config->monitor);
      leave_peer (self, error);
      return;
    }

  if (!identity_accepts (self->identity, probe, self->config->monitor, &error))
    {
      /* To ask often would keep the other one's monitor busy; ours comes with a new socket. */
      retry_tire (self->retry);
      g_clear_pointer (&probe, guest_probe_free);
      leave (self, GUEST_REFUSED, error);
      return;
    }

  pid = qmp_client_get_peer_pid (probe->client);
  self->process_hold = guest_hold_process (self->id, pid, process_get_start_time (pid), &holder,
                                           &error);
  if (self->process_hold == NULL)
    {
      g_clear_pointer (&probe, guest_probe_free);
      leave_to (self, holder, error);
      return;
    }

  attach (self, probe);
}

static void
begin_attempt (gpointer user_data)
{
  Guest *self = user_data;
  g_autoptr (GSocketConnectable) address = NULL;
  GSocket *holder = NULL;
  GError *error = NULL;

  if (self->state != GUEST_CONNECTING)
    move_to (self, GUEST_CONNECTING);

  stop_waiting_for_holder (self);
  retry_begin (self->retry);

  address = address_parse (self->config->monitor, &error);
  if (address == NULL)
    {
      leave (self, GUEST_GONE, error);
      return;
    }

  self->monitor_hold = guest_hold_monitor (self->id, self->config->monitor, &holder, &error);
  if (self->monitor_hold == NULL)
    {
      leave_to (self, holder, error);
      return;
    }

  self->attempt = g_cancellable_new ();
  guest_probe_async (address, self->cache, self->attempt, on_probed, g_object_ref (self));
}

/* --- Verbs --- */

/**
 * guest_new:
 * @config: what is known of it; copied
 * @cache: schemas of the QEMU binaries met so far
 *
 * Returns: (transfer full): a guest that has not been looked for yet
 */
Guest *
guest_new (const GuestConfig *config,
           QmpFeatureCache   *cache)
{
  Guest *self = g_object_new (TYPE_GUEST, NULL);

  self->config = guest_config_copy (config);
  self->cache = g_object_ref (cache);
  self->id = config->id != NULL ? g_strdup (config->id) : address_guess_id (config->monitor);
  self->retry = retry_new (config->monitor, begin_attempt, self);
  self->identity->required_uuid = config->uuid != NULL ? g_ascii_strdown (config->uuid, -1) : NULL;

  return self;
}

/**
 * guest_start:
 * @self: a guest
 *
 * Connects now, and again whenever the link is lost: with back-off from 0.1 s to 30 s, and at once
 * when its socket comes. In vain when it was started before.
 */
void
guest_start (Guest *self)
{
  if (self->started)
    return;

  self->started = TRUE;
  begin_attempt (self);
}

/**
 * guest_stop:
 * @self: a guest
 *
 * Closes the link and tries no more.
 */
void
guest_stop (Guest *self)
{
  gboolean attached = self->state == GUEST_ATTACHED;

  if (!self->started)
    return;

  self->started = FALSE;
  retry_succeeded (self->retry);
  stop_waiting_for_holder (self);
  drop_link (self);

  if (self->state != GUEST_GONE)
    move_to (self, GUEST_GONE);
  if (self->error == NULL)
    self->error =
        agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL, "guest %s was detached", self->id);

  if (attached)
    g_signal_emit (self, signals[SIGNAL_STATE_CHANGED], 0);
}

/**
 * guest_retry:
 * @self: a guest
 *
 * Tries again without waiting for the back-off, but never more often than that begins with.
 */
void
guest_retry (Guest *self)
{
  if (self->started && self->link == NULL)
    retry_hurry (self->retry);
}

/**
 * guest_refuse:
 * @self: a guest
 * @reason: (transfer full): why not, of the domain AGENT_ERROR
 *
 * Lets an attached guest go again, and looks every now and then whether it may stay.
 */
void
guest_refuse (Guest  *self,
              GError *reason)
{
  g_assert (self->state == GUEST_ATTACHED);

  drop_link (self);
  retry_tire (self->retry);
  leave (self, GUEST_REFUSED, reason);
}

/**
 * guest_set_config:
 * @self: a guest
 * @config: what is known of it; copied. Monitor and UUID are those that it has
 *
 * Takes effect with the next thing that is done with the guest; its link stays.
 */
void
guest_set_config (Guest             *self,
                  const GuestConfig *config)
{
  g_autoptr (GuestConfig) old = g_steal_pointer (&self->config);

  self->config = guest_config_copy (config);
}

/**
 * guest_set_origin:
 * @self: a guest
 * @origin: whose word it is
 *
 * Only for what people are told; the guest does the same for each.
 */
void
guest_set_origin (Guest       *self,
                  GuestOrigin  origin)
{
  self->origin = origin;
}

/* --- The object --- */

static void
guest_dispose (GObject *object)
{
  Guest *self = AGENT_GUEST (object);

  self->started = FALSE;
  stop_waiting_for_holder (self);
  drop_link (self);
  g_clear_pointer (&self->retry, retry_free);
  g_clear_object (&self->cache);

  G_OBJECT_CLASS (guest_parent_class)->dispose (object);
}

static void
guest_finalize (GObject *object)
{
  Guest *self = AGENT_GUEST (object);

  g_clear_pointer (&self->config, guest_config_free);
  g_clear_pointer (&self->identity, identity_free);
  g_clear_pointer (&self->id, g_free);
  g_clear_error (&self->error);
  g_ptr_array_unref (self->alarms);

  G_OBJECT_CLASS (guest_parent_class)->finalize (object);
}

static void
guest_class_init (GuestClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = guest_dispose;
  object_class->finalize = guest_finalize;

  signals[SIGNAL_STATE_CHANGED] = g_signal_new ("state-changed", TYPE_GUEST, G_SIGNAL_RUN_LAST, 0,
                                                NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[SIGNAL_RUN_STATE_CHANGED] = g_signal_new (
      "run-state-changed", TYPE_GUEST, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[SIGNAL_EVENT] = g_signal_new ("event", TYPE_GUEST, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                        G_TYPE_NONE, 1, G_TYPE_POINTER);
  signals[SIGNAL_ALARMS_CHANGED] = g_signal_new ("alarms-changed", TYPE_GUEST, G_SIGNAL_RUN_LAST, 0,
                                                 NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
guest_init (Guest *self)
{
  self->state = GUEST_CONNECTING;
  self->identity = identity_new ();
  self->alarms = g_ptr_array_new ();
}
