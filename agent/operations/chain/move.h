/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/planner.h>

#include "verb.h"

G_BEGIN_DECLS

/* One move on a chain, as it is written down before anything of it is done: layers that become one
 * file. Files are known by device and inode; paths are for people and for opening them. */

typedef struct
{
  char     *path;
  char     *format;
  gint64    dev;
  gint64    ino;
  gint64    size;               /* bytes, when it was planned */
  gint64    mtime_ns;           /* then */
  gint64    born_ns;            /* of the file; 0: not known */
  char     *node;               /* (nullable): as QEMU calls it, where it did not make that up */
  char     *file_node;
  gboolean  stays;              /* it leaves the chain, but others, or points, need the file */
} ChainFile;

typedef struct
{
  MoveKind   kind;
  char      *disk;
  char      *published;         /* what the guest is started from; (nullable): a branch's move */
  gboolean   offline;           /* by qemu-img: nobody has the images open */
  GPtrArray *files;             /* of ChainFile: what is merged, the lowest first */
  ChainFile *below;             /* (nullable): what the lowest stands on */
  ChainFile *above;             /* (nullable): what stands on the uppermost; NULL: that is the top
                                 * of the chain, and a commit of it moves the device and the name */
  char      *backing_name;      /* (nullable): of what the result's header, or that of @above, is
                                 * to say of what is below; with its format */
  char      *backing_format;
  gint64     speed;             /* bytes a second; 0: as fast as it goes */
  gint64     estimate;          /* bytes */
  gint64     moved;             /* bytes, as QEMU counted them */
  gboolean   begun;             /* what takes the data may hold some of it */
  gboolean   done;              /* chain, names, files and points are as they are to be */
} ChainMove;

void       chain_file_free      (ChainFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ChainFile, chain_file_free)
ChainFile *chain_file_copy      (const ChainFile *self) G_GNUC_WARN_UNUSED_RESULT;
/* The file as it was planned. */
FileFacts  chain_file_facts     (const ChainFile *self);
gboolean   chain_file_is        (const ChainFile *self, const Layer *layer);
/* The layer of @disk that the file is; @index (nullable): its number from the top. NULL: none. */
Layer     *chain_file_find      (const ChainFile *self, Disk *disk, guint *index);
/* Whether @image stands on the file; with NULL: on none. */
gboolean   chain_file_is_below  (const ChainFile *self, const ImageLink *image);
JsonNode  *chain_file_to_json   (const ChainFile *self) G_GNUC_WARN_UNUSED_RESULT;
ChainFile *chain_file_from_json (JsonNode *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void       chain_move_free      (ChainMove *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ChainMove, chain_move_free)
JsonNode  *chain_move_to_json   (const ChainMove *self) G_GNUC_WARN_UNUSED_RESULT;
ChainMove *chain_move_from_json (JsonNode *json, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* What takes the data, and stays: the lowest for a commit, the uppermost for a stream. */
ChainFile *chain_move_into      (const ChainMove *self);
/* What shows now what the result will show: the uppermost. */
ChainFile *chain_move_upper     (const ChainMove *self);
/* Whether it is to move the device onto the lowest file. */
gboolean   chain_move_pivots    (const ChainMove *self);

/* --- from a plan of layers to moves; pure --- */

/* The chain of @disk as the planner takes it, base first: fixed where others stand on a layer or it
 * is no file of ours to change, kept where a point lives that is in @keep (of Point). */
GPtrArray  *chain_plan_layers   (const ChainAsk *ask, Disk *disk, GPtrArray *keep);
/* The planner's moves on the chain of @disk, appended to @moves (of ChainMove).
 * AGENT_ERROR_CONFLICT: encrypted layers, a filter in the way, a file that is needed elsewhere. */
gboolean    chain_moves_of_disk (const ChainAsk *ask, Disk *disk, GPtrArray *planned,
                                 GPtrArray *moves, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The plan of an operation of moves, "summary" included. @forget: ids of points (nullable) that are
 * no more once it has begun; @remove: of ChainFile (nullable): files that only go. Takes of the
 * request, where they are: "speed", "on_error", "deadline", "on_deadline", "discard_points".
 * AGENT_ERROR_CONFLICT names the points that would be lost and are not in @forget. */
JsonObject *chain_moves_plan    (const ChainAsk *ask, GPtrArray *moves, const char *const *forget,
                                 GPtrArray *remove, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- doing one; each begins by looking, and is a success when it is found done --- */

/* By qemu-img; @published follows when the top of the chain is merged downwards. Durable when it
 * returns. Errors as of qemu-img.h. */
void       chain_move_offline_async  (ChainMove *self, Operation *operation,
                                      GCancellable *cancellable, GAsyncReadyCallback callback,
                                      gpointer user_data);
gboolean   chain_move_offline_finish (GAsyncResult *result,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
