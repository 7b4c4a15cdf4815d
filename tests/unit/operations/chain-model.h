/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chain/verb.h"
#include "model.h"

/* A made-up guest with chains, branches and points, for the plans of verbs. Files are on device 1;
 * they are known by their inodes and exist nowhere. */
typedef struct
{
  char          *folder;
  Config        *config;
  Journal       *journal;
  Engine        *engine;
  GuestRegistry *guests;
  ImageStore    *store;
  Operations    *operations;
  Guest         *guest;
  ChainLook     *look;
} ChainModel;

void        chain_model_set_up    (ChainModel *self, gconstpointer data);
void        chain_model_tear_down (ChainModel *self, gconstpointer data);

/* A disk with a chain of @n layers, "/d/NAME.0" the base: their inodes are @first and above, each
 * holds a MiB of its own. */
Disk       *chain_model_disk      (ChainModel *self, const char *name, guint64 first, guint n);
/* An image beside the chains, "/d/NAME.INO", that stands on the file @on; 0: on none. */
ImageLink  *chain_model_branch    (ChainModel *self, const char *name, guint64 ino, guint64 on);
/* A point that lives in the file. It has an image in the store. */
Point      *chain_model_point     (ChainModel *self, const char *name, const char *disk,
                                   guint64 ino);
/* One more disk of it. */
void        chain_model_extend    (Point *point, const char *disk, guint64 ino);
void        chain_model_user      (ChainModel *self, guint64 ino, const char *who);

/* What the verb answers to a dry run of @request; NULL with @error. (transfer full) */
JsonObject *chain_model_plan      (ChainModel *self, const ChainVerb *verb, const char *request,
                                   GError **error);

/* The summary's moves as text: "commit disk.1 disk.2", each after a "; ". (transfer full) */
char       *chain_model_moves     (JsonObject *summary);
/* A list of the summary, of texts or of objects' @member, parted by blanks; paths without
 * folders. */
char       *chain_model_list      (JsonObject *summary, const char *list, const char *member);
