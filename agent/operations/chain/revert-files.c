/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a revert needs of files: names for life, the overlays, and the published names. All of
 * it blocks: each step is one trip to a worker thread, which alone touches the plan meanwhile. */

#include "revert-steps.h"

#include <core/error.h>
#include <disk/names.h>
#include <disk/qcow2.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_S ((gint64) 1000 * 1000 * 1000)

typedef struct
{
  Revert     *revert;
  GTask      *step;
  RevertWork  work;
} Call;

static void
work_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Call *call = task_data;
  GError *error = NULL;

  if (call->work (call->revert, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
on_worked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Call *call = g_task_get_task_data (G_TASK (result));
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    revert_step_over (call->revert, call->step, error);
  else
    revert_step_over (call->revert, call->step, NULL);
}

/**
 * revert_work_async:
 * @step: (transfer full): a step
 * @self: its job
 * @work: what blocks
 *
 * Ends @step with what @work has come to.
 */
void
revert_work_async (GTask *step, Revert *self, RevertWork work)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_worked, NULL);
  Call *call = g_new0 (Call, 1);

  call->revert = self;
  call->step = step;
  call->work = work;
  g_task_set_task_data (task, call, g_free);
  g_task_run_in_thread (task, work_in_thread);
}

/* --- names --- */

static char *
next_layer (const char *layer)
{
  g_autofree char *published = NULL;
  guint number;

  return names_split_layer (layer, &published, &number) && number < G_MAXUINT
    ? names_layer (published, number + 1) : NULL;
}

static gboolean
check_name (const RevertDisk *disk, GError **error)
{
  g_autofree char *file = g_path_get_basename (disk->overlay);

  if (strlen (file) <= NAME_MAX)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, "start the guest from a file with a shorter name",
                   "disk %s: the name of %s leaves no room for the number of a layer", disk->disk,
                   disk->published);
  return FALSE;
}

/* What is fetched comes first, the overlay last. */
static gboolean
choose_disk_names (RevertDisk *disk, Restore *restore, const char *operation, GError **error)
{
  g_autoptr (GPtrArray) entries = names_list (disk->published, error);
  NamesChoice names = { 0 };

  if (entries == NULL)
    return FALSE;
  names_choose (disk->published, (guint64) disk->from_dev, (guint64) disk->from_ino, entries,
                &names);
  g_free (disk->from_name);
  disk->from_name = g_steal_pointer (&names.layer);
  disk->link_from = !names.layer_exists;
  g_free (disk->overlay);
  disk->overlay = g_steal_pointer (&names.overlay);
  names_choice_clear (&names);
  for (guint i = 0; restore != NULL && i < restore->images->len; i++)
    {
      RestoreImage *image = g_ptr_array_index (restore->images, i);

      g_free (image->path);
      image->path = g_steal_pointer (&disk->overlay);
      g_free (image->part);
      image->part = g_strdup_printf ("%s.%.8s.part", image->path, operation);
      disk->overlay = next_layer (image->path);
    }
  return check_name (disk, error);
}

static gboolean
choose_names (Revert *self, GError **error)
{
  for (guint i = 0; i < self->disks->len; i++)
    if (!choose_disk_names (g_ptr_array_index (self->disks, i), self->restore,
                            operation_get_id (self->operation), error))
      return FALSE;
  return TRUE;
}

/* They are in the journal before the first of them is used. */
void
revert_choose_names (GTask *step, gpointer job)
{
  revert_work_async (step, job, choose_names);
}

/* --- files --- */

/**
 * revert_overlay_bytes:
 * @disk: a disk that is known where it goes
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full): what its overlay is made with
 */
GBytes *
revert_overlay_bytes (const RevertDisk *disk, GError **error)
{
  g_autofree char *backing = names_backing (disk->overlay, disk->to_path);

  return qcow2_empty_overlay ((guint64) disk->to_size, backing, disk->to_format, error);
}

static gboolean
create_disk_files (RevertDisk *disk, GError **error)
{
  g_autoptr (GBytes) image = revert_overlay_bytes (disk, error);
  FileFacts facts = { 0 };
  g_autoptr (GError) problem = NULL;
  gboolean is_there = disk->link_from && files_look (disk->from_name, &facts, &problem);
  gboolean ok;

  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (image == NULL)
    return FALSE;
  /* Before: a name may have come into being that is not known to be durable. */
  disk->from_linked = disk->link_from && !is_there;
  if (disk->link_from
      && !files_link (disk->from_path, disk->from_name, (guint64) disk->from_dev,
                      (guint64) disk->from_ino, error))
    return FALSE;

  facts = (FileFacts) { 0 };
  ok = files_create (disk->overlay, image, disk->from_name, &facts, error);
  disk->overlay_dev = (gint64) facts.dev;
  disk->overlay_ino = (gint64) facts.ino;
  return ok;
}

static gboolean
create_files (Revert *self, GError **error)
{
  for (guint i = 0; i < self->disks->len; i++)
    if (!create_disk_files (g_ptr_array_index (self->disks, i), error))
      return FALSE;
  return TRUE;
}

