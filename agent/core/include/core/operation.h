/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/*   queued -> running -> succeeded
 *                    \-> failed
 *                    \-> cancelled
 *
 * An operation whose cleaning could not be finished stays running, with the error that stands in
 * the way, until its guest is back. */
typedef enum
{
  OPERATION_QUEUED,
  OPERATION_RUNNING,
  OPERATION_SUCCEEDED,
  OPERATION_FAILED,
  OPERATION_CANCELLED,
} OperationState;

#define TYPE_OPERATION (operation_get_type ())
G_DECLARE_FINAL_TYPE (Operation, operation, AGENT, OPERATION, GObject)

/* Signal "changed" (Operation *self): state, step or progress moved. */

const char     *operation_get_id        (Operation *self);      /* a UUID */
const char     *operation_get_kind      (Operation *self);      /* "snapshot", ... */
const char     *operation_get_guest     (Operation *self);
OperationState  operation_get_state     (Operation *self);
gboolean        operation_is_finished   (Operation *self);
const char     *operation_get_step      (Operation *self);      /* (nullable) */
JsonObject     *operation_get_request   (Operation *self);
const GError   *operation_get_error     (Operation *self);      /* (nullable) */
GCancellable   *operation_get_cancellable (Operation *self);
/* It was cancelled because somebody else wanted its disks. */
gboolean        operation_gave_way      (Operation *self);

/* What the operation will touch (names, inodes, ids): data that recovery lives on. It is written to
 * the journal with the next step; steps may add to it. */
JsonObject     *operation_get_plan      (Operation *self);
/* What came of it, for people; may be added to while it runs. */
JsonObject     *operation_get_result    (Operation *self);

void            operation_set_progress  (Operation *self, gint64 done, gint64 total);   /* bytes */

/* The operation as REST and CLI show it. */
JsonNode       *operation_to_json       (Operation *self) G_GNUC_WARN_UNUSED_RESULT;

/* Returns when the operation has finished or after @seconds, whichever is first. */
void            operation_wait_async    (Operation *self, guint seconds, GCancellable *cancellable,
                                         GAsyncReadyCallback callback, gpointer user_data);
gboolean        operation_wait_finish   (Operation *self, GAsyncResult *result,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

const char     *operation_state_to_string (OperationState state);

G_END_DECLS
