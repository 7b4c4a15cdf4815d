/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a full image from end to end: freeze the disks at one point, stream what is frozen as
 * standalone images while the guest runs on, then fold the overlays back, so that disk and chain
 * are as before. The steps themselves are in the files that backup-steps.h names. */

#include "backup-steps.h"

/* The images' records come first: a client that is given an id finds it, and a store that is away
 * costs the guest nothing. From "commit-back" on, all is done whatever became of the upload: the
 * guest gets its disk back. While "pivot" waits for the published name the guest's I/O stands
 * still, so it is held with its pause. */
static const Step full_image_steps[] = {
  /* name              starts                  when             cleans up after  held   needed if */
  { "create-images",   backup_create_images,   STEP_FORWARD,    NULL,            FALSE, NULL },
  { "end-jobs",        backup_end_jobs,        STEP_FORWARD,    NULL,            FALSE,
    backup_has_jobs },
  { "create-files",    backup_create_files,    STEP_FORWARD,    NULL,            FALSE, NULL },
  { "adopt-names",     backup_adopt_names,     STEP_FORWARD,    NULL,            TRUE,
    backup_adopts },
  { "open-overlays",   backup_open_overlays,   STEP_FORWARD,    NULL,            FALSE, NULL },
  { "look-again",      backup_look_again,      STEP_FORWARD,    NULL,            FALSE, NULL },
  { "publish-early",   backup_publish_early,   STEP_FORWARD,    NULL,            FALSE,
    backup_publishes_early },
  { "settle-caches",   backup_settle_caches,   STEP_FORWARD,    NULL,            TRUE,  NULL },
  { "freeze",          backup_freeze,          STEP_FORWARD,    NULL,            TRUE,  NULL },
  { "stop",            backup_stop,            STEP_FORWARD,    NULL,            TRUE,  NULL },
  { "take-point",      backup_take_point,      STEP_FORWARD,    NULL,            TRUE,  NULL },
  { "swap-disks",      backup_swap_disks,      STEP_FORWARD,    NULL,            TRUE,  NULL },
  { "rename-layers",   backup_rename_layers,   STEP_ALWAYS,     "take-point",    TRUE,  NULL },
  { "publish-late",    backup_publish_late,    STEP_ALWAYS,     "take-point",    TRUE,  NULL },
  { "cont",            backup_cont,            STEP_ALWAYS,     "stop",          TRUE,  NULL },
  { "thaw",            backup_thaw,            STEP_ALWAYS,     "freeze",        TRUE,  NULL },
  { "record-point",    backup_record_point,    STEP_ALWAYS,     "take-point",    FALSE, NULL },
  { "check-quiesce",   backup_check_quiesce,   STEP_FORWARD,    NULL,            FALSE,
    backup_requires_quiesce },
  { "open-sources",    backup_open_sources,    STEP_FORWARD,    NULL,            FALSE, NULL },
  { "upload",          backup_upload,          STEP_FORWARD,    NULL,            FALSE, NULL },
  { "commit-back",     backup_commit_back,     STEP_ALWAYS,     "take-point",    FALSE, NULL },
  { "pivot",           backup_pivot,           STEP_ALWAYS,     "take-point",    TRUE,  NULL },
  { "go-on",           backup_go_on,           STEP_ALWAYS,     "take-point",    TRUE,  NULL },
  { "speed-up",        backup_speed_up,        STEP_ALWAYS,     "take-point",    FALSE, NULL },
  { "delete-overlays", backup_delete_overlays, STEP_ALWAYS,     "take-point",    FALSE, NULL },
  { "delete-images",   backup_delete_images,   STEP_ON_FAILURE, "create-images", FALSE, NULL },
  { "withdraw",        backup_withdraw,        STEP_ON_FAILURE, "create-files",  FALSE, NULL },
  { NULL }
};

/**
 * full_image_decide:
 * @user_data: the job with its facts
 * @last_step: (nullable): the last step that had begun
 * @ended: whether it had ended
 *
 * What becomes of a full image that a death of ours has cut off. Pure.
 *
 * Returns: the decision
 */
Recovery
full_image_decide (gpointer user_data, const char *last_step, gboolean ended)
{
  static const char *const before[] = { "create-images", "end-jobs", NULL };
  static const char *const streaming[] = { "open-sources", "upload", NULL };
  static const char *const folding[] = {
    "commit-back", "pivot", "go-on", "speed-up", "delete-overlays", NULL
  };

  if (last_step == NULL || g_strv_contains (before, last_step))
    return (Recovery) { RECOVERY_UNDO, NULL, "nothing had been touched yet" };
  if (g_strv_contains (streaming, last_step))
    return (Recovery) { RECOVERY_RESUME, "open-sources", "the point was taken" };
  if (g_strv_contains (folding, last_step))
    return (Recovery) { RECOVERY_RESUME, "commit-back", "the images are in the store" };
  return backup_decide_point (user_data, last_step, ended);
}

const Workflow full_image_workflow = {
  .kind = "image",
  .steps = full_image_steps,
  .job_new = backup_job_new,
  .job_free = backup_job_free,
  .gather_facts = backup_gather_facts,
  .decide = full_image_decide,
  .patient_from = "commit-back",
};
