/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "operation-private.h"

G_BEGIN_DECLS

typedef struct _Commit Commit;

typedef struct
{
  const Workflow *workflow;
  gpointer        environment;
} Registration;

struct _Engine
{
  GObject     parent_instance;

  Journal    *journal;
  GHashTable *kinds;            /* name -> Registration */
  GPtrArray  *operations;       /* oldest first */
  GHashTable *by_id;
  GHashTable *by_key;
  GPtrArray  *claims;           /* not owned: a claim takes itself out */
  GPtrArray  *claiming;         /* of GTask: who waits for claims that give way, the first first */
  guint       n_running;
  guint       n_finished;

  GPtrArray  *commits;          /* waiting for the next transaction */
  guint       commit_source;
  gint64      commit_deadline_us;
  GPtrArray  *windows;          /* of Run: whose guests stand still now; not owned */
  GPtrArray  *waiting;          /* of Run: whose guests do so for another operation; not owned */
};

/* commit.c: writes of many operations become durable in one transaction. @error is NULL when they
 * are. */
typedef void (*CommitFunc)  (gpointer user_data, const GError *error);
void        engine_commit   (Engine *self, Operation *operation, OperationState state,
                             GArray *announced, CommitFunc func, gpointer user_data);
void        commit_free     (Commit *commit);
/* The last guest goes on: what has waited for that is written. */
void        engine_flush_commits (Engine *self);
/* The same at once, for one that is at rest. */
gboolean    engine_write    (Engine *self, Operation *operation, GError **error)
                             G_GNUC_WARN_UNUSED_RESULT;

/* A run: one go at an operation, from a step on or through its cleaning steps. */
typedef struct
{
  Engine         *engine;
  Operation      *operation;
  const Workflow *workflow;
  gpointer        job;          /* (nullable): made when a step needs it */

  gboolean        cleaning;
  int             at;           /* the step that runs, or is about to */
  gboolean       *tried;        /* for each step: has run in this cleaning */
  GArray         *announced;    /* positions, in the journal as begun */
  GError         *step_error;   /* (nullable): how the step that just ended did */
  GError         *left;         /* (nullable): the first cleaning step that failed */
} Run;

/* windows.c: a guest stands still for one operation at a time. FALSE: for another one now; then
 * run_start() is called again when that is over. */
gboolean    window_enter    (Run *run);
void        window_leave    (Run *run);

/* run.c */
Run        *run_new         (Engine *engine, Operation *operation);
void        run_free        (Run *self);
/* Leaves the operation as it is, and says why. @obstacle: (transfer full). */
void        run_leave_open  (Run *self, GError *obstacle, gboolean retry);
/* Goes on with the first step at or behind @from that is due, writing to the journal first. */
void        run_advance     (Run *self, int from);
gboolean    run_is_due      (Run *self, int from);
/* The first step that the plan needs. */
int         run_find_first  (Run *self);
/* From here on only what has begun is cleaned up. @error: (transfer full). */
void        run_fail        (Run *self, GError *error);
/* The steps that begin with the next journal write, if the run goes on at @from. */
void        run_announce    (Run *self, int from);
/* Starts what was announced and is in the journal. */
void        run_start       (Run *self);

/* recovery.c */
void        recovery_start  (Engine *engine, Operation *operation);

/* engine.c */
void        engine_add      (Engine *self, Operation *operation);
void        engine_freed    (Engine *self, const char *guest);

/* engine-load.c: to be called when an operation has finished. */
void        engine_prune    (Engine *self);

G_END_DECLS
