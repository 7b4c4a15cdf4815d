/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* Room for what an operation will make grow. Its plan says which files these are ("room"), so that
 * who takes it up after a restart knows them, too. */

/* Notes in @plan that @path, which may be still to be made, will grow by @bytes. */
void       room_need          (JsonObject *plan, const char *path, gint64 bytes);
/* How much an empty overlay takes. */
gint64     room_of_overlay    (gint64 virtual_size);
/* What operations of @kind leave free: those that give room back may use the reserve. */
gint64     room_reserve       (const Config *config, const char *kind);

/* Whether there is room for all that @plan notes, and for the journal. Nobody looks where there is
 * to be no reserve. AGENT_ERROR_NO_SPACE. @told: (nullable) (transfer full): the file systems, for
 * people. */
void       room_check_async   (Operations *operations, const char *kind, JsonObject *plan,
                               GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data);
gboolean   room_check_finish  (GAsyncResult *result, JsonNode **told,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- while it runs: room-watch.c --- */

typedef struct _RoomWatch RoomWatch;

/* Lets operations that take much room wait while there is too little of it. */
RoomWatch *room_watch_new     (Operations *operations);
void       room_watch_free    (RoomWatch *self);

/* What becomes of one that runs. */
typedef enum
{
  ROOM_GO_ON,
  ROOM_WAIT,
  ROOM_WAIT_NO_LONGER,          /* there is room again */
  ROOM_GIVE_UP,                 /* it has waited for too long */
} RoomVerdict;

/* Pure. @left: bytes on the fullest of its file systems; @waited_s: -1 while it does not wait. */
RoomVerdict room_judge        (gint64 left, gint64 reserve, gint64 waited_s, gint64 wait_most_s);

G_END_DECLS
