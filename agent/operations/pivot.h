/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/error.h>
#include <core/operation.h>
#include <disk/disk.h>

#include "peer.h"
#include "snapshot-request.h"

G_BEGIN_DECLS

/* Moving a guest's device from one file to another by a job that waits, `pending`, until the
 * published name has moved. Whatever has happened before, each step begins by looking. */

typedef enum
{
  PIVOT_COMMIT,                 /* down into a layer of the same chain; what is between goes too */
  PIVOT_MIRROR,                 /* to a copy, which stands open on @to_node */
  PIVOT_COPY,                   /* nowhere: such a copy is finished, and the device stays */
} PivotWay;

typedef enum
{
  PIVOT_UNKNOWN,                /* not looked yet */
  PIVOT_RUNNING,                /* its job runs, or is ready */
  PIVOT_DONE,                   /* the device is on the target, and so is the name */
  PIVOT_KEPT,                   /* the device stays where it is, for the reason in @kept */
} PivotState;

typedef struct
{
  PivotWay   way;
  char      *disk;              /* what people call it */
  char      *published;         /* (nullable): what the guest is started from, as now so then */
  gboolean   unpublish;         /* the target cannot have that name: it is removed instead */
  char      *from_path;         /* what the device is on. Where that is @published, it first gets a
                                 * name for life, which is here from then on */
  gint64     from_dev;
  gint64     from_ino;
  char      *to_path;           /* (nullable): of an NBD server */
  gint64     to_dev;
  gint64     to_ino;            /* 0: the target is known by @to_node alone */
  char      *to_node;           /* (nullable): for a mirror */
  char      *job;               /* the id of the job */
  gint64     speed;             /* bytes a second; 0: as fast as it goes */
  char      *on_error;          /* (nullable): "report", "stop", "enospc" */
  char      *sync;              /* (nullable): of a mirror: "full", "top", "none" */
  char      *copy_mode;         /* (nullable): of a mirror: "background", "write-blocking" */
  gboolean   once;              /* a second job would miss what was written before it: only when */
  gboolean   untried;           /* it is known that none was begun yet */
  PivotState state;
  char      *kept;              /* (nullable) */
  AgentError kept_code;         /* with @kept: what kind of error that is */
  gboolean   astray;            /* what the device was on is in no chain any more, and not by us */
  char      *limited_device;    /* (nullable): whose writes we limit */
  gint64     moved;             /* bytes, as QEMU counted them */
  gint64     held_us;           /* microseconds for which the guest's writes were held */
} Pivot;

Pivot     *pivot_new        (void);
void       pivot_free       (Pivot *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Pivot, pivot_free)
/* Whether QEMU has what the device was on open in the chain of any of @disks (of Disk). Pure. */
gboolean   pivot_is_open    (const Pivot *self, GPtrArray *disks);

/* The pivots of one operation. */
typedef struct
{
  Operation *operation;         /* (unowned) */
  Peer       peer;
  GPtrArray *pivots;            /* of Pivot */
  GCancellable *cancellable;    /* (nullable) (unowned): calls off what is not ready: PIVOT_KEPT */
  gboolean   called_off;        /* ... and none is begun any more */
  LatePolicy late_policy;
  gint64     deadline_s;        /* until a job is late that is not ready */
  gboolean   may_halt;          /* from here on a stop may be ours, of a guest that ran */
  gboolean   halted;            /* the CPUs are, or may be, stopped by us for a pivot */
} PivotSet;

void       pivot_set_init   (PivotSet *self, Operation *operation, const Peer *peer);
void       pivot_set_clear  (PivotSet *self);
/* To and from the member "pivots" of a plan; without it there are none. AGENT_ERROR_INTERNAL. */
void       pivot_set_save   (const PivotSet *self, JsonObject *plan);
gboolean   pivot_set_load   (PivotSet *self, JsonObject *plan,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;
void       pivot_set_renew_devices (PivotSet *self);     /* after a start of the host */
/* Whether each has come to its end; else AGENT_ERROR_UNAVAILABLE. */
gboolean   pivot_set_settled (const PivotSet *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
