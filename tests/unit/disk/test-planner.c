/* SPDX-License-Identifier: Apache-2.0 */

/* The planner's moves, done in a simulator over thousands of random chains: what had to stay to be
 * seen is seen bit for bit, what is fixed is as it was, the estimate is what was copied, and
 * nothing that is allowed would have been cheaper. */

#include <disk/planner.h>

#include <core/error.h>

#include <string.h>

#define CLUSTERS 20
#define CLUSTER 65536
#define MOST_LAYERS 24
#define ROUNDS 4000

/* A layer's own data: 0 where it holds nothing. */
typedef struct
{
  guint    data[CLUSTERS];
  gboolean gone;
  gboolean touched;             /* written to, if only its header, or removed */
} Image;

typedef struct
{
  guint      n;
  Image      images[MOST_LAYERS];
  GPtrArray *layers;            /* of PlanLayer: what the planner is told */
} Chain;

static void
plan_layer_free (gpointer data)
{
  PlanLayer *layer = data;

  extents_free (layer->extents);
  g_free (layer);
}

static void
chain_clear (Chain *chain)
{
  g_ptr_array_unref (chain->layers);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Chain, chain_clear)

static PlanLayer *
plan_layer (Chain *chain,
            guint  index)
{
  return g_ptr_array_index (chain->layers, index);
}

static void
chain_fill (Chain *chain,
            guint  n)
{
  chain->n = n;
  chain->layers = g_ptr_array_new_with_free_func (plan_layer_free);

  for (guint i = 0; i < n; i++)
    {
      PlanLayer *layer = g_new0 (PlanLayer, 1);
      gint density = g_test_rand_int_range (0, 6);

      layer->extents = extents_new ();
      layer->fixed = g_test_rand_int_range (0, 8) == 0;
      layer->kept = g_test_rand_int_range (0, 4) == 0;
      layer->named = i + 1 == n && g_test_rand_int_range (0, 4) == 0;

      for (guint at = 0; at < CLUSTERS; at++)
        if (g_test_rand_int_range (0, 6) < density)
          {
            chain->images[i].data[at] = 1 + i * CLUSTERS + at;
            extents_add (layer->extents, (gint64) at * CLUSTER, CLUSTER);
          }
      g_ptr_array_add (chain->layers, layer);
    }
}

/* What a guest sees that is started from the layer. */
static void
look (const Chain *chain,
      guint        index,
      guint       *view)
{
  memset (view, 0, sizeof (guint) * CLUSTERS);

  for (guint i = 0; i <= index; i++)
    for (guint at = 0; at < CLUSTERS; at++)
      if (!chain->images[i].gone && chain->images[i].data[at] != 0)
        view[at] = chain->images[i].data[at];
}

/* Does the move; returns the bytes that were copied. */
static gint64
do_move (Chain             *chain,
         const PlannedMove *move)
{
  guint into = move->kind == MOVE_COMMIT ? move->first : move->last;
  gint64 copied = 0;

  for (guint at = 0; at < CLUSTERS; at++)
    {
      guint from = move->kind == MOVE_COMMIT ? move->last : move->last - 1;
      guint until = move->kind == MOVE_COMMIT ? move->first + 1 : move->first;

      if (move->kind == MOVE_STREAM && chain->images[into].data[at] != 0)
        continue;
      while (from > until && chain->images[from].data[at] == 0)
        from--;
      if (chain->images[from].data[at] == 0)
        continue;
      chain->images[into].data[at] = chain->images[from].data[at];
      copied += CLUSTER;
    }

  for (guint i = move->first; i <= move->last; i++)
    {
      g_assert_false (chain->images[i].gone);
      chain->images[i].gone = i != into;
      chain->images[i].touched = TRUE;
    }
  if (move->kind == MOVE_COMMIT && move->last + 1 < chain->n)
    chain->images[move->last + 1].touched = TRUE;

  return copied;
}

/* The file that shows after the moves what @layer showed; G_MAXUINT: none. */
static guint
view_after (GPtrArray *moves,
            guint      layer)
{
  for (guint i = 0; i < moves->len; i++)
    {
      const PlannedMove *move = g_ptr_array_index (moves, i);

      if (layer < move->first || layer > move->last)
        continue;
      if (layer < move->last)
        return G_MAXUINT;
      return move->kind == MOVE_COMMIT ? move->first : move->last;
    }

  return layer;
}

