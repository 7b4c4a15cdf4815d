/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a request for a mirror becomes a plan, and what has to be refused before anything is
 * touched. */

#include "mirror.h"

#include <core/error.h>
#include <disk/device-number.h>
#include <disk/names.h>
#include <glib/gstdio.h>
#include <string.h>

#include "../room.h"

static const char *const members[] = {
  "disk", "target", "format", "sync", "end", "copy_mode", "quiesce", "speed", "deadline",
  "on_deadline", "on_error", "allow_path_change", "allow_format_change", NULL
};

static gboolean
check (JsonObject *json, GError **error)
{
  g_autoptr (MirrorRequest) request = mirror_request_parse (json, NULL, error);

  return request != NULL;
}

static GPtrArray *
choose (JsonObject *json, ChainLook *look, GError **error)
{
  g_autoptr (MirrorRequest) request = mirror_request_parse (json, NULL, error);
  Disk *disk = request != NULL ? disks_find (look->inspection->disks, request->disk) : NULL;
  GPtrArray *disks;

  if (disk == NULL)
    {
      if (request != NULL)
        agent_set_error (error, AGENT_ERROR_NOT_FOUND, "ask for the guest's disks to see them",
                         "the guest has no disk \"%s\"", request->disk);
      return NULL;
    }
  disks = g_ptr_array_new ();
  g_ptr_array_add (disks, disk);
  return disks;
}

static const Layer *
layer_below (Disk *disk)
{
  return disk->layers->len > 1 ? g_ptr_array_index (disk->layers, 1) : NULL;
}

/* --- what is refused --- */

/* Whether any layer that is copied is encrypted. */
static gboolean
holds_secrets (Disk *disk, const MirrorRequest *request)
{
  guint n = strcmp (request->sync, "full") == 0 ? disk->layers->len : 1;

  for (guint i = 0; i < n; i++)
    if (((const Layer *) g_ptr_array_index (disk->layers, i))->encrypted)
      return TRUE;
  return FALSE;
}

static gboolean
check_source (Disk *disk, const MirrorRequest *request, GError **error)
{
  const Layer *active = disk_get_active (disk);
  const Layer *below = layer_below (disk);

  if (disk->skipped != NULL || active == NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "name another disk", "disk %s: %s", disk->name,
                     disk->skipped != NULL ? disk->skipped : "it has no layers");
  else if (active->path == NULL || !active->known)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "disk %s: its active layer (node %s, driver %s) is no local file or block "
                     "device that can be seen here", disk->name, active->node, active->driver);
  else if (holds_secrets (disk, request))
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL,
                     "disk %s is encrypted: a copy would hold the guest's data in plain text",
                     disk->name);
  else if (request->pivots && active->linked)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "start the guest from the file itself",
                     "disk %s was opened by a symbolic link to %s, which would go on leading there",
                     disk->name, active->path);
  else if (strcmp (request->sync, "full") != 0 && below != NULL
           && (below->path == NULL || !below->known))
    agent_set_error (error, AGENT_ERROR_CONFLICT, "copy all (sync: full)",
                     "disk %s: the layer below the active one (node %s, driver %s) is no local "
                     "file that a copy could stand on", disk->name, below->node, below->driver);
  else if (request->pivots && !request->allow_format_change
           && strcmp (request->format, active->format) != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "start the guest from the other format from then on, and allow the change "
                     "(allow_format_change)",
                     "disk %s is %s and would become %s: whoever starts it as before would see "
                     "garbage", disk->name, active->format, request->format);
  else
    return TRUE;
  return FALSE;
}

/* As for a first point (snapshot-plan.c): before 9.0 QEMU hangs at the end of a mirror when the
 * device is in an iothread and below a filter. */
static gboolean
check_qemu (const ChainAsk *ask, Disk *disk, const MirrorRequest *request, GError **error)
{
  if (ask->look->offline)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "start it, or copy its image as a file",
                     "the guest is shut off: there is nothing to be copied while it is written to");
  else if (request->pivots && ask->look->inspection->reopen_kills
           && strcmp (disk->root, disk_get_active (disk)->node) != 0)
    agent_set_error (error, AGENT_ERROR_CONFLICT,
                     "end with keep, or start the guest without the filter, without iothreads, or "
                     "with QEMU 9.0 or later",
                     "disk %s: this QEMU has it in an iothread and below a filter (%s), where it "
                     "would hang when the guest moves", disk->name, disk->root);
  else
    return TRUE;
  return FALSE;
}

