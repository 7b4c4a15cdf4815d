/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how disks are waited for that are held by somebody who gives way. Whoever waits first has
 * them before anybody else may ask; all others find them taken. */

#include "claim-private.h"

#include <core/error.h>

#define GIVE_WAY_MS 30000       /* less than the client of a request waits */

typedef struct
{
  Engine  *engine;              /* (unowned): the task is one of its own */
  char    *guest;
  char   **disks;               /* (nullable): the whole guest */
  char    *holder;
  Claim   *claim;               /* (nullable): what was waited for */
  GError  *failure;             /* (nullable): somebody else was faster */
  guint    late;                /* a source */
  guint    answer;              /* a source */
  gulong   called_off;          /* a handler of the task's cancellable */
} Wait;

static void
wait_free (Wait *self)
{
  g_clear_handle_id (&self->late, g_source_remove);
  g_clear_handle_id (&self->answer, g_source_remove);
  g_clear_object (&self->claim);
  g_clear_error (&self->failure);
  g_free (self->guest);
  g_strfreev (self->disks);
  g_free (self->holder);
  g_free (self);
}

/* The task waits no more. */
static void
stop_waiting (GTask *task)
{
  Wait *self = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);

  if (cancellable != NULL)
    g_signal_handler_disconnect (cancellable, self->called_off);

  g_clear_handle_id (&self->late, g_source_remove);
  g_ptr_array_remove (self->engine->claiming, task);
}

static gboolean
answer (gpointer user_data)
{
  GTask *task = user_data;
  Wait *self = g_task_get_task_data (task);

  self->answer = 0;

  if (self->claim != NULL)
    g_task_return_pointer (task, g_steal_pointer (&self->claim), g_object_unref);
  else if (!g_task_return_error_if_cancelled (task))
    g_task_return_error (task, g_steal_pointer (&self->failure));

  return G_SOURCE_REMOVE;
}

/* From the main loop: who gives up a claim is in the midst of something else. */
static void
answer_soon (GTask *task)
{
  Wait *self = g_task_get_task_data (task);

  self->answer = g_idle_add_full (G_PRIORITY_DEFAULT, answer, g_object_ref (task), g_object_unref);
}

static void
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  g_autoptr (GTask) task = g_object_ref (user_data);

  stop_waiting (task);
  answer_soon (task);
}

static gboolean
on_late (gpointer user_data)
{
  g_autoptr (GTask) task = g_object_ref (user_data);
  Wait *self = g_task_get_task_data (task);
  const char *disk;
  Claim *claim = claim_find (self->engine, self->guest, (const char *const *) self->disks, &disk);
  GError *error = NULL;

  stop_waiting (task);
  agent_set_error (&error, AGENT_ERROR_CONFLICT, "ask again: it ends as soon as it can",
                   "guest '%s' is held by %s, which was called off %d s ago and has not ended yet",
                   self->guest, claim != NULL ? claim_get_holder (claim) : "nobody",
                   GIVE_WAY_MS / 1000);
  g_task_return_error (task, error);

  return G_SOURCE_REMOVE;
}

/* Takes what is free by now. What somebody else has got meanwhile is not waited for. */
static void
serve (GTask *task)
{
  Wait *self = g_task_get_task_data (task);
  const char *const *disks = (const char *const *) self->disks;
  const char *disk;
  Claim *other = claim_find (self->engine, self->guest, disks, &disk);

  if (other != NULL && claim_gives_way (other))
    return;

  self->claim = engine_claim (self->engine, self->guest, disks, self->holder, &self->failure);
  stop_waiting (task);
  answer_soon (task);
}

static gpointer
copy_task (gconstpointer task,
           gpointer      user_data)
{
  return g_object_ref ((gpointer) task);
}

void
claim_given_up (Engine *engine,
                Claim  *claim)
{
  g_autoptr (GPtrArray) claiming = g_ptr_array_copy (engine->claiming, copy_task, NULL);

  for (guint i = 0; i < claiming->len; i++)
    serve (g_ptr_array_index (claiming, i));

  if (!claim_gives_way (claim))
    engine_freed (engine, claim_get_guest (claim));
}

/**
 * engine_claim_async:
 * @self: the engine
 * @guest: a guest's id
 * @disks: (nullable) (array zero-terminated=1): names of its disks; %NULL claims the whole guest
 * @holder: who claims, for the one who comes second
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * As engine_claim(). Where all who hold the disks give way (claim_give_way(), and workflows that
 * say so) they are called off, and the claim comes once they have ended, for which they have some
 * seconds.
 */
void
engine_claim_async (Engine              *self,
                    const char          *guest,
                    const char *const   *disks,
                    const char          *holder,
                    GCancellable        *cancellable,
                    GAsyncReadyCallback  callback,
                    gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  GError *error = NULL;
  const char *disk;
  Claim *other, *claim;
  Wait *wait;

  if (g_task_return_error_if_cancelled (task))
    return;

  other = claim_find (self, guest, disks, &disk);

  if (other == NULL || !claim_gives_way (other))
    {
      claim = engine_claim (self, guest, disks, holder, &error);

      if (claim != NULL)
        g_task_return_pointer (task, claim, g_object_unref);
      else
        g_task_return_error (task, error);

      return;
    }

  wait = g_new0 (Wait, 1);
  wait->engine = self;
  wait->guest = g_strdup (guest);
  wait->disks = g_strdupv ((char **) disks);
  wait->holder = g_strdup (holder);
  wait->late = g_timeout_add (GIVE_WAY_MS, on_late, task);
  g_task_set_task_data (task, wait, (GDestroyNotify) wait_free);

  if (cancellable != NULL)
    wait->called_off = g_signal_connect (cancellable, "cancelled", G_CALLBACK (on_cancelled), task);

  g_ptr_array_add (self->claiming, g_object_ref (task));
  claim_call_off (self, guest, disks, holder);
}

/**
 * engine_claim_finish:
 * @self: the engine
 * @result: the result
 * @error: return location: AGENT_ERROR_CONFLICT names who holds the disks; G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full): the claim, given up with its last reference
 */
Claim *
engine_claim_finish (Engine        *self,
                     GAsyncResult  *result,
                     GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
