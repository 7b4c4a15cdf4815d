/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

#include <disk/extents.h>

G_BEGIN_DECLS

/* Chooses how a chain becomes shorter. Pure: what is moved, in which order, and how many bytes. A
 * chain is counted from the base (0) up to the active layer (n - 1). */

typedef struct
{
  Extents  *extents;            /* (nullable): what it holds itself; NULL: not known */
  gint64    allocated;          /* bytes; taken where @extents is NULL */
  gboolean  fixed;              /* others stand on it, or it is not ours: neither written (not even
                                 * its header) nor removed */
  gboolean  kept;               /* what a guest would see from it has to stay to be seen: a point
                                 * that must stay */
  gboolean  named;              /* it is looked for under its name, which no record follows: what is
                                 * merged with it goes up into it */
} PlanLayer;

typedef enum
{
  MOVE_COMMIT,                  /* what layers above hold goes down into @into, which stays */
  MOVE_STREAM,                  /* what layers below hold goes up into @into, which stays */
} MoveKind;

/* The layers @first to @last become the one file @into: @first for a commit, @last for a stream. */
typedef struct
{
  MoveKind kind;
  guint    first;
  guint    last;
  gint64   bytes;               /* that will be copied, estimated */
} PlannedMove;

/* The cheapest moves after which at most @max_length layers are there, and every kept view; layer 0
 * is never merged with one above it. Moves name the layers by their numbers in @layers (before any
 * of them), do not overlap, and can be done in the order given. AGENT_ERROR_CONFLICT says what is
 * in the way when the cap cannot be reached; with @best_effort it gives the shortest then.
 * @layers: of PlanLayer. (transfer full): of PlannedMove; empty when nothing is to be done. */
GPtrArray *planner_shorten  (GPtrArray *layers, guint max_length, gboolean best_effort,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The cheapest move after which the view from @layer is gone, with those next to it that are
 * neither kept nor fixed, and every other one is still there; NULL with AGENT_ERROR_CONFLICT where
 * there is none: @layer is the active one, or fixed, or what could take its data is. */
PlannedMove *planner_delete (GPtrArray *layers, guint layer,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* How many bytes the move copies; what is held twice counts once. */
gint64     planner_estimate (GPtrArray *layers, MoveKind kind, guint first, guint last);

G_END_DECLS