/* Who has the file @target open, or a point in it; (nullable) (transfer full): for people. */
static char *
user_of (const ChainLook *look, const FileFacts *target)
{
  for (guint i = 0; i < look->inspection->disks->len; i++)
    {
      Disk *disk = g_ptr_array_index (look->inspection->disks, i);

      for (guint j = 0; j < disk->layers->len; j++)
        {
          const Layer *layer = g_ptr_array_index (disk->layers, j);

          if (layer->known && file_facts_agree (target, &layer->facts))
            return g_strdup_printf ("disk %s of this guest", disk->name);
        }
    }
  for (guint i = 0; i < look->users->len; i++)
    {
      const LayerUser *user = g_ptr_array_index (look->users, i);

      if (file_facts_are (target, (gint64) user->dev, (gint64) user->ino))
        return g_strdup (user->who);
    }
  return NULL;
}

static gboolean
check_device (const ChainLook *look, const char *path, const FileFacts *target, gint64 size,
              GError **error)
{
  g_autofree char *user = user_of (look, target);
  gboolean in_use = FALSE;

  if (user != NULL)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "name another device", "%s belongs to %s", path,
                     user);
  else if (!target->block_device)
    agent_set_error (error, AGENT_ERROR_INVALID, "name a new file as \"path\"",
                     "%s is no block device", path);
  else if (target->size < (guint64) size)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "name a larger device",
                     "%s has %" G_GUINT64_FORMAT " bytes, and the disk %" G_GINT64_FORMAT, path,
                     target->size, size);
  else if (!files_device_in_use (path, &in_use, error))
    return FALSE;
  else if (in_use)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "name another device", "%s is in use", path);
  else
    return TRUE;
  return FALSE;
}

/* A few looks at the file system, no more. */
static gboolean
check_target (const ChainAsk *ask, const MirrorRequest *request, MirrorJob *job, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autofree char *folder = NULL;
  FileFacts target = { 0 };
  gboolean is_there;

  if (request->target == MIRROR_TO_NBD)
    return TRUE;
  folder = g_path_get_dirname (request->path);
  is_there = files_look (request->path, &target, &problem);
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (request->target == MIRROR_TO_FILE && !g_file_test (folder, G_FILE_TEST_IS_DIR))
    agent_set_error (error, AGENT_ERROR_CONFLICT, "make it first", "there is no folder %s", folder);
  else if (request->target == MIRROR_TO_FILE && is_there)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "name a new file",
                     "%s is there already, and is not written over", request->path);
  else if (request->target == MIRROR_TO_DEVICE && !is_there)
    agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "there is no device %s", request->path);
  else if (request->target == MIRROR_TO_FILE)
    return TRUE;
  else if (check_device (ask->look, request->path, &target, job->virtual_size, error))
    {
      job->device_size = (gint64) target.size;
      mirror_job_pivot (job)->to_dev = (gint64) target.dev;
      mirror_job_pivot (job)->to_ino = (gint64) target.ino;
      return TRUE;
    }
  return FALSE;
}

static gboolean
is_same_folder (const char *folder, const char *other)
{
  GStatBuf one, two;

  return g_stat (folder, &one) == 0 && g_stat (other, &two) == 0 && one.st_dev == two.st_dev
         && one.st_ino == two.st_ino;
}

/* Whoever merges or removes a layer looks for what stands on it beside it, and where the
 * configuration says. */
static gboolean
is_looked_for (const ChainAsk *ask, const MirrorRequest *request, const Layer *below)
{
  char **more = operations_get_config (ask->operations)->scan_folders;
  g_autofree char *folder = g_path_get_dirname (request->path);
  g_autofree char *beside = g_path_get_dirname (below->path);
  gboolean found = !below->facts.block_device && is_same_folder (folder, beside);

  for (guint i = 0; more != NULL && more[i] != NULL; i++)
    found = found || is_same_folder (folder, more[i]);
  return found && request->target == MIRROR_TO_FILE;
}

/* A copy of a part that is kept is in no chain that we know. */
static gboolean
check_copy (const ChainAsk *ask, Disk *disk, const MirrorRequest *request, GError **error)
{
  const Layer *below = layer_below (disk);

  if (request->pivots || below == NULL || strcmp (request->sync, "full") == 0
      || is_looked_for (ask, request, below))
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "name a file beside it or in one of the scan-folders, or copy all (sync: full)",
                   "disk %s: a copy of a part stands on %s, and would be of no use when that is "
                   "merged or removed: for %s nobody would look then", disk->name, below->path,
                   request->path);
  return FALSE;
}

