/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which disks a point can be taken of, and what will be done with each: pure functions. */

#include "snapshot-plan.h"

#include <core/error.h>
#include <limits.h>
#include <string.h>

/* FALSE with the reason when no overlay of ours may go on top of @disk. */
static gboolean
check_fit (Disk *disk, const SnapshotRequest *request, GError **error)
{
  Layer *active = disk_get_active (disk);

  if (disk->skipped != NULL || active == NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "name other disks, or none to take all that can be", "disk %s: %s", disk->name,
                     disk->skipped != NULL ? disk->skipped : "it has no layers");
  else if (active->path == NULL || !active->known)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "disk %s: its active layer (node %s, driver %s) is no local file or block "
                     "device that can be seen here", disk->name, active->node, active->driver);
  else if (active->linked)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "start the guest from the file itself",
                     "disk %s was opened by a symbolic link to %s: QEMU would look for the layers "
                     "beside the link", disk->name, active->path);
  else if (active->encrypted)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "take a full copy of it instead",
                     "disk %s is encrypted: an overlay would hold the guest's data in plain text",
                     disk->name);
  else if (strcmp (active->format, "raw") == 0 && !request->allow_format_change)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "start the guest from qcow2 from now on, and allow the change of format "
                     "(allow_format_change)",
                     "disk %s is raw: after a point %s would be a qcow2, and whoever starts it as "
                     "raw would see garbage", disk->name, disk->published);
  else if (strcmp (active->format, "raw") != 0 && strcmp (active->format, "qcow2") != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "convert it to qcow2",
                     "disk %s is in the format %s; points are taken of qcow2 and raw disks",
                     disk->name, active->format);
  else if (active->facts.block_device && request->overlay_folder == NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "name a folder for overlays (overlay_folder); the guest is to be started from "
                     "the overlay there afterwards",
                     "disk %s is the block device %s, beside which no overlay can be made",
                     disk->name, active->path);
  else if (!active->facts.block_device && disk->published == NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "disk %s has no path to start it from",
                     disk->name);
  else
    return TRUE;
  return FALSE;
}

/**
 * snapshot_select:
 * @disks: (element-type Disk): the guest's disks
 * @request: what is asked for
 * @error: return location: AGENT_ERROR_NOT_FOUND for a disk that is not there, AGENT_ERROR_CONFLICT
 *   with
 *   the reason for one of which no point can be taken
 *
 * Returns: (transfer container) (element-type Disk): the disks of the point, one at least
 */
GPtrArray *
snapshot_select (GPtrArray *disks, const SnapshotRequest *request, GError **error)
{
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();

  if (request->disks == NULL)
    {
      for (guint i = 0; i < disks->len; i++)
        {
          Disk *disk = g_ptr_array_index (disks, i);

          if (disk->skipped == NULL && (chosen->len == 0 || !request->first_disk))
            g_ptr_array_add (chosen, disk);
        }
      if (chosen->len == 0)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "the guest has no writable disk");
          return NULL;
        }
    }
  else
    for (guint i = 0; request->disks[i] != NULL; i++)
      {
        Disk *disk = disks_find (disks, request->disks[i]);

        if (disk == NULL)
          {
            agent_set_error (error, AGENT_ERROR_NOT_FOUND, "ask for the guest's disks to see them",
                             "the guest has no disk \"%s\"", request->disks[i]);
            return NULL;
          }
        if (!g_ptr_array_find (chosen, disk, NULL))
          g_ptr_array_add (chosen, disk);
      }

  for (guint i = 0; i < chosen->len; i++)
    if (!check_fit (g_ptr_array_index (chosen, i), request, error))
      return NULL;
  return g_steal_pointer (&chosen);
}

/**
 * snapshot_node_name:
 * @operation: the operation's UUID
 * @index: the disk's place in the operation
 * @suffix: what the node is for
 *
 * Returns: (transfer full): a node name within QEMU's 31 bytes
 */
char *
snapshot_node_name (const char *operation, guint index, const char *suffix)
{
  g_autoptr (GString) digits = g_string_new (NULL);

  for (const char *c = operation; *c != '\0' && digits->len < 12; c++)
    if (g_ascii_isalnum (*c))
      g_string_append_c (digits, *c);
  return g_strdup_printf ("qsnap-%s-%u%s", digits->str, index, suffix);
}

/**
 * snapshot_swap_job:
 * @operation: the operation's UUID
 * @index: the disk's place in the operation
 *
 * Returns: (transfer full): the id of the job
 */
char *
snapshot_swap_job (const char *operation, guint index)
{
  return snapshot_node_name (operation, index, "-swap");
}

