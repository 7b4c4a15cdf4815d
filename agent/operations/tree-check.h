/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chain/look.h"

G_BEGIN_DECLS

/* A tree that another host has told, to be held against the files that are here. */

typedef struct
{
  char     *told;               /* its path there */
  char     *path;               /* and here */
  char     *format;
  gint64    virtual_size;       /* bytes */
  char     *backing;            /* (nullable): path there */
  gint64    size;               /* bytes of the file; -1: not told */
  gint64    changed_us;         /* when it was last written to; 0: not told */
  gboolean  needed;             /* a point or an image lives in it, or in one above it */
  gboolean  shown;              /* a point does */
  /* Once tree_check_files() has looked: */
  FileFacts facts;
  gboolean  unchanged;          /* nobody has written to it since the tree was told */
} AdoptedFile;

typedef struct
{
  GPtrArray *files;             /* of AdoptedFile */
  GPtrArray *points;            /* of Point */
  GPtrArray *images;            /* of JsonObject: what image_record_check() has found good */
  gboolean   vouched;           /* by the caller's word, nobody has written to any of the files */
} Adoption;

void         adoption_free      (Adoption *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Adoption, adoption_free)

/* Pure. AGENT_ERROR_INVALID */
Adoption    *tree_check_parse   (JsonObject *document, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Whether the files are what the document says, and where @look knows files of this guest; fills in
 * what the points need to know of them. Blocking. AGENT_ERROR INVALID, CONFLICT */
gboolean     tree_check_files   (Adoption *self, const ChainLook *look,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Whether the file and all below it are provably as they were. */
gboolean     adoption_is_proven (const Adoption *self, const AdoptedFile *file);
/* By its path on the other host. (nullable) (transfer none) */
AdoptedFile *adoption_find_file (const Adoption *self, const char *told);

G_END_DECLS
