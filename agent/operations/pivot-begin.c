/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the jobs of pivots are brought as far as QEMU goes without us: until all that was there
 * is at the target and only what the guest writes meanwhile follows. It begins by looking, so that
 * it can be begun again at any moment. */

#include "pivot-private.h"
#include "pivot-steps.h"

#include <core/error.h>
#include <string.h>

#include "control.h"
#include "guest-errors.h"

typedef struct
{
  PivotSet     *set;
  GTask        *step;
  guint         index;          /* of the disk under way */
  gint64        late_us;        /* monotonic: from then on a job is late */
  gboolean      throttled;      /* this disk's guest writes slower by now */
  PivotWatch   *watch;          /* its job, while it is waited for */
  PivotVerdict *verdict;        /* (nullable): what is done once its file has a name for life */
  gboolean      looked;         /* all disks: what cannot wait is put right */
} Begin;

static void look (Begin *self);
static void follow (Begin *self);

static void
begin_finish (Begin *self, GError *error)
{
  PivotSet *set = self->set;

  g_clear_pointer (&self->watch, pivot_watch_free);
  g_clear_pointer (&self->verdict, pivot_verdict_free);
  /* For who finds the guest stopped later, and has to know whether by us. */
  if (error == NULL && set->peer.guest != NULL && set->pivots->len > 0
      && set->late_policy == LATE_STOP)
    set->may_halt = set->may_halt
                    || g_strcmp0 (guest_get_run_state (set->peer.guest), "running") == 0;
  pivot_step_end (self->step, set, error);
  g_free (self);
}

static Pivot *
current (Begin *self)
{
  return g_ptr_array_index (self->set->pivots, self->index);
}

static void
next_disk (Begin *self, PivotState state)
{
  g_clear_pointer (&self->watch, pivot_watch_free);
  current (self)->state = state;
  self->throttled = FALSE;
  self->index++;
  look (self);
}

static gboolean
is_called_off (Begin *self)
{
  return self->set->called_off || g_cancellable_is_cancelled (self->set->cancellable);
}

/* A job of a disk is late again after another time as long. */
static void
wait_once_more (Begin *self)
{
  self->late_us = g_get_monotonic_time () + self->set->deadline_s * G_USEC_PER_SEC;
  follow (self);
}

/* --- a job that is late, or failed --- */

static void
on_given_up (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Begin *self = user_data;
  GError *error = NULL;

  if (pivot_give_up_finish (result, &error))
    next_disk (self, current (self)->state);
  else
    begin_finish (self, error);
}

/* Takes @reason. */
static void
give_up (Begin *self, GError *reason)
{
  g_clear_pointer (&self->watch, pivot_watch_free);
  pivot_give_up_async (self->set, current (self), reason, on_given_up, self);
}

static void
give_up_cancelled (Begin *self)
{
  give_up (self, agent_error_new (AGENT_ERROR_CANCELLED, NULL, "it was called off"));
}

static void
give_up_late (Begin *self)
{
  give_up (self, agent_error_new (AGENT_ERROR_TIMEOUT, NULL,
                                  "the guest writes faster than what it has written is copied: "
                                  "after %" G_GINT64_FORMAT " s it was not done",
                                  self->set->deadline_s));
}

static void
on_throttled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Begin *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!pivot_throttle_finish (result, &error))
    {
      g_debug ("disk %s: %s", current (self)->disk, error->message);
      give_up_late (self);
      return;
    }
  self->throttled = TRUE;
  wait_once_more (self);
}

static void
be_late_for_good (Begin *self)
{
  if (self->set->late_policy == LATE_STOP)
    next_disk (self, PIVOT_RUNNING);    /* the pivot stops the guest for it */
  else if (self->set->late_policy == LATE_THROTTLE && !self->throttled)
    pivot_throttle_async (self->set, current (self), TRUE, on_throttled, self);
  else
    give_up_late (self);
}

static void
on_changed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Begin *self = user_data;
  JsonObject *told = pivot_told (self->set, current (self));
  g_autoptr (JsonNode) reply = NULL;
  g_autoptr (GError) error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply == NULL && !guest_error_is_refusal (error))
    {
      begin_finish (self, g_steal_pointer (&error));
      return;
    }
  /* Not asked a second time, whatever came of it. */
  g_free (current (self)->copy_mode);
  current (self)->copy_mode = g_strdup ("write-blocking");
  if (reply == NULL)
    {
      be_late_for_good (self);
      return;
    }
  if (told != NULL)
    json_object_set_string_member (told, "copy_mode", "write-blocking");
  wait_once_more (self);
}

static gboolean
can_block_writes (Begin *self)
{
  const Pivot *pivot = current (self);

  return pivot->way != PIVOT_COMMIT && g_strcmp0 (pivot->copy_mode, "write-blocking") != 0
         && qmp_features_has_command (guest_get_features (self->set->peer.guest),
                                      "block-job-change");
}

