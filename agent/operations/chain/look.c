/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the chains of a guest are looked at, and who else needs what they are made of. */

#include "look.h"

#include <core/error.h>
#include <string.h>

#include "../guest-errors.h"
#include "../known-disks.h"
#include "look-files.h"
#include "look-others.h"

typedef struct
{
  Operations *operations;
  Guest      *guest;
  GPtrArray  *known;            /* (nullable): of KnownDisk, of a guest that is shut off */
  ChainLook  *look;
} Look;

void
chain_look_free (ChainLook *self)
{
  if (self == NULL)
    return;
  inspection_free (self->inspection);
  g_clear_pointer (&self->points, g_ptr_array_unref);
  g_clear_pointer (&self->links, g_ptr_array_unref);
  g_clear_pointer (&self->users, g_ptr_array_unref);
  g_free (self);
}

static void
look_free (Look *self)
{
  g_object_unref (self->operations);
  g_object_unref (self->guest);
  g_clear_pointer (&self->known, g_ptr_array_unref);
  chain_look_free (self->look);
  g_free (self);
}

static void
fail (GTask *task, GError *error)
{
  Look *self = g_task_get_task_data (task);

  g_prefix_error (&error, "guest %s: ", guest_get_id (self->guest));
  g_task_return_error (task, error);
}

static void
on_files (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!chain_look_files_finish (result, &error))
    fail (task, error);
  /* It may have come back meanwhile, and then its images are not ours. */
  else if (self->look->offline && guest_get_client (self->guest) != NULL)
    fail (task, agent_error_new (AGENT_ERROR_UNAVAILABLE, "try again", "it has just come back"));
  else
    g_task_return_pointer (task, g_steal_pointer (&self->look), (GDestroyNotify) chain_look_free);
}

static void
on_others (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *self = g_task_get_task_data (task);
  g_autoptr (OtherUses) others = NULL;
  GError *error = NULL;

  others = chain_look_others_finish (result, &error);
  if (others == NULL)
    {
      fail (task, error);
      return;
    }
  chain_look_files_async (self->look, self->known, g_steal_pointer (&others),
                          operations_get_config (self->operations), on_files,
                          g_object_ref (task));
}

/* @task: the disks are known, or will be from their files */
static void
look_at_others (GTask *task)
{
  Look *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->look->points = points_list (operations_get_journal (self->operations),
                                    guest_get_id (self->guest), &error);
  if (self->look->points == NULL)
    {
      fail (task, error);
      return;
    }
  chain_look_others_async (self->operations, self->guest, g_task_get_cancellable (task), on_others,
                           g_object_ref (task));
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Look *self = g_task_get_task_data (task);
  GError *error = NULL;

  self->look->inspection = known_disks_inspect_finish (result, &error);
  if (self->look->inspection == NULL)
    g_task_return_error (task, error);
  else
    look_at_others (task);
}

/* FALSE unless it may be shut off, as far as can be seen without its files. */
static gboolean
check_shut_off (Look *self, GError **error)
{
  const GError *reason = guest_get_error (self->guest);

  if (guest_last_process_is_alive (self->guest))
    {
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "try again when its monitor answers",
                       "guest %s is not attached, and its process runs%s%s",
                       guest_get_id (self->guest), reason != NULL ? ": " : "",
                       reason != NULL ? reason->message : "");
      return FALSE;
    }
  self->known = known_disks_load (operations_get_journal (self->operations),
                                  guest_get_id (self->guest), error);
  if (self->known == NULL || self->known->len != 0)
    return self->known != NULL;
  agent_set_error (error, AGENT_ERROR_UNAVAILABLE, "start it once, so that its disks are seen",
                   "guest %s is not attached, and has never been seen with a disk%s%s",
                   guest_get_id (self->guest), reason != NULL ? ": " : "",
                   reason != NULL ? reason->message : "");
  return FALSE;
}

/**
 * chain_look_async:
 * @operations: the operations
 * @guest: a guest, attached or shut off
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Looks at the disks of a guest, at what is in their folders, and at other guests.
 */
