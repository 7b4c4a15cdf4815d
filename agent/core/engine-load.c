/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which operations of the journal are kept in mind after a restart, and which are forgotten.
 * */

#include "claim-private.h"

#include <core/error.h>

/* How many finished operations are remembered, and how many more may gather before the oldest go.
 * */
#define N_KEPT   1000
#define N_LEEWAY 100

static void
forget_operation (Engine *self,
                  guint   index)
{
  Operation *operation = g_ptr_array_index (self->operations, index);

  g_hash_table_remove (self->by_id, operation->id);

  if (operation->idempotency_key != NULL)
    g_hash_table_remove (self->by_key, operation->idempotency_key);

  g_ptr_array_remove_index (self->operations, index);
}

/* Called when one has finished. */
void
engine_prune (Engine *self)
{
  g_autoptr (GError) error = NULL;
  guint i = 0;

  if (self->n_finished <= N_KEPT + N_LEEWAY)
    return;

  if (!operations_prune (self->journal, N_KEPT, &error))
    {
      g_debug ("old operations stay in the journal: %s", error->message);
      return;
    }

  while (self->n_finished > N_KEPT)
    {
      if (operation_is_finished (g_ptr_array_index (self->operations, i)))
        {
          forget_operation (self, i);
          self->n_finished--;
        }
      else
        i++;
    }
}

static void
adopt_open (Engine    *self,
            Operation *operation)
{
  Registration *registration = g_hash_table_lookup (self->kinds, operation->kind);
  GError *error = NULL;

  operation->state = OPERATION_RUNNING;
  operation->claim = claim_take (self, operation->guest, (const char *const *) operation->disks);
  claim_hold_for (operation->claim, operation);

  if (registration == NULL)
    error = agent_error_new (AGENT_ERROR_INTERNAL,
                             "let the version of qsnapd that began this operation finish it",
                             "this version does not know operations of kind '%s'", operation->kind);
  else if (operation_set_workflow (operation, registration->workflow, registration->environment,
                                   &error))
    error = agent_error_new (AGENT_ERROR_UNAVAILABLE, NULL,
                             "interrupted by a restart of the daemon; it goes on when guest "
                             "'%s' is there", operation->guest);

  operation_take_obstacle (operation, error);
}

/**
 * engine_load:
 * @self: an engine that knows its kinds of operations and has none yet
 * @error: return location
 *
 * Reads the journal: operations that are over, for those who ask, and the open ones, which hold
 * their disks and wait for engine_recover().
 *
 * Returns: %FALSE with AGENT_ERROR_NO_SPACE or AGENT_ERROR_INTERNAL
 */
gboolean
engine_load (Engine  *self,
             GError **error)
{
  g_autoptr (GPtrArray) all = NULL;
  g_autoptr (GError) unpruned = NULL;

  /* They take room, no more; guests may be waiting for us. */
  if (journal_get_damage (self->journal) == NULL
      && !operations_prune (self->journal, N_KEPT, &unpruned))
    g_warning ("old operations stay in the journal: %s", unpruned->message);

  all = operations_load (self->journal, error);

  if (all == NULL)
    return FALSE;

  for (guint i = 0; i < all->len; i++)
    {
      Operation *operation = g_ptr_array_index (all, i);

      if (operation_is_finished (operation))
        self->n_finished++;
      else
        adopt_open (self, operation);

      engine_add (self, operation);
      operation_changed (operation);
    }

  return TRUE;
}
