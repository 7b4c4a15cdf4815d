/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the moment at which a guest's device goes from the overlay back to the layer. Once told to
 * complete, a commit stands `pending` as soon as both are the same, and the guest's writes are
 * held: then the published name is moved, and only then the commit is let go on. */

#include "backup-steps.h"
#include "fold.h"

#include <core/error.h>

#include "guest-errors.h"

#define PATIENCE_MS 2000        /* for a guest that writes on */
#define LEAST_MS    250         /* for each disk of a guest that has stood still for long enough */
#define HELP_MS     10000       /* for one that is held still (the most that it is), or throttled */

typedef struct
{
  Backup   *job;
  GTask    *step;
  guint     index;
  gboolean  completing;         /* its job-complete was sent */
  gboolean  helped;             /* the guest stands still, or is throttled */
  gint64    held_us;            /* monotonic: when its I/O was found held */
  gint64    halted_us;          /* monotonic: when the guest was stopped; 0: it was not */
  GError   *failure;            /* why the name could not be moved */
} Pivot;

static void pivot_next (Pivot *self);
static void proceed (Pivot *self);

static void
pivot_finish (Pivot *self, GError *error)
{
  if (error == NULL)
    backup_step_done (self->step);
  else
    backup_step_failed (self->step, guest_error_name (self->job->guest, error));
  g_clear_error (&self->failure);
  g_free (self);
}

static void
next_disk (Pivot *self, FoldState state)
{
  self->job->folding[self->index] = state;
  self->completing = self->helped = FALSE;
  self->index++;
  pivot_next (self);
}

/* --- not to be --- */

static void
on_given_up (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  GError *error = NULL;

  if (fold_give_up_finish (result, &error))
    next_disk (self, self->job->folding[self->index]);
  else
    pivot_finish (self, error);
}

/* Takes @reason. */
static void
give_up (Pivot *self, GError *reason)
{
  fold_give_up_async (self->job, self->index, reason, on_given_up, self);
}

/* Whether @error tells that the commit itself has come to nothing. */
static gboolean
is_verdict (const GError *error)
{
  return g_error_matches (error, QMP_ERROR, QMP_ERROR_JOB) || guest_error_is_refusal (error);
}

static void
fail (Pivot *self, GError *error)
{
  if (is_verdict (error))
    give_up (self, error);
  else
    pivot_finish (self, error);
}

/* How long to wait for a disk now, in milliseconds. The guest stands still once for all of them. */
static guint
patience_ms (Pivot *self)
{
  gint64 halted_ms = (g_get_monotonic_time () - self->halted_us) / 1000;

  if (self->halted_us != 0)
    return (guint) CLAMP (HELP_MS - halted_ms, LEAST_MS, HELP_MS);
  return self->helped ? HELP_MS : PATIENCE_MS;
}

/* --- helping a commit that does not come to an end --- */

static void
be_helped (Pivot *self, GError *error)
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
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  be_helped (user_data, error);
}

static void
on_throttled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  /* A disk with limits of its owner's only gets more time. */
  if (!fold_throttle_finish (result, &error)
      && g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT))
    g_clear_error (&error);
  be_helped (user_data, error);
}

static void
help (Pivot *self)
{
  Backup *job = self->job;
  GError *error = NULL;
  QmpClient *client = backup_client (job, &error);

  if (client == NULL)
    pivot_finish (self, error);
  else if (job->late_policy == LATE_THROTTLE)
    fold_throttle_async (job, self->index, TRUE, on_throttled, self);
  else if (job->late_policy == LATE_STOP)
    {
      /* A disk before may have had it stopped already. */
      if (self->halted_us == 0)
        self->halted_us = g_get_monotonic_time ();
      job->halted = job->halted || g_strcmp0 (guest_get_run_state (job->guest), "running") == 0;
      qmp_client_execute_async (client, "stop", NULL, GUEST_COMMAND_DEADLINE_MS, NULL, on_stopped,
                                self);
    }
  else
    give_up (self, agent_error_new (AGENT_ERROR_TIMEOUT, NULL,
                                    "the guest writes without a pause, and is not to be held"));
}

/* --- the pivot --- */

static void
on_finalized (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  JsonObject *told = operation_get_result (self->job->operation);
  gint64 longest = json_object_get_int_member_with_default (told, "pivot_us", 0);
  GError *error = NULL;

  if (fold_command_finish (result, &error))
    {
      json_object_set_int_member (told, "pivot_us",
                                  MAX (longest, g_get_monotonic_time () - self->held_us));
      next_disk (self, FOLD_DONE);
    }
  else
    fail (self, error);
}

static void
finalize (Pivot *self)
{
  fold_command_async (self->job, self->index, "job-finalize", QMP_JOB_CONCLUDED, HELP_MS,
                      on_finalized, self);
}

/* The name is where it was, or it cannot be moved at all: then the guest follows it. */
static void
on_name_back (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  FoldFacts facts = { 0 };
  g_autoptr (GError) problem = NULL;

  if (!fold_publish_finish (result, &problem)
      && fold_look_at_name (g_ptr_array_index (self->job->disks, self->index), &facts, NULL)
      && facts.name_on_layer)
    finalize (self);
  else
    give_up (self, g_steal_pointer (&self->failure));
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;

  g_clear_error (&self->failure);
  if (fold_publish_finish (result, &self->failure))
    finalize (self);
  else
    /* It may have been moved all the same, and not durably. */
    fold_publish_async (self->job, self->index, FALSE, on_name_back, self);
}

/* Takes @error. */
static void
not_there (Pivot *self, GError *error)
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
on_pending (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  GError *error = NULL;

  if (!fold_command_finish (result, &error))
    {
      not_there (self, error);
      return;
    }
  self->held_us = g_get_monotonic_time ();
  fold_publish_async (self->job, self->index, TRUE, on_published, self);
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Pivot *self = user_data;
  GError *error = NULL;

  if (!fold_command_finish (result, &error))
    {
      not_there (self, error);
      return;
    }
  self->completing = TRUE;
  fold_command_async (self->job, self->index, "job-complete", QMP_JOB_PENDING,
                      patience_ms (self), on_pending, self);
}

static void
proceed (Pivot *self)
{
  if (self->completing)
    fold_command_async (self->job, self->index, NULL, QMP_JOB_PENDING, patience_ms (self),
                        on_pending, self);
  else
    fold_command_async (self->job, self->index, NULL, QMP_JOB_READY, patience_ms (self), on_ready,
                        self);
}

static void
pivot_next (Pivot *self)
{
  while (self->index < self->job->disks->len && self->job->folding[self->index] != FOLD_RUNNING)
    self->index++;
  if (self->index < self->job->disks->len)
    proceed (self);
  else
    pivot_finish (self, NULL);
}

void
backup_pivot (GTask *step, gpointer user_data)
{
  Backup *job = user_data;
  Pivot *self = g_new0 (Pivot, 1);

  self->job = job;
  self->step = step;
  /* By us, in a life before. */
  self->halted_us = job->halted ? g_get_monotonic_time () : 0;
  pivot_next (self);
}
