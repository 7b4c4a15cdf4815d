/* SPDX-License-Identifier: Apache-2.0 */

/* Names and files: what is done is done wholly, once, and to the right file. */

#include "files-fixture.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <fcntl.h>
#include <unistd.h>

static void
test_look (Fixture       *self,
           gconstpointer  data)
{
  g_autofree char *link = g_build_filename (self->folder, "link", NULL);
  g_autofree char *below = g_build_filename (self->disk, "below", NULL);
  FileFacts facts = { .ino = 5 };

  g_assert_false (files_look (self->layer, &facts, &self->error));
  g_assert_no_error (self->error);
  g_assert_false (files_look (below, &facts, &self->error));
  g_assert_no_error (self->error);
  g_assert_cmpuint (facts.ino, ==, 5);

  g_assert_no_errno (symlink ("disk", link));
  g_assert_true (files_look (link, &facts, &self->error));
  g_assert_cmpuint (facts.ino, ==, self->facts.ino);
  g_assert_cmpuint (facts.dev, ==, self->facts.dev);
  g_assert_cmpuint (facts.size, ==, 4);
  g_assert_cmpint (facts.mtime_ns, >, G_GINT64_CONSTANT (1600000000) * 1000000000);
  g_assert_false (facts.block_device);

  REFUSED ("neither", files_look (self->folder, &facts, &self->error));
}

/* A name more is no birth, nor is what is written; where the file system knows none it is 0. */
static void
test_birth (Fixture       *self,
            gconstpointer  data)
{
  g_autofree char *newer = NULL;
  FileFacts first, facts;
  int fd;

  g_assert_true (files_look (self->disk, &first, &self->error));
  g_assert_true (link_layer (self));
  fd = open (self->layer, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (fd, "?", 1, 0), ==, 1);
  close (fd);
  g_assert_true (files_look (self->disk, &facts, &self->error));
  g_assert_cmpint (facts.born_ns, ==, first.born_ns);
  g_usleep (20000);
  newer = scratch_write (self->folder, "newer", "x");
  g_assert_true (files_look (newer, &facts, &self->error));
  if (facts.born_ns == 0)
    g_test_skip ("the file system knows no birth");
  else
    {
      g_assert_cmpint (facts.born_ns, >, G_GINT64_CONSTANT (1600000000) * 1000000000);
      g_assert_cmpint (facts.born_ns, >, first.born_ns);
    }
}

static void
test_link (Fixture       *self,
           gconstpointer  data)
{
  g_autofree char *other = scratch_write (self->folder, "other", "x");

  g_assert_true (link_layer (self));
  g_assert_cmpuint (scratch_look (self->layer).ino, ==, self->facts.ino);

  /* Again, and again when the old name is another file by now, or gone. */
  g_assert_true (link_layer (self));
  g_assert_no_errno (g_rename (other, self->disk));
  g_assert_true (link_layer (self));
  g_assert_no_errno (g_unlink (self->disk));
  g_assert_true (link_layer (self));
  g_assert_no_error (self->error);
  g_assert_cmpuint (scratch_count (self->folder), ==, 1);
}

static void
test_link_refused (Fixture       *self,
                   gconstpointer  data)
{
  g_autofree char *other = scratch_write (self->folder, "other", "x");
  g_autofree char *link = g_build_filename (self->folder, "link", NULL);
  g_autofree char *far = g_build_filename (self->folder, "no-such-folder", "disk.0", NULL);
  guint64 dev = self->facts.dev, ino = self->facts.ino;

  g_assert_no_errno (symlink ("disk", link));
  REFUSED ("another file", files_link (other, self->layer, dev, ino, &self->error));
  REFUSED ("another file", files_link (self->disk, other, dev, ino, &self->error));
  REFUSED (NULL, files_link (self->disk, self->layer, dev + 1, ino, &self->error));
  REFUSED ("symbolic link", files_link (link, self->layer, dev, ino, &self->error));
  REFUSED ("another file", files_link (self->disk, link, dev, ino, &self->error));
  REFUSED (NULL, files_link (self->folder, self->layer, dev, ino, &self->error));
  REFUSED ("folder", files_link (self->disk, far, dev, ino, &self->error));
  REFUSED (NULL, files_link (self->overlay, self->layer, dev, ino, &self->error));
  g_assert_cmpuint (scratch_look (self->layer).ino, ==, 0);
}

