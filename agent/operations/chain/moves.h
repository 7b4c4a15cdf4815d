/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/workflow.h>

#include "../backup.h"
#include "../pivot.h"
#include "../request-members.h"
#include "move.h"

G_BEGIN_DECLS

/* The operation that consists of moves: of "commit", "stream", "delete", "shorten". */

#define CHAIN_MOVE_JOB    "-move"       /* see snapshot_node_name(): by the move's number */
#define MOVES_SECONDS_MAX (24 * 60 * 60)

/* What "on_error" and "on_deadline" of a request may be. */
extern const char *const chain_on_error_words[];
extern const char *const chain_on_deadline_words[];

/* What a move has come to, in this life of the daemon: the rest of them look for themselves. */
typedef struct
{
  gboolean  merged;             /* the chain is as it is to be */
  GError   *failure;            /* (nullable): why it never will be, by this operation */
} MoveFate;

/* What the steps work on. The members up to @pivots are the plan: all that a restart knows. */
typedef struct
{
  Operation  *operation;
  Operations *operations;
  Guest      *guest;            /* (nullable): not known (yet) after a restart */

  GPtrArray  *moves;            /* of ChainMove */
  char      **forget;           /* (nullable): ids of points */
  GPtrArray  *remove;           /* of ChainFile: files that only go */
  char       *on_error;         /* of jobs: "report", "stop", "enospc" */
  char       *boot_id;          /* the host's start since which device numbers hold */
  PivotSet    pivots;           /* of the moves that pivot; its peer is the process of the plan */

  MoveFate   *fates;            /* one for each move */
  GCancellable *called_off;     /* of the pivots, when a move before them has come to nothing */
} MovesJob;

extern const Workflow chain_commit_workflow;
extern const Workflow chain_stream_workflow;
extern const Workflow chain_delete_workflow;
extern const Workflow chain_shorten_workflow;

/* moves-job.c */
MovesJob *moves_job_new   (void);
void      moves_job_free  (MovesJob *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MovesJob, moves_job_free)
void      moves_job_save  (const MovesJob *self, JsonObject *plan);
gboolean  moves_job_load  (MovesJob *self, JsonObject *plan,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
char     *moves_job_id    (const MovesJob *self, guint index);
/* Whether another move merges what stands above this one. Pure. */
gboolean  moves_job_shares_above (const MovesJob *self, guint index);
/* Whether nothing more is to be begun: it was cancelled, or has failed; or a move did not come to
 * be. */
gboolean  moves_job_is_over (const MovesJob *self);
/* What is told of a move in the operation's result; (nullable) (transfer none). */
JsonObject *moves_job_told (const MovesJob *self, guint index);
/* The move will not be done: @reason (transfer full) is told. */
void      moves_job_fail  (MovesJob *self, guint index, GError *reason);
/* Its chain is as it is to be. */
void      moves_job_merged (MovesJob *self, guint index);

/* Steps. */
void      moves_forget_points (GTask *step, gpointer job);    /* moves-settle.c */
void      moves_run           (GTask *step, gpointer job);    /* moves-run.c */
void      moves_settle        (GTask *step, gpointer job);    /* moves-settle.c */
void      moves_check         (GTask *step, gpointer job);

/* Pure. */
Recovery  moves_decide        (gpointer job, const char *last_step, gboolean ended);

G_END_DECLS
