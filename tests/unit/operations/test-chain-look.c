/* SPDX-License-Identifier: Apache-2.0 */

/* Who else needs a layer, and which points live in it. */

#include "../disk/scratch.h"
#include "chain/look-others.h"
#include "known-chain.h"
#include "model.h"

#include <glib/gstdio.h>
#include <string.h>

static GPtrArray *
list_of (Disk *first, Disk *second)
{
  GPtrArray *disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);

  g_ptr_array_add (disks, first);
  if (second != NULL)
    g_ptr_array_add (disks, second);
  return disks;
}

static ImageLink *
add_link (GPtrArray *links, const char *path, guint64 ino, guint64 backing_ino)
{
  ImageLink *link = g_new0 (ImageLink, 1);

  link->path = g_strdup (path);
  link->format = g_strdup ("qcow2");
  link->facts.dev = 1;
  link->facts.ino = ino;
  link->backing_known = backing_ino != 0;
  link->backing_dev = 1;
  link->backing_ino = backing_ino;
  g_ptr_array_add (links, link);
  return link;
}

static ChainLook *
make_look (void)
{
  ChainLook *look = g_new0 (ChainLook, 1);
  Disk *disk = model_disk ("vda");

  look->inspection = g_new0 (Inspection, 1);
  look->inspection->disks = list_of (disk, model_disk ("vdb"));
  look->points = g_ptr_array_new_with_free_func ((GDestroyNotify) point_free);
  look->links = g_ptr_array_new_with_free_func ((GDestroyNotify) image_link_free);
  look->users = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_user_free);
  for (guint i = 0; i < 4; i++)
    {
      g_autofree char *path = g_strdup_printf ("/d/vda.%u", 3 - i);

      model_add_layer (disk, path, "qcow2", 13 - i);
      add_link (look->links, path, 13 - i, i < 3 ? 12 - i : 0);
    }
  model_add_layer (look->inspection->disks->pdata[1], "/d/vdb", "qcow2", 20);
  return look;
}

static void
assert_user (const ChainLook *look, guint index, const char *words)
{
  Disk *disk = look->inspection->disks->pdata[0];
  g_autofree char *user = chain_look_user_of (look, disk, disk->layers->pdata[index]);

  if (words == NULL)
    g_assert_cmpstr (user, ==, NULL);
  else
    {
      g_assert_nonnull (user);
      g_assert_nonnull (strstr (user, words));
    }
}

static void
test_users (void)
{
  g_autoptr (ChainLook) look = make_look ();
  ImageLink *link;

  for (guint i = 0; i < 4; i++)
    assert_user (look, i, NULL);

  add_link (look->links, "/d/branch", 30, 12);
  assert_user (look, 0, NULL);
  assert_user (look, 1, "/d/branch");
  assert_user (look, 2, NULL);

  g_ptr_array_add (look->users, layer_user_new ("/d/vda.0", 1, 10, g_strdup ("guest vm2, disk x")));
  assert_user (look, 3, "guest vm2, disk x");

  model_add_layer (look->inspection->disks->pdata[1], "/d/vda.1", "qcow2", 11);
  assert_user (look, 2, "disk vdb");

  /* A name that QEMU alone can follow: if it may lead there it does. */
  link = add_link (look->links, "/d/strange", 31, 0);
  link->backing = g_strdup ("json:{\"file\":{\"filename\":\"/d/vda.3\"}}");
  assert_user (look, 0, "/d/strange");
}

/* --- those that cannot be asked --- */

static OtherUses *
others_new (KnownDisk *known, gboolean shut_off)
{
  OtherUses *others = g_new0 (OtherUses, 1);
  UnseenGuest *guest = g_new0 (UnseenGuest, 1);

  others->users = g_ptr_array_new ();
  others->points = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_user_free);
  others->unseen = g_ptr_array_new ();
  guest->guest = g_strdup ("vm2");
  guest->shut_off = shut_off;
  guest->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) known_disk_free);
  g_ptr_array_add (guest->disks, known);
  g_ptr_array_add (others->unseen, guest);
  return others;
}

static void
others_free (OtherUses *others)
{
  UnseenGuest *guest = others->unseen->pdata[0];

  g_free (guest->guest);
  g_ptr_array_unref (guest->disks);
  g_free (guest);
  other_uses_free (others);
}

/* Who needs the file @path by what is known of @others: its words, or NULL. */
static char *
user_of (const char *path, OtherUses *others, const char *published)
{
  g_autoptr (ChainLook) look = make_look ();
  Disk *disk = look->inspection->disks->pdata[0];
  Layer *layer = disk->layers->pdata[3];

  g_free (disk->published);
  disk->published = g_strdup (published);
  layer->facts = scratch_look (path);
  chain_look_add_others (look, others);
  return chain_look_user_of (look, disk, layer);
}

