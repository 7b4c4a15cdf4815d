/* SPDX-License-Identifier: Apache-2.0 */

#include "known-chain.h"

#include "../disk/images.h"
#include "../disk/scratch.h"

#include <unistd.h>

void
known_chain_set_up (Chain *chain, gconstpointer data)
{
  if (!images_available ())
    return;
  chain->folder = scratch_new ();
  chain->published = g_build_filename (chain->folder, "disk", NULL);
  chain->base = scratch_write (chain->folder, "golden.img", "raw data\n");
  chain->one = images_create (chain->folder, "disk.1", "16M", "golden.img", "raw");
  chain->two = images_create (chain->folder, "disk.2", "16M", "disk.1", "qcow2");
  g_assert_no_errno (link (chain->two, chain->published));
}

void
known_chain_tear_down (Chain *chain, gconstpointer data)
{
  if (chain->folder == NULL)
    return;
  scratch_remove (chain->folder);
  g_free (chain->published);
  g_free (chain->base);
  g_free (chain->one);
  g_free (chain->two);
}

void
known_chain_rebase (const char *image, const char *format, const char *backing)
{
  if (format != NULL)
    images_do ("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", format, "-b", backing, image, NULL);
  else
    images_do ("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", backing, image, NULL);
}

static void
layer_free (KnownLayer *layer)
{
  g_free (layer->format);
  g_free (layer);
}

KnownDisk *
known_chain_disk (const char *name, const char *published, const char *path, const char *format)
{
  KnownDisk *known = g_new0 (KnownDisk, 1);

  known->disk = g_strdup (name);
  known->published = g_strdup (published);
  known->path = g_strdup (path);
  known->format = g_strdup (format);
  known->aliases = g_strdupv ((char **) (const char *[]) { name, "alias", NULL });
  known->layers = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_free);
  return known;
}

void
known_chain_add (KnownDisk *known, const char *path, const char *format)
{
  KnownLayer *layer = g_new0 (KnownLayer, 1);
  FileFacts facts;

  g_assert_true (files_look (path, &facts, NULL));
  layer->dev = facts.dev;
  layer->ino = facts.ino;
  layer->born_ns = facts.born_ns;
  layer->format = g_strdup (format);
  g_ptr_array_add (known->layers, layer);
}
