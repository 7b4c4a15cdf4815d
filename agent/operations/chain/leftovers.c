/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when a file that has left a chain may go: nobody has it open, no image stands on it, and no
 * point lives in it. */

#include "leftovers.h"

#include <disk/links.h>

static void
add_chain (GPtrArray *open, const Disk *disk)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);
      ChainFile *file;

      if (!layer->known)
        continue;
      file = g_new0 (ChainFile, 1);
      file->path = g_strdup (layer->path);
      file->dev = (gint64) layer->facts.dev;
      file->ino = (gint64) layer->facts.ino;
      g_ptr_array_add (open, file);
    }
}

/**
 * leftovers_new:
 * @operations: the operations
 * @guest: the guest's id
 * @inspection: (nullable): how the guest stands, while it runs
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): no files yet, with what must not go
 */
Leftovers *
leftovers_new (Operations *operations, const char *guest, const Inspection *inspection,
               GError **error)
{
  g_autoptr (GPtrArray) points = points_list (operations_get_journal (operations), guest, error);
  Leftovers *self;

  if (points == NULL)
    return NULL;
  self = g_new0 (Leftovers, 1);
  self->files = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_file_free);
  self->open = g_ptr_array_new_with_free_func ((GDestroyNotify) chain_file_free);
  self->points = g_steal_pointer (&points);
  self->scan_folders = g_strdupv (operations_get_config (operations)->scan_folders);
  self->removed = g_ptr_array_new_with_free_func (g_free);
  self->left = g_ptr_array_new_with_free_func (g_free);
  self->migrating = inspection != NULL && inspection->migrating;
  for (guint i = 0; inspection != NULL && i < inspection->disks->len; i++)
    add_chain (self->open, g_ptr_array_index (inspection->disks, i));
  return self;
}

void
leftovers_free (Leftovers *self)
{
  g_ptr_array_unref (self->files);
  g_ptr_array_unref (self->open);
  g_ptr_array_unref (self->points);
  g_strfreev (self->scan_folders);
  g_ptr_array_unref (self->removed);
  g_ptr_array_unref (self->left);
  g_free (self);
}

void
leftovers_add (Leftovers *self, const ChainFile *file)
{
  g_ptr_array_add (self->files, chain_file_copy (file));
}

/* --- who needs it --- */

static gboolean
is_open (const Leftovers *self, const ChainFile *file)
{
  for (guint i = 0; i < self->open->len; i++)
    {
      const ChainFile *open = g_ptr_array_index (self->open, i);

      if (open->dev == file->dev && open->ino == file->ino)
        return TRUE;
    }
  return FALSE;
}

/* NULL when nobody does. */
static char *
find_need (const Leftovers *self, const ChainFile *file, GPtrArray *links, GError **error)
{
  const ImageLink *own = links_find (links, (guint64) file->dev, (guint64) file->ino);
  const FileFacts facts = chain_file_facts (file);
  const Point *point = points_find_in (self->points, file->path, &facts);
  gboolean in_use = FALSE;

  if (is_open (self, file))
    return g_strdup ("the guest has it in a chain");
  for (guint i = 0; i < links->len; i++)
    {
      const ImageLink *image = g_ptr_array_index (links, i);

      if (image_link_may_stand_on (image, file->path, (guint64) file->dev, (guint64) file->ino))
        return g_strdup_printf ("%s stands on it", image->path);
    }
  if (own != NULL && own->has_snapshots && g_strcmp0 (file->format, "raw") != 0)
    return g_strdup ("it holds internal snapshots");
  if (point != NULL)
    return g_strdup_printf ("the point \"%s\" lives in it", point->name);
  if (!files_in_use (file->path, &in_use, error))
    return NULL;
  return in_use ? g_strdup ("it is still open somewhere") : NULL;
}

/* --- removing --- */