static void
assert_needed (const char *path, OtherUses *others, const char *words)
{
  g_autofree char *user = user_of (path, others, "/elsewhere/disk");

  g_assert_cmpstr (user, ==, words);
}

/* Whatever has become of its headers: what it was seen with, or may read, is left to it. */
static void
test_unseen (Chain *chain, gconstpointer data)
{
  KnownDisk *known;
  OtherUses *others;
  g_autofree char *foreign = NULL;
  g_autofree char *same = NULL;
  g_autofree char *busy = NULL;

  if (chain->folder == NULL)
    return;
  /* It was seen on other files only, and none of its formats is known. */
  foreign = scratch_write (chain->folder, "foreign", "x");
  known = known_chain_disk ("vda", chain->published, foreign, "raw");
  others = others_new (known, TRUE);
  assert_needed (chain->two, others, "guest vm2 (shut off), disk vda");
  assert_needed (chain->one, others, "guest vm2 (shut off), disk vda");
  assert_needed (chain->base, others, "guest vm2 (shut off), disk vda");
  assert_needed (foreign, others, NULL);

  /* It is this guest, which was called otherwise. */
  same = user_of (chain->base, others, chain->published);
  g_assert_cmpstr (same, ==, NULL);
  ((UnseenGuest *) others->unseen->pdata[0])->shut_off = FALSE;
  busy = user_of (chain->base, others, chain->published);
  g_assert_cmpstr (busy, ==, "guest vm2 (no answer), disk vda");

  /* Its headers do not lead on: then what it stood on. */
  known_chain_add (known, chain->base, "raw");
  known_chain_rebase (chain->one, "raw", "json:{\"driver\":\"null-co\"}");
  assert_needed (chain->one, others, "guest vm2 (no answer), disk vda");
  assert_needed (chain->base, others, "guest vm2 (no answer), disk vda");

  /* In a circle. */
  known_chain_rebase (chain->one, "qcow2", "disk.2");
  assert_needed (chain->one, others, "guest vm2 (no answer), disk vda");

  /* Its name is gone, its file is not. */
  known_chain_rebase (chain->one, "raw", "golden.img");
  g_assert_no_errno (g_unlink (chain->published));
  g_free (known->path);
  known->path = g_strdup (chain->one);
  assert_needed (chain->two, others, NULL);
  assert_needed (chain->one, others, "guest vm2 (no answer), disk vda");

  /* All of it is gone: a base that it had is nobody's. */
  g_free (known->path);
  known->path = g_strdup ("/gone");
  assert_needed (chain->base, others, NULL);
  others_free (others);
}

/* A point of another guest, written down when the device had another number. */
static void
test_points_of_others (Chain *chain, gconstpointer data)
{
  OtherUses *others;
  FileFacts facts;

  if (chain->folder == NULL)
    return;
  others = others_new (known_chain_disk ("vda", "/gone", "/gone", "raw"), TRUE);
  facts = scratch_look (chain->base);
  g_ptr_array_add (others->points, layer_user_new (chain->base, facts.dev + 1, facts.ino,
                                                   g_strdup ("guest vm2, point \"p\"")));
  g_ptr_array_add (others->points, layer_user_new (chain->one, facts.dev, facts.ino,
                                                   g_strdup ("guest vm2, point \"q\"")));
  assert_needed (chain->base, others, "guest vm2, point \"p\"");
  assert_needed (chain->one, others, NULL);
  others_free (others);
}

static void
test_points (void)
{
  g_autoptr (ChainLook) look = make_look ();
  Disk *vda = look->inspection->disks->pdata[0];

  for (guint i = 0; i < 2; i++)
    {
      Point *point = point_new ();
      PointDisk *disk = point_add_disk (point);

      disk->disk = g_strdup ("vda");
      disk->path = g_strdup ("/d/vda.2");
      disk->dev = 1;
      disk->ino = 12 + i * 50;
      g_ptr_array_add (look->points, point);
    }
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (GPtrArray) points = chain_look_points_in (look, vda->layers->pdata[i]);

      g_assert_cmpuint (points->len, ==, i == 1 ? 1 : 0);
      if (i == 1)
        g_assert_true (points->pdata[0] == look->points->pdata[0]);
    }
}

static void
add_chain_test (const char *path, void (*test) (Chain *, gconstpointer))
{
  g_test_add (path, Chain, NULL, known_chain_set_up, test, known_chain_tear_down);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add_chain_test ("/look/unseen", test_unseen);
  add_chain_test ("/look/points-of-others", test_points_of_others);
  g_test_add_func ("/look/users", test_users);
  g_test_add_func ("/look/points", test_points);
  return g_test_run ();
}
