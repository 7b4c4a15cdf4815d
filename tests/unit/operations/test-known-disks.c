/* SPDX-License-Identifier: Apache-2.0 */

/* What is remembered of disks, and what the files say of a guest that is shut off. */

#include "../disk/images.h"
#include "../disk/scratch.h"
#include "chain/look-offline.h"
#include "known-chain.h"
#include "model.h"
#include "points.h"

#include <core/error.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* --- what is remembered --- */

static Journal *
open_journal (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "journal", NULL);
  g_autoptr (GError) error = NULL;
  Journal *journal = journal_open (path, &error);

  g_assert_no_error (error);
  return journal;
}

static void
save (Journal *journal, GPtrArray *disks)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (known_disks_save (journal, "vm", disks, &error));
  g_assert_no_error (error);
}

static GPtrArray *
load (Journal *journal, const char *guest)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *known = known_disks_load (journal, guest, &error);

  g_assert_no_error (error);
  return known;
}

static GPtrArray *
list_of (Disk *first, Disk *second)
{
  GPtrArray *disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);

  g_ptr_array_add (disks, first);
  if (second != NULL)
    g_ptr_array_add (disks, second);
  return disks;
}

static void
test_remembered (void)
{
  char *folder = scratch_new ();
  g_autoptr (Journal) journal = open_journal (folder);
  g_autoptr (GPtrArray) disks = list_of (model_disk ("a"), model_disk ("b"));
  g_autoptr (GPtrArray) none = list_of (model_disk ("a"), NULL);
  g_autoptr (GPtrArray) known = NULL;
  g_autoptr (GPtrArray) same = NULL;
  g_autoptr (GPtrArray) less = NULL;
  g_autoptr (GPtrArray) others = NULL;
  g_autoptr (GPtrArray) kept = NULL;
  const KnownDisk *disk;
  gint64 seen_us;

  g_ptr_array_add (((Disk *) disks->pdata[0])->aliases, g_strdup ("qsnap-0123456789ab-0"));
  model_add_layer (disks->pdata[0], "/d/a.1", "qcow2", 11)->facts.born_ns = 7;
  model_add_layer (disks->pdata[0], "/d/a.0", "raw", G_MAXUINT64 - 1);
  model_add_layer (disks->pdata[1], "/d/b", "qcow2", 20);
  save (journal, disks);
  known = load (journal, "vm");
  g_assert_cmpuint (known->len, ==, 2);
  disk = known->pdata[0];
  g_assert_cmpstr (disk->disk, ==, "a");
  g_assert_cmpstr (disk->published, ==, "/d/a");
  g_assert_cmpstr (disk->path, ==, "/d/a.1");
  g_assert_cmpstr (disk->format, ==, "qcow2");
  g_assert_cmpint (disk->virtual_size, ==, 1 << 26);
  g_assert_true (g_strv_contains ((const char *const *) disk->aliases, "a"));
  g_assert_cmpuint (disk->layers->len, ==, 2);
  g_assert_cmpstr (known_disk_format_of (disk, 1, 11, 0), ==, "qcow2");
  g_assert_cmpstr (known_disk_format_of (disk, 1, 11, 7), ==, "qcow2");
  g_assert_cmpstr (known_disk_format_of (disk, 2, 11, 7), ==, "qcow2");
  g_assert_cmpstr (known_disk_format_of (disk, 1, G_MAXUINT64 - 1, 7), ==, "raw");
  g_assert_null (known_disk_format_of (disk, 2, 11, 0));
  g_assert_null (known_disk_format_of (disk, 1, 11, 8));
  g_assert_null (known_disk_format_of (disk, 2, G_MAXUINT64 - 1, 7));
  seen_us = disk->seen_us;

  /* Nothing new: nothing is written. */
  save (journal, disks);
  same = load (journal, "vm");
  g_assert_cmpint (((KnownDisk *) same->pdata[0])->seen_us, ==, seen_us);

  /* A disk that the guest has no more, and one without a medium. */
  g_ptr_array_remove_index (disks, 1);
  save (journal, disks);
  less = load (journal, "vm");
  g_assert_cmpuint (less->len, ==, 1);
  others = load (journal, "vm2");
  g_assert_cmpuint (others->len, ==, 0);

  /* A storage daemon that has just been started has none yet. */
  save (journal, none);
  kept = load (journal, "vm");
  g_assert_cmpuint (kept->len, ==, 1);

  g_clear_object (&journal);
  for (guint i = 0; i < 3; i++)
    {
      static const char *const files[] = { "journal", "journal-wal", "journal-shm" };
      g_autofree char *path = g_build_filename (folder, files[i], NULL);

      g_remove (path);
    }
  scratch_remove (folder);
}

