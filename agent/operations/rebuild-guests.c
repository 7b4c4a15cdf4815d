/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how the disks of all guests stand: by QEMU's graph, or by the headers of a guest that is
 * shut off. */

#include "rebuild-parts.h"

#include "chain/look-offline.h"

static void
rebuild_guest_free (RebuildGuest *self)
{
  g_free (self->id);
  g_clear_object (&self->guest);
  g_clear_pointer (&self->disks, g_ptr_array_unref);
  g_free (self->problem);
  g_ptr_array_unref (self->remarks);
  json_array_unref (self->points);
  json_array_unref (self->lost);
  g_free (self);
}

static RebuildGuest *
find_or_add (GPtrArray *guests, const char *id)
{
  RebuildGuest *guest;

  for (guint i = 0; i < guests->len; i++)
    {
      guest = g_ptr_array_index (guests, i);
      if (g_str_equal (guest->id, id))
        return guest;
    }
  guest = g_new0 (RebuildGuest, 1);
  guest->id = g_strdup (id);
  guest->remarks = g_ptr_array_new_with_free_func (g_free);
  guest->points = json_array_new ();
  guest->lost = json_array_new ();
  g_ptr_array_add (guests, guest);
  return guest;
}

static void
on_id (JournalRow *row, gpointer user_data)
{
  find_or_add (user_data, journal_row_text (row, 0));
}

static void
on_busy (JournalRow *row, gpointer user_data)
{
  RebuildGuest *guest = find_or_add (user_data, journal_row_text (row, 0));

  guest->is_busy = TRUE;
  g_ptr_array_add (guest->remarks,
                   g_strdup_printf ("operation %s (%s) was under way", journal_row_text (row, 1),
                                    journal_row_text (row, 2)));
}

/**
 * rebuild_guests_list:
 * @self: what a journal is made from
 * @error: return location: AGENT_ERROR_INTERNAL
 *
 * Returns: (transfer full) (element-type RebuildGuest): those of the registry, and those that rows
 *   name
 */
GPtrArray *
rebuild_guests_list (Rebuild *self, GError **error)
{
  g_autoptr (GPtrArray) known = guest_registry_list (operations_get_guests (self->operations));
  g_autoptr (GPtrArray) guests = NULL;

  guests = g_ptr_array_new_with_free_func ((GDestroyNotify) rebuild_guest_free);
  for (guint i = 0; i < known->len; i++)
    {
      Guest *guest = g_ptr_array_index (known, i);

      find_or_add (guests, guest_get_id (guest))->guest = g_object_ref (guest);
    }
  if (!journal_read (self->content, on_id, guests, error,
                     "SELECT id FROM guests UNION SELECT guest FROM points"
                     " UNION SELECT guest FROM guest_disks UNION SELECT guest FROM images", "")
      || !journal_read (self->content, on_busy, guests, error,
                        "SELECT guest, id, kind FROM operations"
                        " WHERE state IN ('queued', 'running')", ""))
    return NULL;
  return g_steal_pointer (&guests);
}

/* --- those that are attached --- */

typedef struct
{
  Rebuild *rebuild;             /* (unowned): its owner waits */
  char   **owned;               /* operations that go on by themselves */
  guint    next;
} Round;

static void
round_free (Round *self)
{
  g_strfreev (self->owned);
  g_free (self);
}

static void ask_next (GTask *task);

static RebuildGuest *
current (GTask *task)
{
  Round *round = g_task_get_task_data (task);

  return g_ptr_array_index (round->rebuild->guests, round->next);
}

static void
go_on (GTask *task)
{
  Round *round = g_task_get_task_data (task);

  round->next++;
  ask_next (task);
}

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  RebuildGuest *guest = current (task);
  g_autoptr (Inspection) inspection = NULL;
  g_autoptr (GError) error = NULL;

  inspection = inspect_finish (result, &error);
  if (g_strcmp0 (guest_get_run_state (guest->guest), "paused") == 0)
    g_ptr_array_add (guest->remarks, g_strdup ("its CPUs stand still"));
  if (inspection == NULL)
    guest->problem = g_strdup (error->message);
  else
    guest->disks = g_steal_pointer (&inspection->disks);
  if (inspection != NULL && inspection->migrating)
    guest->is_busy = TRUE;
  go_on (task);
}

