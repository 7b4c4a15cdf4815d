/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <disk/files.h>

G_BEGIN_DECLS

/* Whether a frozen layer provably shows what a guest's disk showed once. Pure. A layer that is no
 * point and is taken for one is worse than a point that is lost: in doubt it is none. */

/* When an operation of ours was at work, which the journal has taken along with the files. */
typedef struct
{
  gint64 from_us;               /* since 1970 */
  gint64 to_us;
} RebuildSpan;

typedef struct
{
  gint64  taken_us;             /* when the point was taken, since 1970 */
  gint64  frozen_ns;            /* its layer's time of change when that was frozen; 0: not known */
  gint64  image_ns;             /* the same when what its image holds was read; 0: not known */
  GArray *spans;                /* (nullable): of RebuildSpan */
  gint64  boot_us;              /* of the host, where later rows may be lost; 0: none are */
} RebuildEvidence;

/* @files: of FileFacts: the layer, then what it stands on, down to the base. NULL: it is exact;
 * else why that is not sure, for people. */
const char *rebuild_judge_point (const RebuildEvidence *evidence, const GArray *files);
/* The same for a layer of which nothing else is known. @above: the file that stands on it;
 * @boot_us: when the host was started. */
const char *rebuild_judge_layer (const FileFacts *above, const GArray *files, gint64 boot_us);

typedef enum
{
  STRAY_CANCEL,
  STRAY_FINALIZE,
  STRAY_DISMISS,
  STRAY_LEAVE,                  /* nobody can tell */
} StrayAction;

/* What becomes of a job that no operation knows. Where the published names lead decides about one
 * that holds the guest's writes. @n_pending: such jobs; @n_moved: disks that are started from
 * another file than they are on. */
StrayAction rebuild_judge_stray (gboolean is_pending, gboolean is_concluded, gboolean pivots,
                                 guint n_pending, guint n_moved);

G_END_DECLS
