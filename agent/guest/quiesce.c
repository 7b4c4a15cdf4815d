/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to freeze a guest's filesystems for a moment, and that they are thawed whatever
 * happens.
 *
 *   unknown -> opening -> freezing -> frozen -> thawing -> thawed -> opening ...
 *       |         |           \----------------->/
 *       |         \-> thawed (nothing was sent)
 *       \-> thawing (of what an earlier run has left)
 *
 * Before the freeze is sent a timer is armed that thaws. Thawing is tried until the agent says
 * thawed or the guest is gone, whoever still waits for it. A freeze without an answer may happen
 * later: then the timer stays armed after the thaw, and looks once more. */

#include "quiesce-private.h"

#include "address.h"
#include "process.h"

#include <core/error.h>

#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 5000

G_DEFINE_TYPE (Quiesce, quiesce, G_TYPE_OBJECT)

/**
 * quiesce_close_agent:
 * @self: what freezes
 *
 * Lets go of the agent's socket, which serves one at a time.
 */
void
quiesce_close_agent (Quiesce *self)
{
  if (self->agent != NULL)
    qmp_guest_agent_close (self->agent);
  g_clear_object (&self->agent);
}

/**
 * quiesce_agent_address:
 * @self: what freezes
 * @error: return location
 *
 * Returns: (transfer full): where the agent listens; %NULL with AGENT_ERROR_UNAVAILABLE
 */
GSocketConnectable *
quiesce_agent_address (Quiesce  *self,
                       GError  **error)
{
  const char *path = guest_get_config (self->guest)->agent;

  if (path == NULL)
    {
      agent_set_error (
          error, AGENT_ERROR_UNAVAILABLE,
          "Name the socket of its guest agent: \"agent\" in its configuration or in the request "
          "that attaches it.",
          "guest %s has no guest agent", guest_get_id (self->guest));
      return NULL;
    }

  return address_parse (path, error);
}

/**
 * quiesce_adopt:
 * @self: what freezes
 * @error: (transfer full): what went wrong
 *
 * Returns: (transfer full): the same as one of our errors, with whom it is about
 */
GError *
quiesce_adopt (Quiesce *self,
               GError  *error)
{
  g_autoptr (GError) old = guest_error_adopt (error);

  return agent_error_new (old->code, agent_error_get_hint (old), "guest agent of %s: %s",
                          guest_get_id (self->guest), old->message);
}

/**
 * quiesce_guest_is_dead:
 * @self: what freezes
 *
 * What is frozen is the memory of one process; with it, it is gone.
 *
 * Returns: whether it is sure that the guest which was to be frozen runs no more
 */
