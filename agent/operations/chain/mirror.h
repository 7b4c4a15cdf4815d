/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/workflow.h>
#include <guest/quiesce.h>

#include "../pivot.h"
#include "mirror-request.h"
#include "verb.h"

G_BEGIN_DECLS

/* Copying a disk while its guest writes to it: to a copy that is exact at its end, or to which the
 * guest then moves. */

/* What the steps work on. The members up to @pivots are the plan: all that a restart knows. */
typedef struct
{
  Operation  *operation;
  Operations *operations;
  Guest      *guest;            /* (nullable): not known (yet) after a restart */

  char         *disk;
  MirrorTarget  target;
  char         *path;           /* (nullable) */
  char         *nbd_host;       /* (nullable) */
  char         *nbd_port;       /* (nullable) */
  char         *nbd_export;     /* (nullable) */
  char         *format;
  char         *like;           /* (nullable): whose owner and mode the new file gets */
  char         *backing_name;   /* (nullable): as the copy's header says it */
  char         *backing_format; /* (nullable) */
  char         *backing_node;   /* (nullable) */
  char         *detect_zeroes;
  gboolean      cache_direct;
  gboolean      cache_no_flush;
  gint64        virtual_size;   /* bytes */
  gint64        device_size;    /* bytes; of what is there already; else 0 */
  gboolean      file_known;     /* dev and ino of what we made are in the pivot */
  char         *node;           /* our nodes, named after the operation */
  char         *file_node;
  char        **left_nodes;     /* of the source's chain: of no use once the guest has moved */
  QuiescePolicy quiesce_policy;
  char         *boot_id;        /* the host's start since which device numbers hold */
  gboolean      may_freeze;     /* from here on a freeze may be ours */
  PivotSet      pivots;         /* of one */

  Quiesce      *quiesce;        /* (nullable): of this process's freeze */
} MirrorJob;

extern const Workflow chain_mirror_workflow;

MirrorJob *mirror_job_new     (void);
void       mirror_job_free    (MirrorJob *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MirrorJob, mirror_job_free)
void       mirror_job_save    (const MirrorJob *self, JsonObject *plan);
gboolean   mirror_job_load    (MirrorJob *self, JsonObject *plan,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
Pivot     *mirror_job_pivot   (const MirrorJob *self);

/* Steps. */
void       mirror_create      (GTask *step, gpointer job);    /* mirror-files.c */
void       mirror_open        (GTask *step, gpointer job);    /* mirror-nodes.c */
void       mirror_copy        (GTask *step, gpointer job);    /* mirror-run.c */
void       mirror_freeze      (GTask *step, gpointer job);
void       mirror_end         (GTask *step, gpointer job);
void       mirror_go_on       (GTask *step, gpointer job);
void       mirror_thaw        (GTask *step, gpointer job);
void       mirror_speed_up    (GTask *step, gpointer job);
void       mirror_close       (GTask *step, gpointer job);    /* mirror-nodes.c */
void       mirror_check       (GTask *step, gpointer job);    /* mirror-run.c */

/* Blocking. Takes back a target that came to nothing; makes one that is done durable. */
gboolean   mirror_remove_file (MirrorJob *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean   mirror_sync_file   (MirrorJob *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Pure: what becomes of a mirror that a death of ours has cut off. */
Recovery   mirror_decide      (gpointer job, const char *last_step, gboolean ended);

G_END_DECLS