/* A second name of a file is possible on its own file system alone. */
static gboolean
can_be_published (const MirrorRequest *request, const char *published)
{
  g_autofree char *folder = request->path != NULL ? g_path_get_dirname (request->path) : NULL;
  g_autofree char *beside = g_path_get_dirname (published);
  GStatBuf there, here;

  return request->target == MIRROR_TO_FILE && folder != NULL && g_stat (folder, &there) == 0
         && g_stat (beside, &here) == 0 && there.st_dev == here.st_dev;
}

static gboolean
plan_name (Disk *disk, const MirrorRequest *request, Pivot *pivot, GError **error)
{
  gboolean is_device = disk_get_active (disk)->facts.block_device;

  if (!request->pivots)
    return TRUE;
  pivot->published = is_device ? NULL : g_strdup (disk->published);
  pivot->unpublish = !is_device && !can_be_published (request, pivot->published);
  if ((!is_device && !pivot->unpublish) || request->allow_path_change)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "name a new file on the same file system; or allow the change "
                   "(allow_path_change), and start the guest from the new path from then on",
                   "disk %s: %s cannot become the name of the copy", disk->name, disk->published);
  return FALSE;
}

/* --- the plan --- */

/* Relative where that is right for each name by which the copy may be opened. */
static gboolean
is_beside (const Disk *disk, const MirrorRequest *request, const char *below)
{
  g_autofree char *folder = g_path_get_dirname (below);
  g_autofree char *of_copy = g_path_get_dirname (request->path);
  g_autofree char *of_name = g_path_get_dirname (disk->published);

  return request->target == MIRROR_TO_FILE && strcmp (of_copy, folder) == 0
         && (!request->pivots || strcmp (of_name, folder) == 0);
}

static void
plan_backing (Disk *disk, const MirrorRequest *request, MirrorJob *job)
{
  const Layer *below = layer_below (disk);

  if (below == NULL || strcmp (request->sync, "full") == 0)
    return;
  job->backing_name = is_beside (disk, request, below->path)
    ? names_backing (request->path, below->path) : g_strdup (below->path);
  job->backing_format = g_strdup (below->format);
  job->backing_node = g_strdup (below->node);
}

/* What nobody uses once the guest has moved; of a full copy that is all of the chain. */
static char **
nodes_left (Disk *disk, const MirrorRequest *request)
{
  g_autoptr (GStrvBuilder) names = g_strv_builder_new ();
  guint n = strcmp (request->sync, "full") == 0 ? disk->layers->len : 1;

  for (guint i = 0; i < n; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      g_strv_builder_add (names, layer->node);
      if (strcmp (layer->file_node, layer->node) != 0)
        g_strv_builder_add (names, layer->file_node);
    }
  return g_strv_builder_end (names);
}

static Pivot *
plan_pivot (const ChainAsk *ask, Disk *disk, const MirrorRequest *request, const MirrorJob *job)
{
  const Layer *active = disk_get_active (disk);
  Pivot *pivot = pivot_new ();

  pivot->way = request->pivots ? PIVOT_MIRROR : PIVOT_COPY;
  pivot->disk = g_strdup (disk->name);
  pivot->from_path = g_strdup (active->path);
  pivot->from_dev = (gint64) active->facts.dev;
  pivot->from_ino = (gint64) active->facts.ino;
  pivot->to_path = request->target == MIRROR_TO_NBD ? NULL : g_strdup (request->path);
  pivot->to_node = g_strdup (job->node);
  pivot->job = snapshot_node_name (ask->operation, 0, "-mirror");
  pivot->speed = request->speed;
  pivot->on_error = g_strdup (request->on_error);
  pivot->sync = g_strdup (request->sync);
  pivot->once = strcmp (request->sync, "none") == 0;
  pivot->copy_mode = g_strdup (request->copy_mode);
  return pivot;
}