/* As QEMU has them, whatever they are called: also when only that is new. */
static void
test_order (void)
{
  g_autofree char *folder = model_folder ();
  g_autoptr (Journal) journal = open_journal (folder);
  g_autoptr (GPtrArray) disks = list_of (model_disk ("b"), model_disk ("a"));
  g_autoptr (GPtrArray) known = NULL;
  g_autoptr (GPtrArray) turned = NULL;
  gpointer first;

  model_add_layer (disks->pdata[0], "/d/b", "qcow2", 11);
  model_add_layer (disks->pdata[1], "/d/a", "qcow2", 12);
  save (journal, disks);
  known = load (journal, "vm");
  g_assert_cmpstr (((KnownDisk *) known->pdata[0])->disk, ==, "b");
  g_assert_cmpstr (((KnownDisk *) known->pdata[1])->disk, ==, "a");

  first = disks->pdata[0];
  disks->pdata[0] = disks->pdata[1];
  disks->pdata[1] = first;
  save (journal, disks);
  turned = load (journal, "vm");
  g_assert_cmpstr (((KnownDisk *) turned->pdata[0])->disk, ==, "a");
  g_assert_cmpstr (((KnownDisk *) turned->pdata[1])->disk, ==, "b");

  g_clear_object (&journal);
  model_remove_folder (folder);
}

static Disk *
real_disk (const char *name, const char *published, const char *path)
{
  Disk *disk = model_disk (name);
  Layer *layer = model_add_layer (disk, path, "qcow2", 0);

  g_free (disk->published);
  disk->published = g_strdup (published);
  g_assert_true (files_look (path, &layer->facts, NULL));
  return disk;
}

/* A guest that was moved onto its base is still started from the name that it always had. */
static void
test_names (void)
{
  char *folder = scratch_new ();
  g_autofree char *base = scratch_write (folder, "golden.img", "x");
  g_autofree char *other = scratch_write (folder, "other.img", "x");
  g_autofree char *published = g_build_filename (folder, "disk", NULL);
  g_autoptr (GPtrArray) disks = list_of (real_disk ("a", base, base),
                                          real_disk ("b", other, other));
  g_autoptr (GPtrArray) known = g_ptr_array_new_with_free_func ((GDestroyNotify) known_disk_free);

  g_assert_no_errno (link (base, published));
  g_ptr_array_add (known, known_chain_disk ("a", published, "/gone", "qcow2"));
  g_ptr_array_add (known, known_chain_disk ("b", published, other, "qcow2"));
  known_disks_name (known, disks);
  g_assert_cmpstr (((Disk *) disks->pdata[0])->published, ==, published);
  g_assert_true (disks_find (disks, published) == disks->pdata[0]);
  /* It leads to another file: then it is nobody's. */
  g_assert_cmpstr (((Disk *) disks->pdata[1])->published, ==, other);

  scratch_remove (folder);
}

static const char *
name_of (GPtrArray *disks, guint index)
{
  return ((Disk *) disks->pdata[index])->name;
}

