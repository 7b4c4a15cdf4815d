/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how many bytes any run of neighbouring layers holds together, what several hold counted
 * once.
 *
 * At each place of the disk some layers hold something of their own, and between each two that do
 * and have none between them is a gap of layers that do not: a run of layers within that gap holds
 * nothing there. Going up the disk, a layer that begins or ceases to hold something splits one gap
 * or joins two, so the bytes over which each gap stood are summed at little cost, and with them
 * what is not held by any run. */

#include "planner-private.h"

#define MAX_EXTENTS (1u << 18)                  /* of all layers: the main loop waits meanwhile */

struct _PlanCosts
{
  guint   n;
  gint64 *held;                 /* [first * n + last]: bytes that the run of layers holds */
  gint64 *unknown;              /* [i]: bytes in layers below i of which only the sum is known */
};

/* A layer begins or ceases to hold something. */
typedef struct
{
  gint64 position;
  guint  layer;
} Turn;

/* Going up the disk. Layers are counted from 1 here; 0 and n + 1 bound the gaps. */
typedef struct
{
  guint     n;
  gboolean *holds;
  gint64   *since;              /* of the gap above that layer */
  gint64   *missing;            /* [lowest * n + uppermost]: bytes over which that gap stood */
} Sweep;

static int
compare_turns (gconstpointer a,
               gconstpointer b)
{
  const Turn *one = a;
  const Turn *other = b;

  return (one->position > other->position) - (one->position < other->position);
}

static void
add_turns (GArray        *turns,
           guint          layer,
           const Extents *extents)
{
  for (guint i = 0; i < extents_count (extents); i++)
    {
      const Extent *extent = extents_get (extents, i);
      Turn turns_of_it[] = { { extent->start, layer }, { extent->start + extent->length, layer } };

      g_array_append_vals (turns, turns_of_it, G_N_ELEMENTS (turns_of_it));
    }
}

/* @unknown: (out): bytes of each layer of which only the sum is known, or is counted: a guest may
 * scatter what it writes as it likes. */
static GArray *
list_turns (GPtrArray *layers,
            gint64    *unknown)
{
  GArray *turns = g_array_new (FALSE, FALSE, sizeof (Turn));
  guint left = MAX_EXTENTS;

  for (guint i = 0; i < layers->len; i++)
    {
      const PlanLayer *layer = g_ptr_array_index (layers, i);

      if (layer->extents == NULL)
        {
          unknown[i] = MAX (layer->allocated, 0);
        }
      else if (extents_count (layer->extents) > left)
        {
          unknown[i] = extents_total (layer->extents);
        }
      else
        {
          left -= extents_count (layer->extents);
          add_turns (turns, i, layer->extents);
        }
    }

  g_array_sort (turns, compare_turns);

  return turns;
}

/* The gap between the layers @below and @above has stood until @position. */
static void
end_gap (Sweep  *sweep,
         guint   below,
         guint   above,
         gint64  position)
{
  if (above - below > 1)
    sweep->missing[below * sweep->n + above - 2] += position - sweep->since[below];
}

static void
turn (Sweep  *sweep,
      guint   layer,
      gint64  position)
{
  guint below = layer - 1;
  guint above = layer + 1;

  while (!sweep->holds[below])
    below--;
  while (!sweep->holds[above])
    above++;

  if (sweep->holds[layer])
    {
      end_gap (sweep, below, layer, position);
      end_gap (sweep, layer, above, position);
    }
  else
    {
      end_gap (sweep, below, above, position);
      sweep->since[layer] = position;
    }

  sweep->since[below] = position;
  sweep->holds[layer] = !sweep->holds[layer];
}

/* A run holds nothing where a gap stands that it lies within: one that begins at its lowest layer
 * or below, and ends at its uppermost or above. */
static void
sum_up (Sweep  *sweep,
        gint64  end,
        gint64 *held)
{
  guint n = sweep->n;

  for (guint first = 0; first < n; first++)
    {
      for (guint last = n; last-- > first;)
        {
          gint64 *sum = &sweep->missing[first * n + last];

          if (first > 0)
            *sum += sweep->missing[(first - 1) * n + last];
          if (last + 1 < n)
            *sum += sweep->missing[first * n + last + 1];
          if (first > 0 && last + 1 < n)
            *sum -= sweep->missing[(first - 1) * n + last + 1];

          held[first * n + last] = end - *sum;
        }
    }
}

/**
 * plan_costs_new:
 * @layers: (element-type PlanLayer): a chain, base first
 *
 * Returns: (transfer full): what its layers hold together
 */
PlanCosts *
plan_costs_new (GPtrArray *layers)
{
  PlanCosts *self = g_new0 (PlanCosts, 1);
  guint n = layers->len;
  g_autofree gboolean *holds = g_new0 (gboolean, n + 2);
  g_autofree gint64 *since = g_new0 (gint64, n + 2);
  g_autofree gint64 *missing = g_new0 (gint64, (gsize) n * n);
  g_autofree gint64 *unknown = g_new0 (gint64, n + 1);
  g_autoptr (GArray) turns = list_turns (layers, unknown);
  Sweep sweep = { n, holds, since, missing };
  gint64 end = 0;

  self->n = n;
  self->held = g_new0 (gint64, (gsize) n * n);
  self->unknown = g_new0 (gint64, n + 1);
  holds[0] = TRUE;
  holds[n + 1] = TRUE;

  for (guint i = 0; i < turns->len; i++)
    {
      const Turn *each = &g_array_index (turns, Turn, i);

      turn (&sweep, each->layer + 1, each->position);
      end = each->position;
    }

  /* All have ceased by now. */
  end_gap (&sweep, 0, n + 1, end);
  sum_up (&sweep, end, self->held);

  for (guint i = 0; i < n; i++)
    self->unknown[i + 1] = self->unknown[i] + unknown[i];

  return self;
}

/**
 * plan_costs_free:
 * @self: (transfer full) (nullable): costs
 */
void
plan_costs_free (PlanCosts *self)
{
  if (self == NULL)
    return;

  g_free (self->held);
  g_free (self->unknown);
  g_free (self);
}

/**
 * plan_costs_commit:
 * @self: the costs of a chain
 * @first: the lowest layer, which takes the data of the others
 * @last: the uppermost
 *
 * Returns: bytes
 */
gint64
plan_costs_commit (const PlanCosts *self,
                   guint            first,
                   guint            last)
{
  g_return_val_if_fail (first < last && last < self->n, 0);

  return self->held[(first + 1) * self->n + last] + self->unknown[last + 1]
         - self->unknown[first + 1];
}

/**
 * plan_costs_stream:
 * @self: the costs of a chain
 * @first: the lowest layer
 * @last: the uppermost, which takes the data of the others where it holds nothing itself
 *
 * Returns: bytes
 */
gint64
plan_costs_stream (const PlanCosts *self,
                   guint            first,
                   guint            last)
{
  g_return_val_if_fail (first < last && last < self->n, 0);

  return self->held[first * self->n + last] - self->held[last * self->n + last]
         + self->unknown[last] - self->unknown[first];
}