static MirrorJob *
plan_job (const ChainAsk *ask, Disk *disk, const MirrorRequest *request)
{
  const Layer *active = disk_get_active (disk);
  MirrorJob *job = mirror_job_new ();

  job->disk = g_strdup (disk->name);
  job->target = request->target;
  job->path = g_strdup (request->path);
  job->nbd_host = g_strdup (request->nbd_host);
  job->nbd_port = g_strdup (request->nbd_port);
  job->nbd_export = g_strdup (request->nbd_export);
  job->format = g_strdup (request->format);
  job->like = g_strdup (active->path);
  job->detect_zeroes = g_strdup (active->detect_zeroes);
  job->cache_direct = active->cache_direct;
  job->cache_no_flush = active->cache_no_flush;
  job->virtual_size = active->virtual_size;
  job->node = snapshot_node_name (ask->operation, 0, "");
  job->file_node = snapshot_node_name (ask->operation, 0, "-file");
  job->left_nodes = nodes_left (disk, request);
  job->quiesce_policy = request->quiesce;
  job->boot_id = device_number_dup_boot ();
  job->pivots.peer.pid = guest_get_pid (ask->guest);
  job->pivots.peer.start_time = (gint64) guest_get_start_time (ask->guest);
  job->pivots.deadline_s = request->deadline_s;
  /* The clients of a storage daemon write on whatever we do. */
  job->pivots.late_policy = guest_get_kind (ask->guest) == GUEST_KIND_STORAGE_DAEMON
    ? LATE_LEAVE : request->late_policy;
  plan_backing (disk, request, job);
  g_ptr_array_add (job->pivots.pivots, plan_pivot (ask, disk, request, job));
  return job;
}

/* --- what is told --- */

static gint64
estimate (Disk *disk, const MirrorRequest *request)
{
  guint n = strcmp (request->sync, "full") == 0 ? disk->layers->len
            : strcmp (request->sync, "top") == 0 ? 1 : 0;
  gint64 sum = 0;

  for (guint i = 0; i < n; i++)
    sum += MAX (((Layer *) g_ptr_array_index (disk->layers, i))->allocated, 0);
  return MIN (sum, disk_get_active (disk)->virtual_size);
}

static JsonObject *
summary_of (Disk *disk, const MirrorRequest *request, const MirrorJob *job)
{
  const Pivot *pivot = mirror_job_pivot (job);
  JsonObject *summary = json_object_new ();
  JsonObject *told = json_object_new ();
  JsonArray *disks = json_array_new ();
  gint64 bytes = estimate (disk, request);

  json_object_set_string_member (told, "disk", disk->name);
  json_object_set_string_member (told, "from", pivot->from_path);
  if (request->path != NULL)
    json_object_set_string_member (told, "to", request->path);
  else
    json_object_set_string_member (told, "to", request->nbd_host);
  json_object_set_string_member (told, "format", request->format);
  json_object_set_string_member (told, "sync", request->sync);
  json_object_set_string_member (told, "copy_mode", request->copy_mode);
  json_object_set_string_member (told, "end", request->pivots ? "pivot" : "keep");
  if (job->backing_name != NULL)
    json_object_set_string_member (told, "backing", job->backing_name);
  json_object_set_int_member (told, "bytes", bytes);
  json_array_add_object_element (disks, told);
  json_object_set_array_member (summary, "disks", disks);
  if (request->path != NULL)
    json_object_set_string_member (summary, "target", request->path);
  json_object_set_int_member (summary, "bytes", bytes);
  return summary;
}

static JsonObject *
plan (const ChainAsk *ask, GError **error)
{
  Disk *disk = g_ptr_array_index (ask->disks, 0);
  g_autoptr (MirrorRequest) request = NULL;
  g_autoptr (MirrorJob) job = NULL;
  JsonObject *json;

  request = mirror_request_parse (ask->request, operations_get_config (ask->operations), error);
  if (request == NULL || !check_qemu (ask, disk, request, error)
      || !check_source (disk, request, error))
    return NULL;
  job = plan_job (ask, disk, request);
  if (!check_target (ask, request, job, error) || !check_copy (ask, disk, request, error)
      || !plan_name (disk, request, mirror_job_pivot (job), error))
    return NULL;
  json = json_object_new ();
  json_object_set_object_member (json, "summary", summary_of (disk, request, job));
  mirror_job_save (job, json);
  if (request->target == MIRROR_TO_FILE)
    room_need (json, request->path, MAX (estimate (disk, request),
                                         room_of_overlay (job->virtual_size)));
  return json;
}

const ChainVerb chain_mirror_verb = {
  .kind = "mirror",
  .members = members,
  .check = check,
  .disks = choose,
  .plan = plan,
};
