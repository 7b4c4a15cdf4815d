/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "revert.h"

G_BEGIN_DECLS

/* The steps, each in the file of its kind. */
void     revert_choose_names  (GTask *step, gpointer job);     /* revert-files.c */
void     revert_create_files  (GTask *step, gpointer job);
void     revert_publish       (GTask *step, gpointer job);
void     revert_open_nodes    (GTask *step, gpointer job);     /* revert-nodes.c */
void     revert_look_again    (GTask *step, gpointer job);
void     revert_close_nodes   (GTask *step, gpointer job);
void     revert_stop          (GTask *step, gpointer job);     /* revert-window.c */
void     revert_reset         (GTask *step, gpointer job);
void     revert_cont          (GTask *step, gpointer job);
void     revert_mirror        (GTask *step, gpointer job);     /* revert-mirror.c */
void     revert_finish        (GTask *step, gpointer job);     /* revert-finish.c */
void     revert_record_branch (GTask *step, gpointer job);     /* revert-settle.c */
void     revert_discard       (GTask *step, gpointer job);
void     revert_withdraw      (GTask *step, gpointer job);     /* revert-withdraw.c */
void     revert_gather_facts  (GTask *step, gpointer job);     /* revert-facts.c */

gboolean revert_is_live       (gpointer job);

/* Why one is over of which some disks are moved. */
#define REVERT_GIVEN_UP "the guest was started anew when some of its disks had been moved, and " \
                        "the others had not"

/* What the device's move is told and asked, one disk at a time (revert-mirror.c): begins the mirror
 * and has it wait, pending. */
void     revert_pend_async    (Revert *self, guint index, GAsyncReadyCallback callback,
                               gpointer user_data);
/* From pending, or concluded, until it is gone. */
void     revert_finalize_async (Revert *self, guint index, GAsyncReadyCallback callback,
                                gpointer user_data);
/* Ends the mirrors of all disks where they are. */
void     revert_end_mirrors_async (Revert *self, GAsyncReadyCallback callback, gpointer user_data);
/* Of all three. */
gboolean revert_move_finish   (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Does in a worker thread what blocks, and ends @step (transfer full) with what that came to;
 * @work alone touches the plan meanwhile (revert-files.c). */
typedef gboolean (*RevertWork) (Revert *self, GError **error);
void     revert_work_async    (GTask *step, Revert *self, RevertWork work);

/* Makes the published names that do not yet lead to the overlays, or gives up. Blocking. */
gboolean revert_publish_rest  (Revert *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Closes what a revert has opened. Success for those that are gone, or in use. */
void     revert_delete_nodes  (QmpBatch *batch, const RevertDisk *disk);
/* What an overlay is made with. */
GBytes  *revert_overlay_bytes (const RevertDisk *disk, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