/* Moves bring files and nodes of other names; a disk that is called after its device has none. */
static void
test_called_as_before (void)
{
  char *folder = scratch_new ();
  g_autofree char *base = scratch_write (folder, "copy", "x");
  g_autofree char *other = scratch_write (folder, "other", "x");
  g_autofree char *published = g_build_filename (folder, "disk", NULL);
  g_autoptr (GPtrArray) disks = list_of (real_disk ("data", other, other),
                                          real_disk ("copy", base, base));
  g_autoptr (GPtrArray) known = g_ptr_array_new_with_free_func ((GDestroyNotify) known_disk_free);

  g_assert_no_errno (link (base, published));
  g_ptr_array_add (known, known_chain_disk ("data", published, "/gone", "qcow2"));
  ((Disk *) disks->pdata[1])->named_by = DISK_NAMED_BY_DEVICE;
  known_disks_name (known, disks);
  g_assert_cmpstr (name_of (disks, 1), ==, "copy");

  ((Disk *) disks->pdata[1])->named_by = DISK_NAMED_BY_FILE;
  known_disks_name (known, disks);
  g_assert_cmpstr (name_of (disks, 0), ==, "copy");
  g_assert_cmpstr (name_of (disks, 1), ==, "data");
  g_assert_cmpstr (((Disk *) disks->pdata[1])->published, ==, published);

  /* Once more, as it is called right. */
  known_disks_name (known, disks);
  g_assert_cmpstr (name_of (disks, 1), ==, "data");

  scratch_remove (folder);
}

/* A device stays where it is, whatever file it goes to; until another node has its name there. */
static void
test_called_after_device (void)
{
  char *folder = scratch_new ();
  g_autofree char *file = scratch_write (folder, "copy", "x");
  g_autoptr (GPtrArray) disks = list_of (real_disk ("copy", file, file), NULL);
  g_autoptr (GPtrArray) known = g_ptr_array_new_with_free_func ((GDestroyNotify) known_disk_free);
  KnownDisk *row = known_chain_disk ("data", "/gone", "/gone", "qcow2");
  Disk *disk = disks->pdata[0];

  g_ptr_array_add (known, row);
  known_disks_name (known, disks);
  g_assert_cmpstr (disk->name, ==, "copy");

  g_strfreev (row->aliases);
  row->aliases = g_strsplit ("data /machine/peripheral-anon/device[1]", " ", 0);
  g_ptr_array_add (disk->aliases, g_strdup ("/machine/peripheral-anon/device[1]"));
  disk->named_by = DISK_NAMED_BY_NODE;
  known_disks_name (known, disks);
  g_assert_cmpstr (disk->name, ==, "copy");
  disk->named_by = DISK_NAMED_BY_FILE;
  known_disks_name (known, disks);
  g_assert_cmpstr (disk->name, ==, "data");
  g_assert_cmpstr (disk->published, ==, file);

  scratch_remove (folder);
}

/* Whoever starts a guest from a point's layer by hand writes into it. */
static void
test_written_to (void)
{
  char *folder = scratch_new ();
  g_autofree char *state = model_folder ();
  g_autofree char *file = scratch_write (folder, "disk.2", "x");
  g_autofree char *other = scratch_write (folder, "disk.1", "x");
  g_autoptr (Journal) journal = open_journal (state);
  g_autoptr (GPtrArray) disks = list_of (real_disk ("a", file, file), NULL);
  g_autoptr (GPtrArray) left = NULL;
  g_autoptr (GError) error = NULL;
  const char *const files[] = { file, other };

  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autoptr (Point) point = point_new ();
      PointDisk *disk = point_add_disk (point);
      FileFacts facts = scratch_look (files[i]);

      point->id = g_strdup (i == 0 ? "written" : "whole");
      point->name = g_strdup (point->id);
      point->operation = g_strdup (point->id);
      disk->disk = g_strdup ("a");
      disk->path = g_strdup (files[i]);
      disk->format = g_strdup ("qcow2");
      disk->dev = (gint64) facts.dev;
      disk->ino = (gint64) facts.ino;
      g_assert_true (points_add (journal, "another", point, &error));
      g_assert_no_error (error);
    }
  save (journal, disks);
  left = points_list (journal, "another", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (left->len, ==, 1);
  g_assert_cmpstr (((Point *) left->pdata[0])->name, ==, "whole");

  g_clear_object (&journal);
  model_remove_folder (state);
  scratch_remove (folder);
}

