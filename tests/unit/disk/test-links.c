/* SPDX-License-Identifier: Apache-2.0 */

/* Which image stands on which, as headers made by QEMU and by nobody good say it. */

#include "images.h"
#include "scratch.h"

#include <core/error.h>
#include <core/journal.h>
#include <disk/links.h>

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static GPtrArray *
scan (const char *folder,
      const char *other)
{
  const char *folders[] = { folder, other, NULL };
  g_autoptr (GError) error = NULL;
  GPtrArray *links = links_scan (folders, &error);

  g_assert_no_error (error);

  return links;
}

static ImageLink *
find (GPtrArray  *links,
      const char *path)
{
  FileFacts facts = scratch_look (path);
  ImageLink *link = links_find (links, facts.dev, facts.ino);

  g_assert_nonnull (link);

  return link;
}

static void
test_chain (void)
{
  g_autofree char *base = NULL;
  g_autofree char *low = NULL;
  g_autofree char *one = NULL;
  g_autofree char *other = NULL;
  g_autoptr (GPtrArray) links = NULL;
  g_autoptr (GPtrArray) on_low = NULL;
  g_autoptr (GPtrArray) on_one = NULL;
  FileFacts facts;
  ImageLink *link;
  char *folder;

  if (!images_available ())
    return;

  folder = scratch_new ();
  base = scratch_write (folder, "base.img", "no header\n");
  low = images_create (folder, "low", "1M", "base.img", "raw");
  one = images_create (folder, "one", "2M", "low", "qcow2");
  other = images_create (folder, "other", "1M", low, "qcow2");
  images_do ("qemu-img", "snapshot", "-c", "before", other, NULL);
  links = scan (folder, folder);

  g_assert_cmpuint (links->len, ==, 4);
  link = find (links, base);
  g_assert_cmpstr (link->format, ==, "raw");
  g_assert_cmpint (link->virtual_size, ==, 10);
  g_assert_null (link->backing);

  link = find (links, one);
  g_assert_cmpstr (link->format, ==, "qcow2");
  g_assert_cmpstr (link->path, ==, one);
  g_assert_cmpint (link->virtual_size, ==, 2 << 20);
  g_assert_cmpstr (link->backing, ==, low);
  g_assert_cmpstr (link->backing_format, ==, "qcow2");
  g_assert_true (link->backing_known && link->backing_relative && !link->has_snapshots);
  g_assert_true (find (links, other)->has_snapshots);

  facts = scratch_look (low);
  on_low = links_on (links, facts.dev, facts.ino);
  g_assert_cmpuint (on_low->len, ==, 2);
  facts = scratch_look (one);
  on_one = links_on (links, facts.dev, facts.ino);
  g_assert_cmpuint (on_one->len, ==, 0);

  scratch_remove (folder);
}

/* Each file is listed once, by its name for life. */
static void
test_names (void)
{
  char *folder = scratch_new ();
  g_autofree char *disk = scratch_write (folder, "disk", "x");
  g_autofree char *high = g_build_filename (folder, "disk.10", NULL);
  g_autofree char *low = g_build_filename (folder, "disk.9", NULL);
  g_autofree char *temporary = g_build_filename (folder, ".disk.0a1b2c3d.tmp", NULL);
  g_autofree char *soft = g_build_filename (folder, "a-link", NULL);
  g_autoptr (GPtrArray) links = NULL;

  g_assert_no_errno (link (disk, high));
  g_assert_no_errno (link (disk, low));
  g_assert_no_errno (link (disk, temporary));
  g_assert_no_errno (symlink ("disk", soft));
  links = scan (folder, NULL);

  g_assert_cmpuint (links->len, ==, 1);
  g_assert_cmpstr (find (links, disk)->path, ==, low);

  scratch_remove (folder);
}

/* Who closes a journal takes away the locks that this process has on it. */
static void
test_journal (void)
{
  char *folder = scratch_new ();
  g_autofree char *disk = scratch_write (folder, "disk", "x");
  g_autofree char *journal = scratch_write (folder, JOURNAL_FILE, "x");
  g_autofree char *log = scratch_write (folder, JOURNAL_FILE "-wal", "x");
  g_autofree char *index = scratch_write (folder, JOURNAL_FILE "-shm", "x");
  g_autoptr (GPtrArray) links = scan (folder, NULL);

  g_assert_cmpuint (links->len, ==, 1);
  g_assert_cmpstr (find (links, disk)->path, ==, disk);

  scratch_remove (folder);
}

