/* SPDX-License-Identifier: Apache-2.0 */
#include <disk/device-number.h>

#include <string.h>

#include "scratch.h"

/* As it was written down before the host was started again. */
#define OLD 12345

static gint64
renewed (const char *path, gint64 ino, gint64 born_ns)
{
  gint64 dev = OLD;

  device_number_renew (&dev, path, ino, born_ns);
  return dev;
}

static void
test_renew (void)
{
  char *folder = scratch_new ();
  g_autofree char *path = scratch_write (folder, "disk", "data");
  g_autofree char *none = g_build_filename (folder, "none", NULL);
  FileFacts facts;
  gint64 ino;

  g_assert_true (files_look (path, &facts, NULL));
  ino = (gint64) facts.ino;
  g_assert_cmpint (renewed (path, ino, 0), ==, (gint64) facts.dev);
  g_assert_cmpint (renewed (path, ino, facts.born_ns), ==, (gint64) facts.dev);

  /* Another file has the name, or the number, or there is none. */
  g_assert_cmpint (renewed (path, ino + 1, 0), ==, OLD);
  if (facts.born_ns != 0)
    g_assert_cmpint (renewed (path, ino, facts.born_ns + 1), ==, OLD);
  g_assert_cmpint (renewed (none, ino, 0), ==, OLD);
  g_assert_cmpint (renewed (NULL, ino, 0), ==, OLD);
  g_assert_cmpint (renewed (path, 0, 0), ==, OLD);

  scratch_remove (folder);
}

static void
test_boot (void)
{
  g_autofree char *boot = device_number_dup_boot ();

  g_assert_cmpuint (strlen (boot), ==, strlen ("5d2a6a3c-0d5e-4f0b-8f27-0b4f3a1c9f11"));
  g_assert_true (device_number_holds (boot));
  g_assert_false (device_number_holds ("another"));
  g_assert_false (device_number_holds (NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);

  g_test_add_func ("/device-number/renew", test_renew);
  g_test_add_func ("/device-number/boot", test_boot);

  return g_test_run ();
}
