/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "backup.h"

G_BEGIN_DECLS

/* The steps, each in the file of its kind. */
void backup_end_jobs       (GTask *step, gpointer job);   /* backup.c */
void backup_create_files   (GTask *step, gpointer job);   /* point-files.c */
void backup_publish_early  (GTask *step, gpointer job);
void backup_settle_caches  (GTask *step, gpointer job);
void backup_publish_late   (GTask *step, gpointer job);
void backup_look_again     (GTask *step, gpointer job);   /* point-look.c */
void backup_adopt_names    (GTask *step, gpointer job);   /* point-nodes.c */
void backup_open_overlays  (GTask *step, gpointer job);
void backup_take_point     (GTask *step, gpointer job);
void backup_rename_layers  (GTask *step, gpointer job);
void backup_swap_disks     (GTask *step, gpointer job);   /* point-swap.c */
void backup_freeze         (GTask *step, gpointer job);   /* point-pause.c */
void backup_stop           (GTask *step, gpointer job);
void backup_cont           (GTask *step, gpointer job);
void backup_thaw           (GTask *step, gpointer job);
void backup_check_quiesce  (GTask *step, gpointer job);
void backup_record_point   (GTask *step, gpointer job);   /* point-record.c */
void backup_create_images  (GTask *step, gpointer job);   /* upload.c */
void backup_open_sources   (GTask *step, gpointer job);   /* sources.c */
void backup_close_sources  (GTask *step, Backup *job);
void backup_upload         (GTask *step, gpointer job);   /* upload.c */
void backup_delete_images  (GTask *step, gpointer job);
void backup_withdraw       (GTask *step, gpointer job);   /* withdraw.c */
void backup_commit_back    (GTask *step, gpointer job);   /* fold.c */
void backup_pivot          (GTask *step, gpointer job);
void backup_go_on          (GTask *step, gpointer job);
void backup_speed_up       (GTask *step, gpointer job);
void backup_delete_overlays (GTask *step, gpointer job);  /* fold-files.c */

void backup_gather_facts   (GTask *step, gpointer job);   /* point-facts.c */

/* What a plan has use for; steps are passed over else. */
gboolean backup_needs_stop       (Backup *self);
gboolean backup_has_jobs         (gpointer job);
gboolean backup_adopts           (gpointer job);
gboolean backup_publishes_early  (gpointer job);
gboolean backup_requires_quiesce (gpointer job);
gboolean backup_uploads          (gpointer job);
gboolean backup_uploads_full     (gpointer job);

/* The overlay of a disk is on top now. */
void     backup_note_overlay     (Backup *job, guint index);

/* Pure: what becomes of a backup that a death of ours has cut off. */
Recovery quick_backup_decide (gpointer job, const char *last_step, gboolean ended);
Recovery full_image_decide   (gpointer job, const char *last_step, gboolean ended);
/* The part that both have: the point's. */
Recovery backup_decide_point (Backup *job, const char *last_step, gboolean ended);

G_END_DECLS
