/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "move.h"

G_BEGIN_DECLS

/* Files that have left a chain. Each goes once graph, headers, points and locks say that nobody
 * needs it; what stays is told, with the reason. */
typedef struct
{
  GPtrArray  *files;            /* of ChainFile: to go */
  GPtrArray  *open;             /* of ChainFile: what the guest has in its chains */
  GPtrArray  *points;           /* of Point: the guest's, by now */
  char      **scan_folders;     /* (nullable): of the configuration */
  gboolean    migrating;        /* the guest has them open somewhere else */
  GPtrArray  *removed;          /* of char *: paths */
  GPtrArray  *left;             /* of char *: "PATH: reason" */
} Leftovers;

/* @inspection: (nullable): of a guest that has ended. AGENT_ERROR_INTERNAL. */
Leftovers *leftovers_new           (Operations *operations, const char *guest,
                                    const Inspection *inspection,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;
void       leftovers_free          (Leftovers *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Leftovers, leftovers_free)

void       leftovers_add           (Leftovers *self, const ChainFile *file);
/* What is gone already is as good. AGENT_ERROR INTERNAL, CONFLICT: it is to be tried again. */
void       leftovers_remove_async  (Leftovers *self, GAsyncReadyCallback callback,
                                    gpointer user_data);
gboolean   leftovers_remove_finish (GAsyncResult *result, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
