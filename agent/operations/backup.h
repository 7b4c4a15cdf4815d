/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/workflow.h>
#include <guest/quiesce.h>
#include <operations/operations.h>

#include "pivot.h"
#include "snapshot-plan.h"
#include "upload-plan.h"

G_BEGIN_DECLS

/* Whether the point of the operation is there; a transaction takes it for all disks or for none. */
typedef enum
{
  POINT_UNKNOWN,
  POINT_NOT_TAKEN,
  POINT_TAKEN,
} PointState;

/* How one disk stands, as recovery and withdrawal see it. */
typedef struct
{
  gboolean overlay_in_chain;    /* QEMU has the overlay open in the chain of a device */
  gboolean layer_active;        /* a device of QEMU's writes to the layer */
  gboolean layer_by_own_name;   /* QEMU has the layer open by its name for life */
  gboolean named_by_us;         /* the overlay is on the node that we made */
  gboolean unlocked;            /* the layer is still on the file node without locks */
} DiskFacts;

/* What the steps of a backup work on. The members up to @attempt are the plan: all that a restart
 * knows. */
typedef struct
{
  Operation  *operation;
  Operations *operations;
  Guest      *guest;            /* (nullable): not known (yet) after a restart */

  GPtrArray  *disks;            /* of DiskPlan */
  GPtrArray  *uploads;          /* of UploadPlan */
  char      **jobs;             /* leftover jobs to end first */
  QuiescePolicy quiesce_policy;
  char       *name;
  gboolean    was_running;      /* and so is to run again after a stop of ours */
  gint64      pid;              /* the QEMU process that the plan was made for */
  gint64      start_time;
  gboolean    files_known;      /* what was made of files is in the plans of the disks */
  char       *boot_id;          /* the host's start since which device numbers hold */
  gint64      point_us;         /* when the point was taken; 0 before */
  gboolean    frozen;           /* the point was taken with filesystems frozen */
  gboolean    gone_on;          /* it was not stopped for the point, or its CPUs go on */
  gboolean    released;         /* the window is over: the guest runs and is thawed as before */
  gboolean    folds;            /* the overlays are folded back in the end */
  PivotSet    pivots;           /* those that fold them back; none until then */
  gint64      attempt;          /* how many images have had to be given another id */

  PointState  point;
  DiskFacts  *facts;            /* one for each disk; valid when @point is known by looking */
  gboolean    same_process;     /* the guest is still that process */
  gboolean    resumed;          /* it was not stopped, or goes on */
  Quiesce    *quiesce;          /* (nullable): of this process's freeze */
  gint64      window_us;        /* monotonic: when this process opened the window; else 0 */
  gboolean    taken_up;         /* it was begun before the last start of ours */
  guint       n_records;        /* of @uploads: the store may have records of so many */
  GPtrArray  *sources;          /* of ImageSource, beside @uploads; NULL: not open, or a layer */
} Backup;

extern const Workflow quick_backup_workflow;
extern const Workflow full_image_workflow;

/* The operation's plan, from which a workflow makes its job. */
Backup  *backup_new              (void);
void     backup_free             (Backup *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Backup, backup_free)
void     backup_save_plan        (const Backup *self, JsonObject *plan);
gboolean backup_load_plan        (Backup *self, JsonObject *plan,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

gpointer backup_job_new          (Operation *operation, gpointer environment, GError **error);
void     backup_job_free         (gpointer job);

Peer     backup_get_peer         (const Backup *self);
/* See peer.h. */
gboolean backup_guest_is_gone    (Backup *job);
gboolean backup_is_same_process  (Backup *job);

/* What a finished step was: its task is given back. */
void     backup_step_done        (GTask *step);
void     backup_step_failed      (GTask *step, GError *error);

/* The link to the QEMU process that the plan was made for; AGENT_ERROR_UNAVAILABLE when another
 * one, or none, is there by now. (transfer none) */
QmpClient *backup_client (Backup *job, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
