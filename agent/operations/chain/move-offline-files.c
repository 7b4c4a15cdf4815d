/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how far a move without QEMU has come, and how each part of it is made durable. */

#include "move-offline-files.h"

#include <core/error.h>
#include <string.h>
#include <unistd.h>

#define MAX_LAYERS 1024u

void
offline_facts_clear (OfflineFacts *self)
{
  g_clear_pointer (&self->base, g_free);
  if (self->claim >= 0)
    close (self->claim);
  self->claim = -1;
}

/* --- reading headers --- */

static gboolean
is_file (const ChainFile *file, guint64 dev, guint64 ino)
{
  return (guint64) file->dev == dev && (guint64) file->ino == ino;
}

static gboolean
set_changed (GError **error, const char *path, const char *what)
{
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "look at the chain (qemu-img info --backing-chain), then ask anew",
                   "%s: %s: the chain has changed since this was planned", path, what);
  return FALSE;
}

static gboolean
check_movable (const ImageLink *image, GError **error)
{
  if (!image->encrypted && !image->has_data_file)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "%s %s", image->path,
                   image->encrypted ? "is encrypted: what it holds cannot be moved"
                                    : "has its data in another file, which its header names: it is "
                                      "not opened");
  return FALSE;
}

/* As the plan knows it, and fit to be opened by qemu-img. */
static ImageLink *
read_file (const ChainFile *file, GError **error)
{
  g_autoptr (ImageLink) image = image_link_read (file->path, file->format, error);

  if (image == NULL)
    return NULL;
  if (!is_file (file, image->facts.dev, image->facts.ino))
    {
      set_changed (error, file->path, "it is another file");
      return NULL;
    }
  return check_movable (image, error) ? g_steal_pointer (&image) : NULL;
}

/* qemu-img opens by the headers' words what lies below: they have to be what was planned with. */
static gboolean
check_backing (const ImageLink *image, const ChainFile *below, GError **error)
{
  if (!chain_file_is_below (below, image))
    return set_changed (error, image->path, "it stands on another file");
  if (g_strcmp0 (image->backing_format, below->format) == 0)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "write the format into its header: "
                   "qemu-img rebase -u -F FORMAT -b BACKING IMAGE",
                   "%s: its header says that %s is %s, and it is %s", image->path, image->backing,
                   image->backing_format != NULL ? image->backing_format : "of no known format",
                   below->format);
  return FALSE;
}

/* What @image stands on, down to the base, is opened too when @image is. */
static gboolean
check_rest (const ImageLink *image, GError **error)
{
  g_autoptr (ImageLink) lower = NULL;
  const ImageLink *at = image;

  for (guint i = 0; at->backing != NULL; i++)
    {
      ImageLink *next;

      if (!at->backing_known || at->backing_format == NULL || i == MAX_LAYERS)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, "look at it with qemu-img info",
                           "%s stands on %s, which %s", at->path, at->backing,
                           i == MAX_LAYERS ? "is one too many"
                           : at->backing_known ? "has no known format"
                                               : "is no local file that can be seen here");
          return FALSE;
        }
      next = image_link_read (at->backing, at->backing_format, error);
      if (next == NULL)
        return FALSE;
      image_link_free (lower);
      at = lower = next;
      if (!check_movable (at, error))
        return FALSE;
    }
  return TRUE;
}

/* That the files stand on each other as planned. @base: (out): how the second calls the lowest. */
static gboolean
check_chain (const ChainMove *move, char **base, GError **error)
{
  g_autoptr (ImageLink) lowest = read_file (g_ptr_array_index (move->files, 0), error);
  g_autoptr (ImageLink) image = NULL;

  if (lowest == NULL)
    return FALSE;
  if (!chain_file_is_below (move->below, lowest))
    return set_changed (error, lowest->path, "it stands on another file");
  if (!check_rest (lowest, error))
    return FALSE;
  for (guint i = 1; i < move->files->len; i++)
    {
      g_clear_pointer (&image, image_link_free);
      image = read_file (g_ptr_array_index (move->files, i), error);
      if (image == NULL || !check_backing (image, g_ptr_array_index (move->files, i - 1), error))
        return FALSE;
      if (i == 1)
        *base = g_strdup (image->backing);
    }
  if (move->kind == MOVE_COMMIT && image != NULL && lowest->virtual_size > image->virtual_size)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "stream instead",
                       "%s is larger than %s: committed into it, the disk would grow",
                       lowest->path, image->path);
      return FALSE;
    }
  return TRUE;
}