/* Does all moves on a copy of the chain and looks at everything that was promised. */
static void
assert_moves (const Chain *before,
              GPtrArray   *moves,
              guint        but)
{
  Chain after = *before;

  for (guint i = 0; i < moves->len; i++)
    {
      const PlannedMove *move = g_ptr_array_index (moves, i);

      g_assert_cmpuint (move->first, <, move->last);
      g_assert_cmpuint (move->last, <, before->n);
      g_assert_cmpint (move->bytes, ==, do_move (&after, move));
      g_assert_cmpint (move->bytes, ==, planner_estimate (before->layers, move->kind, move->first,
                                                          move->last));
    }

  for (guint i = 0; i < before->n; i++)
    {
      const PlanLayer *layer = g_ptr_array_index (before->layers, i);
      guint seen[CLUSTERS], sees[CLUSTERS];
      guint file = view_after (moves, i);

      g_assert_false (layer->fixed && after.images[i].touched);
      g_assert_false (layer->named && after.images[i].gone);
      if (i + 1 < before->n && (i == but || !layer->kept))
        continue;
      g_assert_cmpuint (file, !=, G_MAXUINT);
      g_assert_false (after.images[file].gone);
      look (before, i, seen);
      look (&after, file, sees);
      g_assert_cmpmem (seen, sizeof seen, sees, sizeof sees);
    }
}

static gint64
bytes_of (GPtrArray *moves)
{
  gint64 bytes = 0;

  for (guint i = 0; i < moves->len; i++)
    bytes += ((PlannedMove *) g_ptr_array_index (moves, i))->bytes;

  return bytes;
}

static guint
length_after (const Chain *chain,
              GPtrArray   *moves)
{
  guint length = chain->n;

  for (guint i = 0; i < moves->len; i++)
    {
      const PlannedMove *move = g_ptr_array_index (moves, i);

      length -= move->last - move->first;
    }

  return length;
}

/* --- every choice there is --- */

/* The cheapest way to merge these layers, done in the simulator; -1: there is none. */
static gint64
cheapest_merge (const Chain *chain,
                guint        first,
                guint        last)
{
  gint64 cheapest = -1;

  for (guint i = first; i <= last; i++)
    if (((PlanLayer *) g_ptr_array_index (chain->layers, i))->fixed
        || (i < last && ((PlanLayer *) g_ptr_array_index (chain->layers, i))->kept))
      return -1;

  for (MoveKind kind = MOVE_COMMIT; kind <= MOVE_STREAM; kind++)
    {
      Chain after = *chain;
      PlannedMove move = { kind, first, last, 0 };
      gint64 bytes = do_move (&after, &move);

      if (last + 1 < chain->n && after.images[last + 1].touched
          && ((PlanLayer *) g_ptr_array_index (chain->layers, last + 1))->fixed)
        continue;
      if (((PlanLayer *) g_ptr_array_index (chain->layers, last))->named && after.images[last].gone)
        continue;
      if (cheapest < 0 || bytes < cheapest)
        cheapest = bytes;
    }

  return cheapest;
}

/* For each number of files the fewest bytes, over all ways to cut the chain; -1: impossible. */
static void
try_everything (const Chain *chain,
                gint64      *cheapest)
{
  g_assert_cmpuint (chain->n, >, 0);
  for (guint i = 0; i <= chain->n; i++)
    cheapest[i] = -1;

  for (guint cuts = 0; cuts < 1u << (chain->n - 1); cuts++)
    {
      guint files = 0;
      gint64 bytes = 0;
      gboolean possible = TRUE;

      for (guint first = 0, last = 0; possible && last < chain->n; last++)
        {
          gint64 merge = 0;

          if (last + 1 < chain->n && (cuts & 1u << last) == 0)
            continue;
          if (first < last)
            merge = first == 0 ? -1 : cheapest_merge (chain, first, last);
          possible = merge >= 0;
          bytes += merge;
          files++;
          first = last + 1;
        }

      if (possible && (cheapest[files] < 0 || bytes < cheapest[files]))
        cheapest[files] = bytes;
    }
}

static void
test_cheapest (void)
{
  for (guint round = 0; round < ROUNDS; round++)
    {
      g_auto (Chain) chain = { 0 };
      gint64 cheapest[MOST_LAYERS];
      guint cap = (guint) g_test_rand_int_range (1, 7);
      gboolean best_effort = g_test_rand_bit ();
      g_autoptr (GPtrArray) moves = NULL;
      g_autoptr (GError) error = NULL;
      gint64 fewest = -1;
      guint shortest = 1;

      chain_fill (&chain, (guint) g_test_rand_int_range (1, 9));
      try_everything (&chain, cheapest);
      while (cheapest[shortest] < 0)
        shortest++;

      moves = planner_shorten (chain.layers, cap, best_effort, &error);
      if (shortest > cap && !best_effort)
        {
          g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
          g_assert_null (moves);
          continue;
        }

      g_assert_no_error (error);
      g_assert_nonnull (moves);
      assert_moves (&chain, moves, G_MAXUINT);
      g_assert_cmpuint (length_after (&chain, moves), <=, MAX (cap, shortest));
      for (guint files = shortest; files <= MIN (MAX (cap, shortest), chain.n); files++)
        if (cheapest[files] >= 0 && (fewest < 0 || cheapest[files] < fewest))
          fewest = cheapest[files];
      g_assert_cmpint (bytes_of (moves), ==, chain.n <= cap ? 0 : fewest);
    }
}

