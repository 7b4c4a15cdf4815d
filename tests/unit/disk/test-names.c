/* SPDX-License-Identifier: Apache-2.0 */

/* Names on disk: which are layers, which is next, and what people call the disk. */

#include "scratch.h"

#include <disk/names.h>

#include <core/error.h>

#include <fcntl.h>
#include <unistd.h>

static void
test_absolute (void)
{
  static const struct { const char *name; const char *folder; const char *path; } rows[] = {
    { "x", "/a/b", "/a/b/x" },
    { "./x:y", "/a//b/", "/a/b/x:y" },
    { "/a//./x", NULL, "/a/x" },
    { "/x", "/a", "/x" },
    { "a..b/..c", "/a", "/a/a..b/..c" },
    /* /a/b may be a link to anywhere */
    { "../x", "/a/b", "/a/b/../x" },
    { "c/../x", "/a/b", "/a/b/c/../x" },
    { "x", "/a/../b", "/a/../b/x" },
    { "..", "/a/b", "/a/b/.." },
    { "/a/b/../x", NULL, "/a/b/../x" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *path = names_absolute (rows[i].name, rows[i].folder);

      g_assert_cmpstr (path, ==, rows[i].path);
    }
}

static void
test_split (void)
{
  static const struct
  {
    const char *path;
    const char *published;      /* NULL: it is no layer's name */
    guint       number;
  } rows[] = {
    { "/a/disk.0", "/a/disk", 0 },
    { "/a/disk.qcow2.12", "/a/disk.qcow2", 12 },
    { "/a/x.3.0", "/a/x.3", 0 },
    { "disk.999999999", "disk", 999999999 },
    { "/a.1/disk.2", "/a.1/disk", 2 },
    { "/a/..5", "/a/.", 5 },
    { "/a/disk.1000000000", NULL, 0 },
    { "/a/disk.01", NULL, 0 },
    { "/a/disk.00", NULL, 0 },
    { "/a/disk", NULL, 0 },
    { "/a/disk.", NULL, 0 },
    { "/a/disk.1a", NULL, 0 },
    { "/a/disk.-1", NULL, 0 },
    { "/a/disk1", NULL, 0 },
    { "/a/disk.1/", NULL, 0 },
    { "/a.1/disk", NULL, 0 },
    { "/a/.5", NULL, 0 },
    { ".5", NULL, 0 },
    { "5", NULL, 0 },
    { "", NULL, 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *published = NULL;
      guint number = 77;
      gboolean layer = names_split_layer (rows[i].path, &published, &number);

      g_assert_cmpint (layer, ==, rows[i].published != NULL);
      g_assert_cmpstr (published, ==, rows[i].published);
      g_assert_cmpuint (number, ==, layer ? rows[i].number : 77);
      g_assert_cmpint (names_split_layer (rows[i].path, NULL, NULL), ==, layer);
      if (layer)
        {
          g_autofree char *again = names_layer (published, number);

          g_assert_cmpstr (again, ==, rows[i].path);
        }
    }
}

/* "disk:7 disk.0:7 disk.1:8" as entries; the numbers are inodes. */
static GPtrArray *
make_entries (const char *text)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func ((GDestroyNotify) names_entry_free);
  g_auto (GStrv) words = g_strsplit (text, " ", -1);

  for (guint i = 0; words[i] != NULL; i++)
    {
      g_auto (GStrv) parts = g_strsplit (words[i], ":", 2);
      NamesEntry *entry;

      if (parts[0] == NULL)
        continue;
      entry = g_new0 (NamesEntry, 1);
      entry->name = g_strdup (parts[0]);
      entry->dev = 1;
      entry->ino = g_ascii_strtoull (parts[1], NULL, 10);
      g_ptr_array_add (entries, entry);
    }

  return entries;
}

static void
test_choose (void)
{
  static const struct
  {
    const char *published;
    guint64     ino;
    const char *entries;
    const char *layer;
    gboolean    exists;
    const char *overlay;
  } rows[] = {
    /* a virgin disk */
    { "/a/disk", 7, "disk:7", "/a/disk.0", FALSE, "/a/disk.1" },
    { "/a/disk", 7, "", "/a/disk.0", FALSE, "/a/disk.1" },
    /* after the first point, and after the third */
    { "/a/disk", 8, "disk:8 disk.0:7 disk.1:8", "/a/disk.1", TRUE, "/a/disk.2" },
    { "/a/disk", 9, "disk.2:9 disk.0:7 disk:9 disk.1:8", "/a/disk.2", TRUE, "/a/disk.3" },
    /* a link that was made before a crash; an overlay too */
    { "/a/disk", 7, "disk:7 disk.0:7", "/a/disk.0", TRUE, "/a/disk.1" },
    { "/a/disk", 7, "disk:7 disk.0:7 disk.1:8", "/a/disk.0", TRUE, "/a/disk.2" },
    /* others' files take numbers */
    { "/a/disk", 7, "disk:7 disk.4:99", "/a/disk.5", FALSE, "/a/disk.6" },
    { "/a/disk", 7, "disk:7 disk.4:99 disk.2:7", "/a/disk.2", TRUE, "/a/disk.5" },
    /* several names of the same file: the highest */
    { "/a/disk", 7, "disk.9:7 disk.10:7 disk.3:7 disk:7", "/a/disk.10", TRUE, "/a/disk.11" },
    /* no layers of this disk */
    { "/a/disk", 7, "disk:7 other.5:7 disk.x:9 disk.01:9 disk.5.0:9", "/a/disk.0", FALSE,
      "/a/disk.1" },
    /* a name that merely looks like a layer's */
    { "/a/x.3", 7, "x.3:7", "/a/x.3.0", FALSE, "/a/x.3.1" },
    { "/a/x.3", 8, "x.3:8 x.3.0:7 x.3.1:8 x.9:5", "/a/x.3.1", TRUE, "/a/x.3.2" },
    /* the last numbers */
    { "/a/disk", 7, "disk.999999998:9", "/a/disk.999999999", FALSE, "/a/disk.1000000000" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GPtrArray) entries = make_entries (rows[i].entries);
      NamesChoice choice = { 0 };

      names_choose (rows[i].published, 1, rows[i].ino, entries, &choice);
      g_assert_cmpstr (choice.layer, ==, rows[i].layer);
      g_assert_cmpint (choice.layer_exists, ==, rows[i].exists);
      g_assert_cmpstr (choice.overlay, ==, rows[i].overlay);
      names_choice_clear (&choice);
      g_assert_null (choice.layer);
    }
}

/* The same inode on another device is another file. */
static void
test_choose_device (void)
{
  g_autoptr (GPtrArray) entries = make_entries ("disk:7 disk.3:7");
  NamesChoice choice = { 0 };

  names_choose ("/a/disk", 2, 7, entries, &choice);
  g_assert_false (choice.layer_exists);
  g_assert_cmpstr (choice.layer, ==, "/a/disk.4");
  names_choice_clear (&choice);
}

static void
test_published (void)
{
  static const struct
  {
    const char *path;
    guint64     ino;
    const char *entries;
    const char *published;
  } rows[] = {
    { "/a/disk", 7, "disk:7", "/a/disk" },
    { "/a/disk.1", 8, "disk:8 disk.0:7 disk.1:8", "/a/disk" },
    { "/a/disk.qcow2.1", 8, "disk.qcow2:8 disk.qcow2.1:8", "/a/disk.qcow2" },
    { "/a/x.3", 7, "x.3:7", "/a/x.3" },
    { "/a/x.3", 7, "x.3:7 x:8", "/a/x.3" },
    { "/a/x.3.1", 8, "x.3:8 x.3.1:8", "/a/x.3" },
    { "/a/disk.1", 8, "", "/a/disk.1" },
    { "/a/disk.1", 8, "disk.10:8 disk.0:8", "/a/disk.1" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GPtrArray) entries = make_entries (rows[i].entries);
      g_autofree char *published = names_published (rows[i].path, 1, rows[i].ino, entries);

      g_assert_cmpstr (published, ==, rows[i].published);
    }
}

static guint64
find_ino (GPtrArray  *entries,
          const char *name)
{
  for (guint i = 0; i < entries->len; i++)
    {
      const NamesEntry *entry = g_ptr_array_index (entries, i);

      if (g_str_equal (entry->name, name))
        return entry->ino;
    }

  return 0;
}

static void
test_list (void)
{
  char *folder = scratch_new ();
  g_autofree char *disk = scratch_write (folder, "disk", "0");
  g_autofree char *layer = g_build_filename (folder, "disk.0", NULL);
  g_autofree char *link = g_build_filename (folder, "disk.3", NULL);
  g_autofree char *other = scratch_write (folder, "disk2.0", "1");
  g_autofree char *odd = scratch_write (folder, "disk.0.7", "2");
  g_autoptr (GPtrArray) entries = NULL;
  g_autoptr (GPtrArray) of_layer = NULL;
  g_autoptr (GPtrArray) none = NULL;
  g_autoptr (GError) error = NULL;
  NamesChoice choice = { 0 };
  FileFacts facts;

  g_assert_no_errno (linkat (AT_FDCWD, disk, AT_FDCWD, layer, 0));
  g_assert_no_errno (symlink ("disk", link));
  facts = scratch_look (disk);

  entries = names_list (disk, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (entries->len, ==, 3);
  g_assert_cmpuint (find_ino (entries, "disk"), ==, facts.ino);
  g_assert_cmpuint (find_ino (entries, "disk.0"), ==, facts.ino);
  /* A symbolic link takes a name and is no layer. */
  g_assert_cmpuint (find_ino (entries, "disk.3"), !=, 0);
  g_assert_cmpuint (find_ino (entries, "disk.3"), !=, facts.ino);
  names_choose (disk, facts.dev, facts.ino, entries, &choice);
  g_assert_cmpstr (choice.layer, ==, layer);
  g_assert_true (g_str_has_suffix (choice.overlay, "/disk.4"));
  names_choice_clear (&choice);

  /* Asked for a layer, it finds the disk and the layers beside, and what would be layers of the
   * layer. */
  of_layer = names_list (layer, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (of_layer->len, ==, 4);
  g_assert_cmpuint (find_ino (of_layer, "disk"), ==, facts.ino);
  g_assert_cmpuint (find_ino (of_layer, "disk.0.7"), !=, 0);

  none = names_list ("/nowhere/at/all", &error);
  g_assert_null (none);
  g_assert_error (error, AGENT_ERROR, AGENT_ERROR_CONFLICT);

  scratch_remove (folder);
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/names/absolute", test_absolute);
  g_test_add_func ("/names/split", test_split);
  g_test_add_func ("/names/choose", test_choose);
  g_test_add_func ("/names/choose-device", test_choose_device);
  g_test_add_func ("/names/published", test_published);
  g_test_add_func ("/names/list", test_list);

  return g_test_run ();
}
