/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Names on disk. A disk is started from one published name, `disk`. Each layer has a name of its
 * own for life, `disk.0`, `disk.1`, ...; `disk` is one more hard link to the active one. */

/* Where @name, as QEMU or a header has it, leads to from @folder (nullable: @name is absolute). */
char     *names_absolute        (const char *name, const char *folder);
/* "/a/disk.qcow2.12" -> "/a/disk.qcow2" and 12; FALSE when @path ends in no ".NUMBER". */
gboolean  names_split_layer     (const char *path, char **published, guint *number);
char     *names_layer           (const char *published, guint number);
/* How the header of @image is to call what it stands on. */
char     *names_backing         (const char *image, const char *backing);

/* One entry of a folder, for the pure function below. */
typedef struct
{
  char    *name;                /* without the folder */
  guint64  dev;
  guint64  ino;
} NamesEntry;

void      names_entry_free      (NamesEntry *entry);

/* The entries of @folder which are @published or a layer name of it. Blocking. */
GPtrArray *names_list           (const char *published, GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct
{
  char     *layer;              /* the name for life of the active layer's file */
  gboolean  layer_exists;       /* it has that name already */
  char     *overlay;            /* free, for the overlay to come */
} NamesChoice;

void      names_choice_clear    (NamesChoice *choice);
/* Chooses names for the active file (@dev, @ino), which people call @published: pure. */
void      names_choose          (const char *published, guint64 dev, guint64 ino,
                                 GPtrArray *entries, NamesChoice *choice);
/* What people call the disk whose active file QEMU opened as @path: @path, or, when that is a layer
 * name and `disk` is the same file, `disk`. Pure. */
char     *names_published       (const char *path, guint64 dev, guint64 ino, GPtrArray *entries);

G_END_DECLS
