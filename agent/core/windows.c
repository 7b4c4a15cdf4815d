/* SPDX-License-Identifier: Apache-2.0 */

/* Knows that a guest stands still for one operation at a time. Operations on its disks go in
 * parallel, but what one of them has stopped or frozen, another one would let go. */

#include "engine-private.h"

static gboolean
is_of_guest (gconstpointer run,
             gconstpointer guest)
{
  return g_str_equal (((const Run *) run)->operation->guest, guest);
}

static gboolean
find (GPtrArray  *runs,
      const char *guest,
      guint      *index)
{
  return g_ptr_array_find_with_equal_func (runs, guest, is_of_guest, index);
}

static gboolean
on_turn (gpointer user_data)
{
  run_start (user_data);

  return G_SOURCE_REMOVE;
}

/*
 * @run: about to start a held step
 *
 * Returns: whether it may; else run_start() is called again when the guest is free
 */
gboolean
window_enter (Run *run)
{
  Engine *engine = run->engine;
  guint index;

  if (!find (engine->windows, run->operation->guest, &index))
    g_ptr_array_add (engine->windows, run);
  else if (g_ptr_array_index (engine->windows, index) != run)
    {
      g_ptr_array_add (engine->waiting, run);
      return FALSE;
    }

  return TRUE;
}

/*
 * @run: is in no window any more, if it was
 */
void
window_leave (Run *run)
{
  Engine *engine = run->engine;
  guint index;

  if (!g_ptr_array_remove (engine->windows, run))
    return;

  /* The window is the next one's at once: nobody comes between. */
  if (find (engine->waiting, run->operation->guest, &index))
    {
      Run *next = g_ptr_array_steal_index (engine->waiting, index);

      g_ptr_array_add (engine->windows, next);
      g_idle_add_full (G_PRIORITY_DEFAULT, on_turn, next, NULL);
    }
  else if (engine->windows->len == 0)
    engine_flush_commits (engine);
}

/**
 * engine_is_holding_for:
 * @self: the engine
 * @operation: one of its operations
 *
 * Returns: %TRUE while the operation's guest stands still for it, or is about to
 */
gboolean
engine_is_holding_for (Engine    *self,
                       Operation *operation)
{
  for (guint i = 0; i < self->windows->len; i++)
    if (((Run *) g_ptr_array_index (self->windows, i))->operation == operation)
      return TRUE;
  for (guint i = 0; i < self->waiting->len; i++)
    if (((Run *) g_ptr_array_index (self->waiting, i))->operation == operation)
      return TRUE;
  return FALSE;
}
