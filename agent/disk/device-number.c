/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how long a device's number names a device, and how the file's new one is found. */

#include <disk/device-number.h>

#include <disk/files.h>

/**
 * device_number_dup_boot:
 *
 * Returns: (transfer full) (nullable): what is different after each start of the host
 */
char *
device_number_dup_boot (void)
{
  char *text = NULL;

  return g_file_get_contents ("/proc/sys/kernel/random/boot_id", &text, NULL, NULL)
    ? g_strchomp (text) : NULL;
}

/**
 * device_number_holds:
 * @boot: (nullable): what device_number_dup_boot() said when the numbers were written down
 *
 * Returns: whether the host has not been started since
 */
gboolean
device_number_holds (const char *boot)
{
  g_autofree char *now = device_number_dup_boot ();

  return g_strcmp0 (boot, now) == 0;
}

/**
 * device_number_renew:
 * @dev: (inout): the number of its device as it was written down
 * @path: (nullable): where the file was
 * @ino: its inode; 0: none
 * @born_ns: its birth; 0: not known
 *
 * A file that cannot be looked at, or is another one, leaves @dev as it is: what is done with it
 * then finds another file there.
 */
void
device_number_renew (gint64 *dev, const char *path, gint64 ino, gint64 born_ns)
{
  FileFacts facts = { 0 };

  if (path != NULL && ino != 0 && files_look (path, &facts, NULL) && facts.ino == (guint64) ino
      && (facts.born_ns == born_ns || facts.born_ns == 0 || born_ns == 0))
    *dev = (gint64) facts.dev;
}