static void
on_strays (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  RebuildGuest *guest = current (task);
  g_autoptr (GPtrArray) done = NULL;
  g_autoptr (GError) error = NULL;

  done = rebuild_strays_finish (result, &error);
  if (done == NULL)
    {
      guest->problem = g_strdup (error->message);
      go_on (task);
      return;
    }
  for (guint i = 0; i < done->len; i++)
    {
      g_ptr_array_add (guest->remarks, g_strdup (g_ptr_array_index (done, i)));
      guest->is_busy = TRUE;
    }
  inspect_async (guest->guest, NULL, on_inspected, g_object_ref (task));
}

static void
ask_next (GTask *task)
{
  Round *round = g_task_get_task_data (task);
  GPtrArray *guests = round->rebuild->guests;

  while (round->next < guests->len)
    {
      RebuildGuest *guest = current (task);

      guest->is_attached = guest->guest != NULL && guest_get_client (guest->guest) != NULL;
      if (guest->is_attached)
        {
          rebuild_strays_async (guest->guest, (const char *const *) round->owned, on_strays,
                                g_object_ref (task));
          return;
        }
      /* Its images are locked, or not: the headers' reader looks. */
      if (guest->guest != NULL && guest_last_process_is_alive (guest->guest))
        guest->problem = g_strdup ("its process lives and does not answer");
      round->next++;
    }
  g_task_return_boolean (task, TRUE);
}

static void
on_open (JournalRow *row, gpointer user_data)
{
  g_strv_builder_add (user_data, journal_row_text (row, 0));
}

/**
 * rebuild_guests_async:
 * @self: what a journal is made from, with its guests
 * @callback: called when each has answered or failed to
 * @user_data: for @callback
 *
 * Ends jobs of ours that nobody knows any more, and looks at the disks.
 */
void
rebuild_guests_async (Rebuild *self, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  g_autoptr (GStrvBuilder) owned = g_strv_builder_new ();
  g_autoptr (GError) error = NULL;
  Round *round = g_new0 (Round, 1);

  if (!journal_read (self->content, on_open, owned, &error,
                     "SELECT id FROM operations WHERE state IN ('queued', 'running')", ""))
    g_warning ("%s", error->message);
  round->rebuild = self;
  round->owned = g_strv_builder_end (owned);
  g_task_set_task_data (task, round, (GDestroyNotify) round_free);
  ask_next (task);
}

/**
 * rebuild_guests_finish:
 * @result: the result
 *
 * What has come of it is told of each guest.
 */
void
rebuild_guests_finish (GAsyncResult *result)
{
  g_task_propagate_boolean (G_TASK (result), NULL);
}

/* --- those that are shut off --- */

static void
read_headers (RebuildGuest *guest, GPtrArray *known)
{
  g_autoptr (GPtrArray) disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);

  if (known->len == 0)
    {
      guest->problem = g_strdup ("it is not attached, and its disks are not known");
      return;
    }
  for (guint i = 0; i < known->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (Disk) disk = chain_look_known_disk (g_ptr_array_index (known, i), &error);

      if (disk == NULL || !chain_look_check_unused (disk, &error))
        {
          guest->problem = g_strdup (error->message);
          return;
        }
      g_ptr_array_add (disks, g_steal_pointer (&disk));
    }
  guest->disks = g_steal_pointer (&disks);
}

/**
 * rebuild_guests_read:
 * @self: what a journal is made from, after rebuild_guests_async()
 *
 * Looks at the disks of guests that are shut off.
 */
void
rebuild_guests_read (Rebuild *self)
{
  for (guint i = 0; i < self->guests->len; i++)
    {
      RebuildGuest *guest = g_ptr_array_index (self->guests, i);
      g_autoptr (GError) error = NULL;
      g_autoptr (GPtrArray) known = known_disks_load (self->content, guest->id, &error);

      if (known == NULL)
        guest->problem = guest->problem != NULL ? guest->problem : g_strdup (error->message);
      else if (guest->disks != NULL)
        known_disks_name (known, guest->disks);
      else if (guest->problem == NULL)
        read_headers (guest, known);
    }
}
