/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "support.h"

#define FOLDER_ID     "6a4a5e32-4c4c-4d5e-8a2b-2f1d3c4b5a69"
#define FOLDER_LENGTH (3 * 1024 * 1024 + 517)

typedef struct
{
  char       *folder;
  ImageStore *store;
} FolderFixture;

void     folder_setup         (FolderFixture *fixture, gconstpointer data);
void     folder_teardown      (FolderFixture *fixture, gconstpointer data);

char    *folder_file          (FolderFixture *fixture, const char *id, const char *suffix);

/* All below are about the image FOLDER_ID; a suffix makes its name that of a file. */
gboolean folder_has           (FolderFixture *fixture, const char *suffix);
void     folder_put           (FolderFixture *fixture, const char *suffix, const char *text);
guint    folder_count         (FolderFixture *fixture);
void     folder_create        (FolderFixture *fixture, const char *format);
void     folder_assert_status (FolderFixture *fixture, const char *status);

/* Uploads FOLDER_LENGTH bytes; the file holds them, and nothing else is in the folder. */
void     folder_assert_upload (FolderFixture *fixture, const char *suffix);
