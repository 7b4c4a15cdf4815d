/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which disks can be taken back to which layers, and what that means for their chains: pure
 * functions. */

#include "revert-plan.h"

#include <core/error.h>
#include <disk/device-number.h>
#include <string.h>

#include "../request-members.h"
#include "../room.h"
#include "../snapshot-plan.h"

#define NAME_BYTES_MAX 255
#define DEPTH_MAX      1024

static gboolean
check_disk (Disk *disk, gboolean allow_format_change, GError **error)
{
  Layer *active = disk_get_active (disk);

  if (disk->skipped != NULL || active == NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "name other disks", "disk %s: %s", disk->name,
                     disk->skipped != NULL ? disk->skipped : "it has no layers");
  else if (active->path == NULL || !active->known || active->facts.block_device
           || disk->published == NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "disk %s: its active layer (node %s, driver %s) is no local file that can be "
                     "seen here", disk->name, active->node, active->driver);
  else if (active->linked)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "start the guest from the file itself",
                     "disk %s was opened by a symbolic link to %s: its layers are beside that "
                     "file, and whoever starts from the link would not find the new one",
                     disk->name, active->path);
  else if (active->encrypted)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "disk %s is encrypted: an overlay would hold the guest's data in plain text",
                     disk->name);
  else if (strcmp (active->format, "raw") == 0 && !allow_format_change)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "start the guest from qcow2 from now on, and allow the change of format "
                     "(allow-format-change)",
                     "disk %s is raw: %s would become a qcow2, and whoever starts it as raw would "
                     "see garbage", disk->name, disk->published);
  else if (strcmp (active->format, "raw") != 0 && strcmp (active->format, "qcow2") != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "convert it to qcow2",
                     "disk %s is in the format %s", disk->name, active->format);
  else
    return TRUE;
  return FALSE;
}

/* A mirror moves the device while the CPUs stand; as for a first point (snapshot-plan.c), a QEMU
 * before 9.0 hangs at its end when the device stays in an iothread, below a filter. */
static gboolean
check_qemu (const ChainAsk *ask, Disk *disk, GError **error)
{
  const Inspection *inspection = ask->look->inspection;

  if (ask->look->offline)
    return TRUE;
  if (guest_get_kind (ask->guest) == GUEST_KIND_STORAGE_DAEMON)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "stop it, and ask again",
                     "disk %s belongs to a storage daemon, whose clients would write on, from what "
                     "they remember of another disk", disk->name);
  else if (inspection->reopen_kills && !disk_leaves_iothread (disk)
           && strcmp (disk->root, disk_get_active (disk)->node) != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "shut the guest off first, or start it without the filter, without iothreads, "
                     "from virtio-blk, or with QEMU 9.0 or later",
                     "disk %s: this QEMU has it in an iothread and below a filter (%s), where it "
                     "would hang when the disk is moved", disk->name, disk->root);
  else
    return TRUE;
  return FALSE;
}

/**
 * revert_plan_disk:
 * @ask: what is asked for, of whom
 * @disk: one of the guest's disks
 * @index: its place in the operation
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: (transfer full): what will be left behind, and what will be there
 */
RevertDisk *
revert_plan_disk (const ChainAsk *ask, Disk *disk, guint index, GError **error)
{
  const GuestConfig *config = guest_get_config (ask->guest);
  Layer *active = disk_get_active (disk);
  RevertDisk *self;

  if (!check_disk (disk, config->allow_format_change, error) || !check_qemu (ask, disk, error))
    return NULL;
  self = revert_disk_new ();
  self->disk = g_strdup (disk->name);
  self->published = g_strdup (disk->published);
  self->root_node = g_strdup (disk->root);
  self->active_node = g_strdup (active->node);
  self->from_path = g_strdup (active->path);
  self->from_format = g_strdup (active->format);
  self->from_dev = (gint64) active->facts.dev;
  self->from_ino = (gint64) active->facts.ino;
  self->from_size = active->virtual_size;
  self->to_size = active->virtual_size;
  self->detect_zeroes = g_strdup (active->detect_zeroes);
  self->cache_direct = active->cache_direct;
  self->cache_no_flush = active->cache_no_flush;
  self->overlay_node = snapshot_node_name (ask->operation, index, "");
  self->overlay_file_node = snapshot_node_name (ask->operation, index, "-file");
  self->job = snapshot_node_name (ask->operation, index, "-swap");
  return self;
}