/* --- how far it is --- */

/* *@before, *@after (out): the header above, or the name, leads to what is to be merged, or to the
 * result already. */
static gboolean
look_at_commit (const ChainMove *move, gboolean *before, gboolean *after, GError **error)
{
  const ChainFile *into = chain_move_into (move);
  const ChainFile *upper = g_ptr_array_index (move->files, move->files->len - 1);
  g_autoptr (GError) problem = NULL;
  g_autoptr (ImageLink) above = NULL;
  FileFacts facts = { 0 };

  if (move->above != NULL)
    {
      above = read_file (move->above, error);
      if (above == NULL)
        return FALSE;
      *before = chain_file_is_below (upper, above);
      *after = chain_file_is_below (into, above);
      return TRUE;
    }
  /* Of a branch nothing has to follow: it is done when what was merged is gone. */
  if (move->published == NULL)
    {
      *before = files_look (upper->path, &facts, &problem)
                && is_file (upper, facts.dev, facts.ino);
      *after = !*before;
    }
  else if (files_look (move->published, &facts, &problem))
    {
      *before = is_file (upper, facts.dev, facts.ino);
      *after = is_file (into, facts.dev, facts.ino);
    }
  if (problem == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

static gboolean
look_at_stream (const ChainMove *move, gboolean *before, gboolean *after, GError **error)
{
  const ChainFile *under = g_ptr_array_index (move->files, move->files->len - 2);
  g_autoptr (ImageLink) into = read_file (chain_move_into (move), error);

  if (into == NULL)
    return FALSE;
  *before = chain_file_is_below (under, into);
  *after = chain_file_is_below (move->below, into);
  return TRUE;
}

/* A guest that is started from the top must not write to it any more once it is read: what it wrote
 * would be gone with the name. */
static gboolean
claim_top (const ChainMove *move, OfflineFacts *facts, GError **error)
{
  const ChainFile *upper = chain_move_upper (move);

  if (move->kind != MOVE_COMMIT || move->above != NULL || move->published == NULL)
    return TRUE;
  facts->claim = files_claim (upper->path, (guint64) upper->dev, (guint64) upper->ino, error);
  return facts->claim >= 0;
}

/**
 * offline_look:
 * @move: a move
 * @facts: (inout): how far it is; clear it, at the latest when the move is at its end
 * @error: return location: AGENT_ERROR CONFLICT or INTERNAL
 *
 * Returns: FALSE when it can neither be done nor is done
 */
gboolean
offline_look (const ChainMove *move, OfflineFacts *facts, GError **error)
{
  gboolean before = FALSE;
  gboolean after = FALSE;

  if (!(move->kind == MOVE_COMMIT ? look_at_commit (move, &before, &after, error)
                                  : look_at_stream (move, &before, &after, error)))
    return FALSE;
  facts->done = after;
  if (after)
    return TRUE;
  if (!before)
    return set_changed (error, move->above != NULL && move->kind == MOVE_COMMIT
                                 ? move->above->path
                                 : move->published != NULL ? move->published
                                                           : chain_move_into (move)->path,
                        "it leads to another file");
  return claim_top (move, facts, error) && check_chain (move, &facts->base, error);
}

/* --- making it last --- */

gboolean
offline_settle_data (const ChainMove *move, GError **error)
{
  return files_settle (chain_move_into (move)->path, error);
}

gboolean
offline_settle_header (const ChainMove *move, GError **error)
{
  gboolean before = FALSE;
  gboolean after = FALSE;
  const ChainFile *file = move->kind == MOVE_COMMIT ? move->above : chain_move_into (move);

  if (!(move->kind == MOVE_COMMIT ? look_at_commit (move, &before, &after, error)
                                  : look_at_stream (move, &before, &after, error)))
    return FALSE;
  if (!after)
    return set_changed (error, file->path, "its header does not say what was written to it");
  return files_settle (file->path, error);
}

/**
 * offline_publish:
 * @move: a commit of the top, whose data are durable
 * @facts: what offline_look() has claimed; it is let go
 * @error: return location: AGENT_ERROR CONFLICT, NO_SPACE or INTERNAL
 *
 * Returns: whether the name leads to the file that took the data
 */
gboolean
offline_publish (const ChainMove *move, OfflineFacts *facts, GError **error)
{
  gboolean ok = files_publish (chain_move_into (move)->path, move->published,
                               (guint64) chain_move_upper (move)->ino, error);

  offline_facts_clear (facts);
  return ok;
}
