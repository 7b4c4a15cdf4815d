/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>
#include <core/workflow.h>

G_BEGIN_DECLS

/* Runs operations and remembers them. One main loop, no locks: a disk is held by one operation at a
 * time, disks and guests go in parallel. */

#define TYPE_ENGINE (engine_get_type ())
G_DECLARE_FINAL_TYPE (Engine, engine, AGENT, ENGINE, GObject)

/* Signal "operation" (Engine *self, Operation *operation): one was added, or changed.
 * Signal "freed" (Engine *self, const char *guest): disks that did not give way are given up. */

Engine      *engine_new        (Journal *journal);
void         engine_register   (Engine *self, const Workflow *workflow, gpointer environment);

/* Reads the journal: the ended operations to show, the open ones to recover. All workflows are
 * registered by then. */
gboolean     engine_load       (Engine *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Takes up the open operations of @guest (NULL: of all), which have waited for it. */
void         engine_recover    (Engine *self, const char *guest);

/* A claim on disks, before it is known whether the operation will be: dropped with the last
 * reference; engine_submit() takes one of its own until the operation has finished. @disks NULL
 * claims the whole guest. AGENT_ERROR_CONFLICT names the holder. */
#define TYPE_CLAIM (claim_get_type ())
G_DECLARE_FINAL_TYPE (Claim, claim, AGENT, CLAIM, GObject)
Claim       *engine_claim      (Engine *self, const char *guest, const char *const *disks,
                                const char *holder, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The same; who holds them only until somebody else wants them gives way, and that is awaited. */
void         engine_claim_async  (Engine *self, const char *guest, const char *const *disks,
                                const char *holder, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data);
Claim       *engine_claim_finish (Engine *self, GAsyncResult *result,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Gives up all but @disks. */
void         claim_narrow      (Claim *self, const char *const *disks);
/* Until an operation has it, the claim gives way: @called_off is cancelled then. */
void         claim_give_way    (Claim *self, GCancellable *called_off);

/* Writes the operation to the journal and starts it from the main loop. @id: a new UUID, from which
 * the plan's names derive. (transfer none) */
Operation   *engine_submit     (Engine *self, const char *kind, const char *id, Claim *claim,
                                JsonObject *request, JsonObject *plan, const char *idempotency_key,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The operation that came of an earlier request with this key; AGENT_ERROR_CONFLICT when that
 * request was another one. NULL without error when there was none. */
Operation   *engine_repeated   (Engine *self, const char *idempotency_key, const char *kind,
                                const char *guest, JsonObject *request, GError **error);

/* (transfer none) (nullable) */
Operation   *engine_find       (Engine *self, const char *id);
/* (transfer full): newest first; @guest NULL lists all. */
GPtrArray   *engine_list       (Engine *self, const char *guest);
/* Asks for the end; the operation runs its cleaning steps. AGENT_ERROR_CONFLICT when it is over. */
gboolean     engine_cancel     (Engine *self, Operation *operation, GError **error)
                                G_GNUC_WARN_UNUSED_RESULT;
/* Writes the plan of a running operation to the journal as it is then, between the writes of its
 * steps. */
void         engine_save_plan_async  (Engine *self, Operation *operation,
                                      GAsyncReadyCallback callback, gpointer user_data);
gboolean     engine_save_plan_finish (Engine *self, GAsyncResult *result,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* TRUE when nothing runs. */
gboolean     engine_is_idle    (Engine *self);
/* TRUE while a guest stands still for a held step. */
gboolean     engine_is_holding (Engine *self);
/* The same for the guest of one operation, and for its sake. */
gboolean     engine_is_holding_for (Engine *self, Operation *operation);

G_END_DECLS
