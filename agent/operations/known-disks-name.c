/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a guest's disks are called as they have always been called, and by which path it is
 * started, after it has moved to files and nodes of other names. */

#include "known-disks.h"

#include <string.h>

/* Below it the path of each device in QEMU's object tree. */
#define MACHINE "/machine/"

static gboolean
leads_to (const char *path, const Layer *layer)
{
  FileFacts facts = { 0 };

  return !layer->facts.block_device && !g_file_test (path, G_FILE_TEST_IS_SYMLINK)
         && files_look (path, &facts, NULL) && file_facts_agree (&facts, &layer->facts);
}

/* --- names of disks --- */

/* Whether the device is where that of the known disk was. Whoever starts the guest anew may put
 * another disk there, and gives that one's node a name. */
static gboolean
is_same_device (const KnownDisk *known, Disk *disk)
{
  if (disk->named_by != DISK_NAMED_BY_FILE)
    return FALSE;
  for (guint i = 0; i < disk->aliases->len; i++)
    {
      const char *alias = g_ptr_array_index (disk->aliases, i);

      if (g_str_has_prefix (alias, MACHINE)
          && g_strv_contains ((const char *const *) known->aliases, alias))
        return TRUE;
    }
  return FALSE;
}

static gboolean
is_started_from (const KnownDisk *known, Disk *disk)
{
  return leads_to (known->published, disk_get_active (disk));
}

/* (nullable): the one that is what @known was, as @judge sees it. */
static Disk *
find_again (const KnownDisk *known, GPtrArray *disks,
            gboolean (*judge) (const KnownDisk *known, Disk *disk))
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      if (disk->named_by != DISK_NAMED_BY_DEVICE && known_disk_is_usable (disk)
          && judge (known, disk))
        return disk;
    }
  return NULL;
}

static Disk *
find_called (GPtrArray *disks, const char *name)
{
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);

      if (g_str_equal (disk->name, name))
        return disk;
    }
  return NULL;
}

static gboolean
is_called_right (GPtrArray *known, Disk *disk)
{
  const KnownDisk *own = known_disks_find (known, disk->name);

  return own != NULL && is_started_from (own, disk);
}

/* Who is called so by chance gets the other's name for it. */
static void
call_as_before (GPtrArray *all, const KnownDisk *known, GPtrArray *disks)
{
  Disk *called = find_called (disks, known->disk);
  Disk *disk = find_again (known, disks, is_started_from);

  if (disk == NULL && called == NULL)
    disk = find_again (known, disks, is_same_device);
  if (disk == NULL || disk == called || is_called_right (all, disk)
      || (called != NULL && called->named_by == DISK_NAMED_BY_DEVICE))
    return;
  if (called != NULL)
    {
      char *name = called->name;

      called->name = disk->name;
      disk->name = name;
    }
  else
    {
      g_free (disk->name);
      disk->name = g_strdup (known->disk);
    }
}

/* --- published names --- */

/* That the name which the guest is started from leads to the file that it has moved to cannot be
 * seen from the file. */
static void
publish_as_before (const KnownDisk *known, Disk *disk)
{
  if (!known_disk_is_usable (disk) || g_str_equal (known->published, disk->published)
      || !leads_to (known->published, disk_get_active (disk)))
    return;
  g_free (disk->published);
  disk->published = g_strdup (known->published);
  if (!g_ptr_array_find_with_equal_func (disk->aliases, known->published, g_str_equal, NULL))
    g_ptr_array_add (disk->aliases, g_strdup (known->published));
}

/**
 * known_disks_name:
 * @known: (element-type KnownDisk): what is known of a guest
 * @disks: (element-type Disk): its disks, with the facts of their files
 *
 * A disk whose device has no id is called after its node, or its file. Moves on its chain bring
 * others; whoever has a name for it, of a request or a point, means the disk. Blocking.
 */
void
known_disks_name (GPtrArray *known, GPtrArray *disks)
{
  for (guint i = 0; i < known->len; i++)
    call_as_before (known, g_ptr_array_index (known, i), disks);
  for (guint i = 0; i < disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (disks, i);
      const KnownDisk *row = known_disks_find (known, disk->name);

      if (row != NULL)
        publish_as_before (row, disk);
    }
}
