/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the moving of disks comes to its end: undone as long as no name has moved, else
 * finished for all of them. It begins by looking, also after a restart, unless this very process
 * has moved all names just before. */

#include "revert-steps.h"

#include <core/error.h>

#include "../guest-errors.h"

typedef struct
{
  Revert  *revert;
  GTask   *step;
  guint    next;
} Finish;

static void move_next (Finish *self);

/* Takes @self and @error. */
static void
finish_over (Finish *self, GError *error)
{
  if (error == NULL)
    self->revert->in_doubt = FALSE;
  revert_step_over (self->revert, self->step, error);
  g_free (self);
}

static void
tell_disks (Revert *self)
{
  JsonObject *result = operation_get_result (self->operation);
  JsonArray *disks = json_array_new ();

  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *plan = g_ptr_array_index (self->disks, i);
      JsonObject *disk = json_object_new ();

      json_object_set_string_member (disk, "disk", plan->disk);
      json_object_set_string_member (disk, "path", plan->published);
      json_object_set_string_member (disk, "layer", plan->to_path);
      json_object_set_string_member (disk, "overlay", plan->overlay);
      json_object_set_string_member (disk, "left", plan->from_name);
      json_array_add_object_element (disks, disk);
    }
  json_object_set_array_member (result, "disks", disks);
}

static void
all_moved (Finish *self)
{
  if (self->revert->switched_us == 0)
    self->revert->switched_us = g_get_real_time ();
  tell_disks (self->revert);
  finish_over (self, NULL);
}

/* --- forward --- */

static void
on_looked_after (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Finish *self = user_data;
  Revert *revert = self->revert;
  GError *error = NULL;

  if (!revert_look_finish (result, &error))
    {
      finish_over (self, error);
      return;
    }
  for (guint i = 0; i < revert->disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (revert->disks, i);

      if (revert->facts[i].overlay_active || revert->guest_state != REVERT_GUEST_SAME)
        continue;
      finish_over (self, agent_error_new (AGENT_ERROR_GUEST, "it is tried again",
                                          "disk %s: QEMU has not moved it to %s", disk->disk,
                                          disk->overlay));
      return;
    }
  all_moved (self);
}

static void
on_finalized (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Finish *self = user_data;
  GError *error = NULL;

  if (!revert_move_finish (result, &error))
    {
      finish_over (self, error);
      return;
    }
  self->next++;
  move_next (self);
}

static void
on_pended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Finish *self = user_data;
  GError *error = NULL;

  if (revert_move_finish (result, &error))
    revert_finalize_async (self->revert, self->next, on_finalized, self);
  else
    finish_over (self, error);
}

/* One that is on its overlay may have a job that was not dismissed. */
static void
move_next (Finish *self)
{
  Revert *revert = self->revert;
  const RevertFacts *facts;

  while (self->next < revert->disks->len && revert->facts[self->next].overlay_active
         && !revert->facts[self->next].has_job)
    self->next++;
  if (self->next == revert->disks->len)
    {
      revert_look_async (revert, on_looked_after, self);
      return;
    }
  facts = &revert->facts[self->next];
  if (revert->published || facts->overlay_active
      || (facts->has_job && facts->job_state >= QMP_JOB_PENDING))
    revert_finalize_async (revert, self->next, on_finalized, self);
  else
    revert_pend_async (revert, self->next, on_pended, self);
}

static void
publish_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (revert_publish_rest (task_data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Finish *self = user_data;
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    finish_over (self, error);
  else if (self->revert->guest_state == REVERT_GUEST_SAME)
    move_next (self);
  else
    all_moved (self);
}

static void
publish_all (Finish *self)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_published, self);

  g_task_set_task_data (task, self->revert, NULL);
  g_task_run_in_thread (task, publish_in_thread);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  if (reply != NULL)
    publish_all (user_data);
  else
    finish_over (user_data, error);
}

static gboolean
all_are_moved (const Revert *revert)
{
  for (guint i = 0; i < revert->disks->len; i++)
    if (!revert->facts[i].overlay_active || !revert->facts[i].name_on_overlay)
      return FALSE;
  return TRUE;
}

/* Whoever has let the guest go on between two disks did not know what it writes to: it is stopped
 * again, and needs the reset all the more. */
static void
hold_still (Finish *self)
{
  Revert *revert = self->revert;
  GError *error = NULL;
  QmpClient *client;

  if (revert->guest_state != REVERT_GUEST_SAME || all_are_moved (revert))
    {
      publish_all (self);
      return;
    }
  client = peer_client (&revert->peer, &error);
  if (client == NULL)
    {
      finish_over (self, error);
      return;
    }
  if (g_strcmp0 (guest_get_run_state (revert->guest), "running") == 0)
    revert->was_running = revert->must_reset = TRUE;
  qmp_client_execute_async (client, "stop", NULL, GUEST_COMMAND_DEADLINE_MS, NULL, on_stopped,
                            self);
}

/* --- back --- */

static void
on_ended (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  if (revert_move_finish (result, &error))
    finish_over (user_data, NULL);
  else
    finish_over (user_data, error);
}

/* Nothing is left to be done, but for one that does not know yet that it fails. */
static void
give_up (Finish *self)
{
  if (operation_get_error (self->revert->operation) != NULL)
    finish_over (self, NULL);
  else
    finish_over (self, agent_error_new (AGENT_ERROR_CONFLICT, "ask for it again", "%s",
                                        REVERT_GIVEN_UP));
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Finish *self = user_data;
  Revert *revert = self->revert;
  GError *error = NULL;
  guint moved;

  if (!revert_look_finish (result, &error))
    {
      finish_over (self, error);
      return;
    }
  moved = revert_count_moved (revert);
  /* See revert_decide(). It stays so when that guest, too, has ended. */
  if (moved > 0 && moved < revert->disks->len && revert->guest_state == REVERT_GUEST_OTHER)
    revert->given_up = TRUE;
  /* The CPUs may go on only when no mirror copies what the guest writes then. */
  if (moved == 0 && revert->guest_state == REVERT_GUEST_SAME)
    revert_end_mirrors_async (revert, on_ended, self);
  else if (moved == 0)
    finish_over (self, NULL);
  else if (revert->given_up)
    give_up (self);
  else
    hold_still (self);
}

void
revert_finish (GTask *step, gpointer job)
{
  Finish *self = g_new0 (Finish, 1);

  self->revert = job;
  self->step = step;
  self->revert->in_doubt = TRUE;
  if (self->revert->published && self->revert->guest_state == REVERT_GUEST_SAME)
    move_next (self);
  else
    revert_look_async (self->revert, on_looked, self);
}
