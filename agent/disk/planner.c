/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which neighbours of a chain may become one, and which of them it is cheapest to choose. */

#include "planner-private.h"

#include <core/error.h>

/* How dear a choice is; of two that copy the same, the one is better that leaves the active layer
 * alone, then the one that moves no device, then the one that commits. */
typedef struct
{
  gint64 bytes;
  guint  active;                /* 1: is written by a stream, 2: is moved down by a commit */
  guint  streams;
} Score;

/* The best way to make a number of files of the layers below one. */
typedef struct
{
  gboolean possible;
  Score    score;
  guint    first;               /* where the last of the files begins */
  MoveKind kind;                /* how it is made, when it is of several layers */
} Choice;

static const PlanLayer *
layer_at (GPtrArray *layers,
          guint      index)
{
  return g_ptr_array_index (layers, index);
}

static int
compare_scores (const Score *a,
                const Score *b)
{
  if (a->bytes != b->bytes)
    return a->bytes < b->bytes ? -1 : 1;
  if (a->active != b->active)
    return a->active < b->active ? -1 : 1;

  return (a->streams > b->streams) - (a->streams < b->streams);
}

/* Whether @last, which is above a run that could be merged, can be part of the same file. */
static gboolean
may_grow (GPtrArray *layers,
          guint      last)
{
  return last < layers->len && !layer_at (layers, last)->fixed
         && !layer_at (layers, last - 1)->kept;
}

/* A commit takes the uppermost away, and from under the layer above, whose header has to say so. */
static gboolean
may_commit (GPtrArray *layers,
            guint      last)
{
  return !layer_at (layers, last)->named
         && (last + 1 == layers->len || !layer_at (layers, last + 1)->fixed);
}

/* The better way to make the layers one, which they may become. */
static MoveKind
choose_kind (GPtrArray       *layers,
             const PlanCosts *costs,
             guint            first,
             guint            last,
             Score           *score)
{
  gboolean is_active = last + 1 == layers->len;
  Score stream = { plan_costs_stream (costs, first, last), is_active ? 1 : 0, 1 };
  Score commit = { plan_costs_commit (costs, first, last), is_active ? 2 : 0, 0 };

  if (may_commit (layers, last) && compare_scores (&commit, &stream) < 0)
    {
      *score = commit;
      return MOVE_COMMIT;
    }

  *score = stream;
  return MOVE_STREAM;
}

/* The files of the layers below @first are chosen; one more, which begins there, is tried. Of
 * equals the later one counts: it merges older layers. */
static void
try_file (Choice      *choice,
          const Choice *below,
          guint         first,
          MoveKind      kind,
          const Score  *file)
{
  Score score = below->score;

  if (!below->possible)
    return;

  score.bytes += file->bytes;
  score.active += file->active;
  score.streams += file->streams;
  if (choice->possible && compare_scores (&score, &choice->score) > 0)
    return;

  *choice = (Choice) { TRUE, score, first, kind };
}

/* [layers * (n + 1) + files]: the best way to make so many files of so many layers, for all of
 * them: n * n * n / 6 steps at most. */
static Choice *
choose_all (GPtrArray *layers)
{
  guint n = layers->len;
  gsize row = n + 1;
  Choice *choices = g_new0 (Choice, row * row);
  g_autoptr (PlanCosts) costs = plan_costs_new (layers);

  choices[0].possible = TRUE;

  for (guint first = 0; first < n; first++)
    {
      static const Score nothing = { 0 };
      gboolean movable = first > 0 && !layer_at (layers, first)->fixed;
      const Choice *below = &choices[first * row];

      for (guint files = 0; files <= first; files++)
        try_file (&choices[(first + 1) * row + files + 1], &below[files], first, MOVE_COMMIT,
                  &nothing);

      for (guint last = first + 1; movable && may_grow (layers, last); last++)
        {
          Score score;
          MoveKind kind = choose_kind (layers, costs, first, last, &score);

          for (guint files = 0; files <= first; files++)
            try_file (&choices[(last + 1) * row + files + 1], &below[files], first, kind, &score);
        }
    }

  return choices;
}

static PlannedMove *
move_new (MoveKind kind,
          guint    first,
          guint    last,
          gint64   bytes)
{
  PlannedMove *move = g_new (PlannedMove, 1);

  *move = (PlannedMove) { kind, first, last, bytes };

  return move;
}

