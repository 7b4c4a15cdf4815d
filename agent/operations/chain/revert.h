/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "../peer.h"
#include "restore.h"
#include "revert-disk.h"
#include "verb.h"

G_BEGIN_DECLS

/* Taking the disks of a guest back to layers that were frozen: each device moves onto a new, empty
 * overlay over such a layer, and so does the name that the guest is started from; all of them, or
 * none. What was written since stays behind as a branch. */

/* How one disk stands. */
typedef struct
{
  gboolean    name_on_overlay;  /* the published name leads to the overlay */
  gboolean    overlay_active;   /* a device writes to the overlay */
  gboolean    overlay_open;     /* QEMU has it open in some disk's chain */
  gboolean    from_open;        /* ... and the layer that is left behind */
  gboolean    has_job;
  QmpJobState job_state;
} RevertFacts;

typedef enum
{
  REVERT_GUEST_UNKNOWN,         /* its process lives and does not answer */
  REVERT_GUEST_GONE,            /* no process has the disks */
  REVERT_GUEST_SAME,            /* the process that the plan was made for */
  REVERT_GUEST_OTHER,           /* it was started anew */
} RevertGuest;

/* What the steps of "revert" and "restore" work on. The members up to @restore are the plan. */
typedef struct
{
  Operation  *operation;
  Operations *operations;
  Guest      *guest;            /* (nullable): not known (yet) after a restart */

  GPtrArray  *disks;            /* of RevertDisk */
  gboolean    offline;          /* nobody has the disks open */
  gboolean    reset;
  gboolean    discard;
  gboolean    was_running;      /* and so is to run again after our stop */
  char       *branch;           /* the name of the point that is left behind */
  gint64      pid;
  gint64      start_time;
  char       *boot_id;          /* the host's start since which device numbers hold */
  gint64      switched_us;      /* since 1970: when the disks were moved; 0 before */
  gboolean    gone_on;          /* the CPUs are, or stay, as they are to be: the window is over */
  gboolean    given_up;         /* the guest was started anew between two disks: the others stay */
  Restore    *restore;          /* (nullable): the image that comes first */

  Peer        peer;
  RevertGuest guest_state;      /* these two by looking */
  RevertFacts *facts;           /* one for each disk */
  gboolean    published;        /* this process has moved all names */
  gboolean    in_doubt;         /* it may have moved disks, and nobody has looked since */
  gboolean    remembers;        /* disks that have moved since: it must not go on without a reset */
  gboolean    must_reset;       /* it was found running on disks of which some were moved */
  gint64      stopped_us;       /* monotonic: when this process stopped the CPUs; else 0 */
} Revert;

extern const Workflow revert_workflow;
extern const Workflow restore_workflow;

/* --- revert-job.c: the plan, and what is made of it --- */

Revert      *revert_new          (void);
void         revert_free         (Revert *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Revert, revert_free)
void         revert_save         (const Revert *self, JsonObject *plan);
gboolean     revert_load         (Revert *self, JsonObject *plan,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
gpointer     revert_job_new      (Operation *operation, gpointer environment, GError **error);
void         revert_job_free     (gpointer job);
/* Writes the plan down and gives the step back; @error (transfer full) (nullable). */
void         revert_step_over    (Revert *self, GTask *step, GError *error);

/* --- revert-facts.c --- */

/* Pure. @disks: of Disk; @jobs: of QmpJobInfo; names are not looked at. */
void         revert_facts_judge  (Revert *self, GPtrArray *disks, GPtrArray *jobs);
/* Pure, from the facts. */
Recovery     revert_decide       (gpointer job, const char *last_step, gboolean ended);
/* Asks QEMU and the files; AGENT_ERROR_UNAVAILABLE while the guest's process lives and does not
 * answer. */
void         revert_look_async   (Revert *self, GAsyncReadyCallback callback, gpointer user_data);
gboolean     revert_look_finish  (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* How many disks have their name, or their device, on the overlay. */
guint        revert_count_moved  (const Revert *self);
/* Whether a guest that is @status (nullable) before our stop is to run again after it. */
gboolean     revert_is_to_run    (const Revert *self, const char *status);

G_END_DECLS