static void
test_publish (Fixture       *self,
              gconstpointer  data)
{
  g_autofree char *overlay = scratch_write (self->folder, "disk.1", "overlay");
  guint64 ino = scratch_look (overlay).ino;

  g_assert_true (files_publish (overlay, self->disk, self->facts.ino, &self->error));
  g_assert_cmpuint (scratch_look (self->disk).ino, ==, ino);
  g_assert_cmpuint (scratch_look (overlay).ino, ==, ino);
  g_assert_true (files_publish (overlay, self->disk, self->facts.ino, &self->error));
  g_assert_true (files_publish (overlay, self->disk, 0, &self->error));
  g_assert_no_error (self->error);
  g_assert_cmpuint (scratch_count (self->folder), ==, 2);

  /* A name that is not there yet. */
  g_assert_no_errno (g_unlink (self->disk));
  g_assert_true (files_publish (overlay, self->disk, 0, &self->error));
  g_assert_cmpuint (scratch_look (self->disk).ino, ==, ino);
  g_assert_cmpuint (scratch_count (self->folder), ==, 2);
}

static void
test_publish_refused (Fixture       *self,
                      gconstpointer  data)
{
  g_autofree char *overlay = scratch_write (self->folder, "disk.1", "overlay");
  g_autofree char *link = g_build_filename (self->folder, "link", NULL);
  guint64 ino = self->facts.ino;

  g_assert_no_errno (symlink ("disk", link));
  REFUSED ("another", files_publish (overlay, self->disk, ino + 1, &self->error));
  REFUSED ("nothing should", files_publish (overlay, self->disk, 0, &self->error));
  REFUSED ("symbolic link", files_publish (overlay, link, ino, &self->error));
  REFUSED ("symbolic link", files_publish (link, self->disk, ino, &self->error));
  REFUSED ("opened", files_publish (self->layer, self->disk, ino, &self->error));
  REFUSED (NULL, files_publish (overlay, self->folder, ino, &self->error));
  g_assert_cmpuint (scratch_look (self->disk).ino, ==, ino);
  g_assert_no_errno (g_unlink (self->disk));
  REFUSED ("last layer", files_publish (overlay, self->disk, ino, &self->error));
  g_assert_cmpuint (scratch_count (self->folder), ==, 2);
}

/* What a crash between link and rename leaves is removed, and nothing that only looks like it. */
static void
test_publish_leftovers (Fixture       *self,
                        gconstpointer  data)
{
  g_autofree char *overlay = scratch_write (self->folder, "disk.1", "overlay");
  g_autofree char *left = g_build_filename (self->folder, ".disk.0123abcd.tmp", NULL);
  g_autofree char *foreign = scratch_write (self->folder, ".disk.99999999.tmp", "not ours");
  g_autofree char *similar = g_build_filename (self->folder, ".disk.xyz.tmp", NULL);

  g_assert_no_errno (link (overlay, left));
  g_assert_no_errno (link (overlay, similar));
  g_assert_true (files_publish (overlay, self->disk, self->facts.ino, &self->error));
  g_assert_cmpuint (scratch_look (left).ino, ==, 0);
  g_assert_cmpuint (scratch_look (foreign).ino, !=, 0);
  g_assert_cmpuint (scratch_look (similar).ino, !=, 0);

  /* The same when the overlay goes instead. */
  g_assert_no_errno (link (overlay, left));
  g_assert_true (files_remove (overlay, self->facts.dev, scratch_look (overlay).ino, &self->error));
  g_assert_cmpuint (scratch_look (left).ino, ==, 0);
  g_assert_cmpuint (scratch_look (overlay).ino, ==, 0);
  g_assert_cmpuint (scratch_look (foreign).ino, !=, 0);
}

static void
test_publish_long_name (Fixture       *self,
                        gconstpointer  data)
{
  g_autofree char *name = g_strnfill (250, 'd');
  g_autofree char *published = scratch_write (self->folder, name, "old");
  g_autofree char *overlay = scratch_write (self->folder, "o", "overlay");

  g_assert_true (files_publish (overlay, published, scratch_look (published).ino, &self->error));
  g_assert_no_error (self->error);
  g_assert_cmpuint (scratch_look (published).ino, ==, scratch_look (overlay).ino);
}

static void
test_remove (Fixture       *self,
             gconstpointer  data)
{
  g_autofree char *nowhere = g_build_filename (self->folder, "gone", "disk.1", NULL);
  guint64 dev = self->facts.dev, ino = self->facts.ino;

  g_assert_true (link_layer (self));
  REFUSED ("another file", files_remove (self->disk, dev, ino + 1, &self->error));
  REFUSED ("another file", files_remove (self->folder, dev, ino, &self->error));
  g_assert_true (files_remove (self->disk, dev, ino, &self->error));
  g_assert_true (files_remove (self->disk, dev, ino, &self->error));
  g_assert_true (files_remove (nowhere, dev, ino, &self->error));
  g_assert_no_error (self->error);
  g_assert_cmpuint (scratch_look (self->disk).ino, ==, 0);
  g_assert_cmpuint (scratch_look (self->layer).ino, ==, ino);
}

