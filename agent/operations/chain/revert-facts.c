/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to find out how far a revert has come, and what becomes of one that was cut off. The
 * published names tell: until the first of them leads to its overlay nothing has happened that
 * anybody could see. */

#include "revert-steps.h"

#include <core/error.h>
#include <string.h>

#include "../backup.h"
#include "../guest-errors.h"

static gboolean
is_file (const Layer *layer, gint64 dev, gint64 ino)
{
  return layer->known && file_facts_are (&layer->facts, dev, ino);
}

static void
judge_disk (const RevertDisk *plan, Disk *disk, RevertFacts *facts)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      gboolean is_overlay = is_file (layer, plan->overlay_dev, plan->overlay_ino);

      facts->overlay_open = facts->overlay_open || is_overlay;
      facts->overlay_active = facts->overlay_active || (is_overlay && i == 0);
      facts->from_open = facts->from_open || is_file (layer, plan->from_dev, plan->from_ino);
    }
}

/**
 * revert_facts_judge:
 * @self: a job, whose facts are filled in
 * @disks: (element-type Disk): the guest's disks
 * @jobs: (element-type QmpJobInfo): its jobs
 *
 * By inodes, whatever QEMU calls its nodes: one that was started anew has names of its own.
 */
void
revert_facts_judge (Revert *self, GPtrArray *disks, GPtrArray *jobs)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *plan = g_ptr_array_index (self->disks, i);
      RevertFacts *facts = &self->facts[i];

      *facts = (RevertFacts) { .name_on_overlay = facts->name_on_overlay };
      for (guint j = 0; j < disks->len; j++)
        judge_disk (plan, g_ptr_array_index (disks, j), facts);
      for (guint j = 0; j < jobs->len; j++)
        {
          const QmpJobInfo *info = g_ptr_array_index (jobs, j);

          if (strcmp (info->id, plan->job) != 0)
            continue;
          facts->has_job = TRUE;
          facts->job_state = info->state;
        }
    }
}

/**
 * revert_count_moved:
 * @self: a job with its facts
 *
 * Returns: how many disks have their name, or their device, on the overlay
 */
guint
revert_count_moved (const Revert *self)
{
  guint moved = 0;

  for (guint i = 0; i < self->disks->len; i++)
    if (self->facts[i].name_on_overlay || self->facts[i].overlay_active)
      moved++;
  return moved;
}

/**
 * revert_is_to_run:
 * @self: a job
 * @status: (nullable): the run state of its guest, not stopped by us
 *
 * Whom its owner has paused stays paused. Of those that QEMU has stopped a reset ends what they
 * were stopped for.
 *
 * Returns: whether it is to run when the disks are moved
 */
gboolean
revert_is_to_run (const Revert *self, const char *status)
{
  static const char *const by_qemu[] = {
    "io-error", "guest-panicked", "internal-error", "watchdog", NULL
  };

  return g_strcmp0 (status, "running") == 0
         || (self->reset && status != NULL && g_strv_contains (by_qemu, status));
}

/**
 * revert_decide:
 * @job: the job with its facts
 * @last_step: the last step that had begun
 * @ended: whether it had ended
 *
 * Returns: what becomes of a revert that was cut off
 */
Recovery
revert_decide (gpointer job, const char *last_step, gboolean ended)
{
  const Revert *self = job;
  guint moved = revert_count_moved (self);

  if (self->guest_state == REVERT_GUEST_UNKNOWN)
    return (Recovery) { RECOVERY_WAIT, NULL, "the guest has to be asked which disks are moved" };
  if (self->switched_us != 0 && (self->offline || self->gone_on))
    return (Recovery) { RECOVERY_RESUME, "close-nodes", "all disks are moved" };
  if (moved == 0)
    return (Recovery) { RECOVERY_UNDO, NULL, "no disk was moved" };
  if (self->given_up || (moved < self->disks->len && self->guest_state == REVERT_GUEST_OTHER))
    return (Recovery) { RECOVERY_UNDO, NULL, REVERT_GIVEN_UP };
  return (Recovery) { RECOVERY_RESUME, self->offline ? "publish" : "finish",
                      "the first disk was moved" };
}