void
chain_look_async (Operations *operations, Guest *guest, GCancellable *cancellable,
                  GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Look *self = g_new0 (Look, 1);
  GError *error = NULL;

  self->operations = g_object_ref (operations);
  self->guest = g_object_ref (guest);
  self->look = g_new0 (ChainLook, 1);
  g_task_set_task_data (task, self, (GDestroyNotify) look_free);

  if (guest_get_client (guest) != NULL)
    {
      known_disks_inspect_async (operations, guest, cancellable, on_inspected,
                                 g_object_ref (task));
      return;
    }
  self->look->offline = TRUE;
  if (check_shut_off (self, &error))
    look_at_others (task);
  else
    g_task_return_error (task, error);
}

/**
 * chain_look_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR UNAVAILABLE, CONFLICT, TIMEOUT, GUEST or INTERNAL
 *
 * Returns: (transfer full): what was seen
 */
ChainLook *
chain_look_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* --- what it says --- */

static gboolean
has_file (Disk *disk, guint64 dev, guint64 ino)
{
  for (guint i = 0; i < disk->layers->len; i++)
    {
      const Layer *layer = g_ptr_array_index (disk->layers, i);

      if (layer->known && file_facts_are (&layer->facts, (gint64) dev, (gint64) ino))
        return TRUE;
    }
  return FALSE;
}

static char *
find_image_on (const ChainLook *self, Disk *disk, const Layer *layer)
{
  for (guint i = 0; i < self->links->len; i++)
    {
      const ImageLink *image = g_ptr_array_index (self->links, i);

      if (image_link_may_stand_on (image, layer->path, layer->facts.dev, layer->facts.ino)
          && !has_file (disk, image->facts.dev, image->facts.ino))
        return g_strdup_printf ("the image %s, which stands on it", image->path);
    }
  return NULL;
}

/**
 * chain_look_user_of:
 * @self: what was seen
 * @disk: one of its disks
 * @layer: a layer of that disk
 *
 * Looks for those who need the file besides the chain of @disk itself: an image outside of that
 * chain that stands on it, another disk, another guest, another guest's point. What cannot be seen
 * here (a layer that is no local file) nobody is known to need.
 *
 * Returns: (transfer full) (nullable): who needs it, for people; NULL: nobody
 */
char *
chain_look_user_of (const ChainLook *self, Disk *disk, const Layer *layer)
{
  if (!layer->known)
    return NULL;
  for (guint i = 0; i < self->inspection->disks->len; i++)
    {
      Disk *other = g_ptr_array_index (self->inspection->disks, i);

      if (other != disk && has_file (other, layer->facts.dev, layer->facts.ino))
        return g_strdup_printf ("disk %s of the same guest", other->name);
    }
  for (guint i = 0; i < self->users->len; i++)
    {
      const LayerUser *user = g_ptr_array_index (self->users, i);

      if (file_facts_are (&layer->facts, (gint64) user->dev, (gint64) user->ino))
        return g_strdup (user->who);
    }
  return find_image_on (self, disk, layer);
}

/**
 * chain_look_need_of:
 * @self: what was seen
 * @disk: one of its disks
 * @layer: a layer of that disk
 *
 * Internal snapshots go with their file, and show what is below it where it held nothing itself.
 *
 * Returns: (transfer full) (nullable): who needs the file, and what it stands on, as they are
 */
char *
chain_look_need_of (const ChainLook *self, Disk *disk, const Layer *layer)
{
  const ImageLink *link = layer->known
    ? links_find (self->links, layer->facts.dev, layer->facts.ino) : NULL;

  if (link != NULL && link->has_snapshots && g_strcmp0 (layer->format, "raw") != 0)
    return g_strdup (CHAIN_NEEDED_BY_SNAPSHOTS);
  return chain_look_user_of (self, disk, layer);
}

/**
 * chain_look_points_in:
 * @self: what was seen
 * @layer: a layer
 *
 * Returns: (transfer container) (element-type Point): the guest's points that live in it, oldest
 *   first
 */
GPtrArray *
chain_look_points_in (const ChainLook *self, const Layer *layer)
{
  GPtrArray *found = g_ptr_array_new ();

  for (guint i = 0; layer->known && i < self->points->len; i++)
    if (point_is_in (g_ptr_array_index (self->points, i), layer->path, &layer->facts))
      g_ptr_array_add (found, g_ptr_array_index (self->points, i));
  return found;
}