static void
test_settle (Fixture       *self,
             gconstpointer  data)
{
  g_assert_true (files_settle (self->disk, &self->error));
  g_assert_no_error (self->error);
  REFUSED ("opened", files_settle (self->overlay, &self->error));
}

static void
test_create (Fixture       *self,
             gconstpointer  data)
{
  g_autoptr (GBytes) contents = make_contents ();
  g_autoptr (GBytes) odd = g_bytes_new_static ("x", 1);
  g_autofree char *text = NULL;
  gsize length;
  FileFacts facts = { 0 };

  g_assert_true (files_create (self->overlay, contents, self->disk, &facts, &self->error));
  g_assert_no_error (self->error);
  g_assert_cmpuint (facts.ino, ==, scratch_look (self->overlay).ino);
  g_assert_cmpuint (facts.size, ==, 1 << 20);
  /* Only what is not zero takes room. */
  g_assert_cmpuint (facts.allocated, <=, 64 * 1024);
  g_assert_true (g_file_get_contents (self->overlay, &text, &length, NULL));
  g_assert_cmpmem (text, length, g_bytes_get_data (contents, NULL), 1 << 20);

  /* Never on top of anything, be it the very same: it may be somebody else's. */
  REFUSED ("File exists", files_create (self->overlay, contents, self->disk, NULL, &self->error));
  REFUSED ("File exists", files_create (self->overlay, odd, self->disk, NULL, &self->error));
  REFUSED (NULL, files_create (self->disk, contents, self->disk, NULL, &self->error));
  g_assert_no_errno (symlink ("disk.1", self->layer));
  REFUSED (NULL, files_create (self->layer, contents, self->disk, NULL, &self->error));
  g_assert_cmpuint (scratch_look (self->disk).size, ==, 4);
}

static void
test_create_like (Fixture       *self,
                  gconstpointer  data)
{
  static const char label[] = "system_u:object_r:svirt_image_t:s0:c1,c2";
  g_autoptr (GBytes) contents = make_contents ();
  g_autofree char *missing = g_build_filename (self->folder, "missing", NULL);
  char found[100] = "";
  gboolean labelled;
  struct stat st;

  REFUSED (NULL, files_create (self->overlay, contents, missing, NULL, &self->error));
  g_assert_cmpuint (scratch_count (self->folder), ==, 1);

  g_assert_no_errno (chmod (self->disk, 0640));
  labelled = setxattr (self->disk, "security.selinux", label, sizeof label, 0) == 0;
  if (getuid () == 0)
    g_assert_no_errno (chown (self->disk, 1234, 5678));
  g_assert_no_errno (stat (self->disk, &st));

  g_assert_true (files_create (self->overlay, contents, self->disk, NULL, &self->error));
  g_assert_no_error (self->error);
  g_assert_no_errno (stat (self->disk, &st));
  g_assert_cmpuint (st.st_mode & 07777, ==, 0640);
  g_assert_no_errno (stat (self->overlay, &st));
  g_assert_cmpuint (st.st_mode & 07777, ==, 0640);
  if (getuid () == 0)
    {
      g_assert_cmpuint (st.st_uid, ==, 1234);
      g_assert_cmpuint (st.st_gid, ==, 5678);
    }
  if (labelled)
    {
      g_assert_cmpint (getxattr (self->overlay, "security.selinux", found, sizeof found),
                       ==, sizeof label);
      g_assert_cmpstr (found, ==, label);
    }
  else
    {
      g_test_message ("no security labels on this file system");
    }
}

/* An access list as the kernel has it: version, then tag, permissions and id of each entry. */
#define ACCESS_LIST "system.posix_acl_access"

static const guint8 access_list[] = {
  2, 0, 0, 0,
  0x01, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,        /* owner rw */
  0x02, 0, 6, 0, 0xd2, 0x04, 0, 0,              /* user 1234 rw */
  0x04, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,        /* group */
  0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,        /* mask */
  0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,        /* others */
};