/* --- where a disk goes --- */

/* Its place in the chain, or -1. */
static int
find_layer (Disk *disk, guint64 dev, guint64 ino)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      if (layer->known && file_facts_are (&layer->facts, (gint64) dev, (gint64) ino))
        return (int) i;
    }
  return -1;
}

/* The layers above @place of the chain. */
static void
leave_above (RevertDisk *self, Disk *disk, guint place)
{
  for (guint i = 0; i < place; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      g_ptr_array_add (self->leaves,
                       revert_layer_new (layer->path, layer->format, layer->facts.dev,
                                         layer->facts.ino, layer->node, layer->file_node));
    }
}

/**
 * revert_plan_leave_all:
 * @self: a disk that goes to another chain
 * @disk: the disk as it is
 */
void
revert_plan_leave_all (RevertDisk *self, Disk *disk)
{
  leave_above (self, disk, disk->layers->len);
}

/* The chain goes on with what is open already. */
static gboolean
stand_on (RevertDisk *self, Disk *disk, int place, GError **error)
{
  const Layer *layer = g_ptr_array_index (disk->layers, (guint) place);

  if (place == 0)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                       "disk %s: the guest writes to %s, which a layer to go back to stands on",
                       self->disk, layer->path);
      return FALSE;
    }
  if (layer->encrypted)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                       "disk %s: %s is encrypted, and an overlay over it would not be", self->disk,
                       layer->path);
      return FALSE;
    }
  self->base_node = g_strdup (layer->node);
  leave_above (self, disk, (guint) place);
  return TRUE;
}

/* One more that nobody has open; below those that are in the list already. */
static void
open_below (RevertDisk *self, guint index, const char *operation, const ImageLink *link,
            const char *format)
{
  g_autofree char *suffix = g_strdup_printf ("-l%u", self->opens->len);
  g_autofree char *file_suffix = g_strdup_printf ("-l%uf", self->opens->len);
  g_autofree char *node = snapshot_node_name (operation, index, suffix);
  g_autofree char *file_node = snapshot_node_name (operation, index, file_suffix);

  g_ptr_array_insert (self->opens, 0,
                      revert_layer_new (link->path, format, link->facts.dev, link->facts.ino, node,
                                        file_node));
}

/* FALSE when an overlay over @link would show what must not be seen, or not all. */
static gboolean
check_link (const RevertDisk *self, const ImageLink *link, GError **error)
{
  if (!link->encrypted && !link->has_data_file)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "disk %s: %s %s", self->disk, link->path,
                   link->encrypted ? "is encrypted, and an overlay over it would not be"
                                   : "has its data in another file");
  return FALSE;
}

/* FALSE when the header of @link leaves open what it stands on. */
static gboolean
check_backing (const RevertDisk *self, const ImageLink *link, GError **error)
{
  if (!link->backing_known)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "put the file back where it was",
                     "disk %s: %s stands on %s, which is not there", self->disk, link->path,
                     link->backing);
  else if (g_strcmp0 (link->backing_format, "qcow2") != 0
           && g_strcmp0 (link->backing_format, "raw") != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "qemu-img rebase -u with -F writes it there",
                     "disk %s: the header of %s does not say that %s is qcow2, or raw", self->disk,
                     link->path, link->backing);
  else
    return TRUE;
  return FALSE;
}

/* Down from @link, through headers, to what is open already or to the end of the chain. */
static gboolean
open_branch (RevertDisk *self, guint index, const char *operation, const ChainLook *look,
             Disk *disk, const ImageLink *link, const char *format, GError **error)
{
  for (guint depth = 0; depth < DEPTH_MAX; depth++)
    {
      const ImageLink *above = link;
      int place;

      if (!check_link (self, link, error))
        return FALSE;
      open_below (self, index, operation, link, format);
      if (link->backing == NULL || strcmp (format, "raw") == 0)
        {
          revert_plan_leave_all (self, disk);
          return TRUE;
        }
      if (!check_backing (self, link, error))
        return FALSE;
      place = find_layer (disk, above->backing_dev, above->backing_ino);
      if (place >= 0)
        return stand_on (self, disk, place, error);
      format = above->backing_format;
      link = links_find (look->links, above->backing_dev, above->backing_ino);
      if (link == NULL)
        {
          agent_set_error (error, AGENT_ERROR_CONFLICT,
                           "name its folder in the configuration (scan-folders)",
                           "disk %s: %s stands on %s, in a folder that is not looked at",
                           self->disk, above->path, above->backing);
          return FALSE;
        }
    }
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                   "disk %s: the chain below %s does not end after %d layers", self->disk,
                   self->to_path, DEPTH_MAX);
  return FALSE;
}

