/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the files say of those who cannot be asked: guests that are shut off or do not answer,
 * and everybody's points. */

#include "look-others.h"

#include "../known-disks.h"
#include "../layer-tree.h"

static void
add_points (ChainLook *look, const OtherUses *others)
{
  for (guint i = 0; i < others->points->len; i++)
    {
      const LayerUser *point = g_ptr_array_index (others->points, i);
      FileFacts facts = { 0 };

      /* A point whose file is gone is nobody's; its inode may be another file's by now. The device
       * may have got another number. */
      if (files_look (point->path, &facts, NULL) && facts.ino == point->ino)
        g_ptr_array_add (look->users, layer_user_new (point->path, facts.dev, facts.ino,
                                                      g_strdup (point->who)));
    }
}

/* Both are started from one name: it is one disk, of a guest that was called otherwise then. */
static gboolean
is_own_disk (ChainLook *look, const KnownDisk *known)
{
  GPtrArray *disks = look->inspection->disks;

  for (guint i = 0; i < disks->len; i++)
    if (g_strcmp0 (((const Disk *) g_ptr_array_index (disks, i))->published, known->published) == 0)
      return TRUE;
  return FALSE;
}

/* What it was seen to be made of, while its headers do not tell it. */
static void
add_known_layers (ChainLook *look, const KnownDisk *known, const char *who)
{
  for (guint i = 0; i < known->layers->len; i++)
    {
      const KnownLayer *layer = g_ptr_array_index (known->layers, i);

      g_ptr_array_add (look->users,
                       layer_user_new (known->path, layer->dev, layer->ino, g_strdup (who)));
    }
}

/* All that a start of it might read, by the magic numbers of its files: nothing is done by these
 * but to leave files alone. */
static void
add_unseen_disk (ChainLook *look, const KnownDisk *known, const char *who)
{
  FileFacts facts = { 0 };
  g_autofree char *at = g_strdup (files_look (known->published, &facts, NULL) ? known->published
                                                                              : known->path);
  gboolean is_whole = !files_look (at, &facts, NULL);

  for (guint depth = 0; at != NULL && !is_whole && depth < LAYER_TREE_DEPTH_MAX; depth++)
    {
      g_autoptr (ImageLink) link = image_link_read (at, NULL, NULL);

      if (files_look (at, &facts, NULL))
        g_ptr_array_add (look->users,
                         layer_user_new (at, facts.dev, facts.ino, g_strdup (who)));
      is_whole = link != NULL && link->backing == NULL;
      g_free (at);
      at = link != NULL && link->backing_known ? g_steal_pointer (&link->backing) : NULL;
    }
  if (!is_whole)
    add_known_layers (look, known, who);
}

static void
add_unseen (ChainLook *look, const UnseenGuest *other)
{
  for (guint i = 0; i < other->disks->len; i++)
    {
      const KnownDisk *known = g_ptr_array_index (other->disks, i);
      g_autofree char *who = g_strdup_printf ("guest %s (%s), disk %s", other->guest,
                                              other->shut_off ? "shut off" : "no answer",
                                              known->disk);

      if (!other->shut_off || !is_own_disk (look, known))
        add_unseen_disk (look, known, who);
    }
}

/**
 * chain_look_add_others:
 * @look: what was seen of this guest
 * @others: what is known of other guests
 */
void
chain_look_add_others (ChainLook *look, const OtherUses *others)
{
  add_points (look, others);
  for (guint i = 0; i < others->unseen->len; i++)
    add_unseen (look, g_ptr_array_index (others->unseen, i));
}
