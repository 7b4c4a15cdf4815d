/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What disk.c, disk-graph.c and disk-path.c share. */

#include <disk/disk.h>

G_BEGIN_DECLS

/* Nothing happens for NULL, "" and what is there already. */
G_GNUC_INTERNAL
void  disk_add_alias  (Disk *disk, const char *alias);

/* The local file that holds the data of @node and nothing else, absolute; NULL when there is none.
 * *@protocol (out) is the node at the bottom. */
G_GNUC_INTERNAL
char *disk_find_path  (QmpNode *node, const char *folder,
                       QmpNode **protocol) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
