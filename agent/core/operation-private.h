/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/engine.h>

G_BEGIN_DECLS

/* How far a step has come. "Begun" means unknown until the facts say otherwise. */
typedef enum
{
  STEP_PENDING,
  STEP_BEGUN,
  STEP_DONE,
  STEP_FAILED,
} StepState;

typedef struct
{
  char      *name;
  StepState  state;
  gint64     begun_us;          /* 0: never; kept when the step is to be run again */
  gint64     ended_us;
  char      *error;
  gboolean   changed;           /* not yet in the journal as it is here */
} StepRecord;

struct _Operation
{
  GObject         parent_instance;

  char           *id;
  char           *kind;
  char           *guest;
  char          **disks;        /* (nullable): the whole guest */
  char           *idempotency_key;
  OperationState  state;
  GPtrArray      *steps;        /* of StepRecord; with a workflow, in the order of its table */
  int             step;         /* the one that runs, or ran last; -1 for none */
  JsonObject     *request;
  JsonObject     *plan;
  JsonObject     *result;
  GError         *error;        /* the first, with notes on later ones; cleaning is due */
  GError         *obstacle;     /* what keeps the operation open */
  gboolean        complete;     /* every step is done, whether or not the journal could be told */
  GCancellable   *cancellable;
  gint64          created_us;
  gint64          started_us;
  gint64          finished_us;
  gint64          done, total;  /* bytes */

  /* The engine's. */
  const Workflow *workflow;     /* (nullable): a kind that this version does not know */
  gpointer        environment;
  Claim          *claim;        /* until it has finished */
  gboolean        running;      /* a run (run.c) is at work on it */
  gboolean        asked_again;  /* to recover, while it ran */
  guint           retry_source;
  guint           retry_delay_s;
};

Operation   *operation_new            (const char *id, const char *kind, const char *guest);
/* Gives each step of the table a record, keeping those that the journal had. */
gboolean     operation_set_workflow   (Operation *self, const Workflow *workflow,
                                       gpointer environment, GError **error)
                                       G_GNUC_WARN_UNUSED_RESULT;
StepRecord  *operation_add_step       (Operation *self, const char *name);
StepRecord  *operation_get_record     (Operation *self, guint position);
int          operation_find_step      (Operation *self, const char *name);
/* @error: (transfer full): the first one becomes the operation's, later ones notes on it. */
void         operation_take_error     (Operation *self, GError *error);
void         operation_take_obstacle  (Operation *self, GError *error);
void         operation_changed        (Operation *self);
/* It is about to be cancelled for the sake of @wanted_by, unless it was already. */
void         operation_note_wanted    (Operation *self, const char *wanted_by);

const char  *step_state_to_string     (StepState state);
StepState    step_state_from_string   (const char *text);
gboolean     operation_state_from_string (const char *text, OperationState *state);

/* operation-journal.c: the rows of operations and steps. Inside a transaction of the caller's. */
gboolean     operation_insert         (Operation *self, Journal *journal, GError **error)
                                       G_GNUC_WARN_UNUSED_RESULT;
/* @announced: (nullable): positions of steps that are written as begun, although they have not yet.
 * */
gboolean     operation_update         (Operation *self, Journal *journal, OperationState state,
                                       gint64 finished_us, GArray *announced, GError **error)
                                       G_GNUC_WARN_UNUSED_RESULT;
/* The plan alone, between such updates. */
gboolean     operation_update_plan    (Operation *self, Journal *journal,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
void         operation_written        (Operation *self, OperationState state, gint64 finished_us,
                                       GArray *announced);
/* All that the journal knows, oldest first. */
GPtrArray   *operations_load          (Journal *journal, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean     operations_prune         (Journal *journal, guint n_kept, GError **error)
                                       G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
