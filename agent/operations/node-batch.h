/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <qmp/qmp.h>

#include "snapshot-plan.h"

G_BEGIN_DECLS

/* The commands that open, reopen and close a plan's nodes, as parts of a batch. */

/* A file node; it turns to writing by itself when something above it has to write. */
void node_batch_add_file      (QmpBatch *batch, const DiskPlan *disk, const char *node,
                               const char *path, const char *locking);
/* The overlay, its file node included. */
void node_batch_add_overlay   (QmpBatch *batch, const DiskPlan *disk, const char *backing_node);
/* The layer by its name for life, read-only, over what lies below the active one. */
void node_batch_add_layer     (QmpBatch *batch, const DiskPlan *disk, const char *locking);
/* The format node @node again; what is left out of its options goes back to its default. */
void node_batch_reopen        (QmpBatch *batch, const DiskPlan *disk, const char *driver,
                               const char *node, const char *file_node, const char *backing_node);
/* The active node from the file node without locks to one with them: the second half of
 * adopting. */
void node_batch_lock_layer    (QmpBatch *batch, const DiskPlan *disk);
/* Success when it is gone, or is still in use. */
void node_batch_delete        (QmpBatch *batch, const char *node);

G_END_DECLS