/**
 * revert_plan_target:
 * @self: the disk's plan
 * @index: its place in the operation
 * @operation: the operation's id
 * @look: how things stand
 * @disk: the disk, of @look
 * @dev: the layer that it goes to
 * @ino: its inode
 * @format: its format
 * @error: return location: AGENT_ERROR_CONFLICT
 *
 * Returns: whether it is known what has to be opened, and what leaves
 */
gboolean
revert_plan_target (RevertDisk *self, guint index, const char *operation, const ChainLook *look,
                    Disk *disk, guint64 dev, guint64 ino, const char *format, GError **error)
{
  int place = find_layer (disk, dev, ino);
  const ImageLink *link = links_find (look->links, dev, ino);
  const Layer *layer = place >= 0 ? g_ptr_array_index (disk->layers, (guint) place) : NULL;

  if (link == NULL && layer == NULL)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "put the file back where it was",
                       "disk %s: the layer that it is to go back to is not there", self->disk);
      return FALSE;
    }
  g_free (self->to_path);
  g_free (self->to_format);
  self->to_path = g_strdup (link != NULL ? link->path : layer->path);
  self->to_format = g_strdup (layer != NULL ? layer->format : format);
  self->to_size = layer != NULL ? layer->virtual_size : link->virtual_size;
  if (layer != NULL)
    return stand_on (self, disk, place, error);
  return open_branch (self, index, operation, look, disk, link, format, error);
}

/* --- what both verbs are asked --- */

gboolean
revert_check_options (JsonObject *request, GError **error)
{
  g_autofree char *name = NULL;
  gboolean flag;

  if (!request_flag (request, "reset", &flag, error)
      || !request_flag (request, "discard", &flag, error)
      || !request_text (request, "name", &name, error))
    return FALSE;
  if (name == NULL || (*name != '\0' && strlen (name) <= NAME_BYTES_MAX))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_INVALID, NULL,
                   "\"name\" is to have 1 to %d bytes of UTF-8", NAME_BYTES_MAX);
  return FALSE;
}

/* "before revert to NAME at TIME", within the length of a name. */
static char *
default_branch (const char *what)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  g_autofree char *time = g_date_time_format (now, " at %Y-%m-%dT%H:%M:%SZ");
  gsize room = NAME_BYTES_MAX - strlen ("before ") - strlen (time);
  const char *end = what + MIN (strlen (what), room);
  g_autofree char *part = NULL;

  /* Not in the midst of a character. */
  while (end > what && ((guchar) *end & 0xc0) == 0x80)
    end--;
  part = g_strndup (what, (gsize) (end - what));
  return g_strconcat ("before ", part, time, NULL);
}

/**
 * revert_plan_begin:
 * @ask: what is asked for
 * @what: what will be done, for the name of what is left behind
 *
 * Returns: (transfer full): a plan without disks
 */
Revert *
revert_plan_begin (const ChainAsk *ask, const char *what)
{
  Revert *self = revert_new ();
  JsonObject *request = ask->request;
  const char *name = json_object_get_string_member_with_default (request, "name", NULL);

  self->offline = ask->look->offline;
  self->reset = json_object_get_boolean_member_with_default (request, "reset", TRUE);
  self->discard = json_object_get_boolean_member_with_default (request, "discard", FALSE);
  self->branch = name != NULL ? g_strdup (name) : default_branch (what);
  self->boot_id = device_number_dup_boot ();
  if (self->offline)
    return self;
  self->was_running = revert_is_to_run (self, guest_get_run_state (ask->guest));
  self->pid = guest_get_pid (ask->guest);
  self->start_time = (gint64) guest_get_start_time (ask->guest);
  return self;
}

void
revert_plan_tell_options (const Revert *self, JsonObject *summary)
{
  json_object_set_boolean_member (summary, "offline", self->offline);
  json_object_set_boolean_member (summary, "reset", self->reset && !self->offline);
  json_object_set_boolean_member (summary, "discard", self->discard);
}

void
revert_plan_room (const Revert *self, JsonObject *plan)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (self->disks, i);

      room_need (plan, disk->published, room_of_overlay (MAX (disk->to_size, disk->from_size)));
    }
}