/* --- looking --- */

typedef struct
{
  Revert     *revert;
  Inspection *inspection;       /* (nullable) */
  RevertGuest guest_state;
  gboolean   *names;            /* one for each disk: it leads to the overlay */
} Look;

static void
look_free (Look *look)
{
  inspection_free (look->inspection);
  g_free (look->names);
  g_free (look);
}

static void
look_at_names (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Look *look = task_data;
  GPtrArray *disks = look->revert->disks;

  for (guint i = 0; i < disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (disks, i);
      FileFacts published = { 0 };
      GError *error = NULL;
      gboolean is_there = files_look (disk->published, &published, &error);

      if (error != NULL)
        {
          g_task_return_error (task, error);
          return;
        }
      look->names[i] = is_there && file_facts_are (&published, disk->overlay_dev,
                                                   disk->overlay_ino);
    }
  g_task_return_boolean (task, TRUE);
}

static void
on_names (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *look = g_task_get_task_data (task);
  GError *error = NULL;
  Revert *self;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      g_task_return_error (task, error);
      return;
    }
  /* What was seen before counts until all of this was. */
  self = look->revert;
  self->guest_state = look->guest_state;
  memset (self->facts, 0, sizeof (RevertFacts) * self->disks->len);
  if (look->inspection != NULL)
    revert_facts_judge (self, look->inspection->disks, look->inspection->jobs);
  for (guint i = 0; i < self->disks->len; i++)
    self->facts[i].name_on_overlay = look->names[i];
  g_task_return_boolean (task, TRUE);
}

static void
ask_names (GTask *task)
{
  Look *look = g_task_get_task_data (task);
  g_autoptr (GTask) names = g_task_new (NULL, NULL, on_names, g_object_ref (task));

  look->names = g_new0 (gboolean, look->revert->disks->len);
  g_task_set_task_data (names, look, NULL);
  g_task_run_in_thread (names, look_at_names);
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *look = g_task_get_task_data (task);
  GError *error = NULL;

  look->inspection = inspect_finish (result, &error);
  if (look->inspection != NULL)
    ask_names (task);
  else
    g_task_return_error (task, error);
}

static RevertGuest
find_guest_state (Revert *self)
{
  if (self->guest != NULL && guest_get_client (self->guest) != NULL)
    return peer_is_same (&self->peer) && !self->offline ? REVERT_GUEST_SAME : REVERT_GUEST_OTHER;
  return self->offline || peer_is_gone (&self->peer) ? REVERT_GUEST_GONE : REVERT_GUEST_UNKNOWN;
}

/**
 * revert_look_async:
 * @self: a job, whose facts are filled in
 * @callback: called with the result
 * @user_data: for @callback
 */
void
revert_look_async (Revert *self, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Look *look = g_new0 (Look, 1);

  look->revert = self;
  g_task_set_task_data (task, look, (GDestroyNotify) look_free);
  look->guest_state = find_guest_state (self);
  if (look->guest_state == REVERT_GUEST_UNKNOWN)
    g_task_return_error (task, agent_error_new (AGENT_ERROR_UNAVAILABLE, "it is tried again",
                                                "the guest's process lives and does not answer"));
  else if (look->guest_state == REVERT_GUEST_GONE)
    ask_names (task);
  else
    inspect_async (self->guest, NULL, on_inspected, g_object_ref (task));
}

gboolean
revert_look_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
on_facts (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GError *error = NULL;

  if (revert_look_finish (result, &error))
    backup_step_done (user_data);
  else
    backup_step_failed (user_data, error);
}

void
revert_gather_facts (GTask *step, gpointer job)
{
  revert_look_async (job, on_facts, step);
}