gboolean
quiesce_guest_is_dead (Quiesce *self)
{
  if (self->start_time != 0)
    return !process_is_alive (self->pid, self->start_time);

  return guest_get_state (self->guest) != GUEST_ATTACHED &&
         g_error_matches (self->error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
}

/**
 * quiesce_remember_process:
 * @self: what freezes
 *
 * Notes whose filesystems are to be frozen.
 */
void
quiesce_remember_process (Quiesce *self)
{
  self->pid = guest_get_pid (self->guest);
  self->start_time = guest_get_start_time (self->guest);
}

/* --- The timer --- */

static gboolean
on_timer (gpointer user_data)
{
  Quiesce *self = user_data;

  self->timer = 0;
  self->late = FALSE;

  /* A caller that thaws already had the point before; it stays what it was. */
  if (self->state == QUIESCE_FROZEN)
    self->held = FALSE;
  quiesce_thaw_begin (self);

  return G_SOURCE_REMOVE;
}

/**
 * quiesce_arm_timer:
 * @self: what freezes
 *
 * From now on the guest is thawed after a time, whatever else happens.
 */
void
quiesce_arm_timer (Quiesce *self)
{
  g_assert (self->timer == 0);
  self->timer = g_timeout_add_full (G_PRIORITY_HIGH, self->thaw_after_ms, on_timer,
                                    g_object_ref (self), g_object_unref);
}

/* --- Freezing --- */

static guint
freeze_left_ms (Quiesce *self)
{
  gint64 left_us = self->deadline_us - g_get_monotonic_time ();

  /* 0 would mean for ever. */
  return (guint) MAX (left_us / 1000, 1);
}

/* Nothing has been sent that freezes. @error: (transfer full) */
static void
freeze_declined (Quiesce *self,
                 GTask   *task,
                 GError  *error)
{
  quiesce_close_agent (self);
  self->freezing = NULL;
  self->state = QUIESCE_THAWED;
  g_task_return_error (task, quiesce_adopt (self, error));
}

/* TRUE when somebody has thawed meanwhile: @task is answered then. */
static gboolean
freeze_overtaken (Quiesce *self,
                  GTask   *task)
{
  if (self->freezing == task)
    return FALSE;

  g_task_return_error (
      task, agent_error_new (
                AGENT_ERROR_TIMEOUT, "Allow more time to freeze, or snapshot without quiescing.",
                "guest %s was thawed before it was frozen", guest_get_id (self->guest)));

  return TRUE;
}

static void
on_frozen (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Quiesce *self = g_task_get_source_object (task);
  GError *error = NULL;
  int filesystems = qmp_guest_agent_freeze_finish (QMP_GUEST_AGENT (source), result, &error);

  if (freeze_overtaken (self, task))
    {
      g_clear_error (&error);
      return;
    }

  self->freezing = NULL;
  if (filesystems < 0)
    {
      /* A refusal is an answer. Anything else leaves open what the guest will still do. */
      if (qmp_error_get_class (error) != NULL)
        self->state = QUIESCE_UNKNOWN;
      quiesce_thaw_begin (self);
      g_task_return_error (task, quiesce_adopt (self, error));
      return;
    }

  self->filesystems = filesystems;
  self->held = filesystems > 0;
  self->state = QUIESCE_FROZEN;
  g_task_return_int (task, filesystems);
}

static void
on_freeze_asked (GObject      *source,
                 GAsyncResult *result,
                 gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Quiesce *self = g_task_get_source_object (task);
  QmpFsfreeze status;
  GError *error = NULL;
  gboolean told = qmp_guest_agent_status_finish (QMP_GUEST_AGENT (source), result, &status, &error);

  if (freeze_overtaken (self, task))
    {
      g_clear_error (&error);
      return;
    }

  if (!told)
    {
      freeze_declined (self, task, error);
      return;
    }

  if (status == QMP_FSFREEZE_FROZEN)
    {
      freeze_declined (self, task,
                       agent_error_new (AGENT_ERROR_GUEST, "Wait until it is thawed, or thaw it.",
                                        "the filesystems are frozen already, by somebody else"));
      return;
    }

  self->state = QUIESCE_FREEZING;
  quiesce_remember_process (self);
  quiesce_arm_timer (self);
  qmp_guest_agent_freeze_async (self->agent, freeze_left_ms (self),
                                g_task_get_cancellable (task), on_frozen, g_object_ref (task));
}

static void
on_freeze_opened (GObject      *source,
                  GAsyncResult *result,
                  gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Quiesce *self = g_task_get_source_object (task);
  g_autoptr (QmpGuestAgent) agent = NULL;
  GError *error = NULL;

  agent = qmp_guest_agent_open_finish (result, &error);
  if (freeze_overtaken (self, task))
    {
      g_clear_error (&error);
      return;
    }

  self->agent = g_steal_pointer (&agent);
  if (self->agent == NULL)
    freeze_declined (self, task, error);
  else
    qmp_guest_agent_status_async (self->agent, freeze_left_ms (self),
                                  g_task_get_cancellable (task), on_freeze_asked,
                                  g_object_ref (task));
}

/**
 * quiesce_freeze_async:
 * @self: what is to freeze
 * @cancellable: (nullable): gives up; what may have been frozen is thawed
 * @callback: when the filesystems are frozen
 * @user_data: for @callback
 *
 * Freezes the guest's filesystems, in no more than the time given to quiesce_new(), all the asking
 * included.
 */
void
quiesce_freeze_async (Quiesce             *self,
                      GCancellable        *cancellable,
                      GAsyncReadyCallback  callback,
                      gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (GSocketConnectable) address = NULL;
  GError *error = NULL;

  /* A freeze that came about in spite of a cancel must be told. */
  g_task_set_check_cancellable (task, FALSE);

  address = quiesce_agent_address (self, &error);
  if (address == NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  if ((self->state != QUIESCE_UNKNOWN && self->state != QUIESCE_THAWED) || self->timer != 0)
    {
      g_task_return_error (task, agent_error_new (AGENT_ERROR_GUEST, "Try again when it is thawed.",
                                                  "guest %s is being frozen or thawed already",
                                                  guest_get_id (self->guest)));
      return;
    }

  self->freezing = task;
  self->state = QUIESCE_OPENING;
  self->held = FALSE;
  self->filesystems = 0;
  self->deadline_us = g_get_monotonic_time () + self->freeze_timeout_ms * G_TIME_SPAN_MILLISECOND;
  qmp_guest_agent_open_async (address, freeze_left_ms (self), cancellable, on_freeze_opened,
                              g_steal_pointer (&task));
}

/**
 * quiesce_freeze_finish:
 * @self: what was to freeze
 * @result: what the callback was given
 * @error: return location
 *
 * Returns: how many filesystems are frozen, which may be none; -1 with AGENT_ERROR_UNAVAILABLE when
 *   there is no agent to be reached, AGENT_ERROR_TIMEOUT when it did not answer in time,
 *   AGENT_ERROR_GUEST when it refused, or AGENT_ERROR_CANCELLED: then nothing is frozen, or is
 *   being thawed
 */
int
quiesce_freeze_finish (Quiesce       *self,
                       GAsyncResult  *result,
                       GError       **error)
{
  return (int) g_task_propagate_int (G_TASK (result), error);
}

/**
 * quiesce_still_frozen:
 * @self: what has frozen
 *
 * To be asked after the point has been taken, and best after the thaw: an agent that thaws by
 * itself says so only then.
 *
 * Returns: %FALSE when the timer, or the guest, has thawed before our caller did: the point is not
 *   consistent
 */
gboolean
quiesce_still_frozen (Quiesce *self)
{
  if (self->state == QUIESCE_FROZEN && quiesce_guest_is_dead (self))
    return FALSE;

  return self->held;
}

/**
 * quiesce_new:
 * @guest: whose filesystems
 * @freeze_timeout_ms: how long freezing may take, in milliseconds
 * @thaw_after_ms: after how many milliseconds the guest is thawed, whatever the caller does
 *
 * Returns: (transfer full): nothing frozen yet
 */
Quiesce *
quiesce_new (Guest *guest,
             guint  freeze_timeout_ms,
             guint  thaw_after_ms)
{
  Quiesce *self = g_object_new (TYPE_QUIESCE, NULL);

  self->guest = g_object_ref (guest);
  self->freeze_timeout_ms = freeze_timeout_ms;
  self->thaw_after_ms = thaw_after_ms;

  return self;
}

static void
quiesce_finalize (GObject *object)
{
  Quiesce *self = AGENT_QUIESCE (object);

  quiesce_close_agent (self);
  g_clear_object (&self->guest);
  g_clear_error (&self->error);
  g_clear_pointer (&self->waiting, g_ptr_array_unref);

  G_OBJECT_CLASS (quiesce_parent_class)->finalize (object);
}

static void
quiesce_class_init (QuiesceClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = quiesce_finalize;
}

static void
quiesce_init (Quiesce *self)
{
  self->waiting = g_ptr_array_new_with_free_func (g_object_unref);
  self->backoff = (Backoff) { RETRY_FIRST_MS, RETRY_LAST_MS, 0 };
}
