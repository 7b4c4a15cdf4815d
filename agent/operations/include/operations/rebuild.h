/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* Makes a new journal of what can be read of a damaged one, of QEMU's graphs, of the files and of
 * the store. Takes {"force": boolean}: also of a journal that is whole, and although a guest or the
 * store cannot be asked. The answer tells what has become of it. Signal "journal-rebuilt"
 * (Operations *self) follows: whoever has the parts of the daemon begins anew with them. */

/* AGENT_ERROR CONFLICT: the journal is whole, or operations are under way; UNAVAILABLE: a guest or
 * the store cannot be asked; INVALID, NO_SPACE, INTERNAL. Nothing has changed then. */
void      operations_rebuild_journal_async  (Operations *self, JsonObject *request,
                                             GCancellable *cancellable,
                                             GAsyncReadyCallback callback, gpointer user_data);
JsonNode *operations_rebuild_journal_finish (Operations *self, GAsyncResult *result,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
