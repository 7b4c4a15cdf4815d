/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "inspect.h"
#include "pivot.h"

G_BEGIN_DECLS

/* How a disk stands; by inodes, whatever QEMU calls its nodes. */
typedef struct
{
  gboolean    from_active;      /* the device is on the file that it is to leave */
  gboolean    to_active;        /* it is on the target */
  gboolean    to_in_reach;      /* a job can get there: a layer below, or a node that is open */
  gboolean    by_own_names;     /* QEMU opened both by names that stay with them */
  gboolean    name_on_from;     /* the published name leads to what is to be left */
  gboolean    name_on_to;       /* ... to the target; or nowhere, where it is to be removed */
  gboolean    same_process;     /* QEMU is the process that the plan was made for */
  gboolean    stays;            /* the device is to stay: a copy */
  gboolean    spent;            /* a job that is not there any more cannot be begun again */
  gboolean    has_job;          /* our job is there, in @job_state */
  gboolean    job_failed;
  QmpJobState job_state;
} PivotFacts;

typedef enum
{
  PIVOT_ACTION_NONE,            /* it is done */
  PIVOT_ACTION_BEGIN,           /* begin the job */
  PIVOT_ACTION_FOLLOW,          /* it runs: wait */
  PIVOT_ACTION_FINALIZE,        /* it waits before its pivot, and the name is right */
  PIVOT_ACTION_CANCEL,          /* it waits there, and the name is not: whoever told it so */
  PIVOT_ACTION_NAME_BACK,       /* the device is where it was, and the name leads elsewhere */
  PIVOT_ACTION_NAME_ON,         /* the device is on the target, and the name is not */
  PIVOT_ACTION_DISMISS,         /* it has ended and was not dismissed: do so and look again */
  PIVOT_ACTION_KEEP,            /* the device stays, for @reason */
} PivotAction;

/* Pure. */
PivotFacts    pivot_facts_judge    (const Pivot *pivot, const Inspection *inspection);
/* Pure. @reason: static text. */
PivotAction   pivot_facts_decide   (const PivotFacts *facts, const char **reason);
/* Both pure. The disk that is on the one or the other; the target below its top: (nullable). */
Disk         *pivot_find_disk      (const Pivot *pivot, GPtrArray *disks);
const Layer  *pivot_find_target    (const Pivot *self, Disk *disk);

/* Where the published name of a disk leads: the name's members of @facts are set. */
gboolean      pivot_look_at_name   (const Pivot *pivot, PivotFacts *facts,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