/* A name of free text as part of a file name. */
static char *
file_name_part (const char *text)
{
  return g_strcanon (g_strdup (text), G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-", '_');
}

/**
 * snapshot_plan_published:
 * @disk: a disk fit for a point
 * @request: the request, whose overlay folder holds the overlays of block devices
 * @guest: the guest's id
 *
 * Returns: (transfer full): the path that the guest is started from once the point is taken
 */
char *
snapshot_plan_published (Disk *disk, const SnapshotRequest *request, const char *guest)
{
  g_autofree char *guest_part = file_name_part (guest);
  g_autofree char *disk_part = file_name_part (disk->name);
  g_autofree char *file = NULL;

  if (!disk_get_active (disk)->facts.block_device)
    return g_strdup (disk->published);
  file = g_strdup_printf ("%s-%s.qcow2", guest_part, disk_part);
  return g_build_filename (request->overlay_folder, file, NULL);
}

/**
 * disk_leaves_iothread:
 * @disk: a disk
 *
 * Returns: whether its device leaves its iothread when the guest is stopped: virtio-blk alone does,
 *   which QEMU names so
 */
gboolean
disk_leaves_iothread (Disk *disk)
{
  for (guint i = 0; i < disk->aliases->len; i++)
    if (g_str_has_suffix (g_ptr_array_index (disk->aliases, i), "/virtio-backend"))
      return TRUE;
  return FALSE;
}

static gboolean
choose_naming (Disk *disk, const char *layer, const PeerLimits *limits, Naming *naming,
               GError **error)
{
  Layer *active = disk_get_active (disk);

  if (active->facts.block_device || strcmp (active->path, layer) == 0)
    *naming = NAMING_LATER;
  else if (limits->reopen_kills && !disk_leaves_iothread (disk))
    {
      /* Seen on 7.2: with a filter above, the end of the mirror hangs QEMU for good. */
      if (strcmp (disk->root, active->node) != 0)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT,
                           "start the guest without the filter, without iothreads, from "
                           "virtio-blk, or with QEMU 9.0 or later",
                           "disk %s: this QEMU has it in an iothread and below a filter (%s), "
                           "where it would hang or die of a first point", disk->name, disk->root);
          return FALSE;
        }
      *naming = NAMING_SWAP;
    }
  /* A device right on a protocol node has no format node that could be opened again over another
   * file; one with a data file refuses that. */
  else if (limits->reopen_kills || active->auto_named || active->has_data_file
           || strcmp (active->node, active->file_node) == 0)
    *naming = NAMING_STOP;
  else
    *naming = NAMING_ADOPT;
  if (!limits->cannot_stop || !naming_needs_stop (*naming))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "export a format node (qcow2 or raw) that has a name of its own and no data "
                   "file",
                   "disk %s: its first point needs a stop of the guest, which a storage daemon "
                   "cannot do", disk->name);
  return FALSE;
}

static gboolean
check_name (Disk *disk, const char *overlay, GError **error)
{
  g_autofree char *file = g_path_get_basename (overlay);

  if (strlen (file) <= NAME_MAX)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "start the guest from a file with a shorter name",
                   "disk %s: the name of %s leaves no room for the number of a layer", disk->name,
                   disk->published);
  return FALSE;
}

/**
 * snapshot_plan_disk:
 * @disk: a disk fit for a point
 * @index: its place in the operation
 * @entries: (element-type NamesEntry): the names there are beside the published one
 * @request: the request
 * @guest: the guest's id
 * @operation: the operation's id
 * @limits: what this QEMU cannot bear, or cannot do
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: (transfer full): what will be done with the disk
 */
DiskPlan *
snapshot_plan_disk (Disk *disk, guint index, GPtrArray *entries, const SnapshotRequest *request,
                    const char *guest, const char *operation, const PeerLimits *limits,
                    GError **error)
{
  Layer *active = disk_get_active (disk);
  Layer *below = disk->layers->len > 1 ? g_ptr_array_index (disk->layers, 1) : NULL;
  g_autoptr (DiskPlan) self = g_new0 (DiskPlan, 1);
  NamesChoice names = { 0 };

  self->disk = g_strdup (disk->name);
  self->published = snapshot_plan_published (disk, request, guest);
  names_choose (self->published, active->facts.dev, active->facts.ino, entries, &names);
  self->overlay = g_steal_pointer (&names.overlay);
  if (active->facts.block_device)
    {
      self->device_path = g_strdup (active->path);
      self->layer = g_strdup (active->path);
      self->backing_name = g_strdup (active->path);
    }
  else
    {
      /* What QEMU has open by another name than the published one has its name for life: also a
       * base that has come to be the active layer. */
      gboolean has_name = strcmp (active->path, self->published) != 0;

      self->layer = has_name ? g_strdup (active->path) : g_steal_pointer (&names.layer);
      self->link_layer = !has_name && !names.layer_exists;
      self->backing_name = names_backing (self->overlay, self->layer);
    }
  names_choice_clear (&names);
  if (!check_name (disk, self->overlay, error)
      || !choose_naming (disk, self->layer, limits, &self->naming, error))
    return NULL;

  self->root_node = g_strdup (disk->root);
  self->active_path = g_strdup (active->path);
  self->active_node = g_strdup (active->node);
  self->active_file_node = g_strdup (active->file_node);
  self->active_format = g_strdup (active->format);
  self->below_node = below != NULL ? g_strdup (below->node) : NULL;
  self->virtual_size = active->virtual_size;
  self->detect_zeroes = g_strdup (active->detect_zeroes);
  self->cache_direct = active->cache_direct;
  self->cache_no_flush = active->cache_no_flush;
  self->layer_dev = (gint64) active->facts.dev;
  self->layer_ino = (gint64) active->facts.ino;

  self->overlay_node = snapshot_node_name (operation, index, "");
  self->overlay_file_node = snapshot_node_name (operation, index, "-file");
  self->layer_node = snapshot_node_name (operation, index, "-low");
  self->layer_file_node = snapshot_node_name (operation, index, "-lowf");
  self->unlocked_file_node = snapshot_node_name (operation, index, "-tmp");
  return g_steal_pointer (&self);
}