/* The moves that make @files of the whole chain. */
static GPtrArray *
collect_moves (GPtrArray    *layers,
               const Choice *choices,
               guint         files)
{
  GPtrArray *moves = g_ptr_array_new_with_free_func (g_free);
  gsize row = layers->len + 1;

  for (guint end = layers->len; end > 0; files--)
    {
      const Choice *choice = &choices[end * row + files];
      const Choice *below = &choices[choice->first * row + files - 1];

      if (choice->first + 1 < end)
        g_ptr_array_insert (moves, 0, move_new (choice->kind, choice->first, end - 1,
                                                choice->score.bytes - below->score.bytes));
      end = choice->first;
    }

  return moves;
}

/* Says what keeps the chain from being shorter. */
static void
set_too_long (GError    **error,
              GPtrArray  *layers,
              guint       max_length,
              guint       shortest)
{
  guint fixed = 0;
  guint kept = 0;

  for (guint i = 0; i + 1 < layers->len; i++)
    {
      if (layer_at (layers, i)->fixed)
        fixed++;
      else if (layer_at (layers, i)->kept)
        kept++;
    }

  agent_set_error (error, AGENT_ERROR_CONFLICT, "delete points, or allow a longer chain",
                   "the chain has %u layers and cannot have fewer than %u, which is more than %u: "
                   "its base and its active layer stay apart, %u of its layers hold points that "
                   "must stay, %u are needed by others or may not be changed",
                   layers->len, shortest, max_length, kept, fixed);
}

/**
 * planner_shorten:
 * @layers: (element-type PlanLayer): a chain, base first
 * @max_length: how many layers it may have
 * @best_effort: whether the shortest chain will do that there can be
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Chooses what is merged so that the chain has @max_length layers at most. Of those choices it is
 * the one that copies the fewest bytes; among equals the one that leaves the active layer alone,
 * then the one that moves no device, then the one that commits, then the one that merges least,
 * and that furthest down.
 *
 * Returns: (transfer full) (element-type PlannedMove): the moves, from the base up
 */
GPtrArray *
planner_shorten (GPtrArray  *layers,
                 guint       max_length,
                 gboolean    best_effort,
                 GError    **error)
{
  guint n = layers->len;
  g_autofree Choice *choices = NULL;
  const Choice *row;
  guint best = 0;
  guint shortest = 1;

  if (n <= max_length)
    return g_ptr_array_new_with_free_func (g_free);

  choices = choose_all (layers);
  row = &choices[(gsize) n * (n + 1)];

  while (shortest < n && !row[shortest].possible)
    shortest++;

  if (shortest > max_length)
    {
      if (!best_effort)
        {
          set_too_long (error, layers, max_length, shortest);
          return NULL;
        }
      max_length = shortest;
    }

  for (guint files = max_length; files >= shortest && files > 0; files--)
    {
      if (row[files].possible
          && (best == 0 || compare_scores (&row[files].score, &row[best].score) < 0))
        best = files;
    }

  return collect_moves (layers, choices, best);
}

/**
 * planner_delete:
 * @layers: (element-type PlanLayer): a chain, base first
 * @layer: the number of the one that nobody is to see any more
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Chooses the cheapest way to be rid of the view from @layer, and with it of those next to it that
 * nobody needs either.
 *
 * Returns: (transfer full): the move
 */
PlannedMove *
planner_delete (GPtrArray  *layers,
                guint       layer,
                GError    **error)
{
  g_autoptr (PlanCosts) costs = NULL;
  guint first = layer;
  guint last = layer + 1;
  MoveKind kind;
  Score score;

  if (last >= layers->len)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "the guest writes to this layer");
  else if (layer_at (layers, layer)->fixed)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "others need this layer, or it may not be changed");
  else if (layer_at (layers, last)->fixed)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "others need the layer above, or it may not be changed");
  else
    {
      while (first > 0 && !layer_at (layers, first - 1)->fixed
             && !layer_at (layers, first - 1)->kept)
        first--;
      while (may_grow (layers, last + 1))
        last++;

      costs = plan_costs_new (layers);
      kind = choose_kind (layers, costs, first, last, &score);

      return move_new (kind, first, last, score.bytes);
    }

  return NULL;
}

/**
 * planner_estimate:
 * @layers: (element-type PlanLayer): a chain, base first
 * @kind: how the layers are made one
 * @first: the number of the lowest of them
 * @last: of the uppermost, which is above it
 *
 * Returns: how many bytes will be copied
 */
gint64
planner_estimate (GPtrArray *layers,
                  MoveKind   kind,
                  guint      first,
                  guint      last)
{
  g_autoptr (PlanCosts) costs = plan_costs_new (layers);

  return kind == MOVE_COMMIT ? plan_costs_commit (costs, first, last)
                             : plan_costs_stream (costs, first, last);
}
