/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to thaw until it is thawed.
 *
 * What is frozen is asked for its status before: Windows thaws by itself after 10 s, and then the
 * answer to a thaw need not say so. */

#include "quiesce-private.h"

#include <core/error.h>

/* For connecting and for each small command. A thaw has more to do. */
#define COMMAND_MS 5000
#define THAW_MS 10000

/* How long a caller waits for a thaw that goes on without it. */
#define PATIENCE_MS 15000

static void thaw_try (Quiesce *self);

static void
thaw_answer (Quiesce  *self,
             GTask    *task,
             gboolean  thawed)
{
  g_autoptr (GTask) hold = g_object_ref (task);

  g_source_destroy (g_task_get_task_data (task));
  g_ptr_array_remove (self->waiting, task);
  if (thawed)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (
        task, agent_error_new (AGENT_ERROR_TIMEOUT, "It is tried further, until it is done.",
                               "guest %s is not thawed yet: %s", guest_get_id (self->guest),
                               self->error != NULL ? self->error->message
                                                   : "its agent has not answered"));
}

static gboolean
on_patience_over (gpointer user_data)
{
  thaw_answer (g_task_get_source_object (user_data), user_data, FALSE);

  return G_SOURCE_REMOVE;
}

static void
thaw_done (Quiesce *self)
{
  g_autoptr (Quiesce) hold = self;      /* quiesce_thaw_begin()'s */

  self->state = QUIESCE_THAWED;
  g_clear_error (&self->error);
  quiesce_close_agent (self);
  if (!self->late)
    g_clear_handle_id (&self->timer, g_source_remove);

  while (self->waiting->len > 0)
    thaw_answer (self, g_ptr_array_index (self->waiting, 0), TRUE);
}

static gboolean
on_retry (gpointer user_data)
{
  thaw_try (user_data);

  return G_SOURCE_REMOVE;
}

/* @error: (transfer full) */
static void
thaw_failed (Quiesce *self,
             GError  *error)
{
  quiesce_close_agent (self);
  g_clear_error (&self->error);
  self->error = quiesce_adopt (self, error);
  g_debug ("%s", self->error->message);

  if (quiesce_guest_is_dead (self))
    {
      self->late = FALSE;
      thaw_done (self);
    }
  else
    g_timeout_add (backoff_next (&self->backoff), on_retry, self);
}

static void
on_thaw_checked (GObject      *source,
                 GAsyncResult *result,
                 gpointer      user_data)
{
  Quiesce *self = user_data;
  QmpFsfreeze status;
  GError *error = NULL;

  if (!qmp_guest_agent_status_finish (QMP_GUEST_AGENT (source), result, &status, &error))
    thaw_failed (self, error);
  else if (status == QMP_FSFREEZE_THAWED)
    thaw_done (self);
  else
    thaw_failed (self, agent_error_new (AGENT_ERROR_GUEST, NULL, "it says frozen after a thaw"));
}

static void
on_thawed (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  Quiesce *self = user_data;
  GError *error = NULL;
  int filesystems = qmp_guest_agent_thaw_finish (QMP_GUEST_AGENT (source), result, &error);

  if (filesystems < 0)
    {
      thaw_failed (self, error);
      return;
    }

  /* What was frozen had been thawed by somebody in the guest. */
  if (filesystems == 0 && self->filesystems > 0)
    self->held = FALSE;

  qmp_guest_agent_status_async (self->agent, COMMAND_MS, NULL, on_thaw_checked, self);
}

static void
on_thaw_asked (GObject      *source,
               GAsyncResult *result,
               gpointer      user_data)
{
  Quiesce *self = user_data;
  QmpFsfreeze status;
  GError *error = NULL;

  if (!qmp_guest_agent_status_finish (QMP_GUEST_AGENT (source), result, &status, &error))
    {
      thaw_failed (self, error);
      return;
    }

  if (status == QMP_FSFREEZE_FROZEN)
    {
      qmp_guest_agent_thaw_async (self->agent, THAW_MS, NULL, on_thawed, self);
      return;
    }

  self->held = FALSE;
  thaw_done (self);
}

static void
on_thaw_opened (GObject      *source,
                GAsyncResult *result,
                gpointer      user_data)
{
  Quiesce *self = user_data;
  GError *error = NULL;

  self->agent = qmp_guest_agent_open_finish (result, &error);
  if (self->agent == NULL)
    thaw_failed (self, error);
  else
    qmp_guest_agent_status_async (self->agent, COMMAND_MS, NULL, on_thaw_asked, self);
}

static void
thaw_try (Quiesce *self)
{
  g_autoptr (GSocketConnectable) address = NULL;
  GError *error = NULL;

  if (self->agent != NULL && qmp_guest_agent_is_open (self->agent))
    {
      qmp_guest_agent_status_async (self->agent, COMMAND_MS, NULL, on_thaw_asked, self);
      return;
    }

  quiesce_close_agent (self);
  address = quiesce_agent_address (self, &error);
  if (address == NULL)
    thaw_failed (self, error);
  else
    qmp_guest_agent_open_async (address, COMMAND_MS, NULL, on_thaw_opened, self);
}

/**
 * quiesce_thaw_begin:
 * @self: what may be frozen
 *
 * Runs, and keeps @self alive, until nothing is frozen.
 */
void
quiesce_thaw_begin (Quiesce *self)
{
  if (self->state == QUIESCE_THAWING)
    return;

  /* The freeze holds the link; its callback hears that it is gone. */
  if (self->state == QUIESCE_FREEZING)
    {
      quiesce_close_agent (self);
      self->freezing = NULL;
      self->late = TRUE;
      if (self->timer == 0)
        quiesce_arm_timer (self);
    }

  if (self->start_time == 0)
    quiesce_remember_process (self);

  self->state = QUIESCE_THAWING;
  backoff_reset (&self->backoff);
  thaw_try (g_object_ref (self));
}

/**
 * quiesce_thaw_async:
 * @self: what has frozen, or may have in an earlier run
 * @callback: when nothing is frozen
 * @user_data: for @callback
 *
 * Thaws. When that has not succeeded after 15 s the caller hears so, and it is tried further
 * without it; the call may be made again.
 */
void
quiesce_thaw_async (Quiesce             *self,
                    GAsyncReadyCallback  callback,
                    gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, callback, user_data);
  GSource *patience;

  /* Nothing has been sent yet that freezes. */
  if (self->state == QUIESCE_OPENING)
    {
      self->freezing = NULL;
      self->state = QUIESCE_THAWED;
      quiesce_close_agent (self);
    }

  if (self->state == QUIESCE_THAWED ||
      (self->state == QUIESCE_UNKNOWN && guest_get_config (self->guest)->agent == NULL))
    {
      g_task_return_boolean (task, TRUE);
      return;
    }

  patience = g_timeout_source_new (PATIENCE_MS);
  g_source_set_callback (patience, on_patience_over, task, NULL);
  g_source_attach (patience, g_task_get_context (task));
  g_task_set_task_data (task, patience, (GDestroyNotify) g_source_unref);
  g_ptr_array_add (self->waiting, g_object_ref (task));

  quiesce_thaw_begin (self);
}

/**
 * quiesce_thaw_finish:
 * @self: what has frozen
 * @result: what the callback was given
 * @error: return location
 *
 * Returns: %TRUE when nothing is frozen, also because the guest is gone; else AGENT_ERROR_TIMEOUT
 */
gboolean
quiesce_thaw_finish (Quiesce       *self,
                     GAsyncResult  *result,
                     GError       **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
