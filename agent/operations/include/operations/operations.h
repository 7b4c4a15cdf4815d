/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/engine.h>
#include <core/settings.h>
#include <guest/registry.h>
#include <image/store.h>

G_BEGIN_DECLS

/* What the faces (REST, and through it the CLI) can ask for. Requests come as JSON objects and
 * are checked here: unknown members and bad values are AGENT_ERROR_INVALID. */

#define TYPE_OPERATIONS (operations_get_type ())
G_DECLARE_FINAL_TYPE (Operations, operations, AGENT, OPERATIONS, GObject)

Operations    *operations_new             (Settings *settings, Journal *journal, Engine *engine,
                                           GuestRegistry *guests, ImageStore *store);

Settings      *operations_get_settings    (Operations *self);
/* What holds now: see settings_get(). */
const Config  *operations_get_config      (Operations *self);
Engine        *operations_get_engine      (Operations *self);
GuestRegistry *operations_get_guests      (Operations *self);
ImageStore    *operations_get_store       (Operations *self);
/* Another way to the same images, from now on. */
void           operations_set_store       (Operations *self, ImageStore *store);
Journal       *operations_get_journal     (Operations *self);

/* Takes a point: {"name", "disks", "quiesce", "image", "parents", "metadata", ...}. Everything
 * that can be refused is refused before the operation exists. Returns the operation, running. */
void           operations_snapshot_async  (Operations *self, Guest *guest, JsonObject *request,
                                           const char *idempotency_key,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
Operation     *operations_snapshot_finish (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Takes a full image: a point of the disks, each of them streamed as one standalone image, and the
 * overlays folded back: {"name", "disks", "format", "quiesce", "metadata", "deadline",
 * "on_deadline", ...}. As above. */
void           operations_image_async     (Operations *self, Guest *guest, JsonObject *request,
                                           const char *idempotency_key,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
Operation     *operations_image_finish    (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Asks for what @kind names: "commit", "stream", "mirror" (each with its "disk"), "delete",
 * "revert" (with "point"), "shorten", "restore". With "dry_run" nothing is done: the answer is the
 * plan. Returns the operation, running; or NULL with @plan, for a dry run. */
void           operations_request_async   (Operations *self, Guest *guest, const char *kind,
                                           JsonObject *request, const char *idempotency_key,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
Operation     *operations_request_finish  (Operations *self, GAsyncResult *result, JsonNode **plan,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Changes a running operation: {"speed": bytes a second, "paused": boolean}. */
void           operations_control_async   (Operations *self, Operation *operation,
                                           JsonObject *change, GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
gboolean       operations_control_finish  (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Returns when the images of a snapshot or full image have their records in the store: the id of
 * the first disk's. An operation that ends before that gives its error. */
void           operations_await_image_async  (Operations *self, Operation *operation,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
char          *operations_await_image_finish (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Lets a guest go on that QEMU has stopped at an error of a disk. AGENT_ERROR_CONFLICT when it does
 * not stand for that reason, NO_SPACE when it would stop again. */
void           operations_resume_guest_async  (Operations *self, Guest *guest,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
gboolean       operations_resume_guest_finish (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Lets go of a guest. AGENT_ERROR_CONFLICT while an operation on it is open, which could then never
 * be finished or undone. */
gboolean       operations_detach          (Operations *self, Guest *guest,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Deletes an image of the store. AGENT_ERROR_CONFLICT when layers that we know of need it as their
 * parent (unless @force), or an operation is writing it. */
void           operations_remove_image_async  (Operations *self, const char *id, gboolean force,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
gboolean       operations_remove_image_finish (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
