/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "moves.h"

G_BEGIN_DECLS

/* One of an operation's moves, of a guest that runs. */

/* Where a move stands. */
typedef enum
{
  MOVE_DUE,                     /* all is as it was when it was planned */
  MOVE_MERGED,                  /* the files are one */
  MOVE_LOST,                    /* neither: somebody else has changed the chain */
} MoveStand;

/* By the chains of a guest's disks. @disk: (out) (nullable): the one that it concerns. Pure. */
MoveStand move_stand_in   (const ChainMove *move, GPtrArray *disks, Disk **disk);
/* By the headers of the files, of a guest that has ended. Blocking. */
gboolean  move_stand_on_disk (const ChainMove *move, MoveStand *stand,
                              GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes out what QEMU itself still holds back of the file that takes the data; then what the host
 * does. @node: (nullable): what QEMU calls it, if it has made that up. */
void      move_flush_async  (MovesJob *job, guint index, const char *node,
                             GAsyncReadyCallback callback, gpointer user_data);
gboolean  move_flush_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether QEMU has written the tables of what was merged, by the images alone. */
void      move_prove_async  (MovesJob *job, guint index, GAsyncReadyCallback callback,
                             gpointer user_data);
gboolean  move_prove_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What of @merged, up to @size, is not in @into. Pure. (transfer full) */
Extents  *move_missing      (const Extents *merged, const Extents *into, gint64 size);

/* The job of a move, while it copies. */
typedef struct _MoveWatch MoveWatch;

MoveWatch *move_watch_new   (MovesJob *job, guint index, QmpClient *client);
void      move_watch_free   (MoveWatch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MoveWatch, move_watch_free)
QmpJob   *move_watch_get_job (MoveWatch *self);
/* What QEMU has said of its failure; (nullable). */
const char *move_watch_get_words (MoveWatch *self);
/* Returns when the job waits before its end. */
void      move_watch_await_async  (MoveWatch *self, GAsyncReadyCallback callback,
                                   gpointer user_data);
gboolean  move_watch_await_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One move of a running guest that needs no pivot, or what is left of one that was begun before. It
 * begins by looking. Success: its fate is known. AGENT_ERROR_UNAVAILABLE while it is not. */
void      move_run_async  (MovesJob *job, guint index, GAsyncReadyCallback callback,
                           gpointer user_data);
gboolean  move_run_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
