/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* What is known of guests' disks, for the faces. Nothing of a guest is changed here. */

/* The disks of a guest with their chains, as JSON. */
void           operations_disks_async     (Operations *self, Guest *guest,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
JsonNode      *operations_disks_finish    (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The points of a guest, oldest first, as JSON; also of one that is not attached. */
void           operations_points_async    (Operations *self, Guest *guest,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
JsonNode      *operations_points_finish   (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* All layers of a guest's disks with their branches, and the points that live in them, as JSON. */
void           operations_tree_async      (Operations *self, Guest *guest,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
JsonNode      *operations_tree_finish     (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Takes over a tree that another host has told (operations_tree_async() is the document), with its
 * files in place: the points become known here. AGENT_ERROR INVALID, CONFLICT; nothing has been
 * taken over then. */
void           operations_adopt_tree_async  (Operations *self, Guest *guest, JsonObject *tree,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback, gpointer user_data);
gboolean       operations_adopt_tree_finish (Operations *self, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
