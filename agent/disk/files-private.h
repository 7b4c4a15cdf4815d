/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What files.c, files-create.c and files-publish.c share. */

#include <disk/files.h>

#include <sys/stat.h>

G_BEGIN_DECLS

/* A folder held open, and one name in it: what is done to the name is done in that folder, whatever
 * is renamed above. */
typedef struct
{
  int   folder;
  char *name;
} FilesPlace;

#define FILES_PLACE_NONE { .folder = -1 }

G_GNUC_INTERNAL
gboolean files_place_open  (FilesPlace *place, const char *path,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
void     files_place_close (FilesPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FilesPlace, files_place_close)

/* Makes names added to and removed from the folder durable. */
G_GNUC_INTERNAL
gboolean files_place_sync  (FilesPlace *place, const char *path,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Gives the open file @fd a name in the folder that nobody has; FALSE with errno. */
G_GNUC_INTERNAL
gboolean files_place_link  (FilesPlace *place, const char *name, int fd) G_GNUC_WARN_UNUSED_RESULT;

/* What the name is, not what it may point at. FALSE without error when nothing is there. */
G_GNUC_INTERNAL
gboolean files_place_look  (FilesPlace *place, const char *path, struct stat *st,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Removes temporary names of a file that a crash left behind. What cannot be removed does no harm.
 * */
G_GNUC_INTERNAL
void     files_place_tidy  (FilesPlace *place, guint64 dev, guint64 ino);

/* Opens the regular file that @path is, not what it may point at, for fstat() and links; -1 with
 * error. */
G_GNUC_INTERNAL
int      files_hold        (const char *path, struct stat *st,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_GNUC_INTERNAL
gboolean files_is          (const struct stat *st, guint64 dev, guint64 ino);
G_GNUC_INTERNAL
void     files_take_facts  (FileFacts *facts, const struct stat *st, int folder, const char *name);

/* Puts errno in words: "PATH: WHAT: why", and what to do. */
G_GNUC_INTERNAL
void     files_set_error   (GError **error, int saved_errno, const char *path, const char *what);
/* @path is @found, and not the file (@dev, @ino). */
G_GNUC_INTERNAL
void     files_set_other   (GError **error, const char *path, guint64 dev, guint64 ino,
                            const struct stat *found);

G_END_DECLS
