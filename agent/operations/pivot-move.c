/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the moment at which a guest's device goes from one file to another. Once told to complete,
 * a job stands `pending` as soon as both are the same, and the guest's writes are held: then the
 * published name is moved, and only then the job is let go on. */

#include "pivot-private.h"
#include "pivot-steps.h"

#include <core/error.h>

#include "guest-errors.h"
#include "migration.h"

#define PATIENCE_MS 2000        /* for a guest that writes on */
#define LEAST_MS    250         /* for each disk of a guest that has stood still for long enough */
#define HELP_MS     10000       /* for one that is held still (the most that it is), or throttled */

typedef struct
{
  PivotSet *set;
  GTask    *step;
  guint     index;              /* of the disk under way */
  gboolean  completing;         /* its job was told to */
  gboolean  helped;             /* the guest stands still, or is throttled */
  gint64    held_us;            /* monotonic: when its I/O was found held */
  PivotHeld *held;              /* (nullable): while it is */
  gint64    halted_us;          /* monotonic: when the guest was stopped; 0: it was not */
  GError   *failure;            /* why the name could not be moved */
} Move;

static void move_next (Move *self);
static void proceed (Move *self);

static void
move_finish (Move *self, GError *error)
{
  g_clear_pointer (&self->held, pivot_held_free);
  pivot_step_end (self->step, self->set, error);
  g_clear_error (&self->failure);
  g_free (self);
}

static Pivot *
current (Move *self)
{
  return g_ptr_array_index (self->set->pivots, self->index);
}

static void
next_disk (Move *self, PivotState state)
{
  g_clear_pointer (&self->held, pivot_held_free);
  current (self)->state = state;
  self->completing = self->helped = FALSE;
  self->index++;
  move_next (self);
}

/* --- not to be --- */

static void
on_given_up (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;
  GError *error = NULL;

  if (pivot_give_up_finish (result, &error))
    next_disk (self, current (self)->state);
  else
    move_finish (self, error);
}

/* Takes @reason. */
static void
give_up (Move *self, GError *reason)
{
  pivot_give_up_async (self->set, current (self), reason, on_given_up, self);
}

/* Whether @error tells that the job itself has come to nothing. */
static gboolean
is_verdict (const GError *error)
{
  return g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB) || guest_error_is_refusal (error);
}

static void
fail (Move *self, GError *error)
{
  if (is_verdict (error))
    give_up (self, error);
  else
    move_finish (self, error);
}

/* How long to wait for a disk now, in milliseconds. The guest stands still once for all of them. */
static guint
patience_ms (Move *self)
{
  gint64 halted_ms = (g_get_monotonic_time () - self->halted_us) / 1000;

  if (self->halted_us != 0)
    return (guint) CLAMP (HELP_MS - halted_ms, LEAST_MS, HELP_MS);
  return self->helped ? HELP_MS : PATIENCE_MS;
}

/* --- helping a job that does not come to an end --- */

static void
be_helped (Move *self, GError *error)
{
  if (error != NULL)
    {
      fail (self, error);
      return;
    }
  self->helped = TRUE;
  proceed (self);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  if (qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    be_helped (user_data, NULL);
  else
    be_helped (user_data, error);
}

/* While the guest stands still the rest is copied as fast as it goes. */
static void
stop_guest (Move *self, QmpClient *client)
{
  g_autoptr (QmpBatch) batch = qmp_batch_new ();

  qmp_batch_add (batch, "stop", NULL);
  qmp_batch_add_tolerant (batch, "block-job-set-speed",
                          qmp_args ("device", "s", current (self)->job, "speed", "i", (gint64) 0,
                                    NULL));
  qmp_batch_run_async (batch, client, GUEST_COMMAND_DEADLINE_MS, NULL, on_stopped, self);
}

static void
on_throttled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  /* A disk with limits of its owner's only gets more time. */
  if (!pivot_throttle_finish (result, &error)
      && g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT))
    g_clear_error (&error);
  be_helped (user_data, error);
}

static gboolean
is_running (PivotSet *set)
{
  return g_strcmp0 (guest_get_run_state (set->peer.guest), "running") == 0;
}

/* A stop that the journal does not know of could not be told from its owner's after a death of
 * ours: of a guest that has gone on only now. */
static gboolean
may_stop (Move *self)
{
  return self->set->may_halt || !is_running (self->set);
}

static void
help (Move *self)
{
  PivotSet *set = self->set;
  GError *error = NULL;
  QmpClient *client = peer_client (&set->peer, &error);

  if (client == NULL)
    move_finish (self, error);
  else if (set->late_policy == LATE_THROTTLE)
    pivot_throttle_async (set, current (self), TRUE, on_throttled, self);
  else if (set->late_policy == LATE_STOP && may_stop (self))
    {
      /* A disk before may have had it stopped already. */
      if (self->halted_us == 0)
        self->halted_us = g_get_monotonic_time ();
      set->halted = set->halted || is_running (set);
      stop_guest (self, client);
    }
  else
    give_up (self, agent_error_new (AGENT_ERROR_TIMEOUT, NULL,
                                    "the guest writes without a pause, and is not to be held"));
}

/* --- the pivot --- */