static GPtrArray *
scan (const Leftovers *self, GError **error)
{
  g_autoptr (GHashTable) folders = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree const char **names = NULL;
  FileFacts facts = { 0 };

  for (guint i = 0; i < self->files->len; i++)
    {
      const ChainFile *file = g_ptr_array_index (self->files, i);

      if (files_look (file->path, &facts, NULL))
        g_hash_table_add (folders, g_path_get_dirname (file->path));
    }
  for (guint i = 0; self->scan_folders != NULL && self->scan_folders[i] != NULL; i++)
    g_hash_table_add (folders, g_strdup (self->scan_folders[i]));
  names = (const char **) g_hash_table_get_keys_as_array (folders, NULL);
  return links_scan (names, error);
}

static void
forget_link (GPtrArray *links, const ChainFile *file)
{
  ImageLink *link = links_find (links, (guint64) file->dev, (guint64) file->ino);

  if (link != NULL)
    g_ptr_array_remove (links, link);
}

/* -1 with @error; 1 when it is gone; 0 when it is needed. */
static int
try_one (Leftovers *self, const ChainFile *file, GPtrArray *links, char **need, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts facts = { 0 };

  if (!files_look (file->path, &facts, &problem) || !file_facts_are (&facts, file->dev, file->ino))
    {
      if (problem == NULL)
        return 1;
      g_propagate_error (error, g_steal_pointer (&problem));
      return -1;
    }
  *need = facts.block_device ? g_strdup ("it is a block device")
                             : find_need (self, file, links, &problem);
  if (*need != NULL)
    return 0;
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return -1;
    }
  if (!files_remove (file->path, (guint64) file->dev, (guint64) file->ino, error))
    return -1;
  g_ptr_array_add (self->removed, g_strdup (file->path));
  forget_link (links, file);
  return 1;
}

/* Who stands on them is not known: they stay. That is no reason to hold up who waits. */
static void
leave_all (Leftovers *self, const char *reason)
{
  for (guint i = 0; i < self->files->len; i++)
    {
      const ChainFile *file = g_ptr_array_index (self->files, i);

      g_ptr_array_add (self->left, g_strdup_printf ("%s: %s", file->path, reason));
    }
}

static void
remove_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Leftovers *self = task_data;
  g_autoptr (GPtrArray) links = NULL;
  g_autoptr (GError) problem = NULL;
  GError *error = NULL;
  gboolean again = TRUE;

  if (self->files->len > 0 && !self->migrating)
    links = scan (self, &problem);
  if (problem != NULL)
    g_prefix_error (&problem, "who stands on it is not known: ");
  if (problem != NULL || self->migrating)
    {
      leave_all (self, problem != NULL ? problem->message
                                       : "the guest is being migrated, and has it open there");
      g_task_return_boolean (task, TRUE);
      return;
    }
  /* One that goes may have been what another one was needed for. */
  while (again && error == NULL)
    {
      again = FALSE;
      g_ptr_array_set_size (self->left, 0);
      for (guint i = self->files->len; i-- > 0 && error == NULL;)
        {
          const ChainFile *file = g_ptr_array_index (self->files, i);
          g_autofree char *need = NULL;
          int done = try_one (self, file, links, &need, &error);

          if (done == 0)
            g_ptr_array_add (self->left, g_strdup_printf ("%s: %s", file->path, need));
          else if (done == 1)
            {
              g_ptr_array_remove_index (self->files, i);
              again = TRUE;
            }
        }
    }
  if (error == NULL)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/**
 * leftovers_remove_async:
 * @self: the files; not to be touched until @callback
 * @callback: called with the result
 * @user_data: for @callback
 */
void
leftovers_remove_async (Leftovers *self, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);

  g_task_set_task_data (task, self, NULL);
  g_task_run_in_thread (task, remove_in_thread);
}

/**
 * leftovers_remove_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR INTERNAL, CONFLICT
 *
 * Returns: whether each file has been removed, or was found to be needed
 */
gboolean
leftovers_remove_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
