/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/operation.h>

G_BEGIN_DECLS

/* An operation is a table of steps. Each step starts exactly one asynchronous call and returns its
 * task when that is over; the engine (engine.h) runs the table and keeps the journal. */

typedef enum
{
  STEP_FORWARD,                 /* on the way to success */
  STEP_ALWAYS,                  /* also after failure or cancel, if what it cleans up has begun */
  STEP_ON_FAILURE,              /* only then */
} StepWhen;

/* @step: (transfer full): g_task_return_boolean (TRUE), or an error; its cancellable is the
 * operation's for forward steps, and none for the other ones and for held ones. A step may be run
 * again after a crash: what is there already is success, and so is, for a cleaning step, what is
 * gone. */
typedef void (*StepStart) (GTask *step, gpointer job);

/* Pure: from the plan, which does not change its mind. */
typedef gboolean (*StepIsNeeded) (gpointer job);

typedef struct
{
  const char *name;
  StepStart   start;
  StepWhen    when;
  const char *cleans_up;        /* a forward step above, even if it failed; NULL for those */
  gboolean    held;             /* guest I/O stands still: no journal write and no cancel between
                                 * this step and a held one behind it */
  StepIsNeeded is_needed;       /* (nullable): a forward step that the plan has no use for is passed
                                 * over, and costs no write */
} Step;

/* What to do with an operation that the journal says is not over. */
typedef enum
{
  RECOVERY_RESUME,              /* run forward from the step named */
  RECOVERY_UNDO,                /* run the cleaning steps as after a failure */
  RECOVERY_WAIT,                /* facts are missing: ask again when the guest is back */
} RecoveryAction;

typedef struct
{
  RecoveryAction  action;
  const char     *step;         /* for RECOVERY_RESUME: a name of the table */
  const char     *reason;       /* static text, for the log and for RECOVERY_UNDO's error */
} Recovery;

typedef struct
{
  const char *kind;
  const Step *steps;            /* ended by a step without a name */

  /* Makes what the steps work on from the operation's plan, which is all that a restart knows. */
  gpointer  (*job_new)          (Operation *operation, gpointer environment, GError **error);
  void      (*job_free)         (gpointer job);         /* (nullable) */

  /* (nullable): asks QEMU, the files and the store how things stand, into the job. */
  StepStart   gather_facts;
  /* Pure: from the last step of the table that may have begun, whether it is known to be done, and
   * the facts. Held steps begin together: the last of them is named, and any of them may have
   * begun. Not asked once the operation has failed or was cancelled: then its cleaning goes on. */
  Recovery  (*decide)           (gpointer job, const char *last_step, gboolean ended);

  /* (nullable): the first of the steps that clean up what nobody can be given back in pieces. They
   * begin by looking. One that fails on the way forward does not make the operation fail: it stays
   * open and is taken up again. And whenever it is taken up, they are run again, done or not. */
  const char *patient_from;

  /* (nullable): whether the operation is cancelled as soon as somebody else wants its disks. Pure,
   * by its request. */
  gboolean  (*gives_way)        (Operation *operation);
} Workflow;

G_END_DECLS
