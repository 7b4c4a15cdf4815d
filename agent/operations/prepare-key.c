/* SPDX-License-Identifier: Apache-2.0 */

/* Knows who prepares the operation of an idempotency key, and who waits for that. */

#include "prepare-key.h"

typedef struct
{
  GTask       *task;
  PrepareFunc  again;
} Waiter;

static void
waiter_free (Waiter *self)
{
  g_object_unref (self->task);
  g_free (self);
}

/**
 * prepare_key_take:
 * @operations: the operations
 * @key: (nullable): the key
 * @task: what becomes of the request
 * @again: called with @task when the key is free again, unless it is free now
 *
 * Returns: whether the request may be prepared now; give the key back by prepare_key_release()
 */
gboolean
prepare_key_take (Operations *operations, const char *key, GTask *task, PrepareFunc again)
{
  GHashTable *preparing = operations_get_preparing (operations);
  GPtrArray *waiting = key != NULL ? g_hash_table_lookup (preparing, key) : NULL;
  Waiter *waiter;

  if (waiting != NULL)
    {
      waiter = g_new0 (Waiter, 1);
      waiter->task = g_object_ref (task);
      waiter->again = again;
      g_ptr_array_add (waiting, waiter);
      return FALSE;
    }
  if (key != NULL)
    g_hash_table_insert (preparing, g_strdup (key),
                         g_ptr_array_new_with_free_func ((GDestroyNotify) waiter_free));
  return TRUE;
}

/**
 * prepare_key_release:
 * @operations: the operations
 * @key: (nullable): a key that was taken
 *
 * Those who repeated the request meanwhile find an operation now, or try themselves.
 */
void
prepare_key_release (Operations *operations, const char *key)
{
  g_autoptr (GPtrArray) waiting = NULL;
  g_autofree char *held = NULL;

  if (key == NULL
      || !g_hash_table_steal_extended (operations_get_preparing (operations), key,
                                       (gpointer *) &held, (gpointer *) &waiting))
    return;
  for (guint i = 0; i < waiting->len; i++)
    {
      const Waiter *waiter = g_ptr_array_index (waiting, i);

      waiter->again (waiter->task);
    }
}
