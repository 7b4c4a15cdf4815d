/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a guest that was helped to let its device go over is given back its freedom: its CPUs
 * go on, and its writes are not limited any more. */

#include "pivot-private.h"
#include "pivot-steps.h"

#include "guest-errors.h"
#include "reply.h"

typedef struct
{
  PivotSet *set;
  GTask    *step;
  guint     next;
} Release;

static void
release_finish (Release *self, GError *error)
{
  pivot_step_end (self->step, self->set, error);
  g_free (self);
}

static Release *
release_new (GTask *step, PivotSet *set)
{
  Release *self = g_new0 (Release, 1);

  self->set = set;
  self->step = step;
  return self;
}

/* --- limits --- */

static void release_next (Release *self);

static void
on_released (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Release *self = user_data;
  GError *error = NULL;

  if (!pivot_throttle_finish (result, &error))
    {
      release_finish (self, error);
      return;
    }
  self->next++;
  release_next (self);
}

static void
release_next (Release *self)
{
  PivotSet *set = self->set;

  if (self->next == set->pivots->len || peer_is_gone (&set->peer))
    release_finish (self, NULL);
  else
    pivot_throttle_async (set, g_ptr_array_index (set->pivots, self->next), FALSE, on_released,
                          self);
}

/**
 * pivot_speed_up:
 * @step: (transfer full): the step
 * @set: pivots
 */
void
pivot_speed_up (GTask *step, PivotSet *set)
{
  Release *self = release_new (step, set);

  if (set->late_policy == LATE_THROTTLE)
    release_next (self);
  else
    release_finish (self, NULL);
}

/* --- CPUs --- */

/* From here on a guest that is stopped was not stopped by us. */
static void
go_on_finish (Release *self, GError *error)
{
  if (error == NULL)
    self->set->halted = self->set->may_halt = FALSE;
  release_finish (self, error);
}

static void
on_continued (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (QMP_CLIENT (source), result, &error);
  go_on_finish (user_data, error);
}

static void
on_status (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Release *self = user_data;
  QmpClient *client = QMP_CLIENT (source);
  g_autoptr (JsonNode) reply = NULL;
  GError *error = NULL;

  reply = qmp_client_execute_finish (client, result, &error);
  if (reply == NULL || g_strcmp0 (reply_text (reply, "status"), "paused") != 0)
    go_on_finish (self, error);
  else
    qmp_client_execute_async (client, "cont", NULL, GUEST_COMMAND_DEADLINE_MS, NULL, on_continued,
                              self);
}

/**
 * pivot_go_on:
 * @step: (transfer full): the step
 * @set: pivots
 *
 * A stop of ours, or one that we may have ordered and not seen, is believed only of the very
 * process that the plan was made for. QEMU is asked: it answers after all that it was told before.
 */
void
pivot_go_on (GTask *step, PivotSet *set)
{
  Release *self = release_new (step, set);
  Guest *guest = set->peer.guest;
  QmpClient *client = guest != NULL ? guest_get_client (guest) : NULL;
  GError *error = NULL;

  if (set->pivots->len == 0 || !set->halted || peer_is_gone (&set->peer)
      || (client != NULL && !peer_is_same (&set->peer)))
    go_on_finish (self, NULL);
  else if ((client = peer_client (&set->peer, &error)) == NULL)
    release_finish (self, error);
  else
    qmp_client_execute_async (client, "query-status", NULL, GUEST_COMMAND_DEADLINE_MS, NULL,
                              on_status, self);
}
