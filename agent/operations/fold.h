/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "backup.h"
#include "inspect.h"

G_BEGIN_DECLS

/* Folding an overlay back into the layer below it, by an active commit that waits before its pivot
 * (auto-finalize off) until the published name leads to the layer. */

/* How one disk stands; by inodes, whatever QEMU calls its nodes. */
typedef struct
{
  gboolean    overlay_active;   /* a device writes to the overlay */
  gboolean    overlay_open;     /* QEMU has it open at all */
  gboolean    layer_below;      /* the frozen layer is what the overlay stands on */
  gboolean    layer_active;     /* a device writes to the layer again */
  gboolean    by_own_names;     /* QEMU opened both by their names for life */
  gboolean    name_on_overlay;  /* the published name leads to the overlay */
  gboolean    name_on_layer;    /* ... to the layer; of a block device: nowhere */
  gboolean    same_process;     /* QEMU is the process that the overlay was made for */
  gboolean    has_job;          /* our commit is there, in @job_state */
  QmpJobState job_state;
} FoldFacts;

typedef enum
{
  FOLD_ACTION_NONE,             /* the layer is on top again */
  FOLD_ACTION_COMMIT,           /* begin the commit */
  FOLD_ACTION_FOLLOW,           /* it runs: wait */
  FOLD_ACTION_FINALIZE,         /* it waits before its pivot, and the name is right */
  FOLD_ACTION_CANCEL,           /* it waits there, and the name is not: whoever told it so */
  FOLD_ACTION_NAME_BACK,        /* the guest writes to the overlay, and the name leads elsewhere */
  FOLD_ACTION_NAME_ON,          /* the guest writes to the layer, and the name is on the overlay */
  FOLD_ACTION_DISMISS,          /* it has ended and was not dismissed: do so and look again */
  FOLD_ACTION_KEEP,             /* the overlay stays, for @reason */
} FoldAction;

/* Pure. @jobs: of QmpJobInfo. */
FoldFacts   fold_facts_judge (const DiskPlan *disk, GPtrArray *disks, GPtrArray *jobs,
                              const char *job_id);
/* Pure. @reason: static text. */
FoldAction  fold_facts_decide (const FoldFacts *facts, const char **reason);

/* The id of the commit of a disk. */
char       *fold_job_id      (Backup *job, guint index);
/* Whether there is something to be folded back. */
gboolean    fold_is_due      (Backup *job);
/* Whether all disks are folded back, or are to stay as they are; else AGENT_ERROR_UNAVAILABLE. */
gboolean    fold_is_settled  (Backup *job, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The disk as it stands in @inspection; (nullable). */
Disk       *fold_find_disk   (const DiskPlan *plan, GPtrArray *disks);

/* The overlay stays: @reason (transfer full) is told. */
void        fold_keep        (Backup *job, guint index, GError *reason);

/* What is to be done with a disk, once what cannot wait is put right. */
typedef struct
{
  FoldAction  action;           /* NONE, COMMIT, FOLLOW or KEEP */
  char       *root;             /* for COMMIT: the nodes as QEMU calls them */
  char       *overlay_node;
  char       *layer_node;
  GError     *reason;           /* for KEEP */
} FoldVerdict;

void         fold_verdict_free   (FoldVerdict *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FoldVerdict, fold_verdict_free)
void         fold_settle_async   (Backup *job, guint index, GAsyncReadyCallback callback,
                                  gpointer user_data);
FoldVerdict *fold_settle_finish  (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Cancels the commit of a disk, whose overlay then stays for @reason (transfer full). */
void         fold_give_up_async  (Backup *job, guint index, GError *reason,
                                  GAsyncReadyCallback callback, gpointer user_data);
gboolean     fold_give_up_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Sends @command ("job-complete", ...; NULL: nothing) to the commit of a disk and waits until
 * that is in @state. QMP_ERROR as of libqmp. */
void        fold_command_async  (Backup *job, guint index, const char *command,
                                 QmpJobState state, guint deadline_ms,
                                 GAsyncReadyCallback callback, gpointer user_data);
gboolean    fold_command_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Cancels the commit of a disk and waits until it is gone; success when it is gone already. */
void        fold_cancel_async   (Backup *job, guint index, GAsyncReadyCallback callback,
                                 gpointer user_data);
gboolean    fold_cancel_finish  (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Where the published name of a disk leads. */
gboolean    fold_look_at_name   (const DiskPlan *disk, FoldFacts *facts,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Makes the published name lead to the layer, or back to the overlay; durable when it returns. */
void        fold_publish_async  (Backup *job, guint index, gboolean to_layer,
                                 GAsyncReadyCallback callback, gpointer user_data);
gboolean    fold_publish_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Limits what the guest writes to a disk, so that its commit gains on it; takes the limit away
 * again when it is ours. AGENT_ERROR_CONFLICT when the disk has limits of its owner's. */
void        fold_throttle_async  (Backup *job, guint index, gboolean on,
                                  GAsyncReadyCallback callback, gpointer user_data);
gboolean    fold_throttle_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
