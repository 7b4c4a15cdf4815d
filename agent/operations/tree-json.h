/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chain/look.h"
#include "layer-tree.h"

G_BEGIN_DECLS

/* One file of a disk's tree: in its chain, or on a branch beside it. */
typedef struct
{
  char      *path;
  char      *format;
  gint64     virtual_size;      /* bytes */
  gint64     allocated;         /* bytes; -1: not known */
  char      *backing;           /* (nullable): path, or what the header says of it */
  gboolean   known;             /* @facts hold */
  FileFacts  facts;
  gboolean   in_chain;
  gboolean   active;
} TreeFile;

gboolean    tree_has_disk    (const Disk *disk);

/* What belongs to the disk: its chain, the active layer first; then files that have a layer name of
 * it, or hold a point of it, and all below these. Pure. (transfer full): of TreeFile */
GPtrArray *tree_files       (const ChainLook *look, Disk *disk, LayerTree *tree);

/* The document. @images: of the layers of all disks; (transfer full). Pure. */
JsonNode  *tree_to_json     (const ChainLook *look, const char *guest, LayerTree *tree,
                             JsonArray *images) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
