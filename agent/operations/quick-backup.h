/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/workflow.h>
#include <guest/quiesce.h>
#include <operations/operations.h>

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

/* What the steps of a quick backup work on. The members up to @attempt are the plan: all that a
 * restart knows. */
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
  gboolean    released;         /* the window is over: the guest runs and is thawed as before */
  gint64      attempt;          /* of the uploads */

  PointState  point;
  DiskFacts  *facts;            /* one for each disk; valid when @point is known by looking */
  gboolean    same_process;     /* the guest is still that process */
  gboolean    resumed;          /* it was not stopped, or goes on */
  Quiesce    *quiesce;          /* (nullable): of this process's freeze */
  gint64      window_us;        /* monotonic: when this process opened the window; else 0 */
} QuickBackup;

extern const Workflow quick_backup_workflow;

/* The operation's plan, from which quick_backup_workflow makes its job. */
QuickBackup *quick_backup_new       (void);
char        *quick_backup_dup_boot_id (void);
void         quick_backup_free      (QuickBackup *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QuickBackup, quick_backup_free)
void         quick_backup_save_plan (const QuickBackup *self, JsonObject *plan);
gboolean     quick_backup_load_plan (QuickBackup *self, JsonObject *plan,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean     quick_backup_needs_stop (QuickBackup *self);

/* What a finished step was: its task is given back. */
void quick_backup_step_done   (GTask *step);
void quick_backup_step_failed (GTask *step, GError *error);

/* The link to the QEMU process that the plan was made for; AGENT_ERROR_UNAVAILABLE when another one, or
 * none, is there by now. (transfer none) */
QmpClient *quick_backup_client (QuickBackup *job, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The overlay of a disk is on top now. */
void quick_backup_note_overlay (QuickBackup *job, guint index);

/* The steps, each in the file of its kind. */
void quick_backup_end_jobs       (GTask *step, gpointer job);   /* point-jobs.c */
void quick_backup_create_files   (GTask *step, gpointer job);   /* point-files.c */
void quick_backup_publish_early  (GTask *step, gpointer job);
void quick_backup_settle_caches  (GTask *step, gpointer job);
void quick_backup_publish_late   (GTask *step, gpointer job);
void quick_backup_look_again     (GTask *step, gpointer job);   /* point-look.c */
void quick_backup_adopt_names    (GTask *step, gpointer job);   /* point-nodes.c */
void quick_backup_open_overlays  (GTask *step, gpointer job);
void quick_backup_take_point     (GTask *step, gpointer job);
void quick_backup_rename_layers  (GTask *step, gpointer job);
void quick_backup_swap_disks     (GTask *step, gpointer job);   /* point-swap.c */
void quick_backup_freeze         (GTask *step, gpointer job);   /* point-pause.c */
void quick_backup_stop           (GTask *step, gpointer job);
void quick_backup_cont           (GTask *step, gpointer job);
void quick_backup_thaw           (GTask *step, gpointer job);
void quick_backup_check_quiesce  (GTask *step, gpointer job);
void quick_backup_record_point   (GTask *step, gpointer job);   /* point-record.c */
void quick_backup_create_images  (GTask *step, gpointer job);   /* upload.c */
void quick_backup_upload         (GTask *step, gpointer job);
void quick_backup_delete_images  (GTask *step, gpointer job);
void quick_backup_withdraw       (GTask *step, gpointer job);   /* withdraw.c */

/* point-facts.c */
void     quick_backup_gather_facts (GTask *step, gpointer job);
Recovery quick_backup_decide       (gpointer job, const char *last_step, gboolean ended);

G_END_DECLS