static void
be_late (Begin *self)
{
  QmpClient *client = guest_get_client (self->set->peer.guest);

  if (pivot_watch_is_paused (self->watch)
      || (self->set->late_policy != LATE_LEAVE && pivot_watch_gets_on (self->watch)))
    {
      wait_once_more (self);
      return;
    }
  g_clear_pointer (&self->watch, pivot_watch_free);
  if (client != NULL && can_block_writes (self))
    qmp_client_execute_async (client, "block-job-change",
                              qmp_args ("id", "s", current (self)->job,
                                        "type", "s", "mirror",
                                        "copy-mode", "s", "write-blocking",
                                        NULL),
                              GUEST_COMMAND_DEADLINE_MS, NULL, on_changed, self);
  else
    be_late_for_good (self);
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Begin *self = user_data;
  Pivot *pivot = current (self);
  GError *error = NULL;

  pivot->moved = MAX (pivot->moved, qmp_job_get_info (QMP_JOB (source))->progress);
  if (qmp_job_await_finish (QMP_JOB (source), result, &error))
    next_disk (self, PIVOT_RUNNING);
  else if (g_error_matches (error, QMP_ERROR, QMP_ERROR_TIMEOUT))
    {
      g_error_free (error);
      be_late (self);
    }
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_error_free (error);
      give_up_cancelled (self);
    }
  else if (g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB))
    give_up (self, error);
  else
    begin_finish (self, error);
}

/* --- waiting for a job --- */

static void
follow (Begin *self)
{
  GError *error = NULL;
  QmpClient *client = guest_require_client (self->set->peer.guest, &error);
  gint64 left_ms = (self->late_us - g_get_monotonic_time ()) / 1000;

  if (client == NULL)
    {
      begin_finish (self, error);
      return;
    }
  if (self->watch == NULL)
    self->watch = pivot_watch_new (self->set, current (self), client);
  qmp_job_await_async (pivot_watch_follow (self->watch), QMP_JOB_READY,
                       (guint) CLAMP (left_ms, 1, G_MAXINT), self->set->cancellable, on_ready,
                       self);
}

/* --- beginning one --- */

static void
on_begun (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Begin *self = user_data;
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    follow (self);
  else if (guest_error_is_refusal (error))
    give_up (self, error);
  else
    begin_finish (self, error);
}

static void
on_named (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Begin *self = user_data;
  g_autoptr (PivotVerdict) verdict = g_steal_pointer (&self->verdict);
  GError *error = NULL;
  g_autoptr (QmpBatch) batch = qmp_batch_new ();
  Pivot *pivot = current (self);
  QmpClient *client = NULL;
  JsonNode *arguments;
  const char *command;

  if (!pivot_name_finish (result, &error))
    {
      give_up (self, error);
      return;
    }
  if (verdict->action == PIVOT_ACTION_FOLLOW)
    {
      follow (self);
      return;
    }
  client = guest_require_client (self->set->peer.guest, &error);
  if (client == NULL)
    {
      begin_finish (self, error);
      return;
    }
  pivot->untried = FALSE;
  self->watch = pivot_watch_new (self->set, pivot, client);
  command = pivot_job_command (pivot, verdict, control_speed (self->set->operation, pivot->speed),
                               &arguments);
  qmp_batch_add (batch, command, arguments);
  control_add_pause (batch, self->set->operation, pivot->job);
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_begun, self);
}

/* --- looking --- */

static void
on_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Begin *self = user_data;
  g_autoptr (PivotVerdict) verdict = NULL;
  GError *error = NULL;

  verdict = pivot_settle_finish (result, &error);
  if (verdict == NULL)
    begin_finish (self, error);
  else if (verdict->action == PIVOT_ACTION_NONE)
    next_disk (self, PIVOT_DONE);
  /* Its job would go on with a disk that nobody follows any more. */
  else if (verdict->action == PIVOT_ACTION_KEEP && verdict->has_job)
    give_up (self, g_steal_pointer (&verdict->reason));
  else if (verdict->action == PIVOT_ACTION_KEEP)
    {
      pivot_keep (self->set, current (self), g_steal_pointer (&verdict->reason));
      next_disk (self, PIVOT_KEPT);
    }
  else if (!self->looked)
    next_disk (self, PIVOT_UNKNOWN);
  else if (is_called_off (self))
    give_up_cancelled (self);
  else
    {
      /* Of a job that is found, too: the name was given after the plan had been written down. */
      self->verdict = g_steal_pointer (&verdict);
      pivot_name_async (current (self), on_named, self);
    }
}

/* All disks are looked at before the first job is waited for: one of them may hold its guest's
 * writes. */
static void
look (Begin *self)
{
  while (self->index < self->set->pivots->len && current (self)->state != PIVOT_UNKNOWN)
    self->index++;
  if (self->index < self->set->pivots->len)
    pivot_settle_async (self->set, current (self), on_settled, self);
  else if (self->looked)
    begin_finish (self, NULL);
  else
    {
      self->looked = TRUE;
      self->index = 0;
      look (self);
    }
}

/**
 * pivot_begin:
 * @step: (transfer full): the step
 * @set: pivots
 *
 * Returns when each job is ready, or is late and its guest is to be stopped for it, or has been
 * given up.
 */
void
pivot_begin (GTask *step, PivotSet *set)
{
  Begin *self = g_new0 (Begin, 1);

  self->set = set;
  self->step = step;
  self->late_us = g_get_monotonic_time () + set->deadline_s * G_USEC_PER_SEC;
  look (self);
}