void
revert_create_files (GTask *step, gpointer job)
{
  revert_work_async (step, job, create_files);
}

/* --- published names --- */

static gboolean
publish_disk (const RevertDisk *disk, GError **error)
{
  return files_publish (disk->overlay, disk->published, (guint64) disk->from_ino, error);
}

/* All, or none: what has been moved goes back when another cannot be. Where that fails too,
 * "finish" or a restart finds it and goes on. */
static gboolean
publish_all (Revert *self, GError **error)
{
  guint moved;

  for (moved = 0; moved < self->disks->len; moved++)
    if (!publish_disk (g_ptr_array_index (self->disks, moved), error))
      break;
  self->published = moved == self->disks->len;
  /* The one that has failed may have moved, too, and not durably. */
  for (guint i = 0; !self->published && i <= moved; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (self->disks, i);
      g_autoptr (GError) problem = NULL;

      if (!files_publish (disk->from_name, disk->published, (guint64) disk->overlay_ino, &problem))
        g_warning ("disk %s: %s", disk->disk, problem->message);
    }
  return self->published;
}

static gboolean
is_published (const RevertDisk *disk)
{
  FileFacts facts = { 0 };

  return files_look (disk->published, &facts, NULL)
         && file_facts_are (&facts, disk->overlay_dev, disk->overlay_ino);
}

static void
close_claim (gpointer fd)
{
  close (*(int *) fd);
}

/* They are given up with it. */
static GArray *
claims_new (void)
{
  GArray *claims = g_array_new (FALSE, FALSE, sizeof (int));

  g_array_set_clear_func (claims, close_claim);
  return claims;
}

/* Of a guest that is off: nobody can start it from what is left behind while the names move. By the
 * names that lead to it: those for life may be gone. */
static gboolean
claim_left (const Revert *self, GArray *claims, GError **error)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (self->disks, i);
      int fd;

      if (is_published (disk))
        continue;
      fd = files_claim (disk->published, (guint64) disk->from_dev, (guint64) disk->from_ino, error);
      if (fd < 0)
        return FALSE;
      g_array_append_val (claims, fd);
    }
  return TRUE;
}

/* When the first name moved: what it led to has a name less since. G_MAXINT64 if nobody can tell. */
static gint64
find_move_ns (const Revert *self)
{
  gint64 moved_ns = G_MAXINT64;

  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (self->disks, i);
      struct stat st;

      if (is_published (disk) && lstat (disk->from_name, &st) == 0
          && st.st_dev == (guint64) disk->from_dev && st.st_ino == (guint64) disk->from_ino)
        moved_ns = MIN (moved_ns, st.st_ctim.tv_sec * NS_PER_S + st.st_ctim.tv_nsec);
    }
  return moved_ns;
}

/* The CPUs stood when the first name moved: what was written since was written by a guest that came
 * later, and has gone again. */
static gboolean
check_unwritten (Revert *self, GError **error)
{
  gint64 moved_ns = find_move_ns (self);

  for (guint i = 0; i < self->disks->len; i++)
    {
      const RevertDisk *disk = g_ptr_array_index (self->disks, i);
      FileFacts facts = { 0 };

      if (!is_published (disk) && files_look (disk->published, &facts, NULL)
          && facts.mtime_ns > moved_ns)
        self->given_up = TRUE;
    }
  if (self->given_up)
    agent_set_error (error, AGENT_ERROR_CONFLICT, "ask for it again", "%s", REVERT_GIVEN_UP);
  return !self->given_up;
}

static gboolean
publish (Revert *self, GError **error)
{
  g_autoptr (GArray) claims = claims_new ();

  if (!self->offline)
    return publish_all (self, error);
  if (!claim_left (self, claims, error) || !check_unwritten (self, error)
      || !publish_all (self, error))
    return FALSE;
  self->switched_us = g_get_real_time ();
  return TRUE;
}

/**
 * revert_publish_rest:
 * @self: a job of which some disk has moved
 * @error: return location: AGENT_ERROR_UNAVAILABLE while somebody has a file open that is to be
 *   left behind; CONFLICT when it was given up; CONFLICT, INTERNAL
 *
 * That the guest's process has ended does not say that nobody has started it anew: from names of
 * which some have moved and some have not. These stay then.
 *
 * Returns: whether all published names lead to their overlays
 */
gboolean
revert_publish_rest (Revert *self, GError **error)
{
  g_autoptr (GArray) claims = claims_new ();
  gboolean is_gone = self->guest_state == REVERT_GUEST_GONE;
  g_autoptr (GError) problem = NULL;

  if (is_gone && !claim_left (self, claims, &problem))
    {
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE,
                       "attach the guest if it was started; it is tried again",
                       "some disks are moved, and the others cannot be: %s", problem->message);
      return FALSE;
    }
  if (is_gone && !check_unwritten (self, error))
    return FALSE;
  for (guint i = 0; i < self->disks->len; i++)
    if (!publish_disk (g_ptr_array_index (self->disks, i), error))
      return FALSE;
  return TRUE;
}

void
revert_publish (GTask *step, gpointer job)
{
  revert_work_async (step, job, publish);
}
