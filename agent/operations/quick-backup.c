/* SPDX-License-Identifier: Apache-2.0 */

/* Knows a quick backup from end to end: freeze the disks at one point, then upload what is frozen
 * while the guest runs on. The steps themselves are in the files that backup-steps.h names. */

#include "backup-steps.h"

/* The order keeps the name invariant (README.md). From "freeze" to "thaw" the guest may stand
 * still: these steps are held, nothing slow stands between them, and each is repeatable, since a
 * restart finds only that the window was open. "adopt-names" is held so as not to be left
 * half-way, where the disk is without its lock. */
static const Step quick_backup_steps[] = {
  /* name              starts                  when             cleans up after  held   needed if */
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
  { "create-images",   backup_create_images,   STEP_FORWARD,    NULL,            FALSE,
    backup_uploads },
  { "open-sources",    backup_open_sources,    STEP_FORWARD,    NULL,            FALSE,
    backup_uploads_full },
  { "upload",          backup_upload,          STEP_FORWARD,    NULL,            FALSE,
    backup_uploads },
  { "delete-images",   backup_delete_images,   STEP_ON_FAILURE, "create-images", FALSE, NULL },
  { "withdraw",        backup_withdraw,        STEP_ON_FAILURE, "create-files",  FALSE, NULL },
  { NULL }
};

/**
 * quick_backup_decide:
 * @user_data: the job with its facts
 * @last_step: (nullable): the last step that had begun
 * @ended: whether it had ended
 *
 * What becomes of a quick backup that a death of ours has cut off. Pure.
 *
 * Returns: the decision
 */
Recovery
quick_backup_decide (gpointer user_data, const char *last_step, gboolean ended)
{
  static const char *const before[] = { "end-jobs", NULL };
  static const char *const after[] = { "create-images", "open-sources", "upload", NULL };

  if (last_step == NULL || g_strv_contains (before, last_step))
    return (Recovery) { RECOVERY_UNDO, NULL, "nothing had been touched yet" };
  if (g_strv_contains (after, last_step))
    return (Recovery) { RECOVERY_RESUME, "create-images", "the point was taken and recorded" };
  return backup_decide_point (user_data, last_step, ended);
}

const Workflow quick_backup_workflow = {
  .kind = "snapshot",
  .steps = quick_backup_steps,
  .job_new = backup_job_new,
  .job_free = backup_job_free,
  .gather_facts = backup_gather_facts,
  .decide = quick_backup_decide,
};
