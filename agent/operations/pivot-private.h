/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pivot-facts.h"

G_BEGIN_DECLS

/* The parts that the steps of pivots are made of. */

/* What the operation's result says of the disk; (nullable) (transfer none). */
JsonObject   *pivot_told           (PivotSet *set, const Pivot *pivot);
/* The device stays where it is: @reason (transfer full) is told. */
void          pivot_keep           (PivotSet *set, Pivot *pivot, GError *reason);

/* What is to be done with a disk, once what cannot wait is put right. */
typedef struct
{
  PivotAction   action;         /* NONE, BEGIN, FOLLOW or KEEP */
  char         *root;           /* for BEGIN: the nodes as QEMU calls them */
  char         *from_node;
  char         *to_node;
  GError       *reason;         /* for KEEP */
  gboolean      has_job;        /* ... and its job has not ended */
} PivotVerdict;

void          pivot_verdict_free   (PivotVerdict *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PivotVerdict, pivot_verdict_free)
void          pivot_settle_async   (PivotSet *set, Pivot *pivot, GAsyncReadyCallback callback,
                                    gpointer user_data);
PivotVerdict *pivot_settle_finish  (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Cancels the job of a disk, which then stays for @reason (transfer full). */
void          pivot_give_up_async  (PivotSet *set, Pivot *pivot, GError *reason,
                                    GAsyncReadyCallback callback, gpointer user_data);
gboolean      pivot_give_up_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The command that begins the job, and its arguments (transfer full); @speed: bytes a second. */
const char   *pivot_job_command    (const Pivot *pivot, const PivotVerdict *verdict, gint64 speed,
                                    JsonNode **arguments);
/* The job while it copies. */
typedef struct _PivotWatch PivotWatch;
PivotWatch   *pivot_watch_new      (PivotSet *set, Pivot *pivot, QmpClient *client);
void          pivot_watch_free     (PivotWatch *self);
QmpJob       *pivot_watch_follow   (PivotWatch *self);
gboolean      pivot_watch_is_paused (const PivotWatch *self);
gboolean      pivot_watch_gets_on  (PivotWatch *self);
/* Sends @command ("job-complete", ...; NULL: nothing) to the job of a disk and waits until that is
 * in @state. QMP_ERROR as of libqmp. */
void          pivot_command_async  (PivotSet *set, Pivot *pivot, const char *command,
                                    QmpJobState state, guint deadline_ms,
                                    GAsyncReadyCallback callback, gpointer user_data);
gboolean      pivot_command_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Cancels the job of a disk and waits until it is gone; success when it is gone already. */
void          pivot_cancel_async   (PivotSet *set, Pivot *pivot, GAsyncReadyCallback callback,
                                    gpointer user_data);
gboolean      pivot_cancel_finish  (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Tells it when a job holds the guest's writes for longer than it should, until it is freed. */
typedef struct _PivotHeld PivotHeld;
PivotHeld    *pivot_held_new       (PivotSet *set, const Pivot *pivot);
void          pivot_held_free      (PivotHeld *self);

/* What is to be left gets a name for life where it has none: @from_path is that. */
void          pivot_name_async     (Pivot *pivot, GAsyncReadyCallback callback, gpointer user_data);
/* Makes the published name lead to the target, or back; durable when it returns. */
void          pivot_publish_async  (Pivot *pivot, gboolean to_target, GAsyncReadyCallback callback,
                                    gpointer user_data);
gboolean      pivot_name_finish    (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Limits what the guest writes to a disk, so that its job gains on it; takes the limit away again
 * when it is ours. AGENT_ERROR_CONFLICT when the disk has limits of its owner's. */
void          pivot_throttle_async  (PivotSet *set, Pivot *pivot, gboolean on,
                                     GAsyncReadyCallback callback, gpointer user_data);
gboolean      pivot_throttle_finish (GAsyncResult *result,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Ends a step, well or with @error (nullable) (transfer full). */
void          pivot_step_end       (GTask *step, PivotSet *set, GError *error);

G_END_DECLS
