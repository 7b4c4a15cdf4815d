/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "look.h"

G_BEGIN_DECLS

/* What can be asked of chains: how a request of each kind becomes an operation. The front door
 * (prepare.c) does what all have in common: the idempotency key, the claim, looking (again once the
 * disks are claimed), the maps, submitting. */

/* A member of a request, where the verb has it: whether it gives way to all others that want the
 * same disks. */
#define REQUEST_GIVES_WAY "give_way"

/* What a plan is made from. */
typedef struct
{
  Operations *operations;
  Guest      *guest;
  JsonObject *request;          /* members checked against the verb's list */
  const char *operation;        /* its id to be */
  ChainLook  *look;
  GPtrArray  *disks;            /* of Disk, of @look: those that verb->disks() named */
  GHashTable *maps;             /* (nullable): Layer * -> Extents *, where verb->wants_maps */
} ChainAsk;

typedef struct
{
  const char        *kind;      /* of the workflow, and what operations_request_async() is given */
  const char *const *members;   /* that a request may have; NULL-ended; "dry_run" always may */
  gboolean           wants_maps;
  gboolean           wants_image;       /* of the store, whose id is the member "image" */

  /* Pure: types and values of the request. (nullable) */
  gboolean  (*check) (JsonObject *request, GError **error);
  /* Pure: the disks of @look that are meant. (transfer container): of Disk */
  GPtrArray *(*disks) (JsonObject *request, ChainLook *look, GError **error);
  /* Pure: the operation's plan. Its member "summary" (an object: "moves", "bytes", ...) is what a
   * dry run answers, and what the operation's result begins with. (transfer full) */
  JsonObject *(*plan) (const ChainAsk *ask, GError **error);
} ChainVerb;

extern const ChainVerb chain_commit_verb;       /* moves.c */
extern const ChainVerb chain_stream_verb;
extern const ChainVerb chain_delete_verb;       /* delete.c */
extern const ChainVerb chain_shorten_verb;      /* shorten.c */
extern const ChainVerb chain_mirror_verb;       /* mirror.c */
extern const ChainVerb chain_revert_verb;       /* revert.c */
extern const ChainVerb chain_restore_verb;      /* restore.c */

G_END_DECLS