static void
test_promises (void)
{
  for (guint round = 0; round < ROUNDS; round++)
    {
      g_auto (Chain) chain = { 0 };
      g_autoptr (GPtrArray) moves = NULL;
      guint cap = (guint) g_test_rand_int_range (2, MOST_LAYERS);

      chain_fill (&chain, (guint) g_test_rand_int_range (1, MOST_LAYERS + 1));
      moves = planner_shorten (chain.layers, cap, TRUE, NULL);
      g_assert_nonnull (moves);
      assert_moves (&chain, moves, G_MAXUINT);
    }
}

static void
test_delete (void)
{
  guint n_deleted = 0;

  for (guint round = 0; round < ROUNDS; round++)
    {
      g_auto (Chain) chain = { 0 };
      g_autoptr (GPtrArray) moves = g_ptr_array_new ();
      g_autofree PlannedMove *move = NULL;
      g_autoptr (GError) error = NULL;
      gboolean possible;
      guint layer;

      chain_fill (&chain, (guint) g_test_rand_int_range (2, 9));
      layer = (guint) g_test_rand_int_range (0, (gint) chain.n);
      possible = layer + 1 < chain.n && !plan_layer (&chain, layer)->fixed
                 && !plan_layer (&chain, layer + 1)->fixed;

      move = planner_delete (chain.layers, layer, &error);
      if (!possible)
        {
          g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
          g_assert_null (move);
          continue;
        }

      g_assert_no_error (error);
      g_ptr_array_add (moves, move);
      assert_moves (&chain, moves, layer);
      g_assert_cmpuint (view_after (moves, layer), ==, G_MAXUINT);

      /* No nameless neighbour is left that could have gone too. */
      if (move->first > 0)
        g_assert_true (plan_layer (&chain, move->first - 1)->fixed
                       || plan_layer (&chain, move->first - 1)->kept);
      if (move->last + 1 < chain.n)
        g_assert_true (plan_layer (&chain, move->last + 1)->fixed
                       || plan_layer (&chain, move->last)->kept);

      plan_layer (&chain, layer)->kept = FALSE;
      g_assert_cmpint (move->bytes, ==, cheapest_merge (&chain, move->first, move->last));
      n_deleted++;
    }

  g_assert_cmpuint (n_deleted, >, ROUNDS / 4);
}

/* --- single cases --- */

/* A chain of layers that hold so many clusters each, one beside the other. */
static void
chain_of (Chain       *chain,
          guint        n,
          const gint  *clusters)
{
  gint64 at = 0;

  chain->n = n;
  chain->layers = g_ptr_array_new_with_free_func (plan_layer_free);
  for (guint i = 0; i < n; i++)
    {
      PlanLayer *layer = g_new0 (PlanLayer, 1);

      layer->extents = extents_new ();
      extents_add (layer->extents, at * CLUSTER, (gint64) clusters[i] * CLUSTER);
      at += clusters[i];
      g_ptr_array_add (chain->layers, layer);
    }
}

static void
assert_only_move (GPtrArray *moves,
                  MoveKind   kind,
                  guint      first,
                  guint      last)
{
  const PlannedMove *move;

  g_assert_cmpuint (moves->len, ==, 1);
  move = g_ptr_array_index (moves, 0);
  g_assert_cmpint (move->kind, ==, kind);
  g_assert_cmpuint (move->first, ==, first);
  g_assert_cmpuint (move->last, ==, last);
}

/* base <- 1 <- 2 <- 3: what is uploaded is folded, the newest point stays right below the top. */
static void
test_backup (void)
{
  static const gint clusters[] = { 9, 2, 3, 1 };
  g_auto (Chain) chain = { 0 };
  g_autoptr (GPtrArray) moves = NULL;

  chain_of (&chain, G_N_ELEMENTS (clusters), clusters);
  plan_layer (&chain, 2)->kept = TRUE;
  moves = planner_shorten (chain.layers, 3, FALSE, NULL);
  assert_only_move (moves, MOVE_STREAM, 1, 2);
}

