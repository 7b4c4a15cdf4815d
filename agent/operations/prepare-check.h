/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

#include "inspect.h"

G_BEGIN_DECLS

/* What every request has to pass before it becomes an operation. */

/* Attached, and in no state in which its disks belong to somebody else too. AGENT_ERROR
 * UNAVAILABLE, CONFLICT. */
gboolean   prepare_check_guest     (Guest *guest, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* AGENT_ERROR_UNAVAILABLE once it was let go of: an operation on it could not come to an end. */
gboolean   prepare_check_known     (Operations *operations, Guest *guest,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* AGENT_ERROR_UNAVAILABLE unless it is still seen over @client (nullable: it was shut off): a plan
 * names the process that it was made for. */
gboolean   prepare_check_same      (Guest *guest, QmpClient *client,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* AGENT_ERROR_CONFLICT while somebody moves it away. */
gboolean   prepare_check_migration (Guest *guest, const Inspection *inspection,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* AGENT_ERROR_CONFLICT names an operation that works on the guest. */
gboolean   prepare_check_idle      (Operations *operations, Guest *guest,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The block jobs that hold a node of the disk's chain. (transfer container): of char * */
GPtrArray *prepare_jobs_of_disk    (QmpGraph *graph, Disk *disk);

/* Disks that are claimed for an operation to be. What the first look saw of them may have changed
 * until they were. */
typedef struct
{
  Claim        *claim;          /* (nullable) */
  char        **disks;          /* (nullable): the names of those that it is on */
  GCancellable *gives_way;      /* (nullable) (unowned): cancelled when somebody else wants them:
                                 * then nobody is asked to give way to this one */
} PreparedClaim;

void       prepared_claim_clear    (PreparedClaim *self);
/* Claims @disks (of Disk; NULL: the whole guest) for the operation @id, or, when some are claimed,
 * sees that they are the same ones. @self must last until @callback. AGENT_ERROR_CONFLICT. */
void       prepare_claim_async     (PreparedClaim *self, Operations *operations, Guest *guest,
                                    GPtrArray *disks, const char *id, GCancellable *cancellable,
                                    GAsyncReadyCallback callback, gpointer user_data);
gboolean   prepare_claim_finish    (GAsyncResult *result,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
