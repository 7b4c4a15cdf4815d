/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/disk.h>
#include <disk/links.h>

G_BEGIN_DECLS

/* Which image file stands on which, of a guest's chains and of the branches beside them. Files are
 * known by device and inode. What was told first of a file counts: tell what QEMU says before what
 * headers say. */

typedef struct _LayerTree LayerTree;

LayerTree *layer_tree_new        (void);
void       layer_tree_free       (LayerTree *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LayerTree, layer_tree_free)

/* What QEMU shows of a disk, or headers of one that is shut off. */
void       layer_tree_add_disk   (LayerTree *self, Disk *disk);
void       layer_tree_add_links  (LayerTree *self, GPtrArray *links);    /* of ImageLink */
/* From the header of @path downwards. What cannot be read stays unknown. Blocking. */
void       layer_tree_read       (LayerTree *self, const char *path, const char *format);
/* Notes that a guest uses the file and all that it stands on. */
void       layer_tree_use        (LayerTree *self, guint64 dev, guint64 ino);

typedef enum
{
  LAYER_BELOW_UNKNOWN,
  LAYER_BELOW_NONE,             /* it is a base */
  LAYER_BELOW_FILE,
} LayerBelow;

LayerBelow layer_tree_get_below  (LayerTree *self, guint64 dev, guint64 ino, guint64 *below_dev,
                                  guint64 *below_ino);
/* When the file was born, as in FileFacts; 0: not known. */
gint64     layer_tree_get_born   (LayerTree *self, guint64 dev, guint64 ino);
/* Whether it was told of any use, and whether this file is used. */
gboolean   layer_tree_knows_use  (LayerTree *self);
gboolean   layer_tree_is_used    (LayerTree *self, guint64 dev, guint64 ino);

/* How many files a chain has at most; a longer one is a loop. */
#define LAYER_TREE_DEPTH_MAX 256

G_END_DECLS