/* The guest's I/O goes on. */
static void
note_held (Move *self)
{
  JsonObject *told = operation_get_result (self->set->operation);
  gint64 longest = json_object_get_int_member_with_default (told, "pivot_us", 0);

  g_clear_pointer (&self->held, pivot_held_free);
  current (self)->held_us = g_get_monotonic_time () - self->held_us;
  json_object_set_int_member (told, "pivot_us", MAX (longest, current (self)->held_us));
}

static void
on_finalized (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;
  GError *error = NULL;

  if (pivot_command_finish (result, &error))
    {
      note_held (self);
      next_disk (self, PIVOT_DONE);
    }
  else
    fail (self, error);
}

static void
finalize (Move *self)
{
  pivot_command_async (self->set, current (self), "job-finalize", QMP_JOB_CONCLUDED, HELP_MS,
                       on_finalized, self);
}

/* The name is where it was, or it cannot be moved at all: then the guest follows it. */
static void
on_name_back (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;
  PivotFacts facts = { 0 };
  g_autoptr (GError) problem = NULL;

  if (!pivot_name_finish (result, &problem)
      && pivot_look_at_name (current (self), &facts, NULL)
      && facts.name_on_to)
    finalize (self);
  else
    give_up (self, g_steal_pointer (&self->failure));
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;

  g_clear_error (&self->failure);
  if (pivot_name_finish (result, &self->failure))
    finalize (self);
  else
    /* It may have been moved all the same, and not durably. */
    pivot_publish_async (current (self), FALSE, on_name_back, self);
}

/* Takes @error. */
static void
not_there (Move *self, GError *error)
{
  if (!g_error_matches (error, QMP_ERROR, QMP_ERROR_TIMEOUT))
    fail (self, error);
  else if (self->helped)
    give_up (self, error);
  else
    {
      g_error_free (error);
      help (self);
    }
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;
  Pivot *pivot = current (self);
  g_autoptr (Inspection) inspection = NULL;
  GError *error = NULL;

  inspection = inspect_finish (result, &error);
  if (inspection == NULL)
    {
      move_finish (self, error);
      return;
    }
  pivot->astray = peer_is_same (&self->set->peer) && !pivot_is_open (pivot, inspection->disks);
  if (!pivot->astray)
    {
      next_disk (self, PIVOT_DONE);
      return;
    }
  pivot_keep (self->set, pivot,
              agent_error_new (AGENT_ERROR_CONFLICT, NULL,
                               "somebody else has had the job of the copy complete"));
  next_disk (self, PIVOT_KEPT);
}

static void
on_copied (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;
  GError *error = NULL;

  if (!pivot_cancel_finish (result, &error))
    {
      fail (self, error);
      return;
    }
  note_held (self);
  inspect_async (self->set->peer.guest, NULL, on_inspected, self);
}

/* The copy is whole. Whether its job would move the device does not show: somebody else may have
 * told it to complete just before we have told it to end. So it is not let go on, but cancelled. */
static void
end_copy (Move *self)
{
  pivot_cancel_async (self->set, current (self), on_copied, self);
}

static void
on_pending (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;
  GError *error = NULL;

  if (!pivot_command_finish (result, &error))
    {
      not_there (self, error);
      return;
    }
  self->held_us = g_get_monotonic_time ();
  self->held = pivot_held_new (self->set, current (self));
  if (current (self)->way == PIVOT_COPY)
    {
      end_copy (self);
      return;
    }
  pivot_publish_async (current (self), TRUE, on_published, self);
}

static void
on_asked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;
  gboolean migrating;
  GError *error = NULL;

  if (!migration_ask_finish (result, &migrating, &error))
    fail (self, error);
  /* The process that it goes to has the old file open, and the name has to lead to that. */
  else if (migrating)
    give_up (self, agent_error_new (AGENT_ERROR_CONFLICT, "ask again when the migration has ended",
                                    "the guest is being migrated"));
  else
    {
      self->completing = TRUE;
      /* A copy ends well by being cancelled without force once it is ready. */
      pivot_command_async (self->set, current (self),
                           current (self)->way == PIVOT_COPY ? "block-job-cancel" : "job-complete",
                           QMP_JOB_PENDING, patience_ms (self), on_pending, self);
    }
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Move *self = user_data;
  GError *error = NULL;

  if (pivot_command_finish (result, &error))
    migration_ask_async (self->set->peer.guest, NULL, on_asked, self);
  else
    not_there (self, error);
}

static void
proceed (Move *self)
{
  if (self->completing)
    pivot_command_async (self->set, current (self), NULL, QMP_JOB_PENDING, patience_ms (self),
                         on_pending, self);
  else
    pivot_command_async (self->set, current (self), NULL, QMP_JOB_READY, patience_ms (self),
                         on_ready, self);
}

static void
move_next (Move *self)
{
  while (self->index < self->set->pivots->len && current (self)->state != PIVOT_RUNNING)
    self->index++;
  if (self->index < self->set->pivots->len)
    proceed (self);
  else
    move_finish (self, NULL);
}

/**
 * pivot_move:
 * @step: (transfer full): the step
 * @set: pivots, whose jobs pivot_begin() has brought as far as they go
 *
 * Returns when each device is where it is to be, or stays.
 */
void
pivot_move (GTask *step, PivotSet *set)
{
  Move *self = g_new0 (Move, 1);

  self->set = set;
  self->step = step;
  /* By us, in a life before. */
  self->halted_us = set->halted ? g_get_monotonic_time () : 0;
  move_next (self);
}