/* A header can say what it likes: nothing that is no local file is looked for. */
static void
test_foreign_backing (void)
{
  static const struct { const char *name; const char *leads_to; gboolean relative; } cases[] = {
    { "json:{\"driver\":\"raw\",\"file.filename\":\"/etc/passwd\"}", NULL, FALSE },
    { "nbd://localhost/x", NULL, FALSE },
    { "fat:rw:/etc", NULL, FALSE },
    { "file:/etc/passwd", "/etc/passwd", FALSE },
    { "./a:b", "a:b", TRUE },
    { "/does/not/exist", "/does/not/exist", FALSE },
  };
  char *folder;

  if (!images_available ())
    return;

  folder = scratch_new ();
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = images_create (folder, "image", "1M", NULL, NULL);
      g_autofree char *expected = cases[i].leads_to == NULL ? g_strdup (cases[i].name)
                                  : g_canonicalize_filename (cases[i].leads_to, folder);
      g_autoptr (GPtrArray) links = NULL;
      ImageLink *link;

      images_do ("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", cases[i].name, path,
                 NULL);
      links = scan (folder, NULL);
      link = find (links, path);
      g_assert_cmpstr (link->backing, ==, expected);
      g_assert_cmpint (link->backing_relative, ==, cases[i].relative);
      g_assert_cmpint (link->backing_known, ==,
                       cases[i].leads_to != NULL
                       && g_file_test (expected, G_FILE_TEST_EXISTS));
    }

  scratch_remove (folder);
}

/* What is beside a link to a folder is not what is above the folder. */
static void
test_above_a_link (void)
{
  char *real;
  char *folder;
  g_autofree char *deep = NULL;
  g_autofree char *images = NULL;
  g_autofree char *base = NULL;
  g_autofree char *decoy = NULL;
  g_autofree char *clone = NULL;
  g_autoptr (GPtrArray) links = NULL;
  FileFacts facts;
  ImageLink *link;

  if (!images_available ())
    return;

  real = scratch_new ();
  folder = scratch_new ();
  deep = g_build_filename (real, "deep", NULL);
  images = g_build_filename (folder, "images", NULL);
  g_assert_no_errno (g_mkdir (deep, 0700));
  g_assert_no_errno (symlink (deep, images));
  base = images_create (real, "golden.img", "1M", NULL, NULL);
  decoy = images_create (folder, "golden.img", "1M", NULL, NULL);
  clone = images_create (images, "clone", "1M", "../golden.img", "qcow2");

  links = scan (images, NULL);
  link = find (links, clone);
  facts = scratch_look (base);
  g_assert_true (link->backing_known);
  g_assert_cmpuint (link->backing_ino, ==, facts.ino);

  g_assert_no_errno (g_remove (clone));
  scratch_remove (folder);
  scratch_remove (real);
}

/* What begins like a qcow2 and is none cannot be opened by anybody: it is left out of a folder, and
 * refused alone. */
static void
test_damaged (void)
{
  char *folder = scratch_new ();
  g_autofree char *path = scratch_write (folder, "bad", "QFI\xfb and no more");
  g_autoptr (GPtrArray) links = scan (folder, NULL);
  g_autoptr (ImageLink) as_raw = NULL;
  g_autoptr (ImageLink) as_qcow2 = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (links->len, ==, 0);

  as_raw = image_link_read (path, "raw", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (as_raw->format, ==, "raw");

  as_qcow2 = image_link_read (path, "qcow2", &error);
  g_assert_null (as_qcow2);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, path));

  scratch_remove (folder);
}

static void
test_no_folder (void)
{
  const char *folders[] = { "/does/not/exist", NULL };
  g_autoptr (GError) error = NULL;

  g_assert_null (links_scan (folders, &error));
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);
  g_assert_nonnull (strstr (error->message, "/does/not/exist"));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/links/chain", test_chain);
  g_test_add_func ("/links/names", test_names);
  g_test_add_func ("/links/journal", test_journal);
  g_test_add_func ("/links/foreign-backing", test_foreign_backing);
  g_test_add_func ("/links/above-a-link", test_above_a_link);
  g_test_add_func ("/links/damaged", test_damaged);
  g_test_add_func ("/links/no-folder", test_no_folder);

  return g_test_run ();
}
