/* SPDX-License-Identifier: Apache-2.0 */

/* Knows by what a file tells that nobody has written to it.
 *
 *     base          L (frozen)         O (on top of L)
 *     changed ...   changed at c       born at b
 *
 * All that is written into L or below it through the chain, once L is frozen, comes from O or from
 * above: it is written after b. So c <= b says that L is what it was when O was made, and so does
 * each file below it. With a moment that the journal knows, that one takes the place of b.
 *
 * A flush makes data durable and not the time of change: whose power goes may find new data under
 * an old time. So nothing is told by times before the host's last start, unless the rows are the
 * newest: these forget a point before anything is written to its layer. */

#include "rebuild-judge.h"

static gboolean
is_in_spans (const GArray *spans, gint64 mtime_ns)
{
  for (guint i = 0; spans != NULL && i < spans->len; i++)
    {
      const RebuildSpan *span = &g_array_index (spans, RebuildSpan, i);

      /* The clock of files runs behind by a tick. */
      if (mtime_ns / 1000 >= span->from_us - G_USEC_PER_SEC / 10 && mtime_ns / 1000 <= span->to_us)
        return TRUE;
    }
  return FALSE;
}

static gboolean
is_older (const FileFacts *file, gint64 moment_ns)
{
  return file->mtime_ns != 0 && file->mtime_ns <= moment_ns;
}

/**
 * rebuild_judge_point:
 * @evidence: what the journal tells of the point
 * @files: (element-type FileFacts): its layer and all below it, as they are now
 *
 * Returns: (nullable): %NULL when the layer is what it was; else what is in doubt
 */
const char *
rebuild_judge_point (const RebuildEvidence *evidence, const GArray *files)
{
  if (evidence->boot_us > evidence->taken_us)
    return "the host was started anew since, and what came after it may be missing in the journal";
  for (guint i = 0; i < files->len; i++)
    {
      const FileFacts *file = &g_array_index (files, FileFacts, i);

      if (file->block_device)
        return i == 0 ? "it is in a device, which does not tell whether it was written to"
                      : "it stands on a device, which does not tell whether it was written to";
      if (is_older (file, evidence->taken_us * 1000)
          || is_in_spans (evidence->spans, file->mtime_ns))
        continue;
      if (i > 0)
        return "a file that it stands on was written to after it was taken";
      if (file->mtime_ns == 0
          || (file->mtime_ns != evidence->frozen_ns && file->mtime_ns != evidence->image_ns))
        return "its layer was written to after it was taken";
    }
  return files->len > 0 ? NULL : "its layer is not there any more";
}

/* A file that was copied is older than its own birth, which then tells nothing. */
static gboolean
is_birth_telling (const FileFacts *file)
{
  return !file->block_device && file->born_ns != 0 && file->born_ns <= file->mtime_ns;
}

/**
 * rebuild_judge_layer:
 * @above: the file that stands on the layer
 * @files: (element-type FileFacts): the layer and all below it, as they are now
 * @boot_us: when the host was started, since 1970
 *
 * Returns: (nullable): %NULL when the layer is what it was when the one above it was made; else
 *   what
 *   is in doubt
 */
const char *
rebuild_judge_layer (const FileFacts *above, const GArray *files, gint64 boot_us)
{
  if (files->len == 0)
    return "it is not there any more";
  if (!is_birth_telling (above) || !is_birth_telling (&g_array_index (files, FileFacts, 0)))
    return "the files do not tell when they were made";
  if (above->born_ns < boot_us * 1000)
    return "the host was started anew since the layer above it was made";
  for (guint i = 0; i < files->len; i++)
    {
      const FileFacts *file = &g_array_index (files, FileFacts, i);

      if (file->block_device)
        return "a device does not tell whether it was written to";
      if (!is_older (file, above->born_ns))
        return i == 0 ? "it was written to after the layer above it was made"
                      : "a file that it stands on was written to after the layer above it was made";
    }
  return NULL;
}

/**
 * rebuild_judge_stray:
 * @is_pending: the job waits to be finalized
 * @is_concluded: it has ended
 * @pivots: it moves a device to another file
 * @n_pending: how many such jobs wait
 * @n_moved: how many disks have a name that leads elsewhere than the device is
 *
 * Returns: what is done with the job
 */
StrayAction
rebuild_judge_stray (gboolean is_pending, gboolean is_concluded, gboolean pivots, guint n_pending,
                     guint n_moved)
{
  if (is_concluded)
    return STRAY_DISMISS;
  if (!is_pending || !pivots || n_moved == 0)
    return STRAY_CANCEL;
  return n_pending <= n_moved ? STRAY_FINALIZE : STRAY_LEAVE;
}
