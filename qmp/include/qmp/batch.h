/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/client.h>

G_BEGIN_DECLS

/* Commands that belong together: sent one after another, each once the one before it has succeeded;
 * the first refusal ends the batch. @arguments are (transfer full) and (nullable). */

#define QMP_TYPE_BATCH (qmp_batch_get_type ())
G_DECLARE_FINAL_TYPE (QmpBatch, qmp_batch, QMP, BATCH, GObject)

QmpBatch *qmp_batch_new        (void);
void      qmp_batch_add        (QmpBatch            *self,
                                const char          *command,
                                JsonNode            *arguments);
/* A command whose refusal by QEMU counts as success: for cleaning what may already be gone. */
void      qmp_batch_add_tolerant (QmpBatch          *self,
                                const char          *command,
                                JsonNode            *arguments);
guint     qmp_batch_get_size   (QmpBatch            *self);
/* @deadline_ms is for the whole batch. */
void      qmp_batch_run_async  (QmpBatch            *self,
                                QmpClient           *client,
                                guint                deadline_ms,
                                GCancellable        *cancellable,
                                GAsyncReadyCallback  callback,
                                gpointer             user_data);
gboolean  qmp_batch_run_finish (QmpBatch            *self,
                                GAsyncResult        *result,
                                GError             **error) G_GNUC_WARN_UNUSED_RESULT;
/* The reply to the n-th command; NULL when it was not reached or was refused and tolerated. */
JsonNode *qmp_batch_get_reply  (QmpBatch            *self,
                                guint                index);

/* Arguments in one expression: qmp_args ("node-name", "s", name, "read-only", "b", TRUE, NULL).
 * Types: "s" string (NULL leaves the member out), "b" gboolean, "i" gint64, "n" JsonNode (transfer
 * full), "0" JSON null (takes no value). */
JsonNode *qmp_args             (const char          *member,
                                ...) G_GNUC_NULL_TERMINATED G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