/* --- shut off --- */

static void
assert_layer (Disk *disk, guint index, const char *path, const char *format)
{
  const Layer *layer;

  g_assert_cmpuint (disk->layers->len, >, index);
  layer = disk->layers->pdata[index];
  g_assert_cmpstr (layer->path, ==, path);
  g_assert_cmpstr (layer->format, ==, format);
  g_assert_true (layer->known);
  g_assert_cmpuint (layer->facts.ino, ==, scratch_look (path).ino);
  g_assert_nonnull (layer->node);
}

/* The host has been started anew. */
static void
renumber_device (KnownDisk *known, gboolean births_known)
{
  for (guint i = 0; i < known->layers->len; i++)
    {
      KnownLayer *layer = known->layers->pdata[i];

      layer->dev++;
      if (!births_known)
        layer->born_ns = 0;
    }
}

static void
assert_refused (const KnownDisk *known, AgentError code, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (Disk) disk = chain_look_known_disk (known, &error);

  g_assert_null (disk);
  g_assert_error (error, AGENT_ERROR, (gint) code);
  g_assert_nonnull (strstr (error->message, words));
  g_assert_nonnull (strstr (error->message, "vda"));
}

static void
test_shut_off (Chain *chain, gconstpointer data)
{
  g_autoptr (KnownDisk) known = NULL;
  g_autoptr (Disk) disk = NULL;
  g_autoptr (GError) error = NULL;

  if (chain->folder == NULL)
    return;
  known = known_chain_disk ("vda", chain->published, chain->two, "qcow2");
  known_chain_add (known, chain->two, "qcow2");
  known_chain_add (known, chain->one, "qcow2");
  known_chain_add (known, chain->base, "raw");
  disk = chain_look_known_disk (known, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (disk->name, ==, "vda");
  g_assert_cmpstr (disk->published, ==, chain->published);
  g_assert_null (disk->skipped);
  g_assert_true (g_ptr_array_find_with_equal_func (disk->aliases, "alias", g_str_equal, NULL));
  g_assert_cmpuint (disk->layers->len, ==, 3);
  assert_layer (disk, 0, chain->two, "qcow2");
  assert_layer (disk, 1, chain->one, "qcow2");
  assert_layer (disk, 2, chain->base, "raw");
  g_assert_cmpint (disk_get_active (disk)->virtual_size, ==, 16 << 20);
  g_assert_true (chain_look_check_unused (disk, &error));
}

static KnownDisk *
load_one (Journal *journal)
{
  g_autoptr (GPtrArray) known = load (journal, "vm");

  g_assert_cmpuint (known->len, ==, 1);
  g_ptr_array_set_free_func (known, NULL);
  return known->pdata[0];
}

/* It was moved, and stands on nothing that the disk was seen to be made of. */
static void
test_moved (Chain *chain, gconstpointer data)
{
  g_autofree char *state = model_folder ();
  g_autoptr (Journal) journal = open_journal (state);
  g_autofree char *left = NULL;
  g_autoptr (GPtrArray) disks = NULL;
  g_autoptr (KnownDisk) before = NULL;
  g_autoptr (KnownDisk) known = NULL;
  g_autoptr (Disk) disk = NULL;
  g_autoptr (GError) error = NULL;
  FileFacts facts;

  if (chain->folder != NULL)
    {
      left = scratch_write (chain->folder, "left", "x");
      disks = list_of (real_disk ("vda", chain->published, left), NULL);
      save (journal, disks);
      before = load_one (journal);
      assert_refused (before, AGENT_ERROR_UNAVAILABLE, "another file");

      facts = scratch_look (chain->two);
      for (guint i = 0; i < 2; i++)
        g_assert_true (known_disks_move (journal, "vm", "vda", chain->two, &facts, &error));
      g_assert_true (known_disks_move (journal, "vm", "never-seen", chain->two, &facts, &error));
      g_assert_no_error (error);
      known = load_one (journal);
      g_assert_cmpuint (known->layers->len, ==, 2);
      disk = chain_look_known_disk (known, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (disk->layers->len, ==, 3);
      assert_layer (disk, 0, chain->two, "qcow2");
      assert_layer (disk, 2, chain->base, "raw");
    }
  g_clear_object (&journal);
  model_remove_folder (state);
}

/* An overlay that was put on top after the last look, named as ours are. */
static void
test_newer_overlay (Chain *chain, gconstpointer data)
{
  g_autoptr (KnownDisk) known = NULL;
  g_autoptr (Disk) disk = NULL;
  g_autoptr (GError) error = NULL;

  if (chain->folder == NULL)
    return;
  known = known_chain_disk ("vda", chain->published, chain->base, "raw");
  known_chain_add (known, chain->base, "raw");
  disk = chain_look_known_disk (known, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (disk->layers->len, ==, 3);
  assert_layer (disk, 0, chain->two, "qcow2");
}

/* The guest runs on a raw file, at whose beginning it has written a header of its own. */
static void
test_forged (Chain *chain, gconstpointer data)
{
  g_autoptr (KnownDisk) known = NULL;
  g_autoptr (KnownDisk) unknown = NULL;
  g_autoptr (Disk) disk = NULL;
  g_autofree char *own = NULL;
  g_autoptr (GError) error = NULL;

  if (chain->folder == NULL)
    return;
  own = images_create (chain->folder, "own", "16M", "disk.1", "qcow2");
  known = known_chain_disk ("vda", own, own, "raw");
  known_chain_add (known, own, "raw");
  disk = chain_look_known_disk (known, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (disk->layers->len, ==, 1);
  assert_layer (disk, 0, own, "raw");

  /* Nobody knows it, and no overlay of ours is called so. */
  unknown = known_chain_disk ("vda", own, chain->one, "qcow2");
  known_chain_add (unknown, chain->one, "qcow2");
  assert_refused (unknown, AGENT_ERROR_UNAVAILABLE, "another file");
}

/* Named as ours are, and standing on nothing that is known. */
static void
test_replaced (Chain *chain, gconstpointer data)
{
  g_autoptr (KnownDisk) known = NULL;
  g_autofree char *other = NULL;

  if (chain->folder == NULL)
    return;
  other = scratch_write (chain->folder, "other", "x");
  known = known_chain_disk ("vda", chain->published, other, "raw");
  known_chain_add (known, other, "raw");
  assert_refused (known, AGENT_ERROR_UNAVAILABLE, "another file");
  g_assert_no_errno (g_unlink (chain->published));
  assert_refused (known, AGENT_ERROR_UNAVAILABLE, "not there");
}

/* The device has got another number: files that were seen are known by their births. */
static void
test_other_device (Chain *chain, gconstpointer data)
{
  g_autoptr (KnownDisk) known = NULL;
  g_autoptr (Disk) disk = NULL;
  g_autoptr (GError) error = NULL;
  FileFacts facts;

  if (chain->folder == NULL)
    return;
  g_assert_true (files_look (chain->base, &facts, NULL));
  g_assert_no_errno (g_unlink (chain->published));
  g_assert_no_errno (link (chain->base, chain->published));
  known = known_chain_disk ("vda", chain->published, chain->base, "raw");
  known_chain_add (known, chain->base, "raw");
  if (facts.born_ns != 0)
    {
      renumber_device (known, TRUE);
      disk = chain_look_known_disk (known, &error);
      g_assert_no_error (error);
      assert_layer (disk, 0, chain->base, "raw");
    }
  renumber_device (known, FALSE);
  assert_refused (known, AGENT_ERROR_UNAVAILABLE, "another file");
}

/* A base that came to be the active layer has a name that is no number. */
static void
test_own_name (Chain *chain, gconstpointer data)
{
  g_autoptr (KnownDisk) known = NULL;
  g_autoptr (Disk) disk = NULL;
  g_autoptr (GError) error = NULL;

  if (chain->folder == NULL)
    return;
  g_assert_no_errno (g_unlink (chain->published));
  g_assert_no_errno (link (chain->base, chain->published));
  known = known_chain_disk ("vda", chain->published, chain->base, "raw");
  known_chain_add (known, chain->base, "raw");
  disk = chain_look_known_disk (known, &error);
  g_assert_no_error (error);
  assert_layer (disk, 0, chain->base, "raw");
  g_assert_cmpuint (disk->layers->len, ==, 1);
}

static void
test_bad_headers (Chain *chain, gconstpointer data)
{
  g_autoptr (KnownDisk) known = NULL;

  if (chain->folder == NULL)
    return;
  known = known_chain_disk ("vda", chain->published, chain->two, "qcow2");
  known_chain_add (known, chain->two, "qcow2");
  known_chain_add (known, chain->base, "raw");

  known_chain_rebase (chain->one, "qcow2", "disk.2");
  assert_refused (known, AGENT_ERROR_CONFLICT, "stands on it");
  known_chain_rebase (chain->one, "qcow2", "golden.img");
  assert_refused (known, AGENT_ERROR_CONFLICT, "was used as raw");
  known_chain_rebase (chain->one, "raw", "json:{\"driver\":\"null-co\"}");
  assert_refused (known, AGENT_ERROR_CONFLICT, "no local file");
  known_chain_rebase (chain->one, "raw", "gone.img");
  assert_refused (known, AGENT_ERROR_CONFLICT, "no local file");
  known_chain_rebase (chain->one, "vmdk", "golden.img");
  assert_refused (known, AGENT_ERROR_CONFLICT, "the format of");
}

static void
test_locked (Chain *chain, gconstpointer data)
{
  g_autoptr (KnownDisk) known = NULL;
  g_autoptr (Disk) disk = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  if (chain->folder == NULL)
    return;
  known = known_chain_disk ("vda", chain->published, chain->two, "qcow2");
  known_chain_add (known, chain->two, "qcow2");
  disk = chain_look_known_disk (known, &error);
  g_assert_no_error (error);
  fd = files_claim (chain->two, scratch_look (chain->two).dev, scratch_look (chain->two).ino,
                    &error);
  g_assert_no_error (error);
  g_assert_false (chain_look_check_unused (disk, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_UNAVAILABLE);
  close (fd);
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
  g_test_add_func ("/known-disks/remembered", test_remembered);
  g_test_add_func ("/known-disks/order", test_order);
  g_test_add_func ("/known-disks/names", test_names);
  g_test_add_func ("/operations/known-disks/called-as-before", test_called_as_before);
  g_test_add_func ("/operations/known-disks/called-after-device", test_called_after_device);
  g_test_add_func ("/operations/known-disks/written-to", test_written_to);
  add_chain_test ("/look-offline/chain", test_shut_off);
  add_chain_test ("/look-offline/moved", test_moved);
  add_chain_test ("/look-offline/newer-overlay", test_newer_overlay);
  add_chain_test ("/look-offline/forged", test_forged);
  add_chain_test ("/look-offline/replaced", test_replaced);
  add_chain_test ("/look-offline/other-device", test_other_device);
  add_chain_test ("/look-offline/own-name", test_own_name);
  add_chain_test ("/look-offline/bad-headers", test_bad_headers);
  add_chain_test ("/look-offline/locked", test_locked);
  return g_test_run ();
}
