/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A chain of real images for the tests of moves without QEMU. */

#include "chain/move.h"

G_BEGIN_DECLS

#define N_LAYERS 5u

typedef struct
{
  char     *folder;
  char     *published;
  char     *reference;          /* raw: what the disk shows */
  gboolean  raw_base;
} Chain;

/* What a test is repeated with. */
typedef struct
{
  MoveKind    kind;
  gboolean    raw_base;
  gboolean    grown;            /* the upper layers are larger */
  const char *name;
} Variant;

#define N_VARIANTS 4
extern const Variant variants[N_VARIANTS];

/* disk.0 <- disk.1 <- ... <- disk.4, which is "disk" as well. */
Chain      *chain_new          (gboolean raw_base, gboolean grown);
Chain      *chain_copy         (const Chain *other);
void        chain_free         (Chain *chain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Chain, chain_free)

char       *chain_layer_path   (const Chain *chain, guint index);
const char *chain_layer_format (const Chain *chain, guint index);
/* Makes "disk" one more name of a layer. */
void        chain_publish      (const Chain *chain, guint index);

/* The move that merges the layers @first to @last of a chain as it was made. */
ChainMove  *chain_move_of      (const Chain *chain, MoveKind kind, guint first, guint last);
/* Does it, and waits. */
gboolean    chain_do_move      (ChainMove *move, GCancellable *cancellable, GError **error);

/* The layers that a start from the published name needs, top first, by their numbers: "43210". */
char       *chain_dup_text     (const Chain *chain);
/* A start from the published name shows what it always did. */
void        chain_assert_shows (const Chain *chain);
/* The move has been done. */
void        chain_assert_done  (const Chain *chain, const ChainMove *move, guint first,
                                guint last);
/* Removes what has left the chain: nobody needs it. */
void        chain_assert_alone (const Chain *chain, const ChainMove *move);

G_END_DECLS
