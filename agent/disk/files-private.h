/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What files.c and files-create.c share. */

#include <disk/files.h>

#include <sys/stat.h>

G_BEGIN_DECLS

/* A folder held open, and one name in it: what is done to the name is done in that folder, whatever is renamed above. */
typedef struct
{
  int   folder;
  char *name;
} FilesPlace;

#define FILES_PLACE_NONE { .folder = -1 }

G_GNUC_INTERNAL
gboolean files_place_open  (FilesPlace *place, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
void     files_place_close (FilesPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (FilesPlace, files_place_close)

/* Makes names added to and removed from the folder durable. */
G_GNUC_INTERNAL
gboolean files_place_sync  (FilesPlace *place, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Gives the open file @fd the name of @place; fails with errno when there is one, or it cannot be. */
G_GNUC_INTERNAL
gboolean files_place_link  (FilesPlace *place, const char *name, int fd) G_GNUC_WARN_UNUSED_RESULT;

/* Puts errno in words: "PATH: WHAT: why", and what to do. */
G_GNUC_INTERNAL
void     files_set_error   (GError **error, int saved_errno, const char *path, const char *what);

G_GNUC_INTERNAL
void     files_take_facts  (FileFacts *facts, const struct stat *st);

G_END_DECLS