static void
test_create_access_list (Fixture       *self,
                         gconstpointer  data)
{
  g_autoptr (GBytes) contents = make_contents ();
  guint8 found[100];

  if (setxattr (self->disk, ACCESS_LIST, access_list, sizeof access_list, 0) != 0)
    {
      g_test_skip ("no access lists on this file system");
      return;
    }

  g_assert_true (files_create (self->overlay, contents, self->disk, NULL, &self->error));
  g_assert_cmpint (getxattr (self->overlay, ACCESS_LIST, found, sizeof found),
                   ==, sizeof access_list);
  g_assert_cmpmem (found, sizeof access_list, access_list, sizeof access_list);

  /* The folder's own default does not get through where the disk has none. */
  g_assert_no_errno (removexattr (self->disk, ACCESS_LIST));
  g_assert_no_errno (setxattr (self->folder, "system.posix_acl_default",
                               access_list, sizeof access_list, 0));
  g_assert_true (files_create (self->layer, contents, self->disk, NULL, &self->error));
  g_assert_cmpint (getxattr (self->layer, ACCESS_LIST, found, sizeof found), ==, -1);
  g_assert_cmpint (errno, ==, ENODATA);
}

/* QEMU's locks, one byte each, are seen from any other descriptor. */
static void
test_in_use (Fixture       *self,
             gconstpointer  data)
{
  struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1 };
  gboolean in_use = TRUE;
  int fd = open (self->disk, O_RDWR | O_CLOEXEC);

  g_assert_no_errno (fd);
  g_assert_true (files_in_use (self->disk, &in_use, &self->error));
  g_assert_false (in_use);

  g_assert_no_errno (fcntl (fd, F_OFD_SETLK, &lock));
  g_assert_true (files_in_use (self->disk, &in_use, &self->error));
  g_assert_true (in_use);

  close (fd);
  g_assert_true (files_in_use (self->disk, &in_use, &self->error));
  g_assert_false (in_use);
  g_assert_no_error (self->error);

  REFUSED (NULL, files_in_use (self->layer, &in_use, &self->error));
}

/* While it is held nobody else gets a lock on it, QEMU's way of opening an image among them. */
static void
test_claim (Fixture       *self,
            gconstpointer  data)
{
  FileFacts facts = scratch_look (self->disk);
  gboolean in_use = FALSE;
  int fd = files_claim (self->disk, facts.dev, facts.ino, &self->error);

  g_assert_no_error (self->error);
  g_assert_cmpint (fd, >=, 0);
  g_assert_true (files_in_use (self->disk, &in_use, &self->error));
  g_assert_true (in_use);
  REFUSED ("open", files_claim (self->disk, facts.dev, facts.ino, &self->error) >= 0);
  close (fd);

  fd = files_claim (self->disk, facts.dev, facts.ino, &self->error);
  g_assert_cmpint (fd, >=, 0);
  close (fd);
  REFUSED ("another file",
           files_claim (self->disk, facts.dev, facts.ino + 1, &self->error) >= 0);
}

static void
test_contain (Fixture       *self,
              gconstpointer  data)
{
  g_autoptr (GBytes) contents = make_contents ();
  g_autoptr (GBytes) shorter = g_bytes_new_from_bytes (contents, 0,
                                                       g_bytes_get_size (contents) - 1);
  FileFacts facts;
  int fd;

  g_assert_false (files_contain (self->overlay, contents));
  g_assert_true (files_create (self->overlay, contents, self->disk, &facts, &self->error));
  g_assert_no_error (self->error);
  g_assert_true (files_contain (self->overlay, contents));
  g_assert_false (files_contain (self->overlay, shorter));
  g_assert_false (files_contain (self->folder, contents));

  fd = open (self->overlay, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (fd, "?", 1, 700000), ==, 1);
  close (fd);
  g_assert_false (files_contain (self->overlay, contents));
}

int
main (int    argc,
      char **argv)
{
  g_test_init (&argc, &argv, NULL);

  ADD ("look", test_look, NULL);
  ADD ("birth", test_birth, NULL);
  ADD ("link", test_link, NULL);
  ADD ("link-refused", test_link_refused, NULL);
  ADD ("publish", test_publish, NULL);
  ADD ("publish-refused", test_publish_refused, NULL);
  ADD ("publish-leftovers", test_publish_leftovers, NULL);
  ADD ("publish-long-name", test_publish_long_name, NULL);
  ADD ("remove", test_remove, NULL);
  ADD ("settle", test_settle, NULL);
  ADD ("in-use", test_in_use, NULL);
  ADD ("claim", test_claim, NULL);
  ADD ("contain", test_contain, NULL);
  ADD ("create", test_create, NULL);
  ADD ("create-like", test_create_like, NULL);
  ADD ("create-access-list", test_create_access_list, NULL);

  return g_test_run ();
}