static void
test_ties (void)
{
  static const gint clusters[] = { 1, 2, 2, 2, 2 };
  g_auto (Chain) chain = { 0 };
  g_autoptr (GPtrArray) moves = NULL;
  g_autoptr (GPtrArray) top = NULL;

  chain_of (&chain, G_N_ELEMENTS (clusters), clusters);
  moves = planner_shorten (chain.layers, 4, FALSE, NULL);
  assert_only_move (moves, MOVE_COMMIT, 1, 2);

  /* Only the top two may be one: the device stays where it is. */
  plan_layer (&chain, 1)->kept = TRUE;
  plan_layer (&chain, 2)->kept = TRUE;
  top = planner_shorten (chain.layers, 4, FALSE, NULL);
  assert_only_move (top, MOVE_STREAM, 3, 4);
}

static void
test_unknown (void)
{
  static const gint clusters[] = { 4, 1, 1, 1 };
  g_auto (Chain) chain = { 0 };

  chain_of (&chain, G_N_ELEMENTS (clusters), clusters);
  g_clear_pointer (&plan_layer (&chain, 2)->extents, extents_free);
  plan_layer (&chain, 2)->allocated = 1000;
  g_assert_cmpint (planner_estimate (chain.layers, MOVE_COMMIT, 1, 2), ==, 1000);
  g_assert_cmpint (planner_estimate (chain.layers, MOVE_COMMIT, 1, 3), ==, 1000 + CLUSTER);
  g_assert_cmpint (planner_estimate (chain.layers, MOVE_STREAM, 1, 2), ==, CLUSTER);
  g_assert_cmpint (planner_estimate (chain.layers, MOVE_STREAM, 0, 3), ==, 1000 + 5 * CLUSTER);
}

static void
test_in_the_way (void)
{
  static const gint clusters[] = { 4, 1, 1, 1, 1 };
  g_auto (Chain) chain = { 0 };
  g_autoptr (GError) error = NULL;

  chain_of (&chain, G_N_ELEMENTS (clusters), clusters);
  plan_layer (&chain, 1)->kept = TRUE;
  plan_layer (&chain, 2)->fixed = TRUE;
  g_assert_null (planner_shorten (chain.layers, 3, FALSE, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "cannot have fewer than 4"));
}

/* The longest chain, with as many ranges as a badly scattered disk has. */
static void
test_large (void)
{
  g_auto (Chain) chain = { 0 };
  g_autoptr (GPtrArray) moves = NULL;

  chain.layers = g_ptr_array_new_with_free_func (plan_layer_free);
  for (guint i = 0; i < 200; i++)
    {
      PlanLayer *layer = g_new0 (PlanLayer, 1);

      layer->extents = extents_new ();
      for (guint j = 0; j < 500; j++)
        extents_add (layer->extents, (gint64) g_test_rand_int_range (0, 1 << 20) * CLUSTER,
                     CLUSTER);
      g_ptr_array_add (chain.layers, layer);
    }

  moves = planner_shorten (chain.layers, 20, FALSE, NULL);
  g_assert_nonnull (moves);
  chain.n = 200;
  g_assert_cmpuint (length_after (&chain, moves), <=, 20);
}

/* A guest that has written to every second cluster: then the sum counts. */
static void
test_scattered (void)
{
  static const gint clusters[] = { 4, 1, 1, 1 };
  const guint pieces = 1u << 18;
  g_auto (Chain) chain = { 0 };
  g_autoptr (GPtrArray) moves = NULL;

  chain_of (&chain, G_N_ELEMENTS (clusters), clusters);
  extents_free (plan_layer (&chain, 2)->extents);
  plan_layer (&chain, 2)->extents = extents_new ();
  for (guint i = 0; i < pieces; i++)
    extents_add (plan_layer (&chain, 2)->extents, (gint64) i * 2 * CLUSTER, CLUSTER);
  g_assert_cmpint (planner_estimate (chain.layers, MOVE_COMMIT, 1, 2), ==,
                   (gint64) pieces * CLUSTER);
  g_assert_cmpint (planner_estimate (chain.layers, MOVE_STREAM, 1, 2), ==, CLUSTER);
  moves = planner_shorten (chain.layers, 3, FALSE, NULL);
  assert_only_move (moves, MOVE_STREAM, 1, 2);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/disk/planner/cheapest", test_cheapest);
  g_test_add_func ("/disk/planner/promises", test_promises);
  g_test_add_func ("/disk/planner/delete", test_delete);
  g_test_add_func ("/disk/planner/backup", test_backup);
  g_test_add_func ("/disk/planner/ties", test_ties);
  g_test_add_func ("/disk/planner/unknown", test_unknown);
  g_test_add_func ("/disk/planner/in-the-way", test_in_the_way);
  g_test_add_func ("/disk/planner/large", test_large);
  g_test_add_func ("/disk/planner/scattered", test_scattered);

  return g_test_run ();
}
