/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the files say about chains: all that blocks when a chain is looked at. */

#include "look-files.h"

#include "look-offline.h"

typedef struct
{
  ChainLook    *look;
  GPtrArray    *known;          /* (nullable): of KnownDisk */
  OtherUses    *others;
  Config       *config;
} Files;

static void
files_free (Files *self)
{
  g_clear_pointer (&self->known, g_ptr_array_unref);
  other_uses_free (self->others);
  config_unref (self->config);
  g_free (self);
}

/* --- the disks of a guest that is shut off --- */

static gboolean
make_disks (Files *self, GError **error)
{
  Inspection *inspection = g_new0 (Inspection, 1);

  self->look->inspection = inspection;
  inspection->disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  inspection->jobs = g_ptr_array_new_with_free_func ((GDestroyNotify) qmp_job_info_free);
  for (guint i = 0; i < self->known->len; i++)
    {
      Disk *disk = chain_look_known_disk (g_ptr_array_index (self->known, i), error);

      if (disk == NULL)
        return FALSE;
      g_ptr_array_add (inspection->disks, disk);
      if (!chain_look_check_unused (disk, error))
        return FALSE;
    }
  return TRUE;
}

/* Nobody runs the guest; a lock on one of its lower layers is then somebody else's. */
static gboolean
add_lock_holders (Files *self, GError **error)
{
  GPtrArray *disks = self->look->inspection->disks;

  for (guint i = 0; i < disks->len; i++)
    {
      const Disk *disk = g_ptr_array_index (disks, i);

      for (guint n = 1; n < disk->layers->len; n++)
        {
          const Layer *layer = g_ptr_array_index (disk->layers, n);
          gboolean in_use = FALSE;

          if (layer->facts.block_device)
            continue;
          if (!files_in_use (layer->path, &in_use, error))
            return FALSE;
          if (in_use)
            g_ptr_array_add (self->look->users,
                             layer_user_new (layer->path, layer->facts.dev, layer->facts.ino,
                                             g_strdup ("somebody who has it open")));
        }
    }
  return TRUE;
}

/* --- this guest's points --- */

static void
meet_layers (PointDisk *self, GPtrArray *disks)
{
  for (guint i = 0; i < disks->len; i++)
    {
      const Disk *disk = g_ptr_array_index (disks, i);

      for (guint n = 0; n < disk->layers->len; n++)
        {
          const Layer *layer = g_ptr_array_index (disk->layers, n);

          if (layer->known)
            point_disk_meet (self, layer->path, &layer->facts);
        }
    }
}

/**
 * chain_look_meet_points:
 * @look: what was seen, with all its files
 *
 * Whoever looks for the layer of a point by device and inode finds that, or nothing.
 */
void
chain_look_meet_points (ChainLook *look)
{
  for (guint i = 0; i < look->points->len; i++)
    {
      const Point *point = g_ptr_array_index (look->points, i);

      for (guint n = 0; n < point->disks->len; n++)
        {
          PointDisk *disk = g_ptr_array_index (point->disks, n);
          const ImageLink *link;
          FileFacts facts = { 0 };

          if (files_look (disk->path, &facts, NULL) && facts.ino == disk->ino)
            {
              point_disk_meet (disk, disk->path, &facts);
              continue;
            }
          meet_layers (disk, look->inspection->disks);
          link = links_find (look->links, disk->dev, disk->ino);
          if (link != NULL)
            point_disk_meet (disk, link->path, &link->facts);
        }
    }
}

/* --- folders --- */

static void
add_folder_of (GStrvBuilder *folders, const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);

  g_strv_builder_add (folders, folder);
}

static void
add_folders_of_disk (GStrvBuilder *folders, const Disk *disk)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      if (layer->known && !layer->facts.block_device)
        add_folder_of (folders, layer->path);
    }
}

/* A branch may be in another folder than the chain is by now. */
static void
add_folders_of_point (GStrvBuilder *folders, const Point *point)
{
  for (guint i = 0; i < point->disks->len; i++)
    {
      const PointDisk *disk = g_ptr_array_index (point->disks, i);
      FileFacts facts = { 0 };

      if (files_look (disk->path, &facts, NULL) && !facts.block_device)
        add_folder_of (folders, disk->path);
    }
}

static char **
list_folders (Files *self)
{
  g_autoptr (GStrvBuilder) folders = g_strv_builder_new ();
  GPtrArray *disks = self->look->inspection->disks;

  for (guint i = 0; i < disks->len; i++)
    {
      const Disk *disk = g_ptr_array_index (disks, i);

      if (disk->skipped == NULL)
        add_folders_of_disk (folders, disk);
    }
  for (guint i = 0; i < self->look->points->len; i++)
    add_folders_of_point (folders, g_ptr_array_index (self->look->points, i));
  g_strv_builder_addv (folders, (const char **) self->config->scan_folders);
  return g_strv_builder_end (folders);
}

static gboolean
look_at_all (Files *self, GError **error)
{
  g_auto (GStrv) folders = NULL;

  self->look->users = g_steal_pointer (&self->others->users);
  self->others->users = g_ptr_array_new ();
  if (self->known != NULL && (!make_disks (self, error) || !add_lock_holders (self, error)))
    return FALSE;
  chain_look_add_others (self->look, self->others);
  folders = list_folders (self);
  self->look->links = links_scan ((const char *const *) folders, error);
  if (self->look->links == NULL)
    return FALSE;
  chain_look_meet_points (self->look);
  return TRUE;
}

static void
look_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (look_at_all (task_data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/**
 * chain_look_files_async:
 * @look: filled in but for what files tell
 * @known: (nullable): the disks of a guest that is shut off
 * @others: (transfer full): what others were known to need
 * @config: the configuration
 * @callback: called with the result; @look is the caller's again then
 * @user_data: for @callback
 */
void
chain_look_files_async (ChainLook *look, GPtrArray *known, OtherUses *others,
                        const Config *config, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  Files *self = g_new0 (Files, 1);

  self->look = look;
  self->known = known != NULL ? g_ptr_array_ref (known) : NULL;
  self->others = others;
  self->config = config_ref (config);
  g_task_set_task_data (task, self, (GDestroyNotify) files_free);
  g_task_run_in_thread (task, look_in_thread);
}

gboolean
chain_look_files_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
