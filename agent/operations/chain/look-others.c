/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what other guests are known to need. */

#include "look-others.h"

#include "../known-disks.h"

#define ANSWER_S 3u

typedef struct
{
  OtherUses    *uses;
  Journal      *journal;
  GHashTable   *asked;          /* of char *: guests' ids */
  GCancellable *asking;
  GSource      *deadline;
  guint         pending;        /* questions without an answer */
} Others;

LayerUser *
layer_user_new (const char *path, guint64 dev, guint64 ino, char *who)
{
  LayerUser *self = g_new0 (LayerUser, 1);

  self->path = g_strdup (path);
  self->dev = dev;
  self->ino = ino;
  self->who = who;
  return self;
}

void
layer_user_free (LayerUser *self)
{
  g_free (self->path);
  g_free (self->who);
  g_free (self);
}

static void
unseen_guest_free (UnseenGuest *self)
{
  g_free (self->guest);
  g_ptr_array_unref (self->disks);
  g_free (self);
}

void
other_uses_free (OtherUses *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->users);
  g_ptr_array_unref (self->points);
  g_ptr_array_unref (self->unseen);
  g_free (self);
}

static void
others_free (Others *self)
{
  other_uses_free (self->uses);
  g_object_unref (self->journal);
  g_hash_table_unref (self->asked);
  g_object_unref (self->asking);
  if (self->deadline != NULL)
    g_source_destroy (self->deadline);
  g_clear_pointer (&self->deadline, g_source_unref);
  g_free (self);
}

/* --- guests that run --- */

/* All of its disks: a read-only one reads from its layers as well. */
static void
add_users (GPtrArray *users, const char *guest, GPtrArray *disks)
{
  for (guint i = 0; i < disks->len; i++)
    {
      const Disk *disk = g_ptr_array_index (disks, i);

      for (guint n = 0; n < disk->layers->len; n++)
        {
          const Layer *layer = g_ptr_array_index (disk->layers, n);

          if (layer->known)
            g_ptr_array_add (users, layer_user_new (layer->path, layer->facts.dev,
                                                    layer->facts.ino,
                                                    g_strdup_printf ("guest %s, disk %s", guest,
                                                                     disk->name)));
        }
    }
}

static gboolean
add_unseen (Others *self, const char *guest, gboolean shut_off, GError **error)
{
  g_autoptr (GPtrArray) known = known_disks_load (self->journal, guest, error);
  UnseenGuest *unseen;

  if (known == NULL)
    return FALSE;
  unseen = g_new0 (UnseenGuest, 1);
  unseen->guest = g_strdup (guest);
  unseen->shut_off = shut_off;
  unseen->disks = g_steal_pointer (&known);
  g_ptr_array_add (self->uses->unseen, unseen);
  return TRUE;
}

static void
finish_if_answered (GTask *task)
{
  Others *self = g_task_get_task_data (task);

  if (self->pending != 0 || g_task_had_error (task) || g_task_return_error_if_cancelled (task))
    return;
  g_task_return_pointer (task, g_steal_pointer (&self->uses), (GDestroyNotify) other_uses_free);
}

typedef struct
{
  GTask *task;
  char  *guest;
} Question;

static void
on_inspected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Question *question = user_data;
  g_autoptr (GTask) task = question->task;
  g_autofree char *guest = question->guest;
  Others *self = g_task_get_task_data (task);
  g_autoptr (Inspection) inspection = NULL;
  g_autoptr (GError) error = NULL;

  g_free (question);
  inspection = inspect_finish (result, &error);
  self->pending--;
  if (inspection != NULL)
    add_users (self->uses->users, guest, inspection->disks);
  else
    {
      GError *problem = NULL;

      g_debug ("chain: guest %s counts as it was last seen: %s", guest, error->message);
      if (!add_unseen (self, guest, FALSE, &problem) && !g_task_had_error (task))
        g_task_return_error (task, problem);
    }
  finish_if_answered (task);
}

static gboolean
on_deadline (gpointer user_data)
{
  Others *self = user_data;

  g_cancellable_cancel (self->asking);
  return G_SOURCE_REMOVE;
}

static void
ask (GTask *task, Guest *guest)
{
  Others *self = g_task_get_task_data (task);
  Question *question = g_new0 (Question, 1);

  question->task = g_object_ref (task);
  question->guest = g_strdup (guest_get_id (guest));
  self->pending++;
  g_hash_table_add (self->asked, g_strdup (guest_get_id (guest)));
  inspect_async (guest, self->asking, on_inspected, question);
}

/* --- what the journal knows --- */

static void
on_point (JournalRow *row, gpointer user_data)
{
  const char *name = journal_row_text (row, 1);

  g_ptr_array_add (user_data,
                   layer_user_new (journal_row_text (row, 2),
                                   (guint64) journal_row_int64 (row, 3),
                                   (guint64) journal_row_int64 (row, 4),
                                   g_strdup_printf ("guest %s, point \"%s\"",
                                                    journal_row_text (row, 0),
                                                    name != NULL ? name : "")));
}

static gboolean
read_points (Others *self, const char *guest, GError **error)
{
  return journal_read (self->journal, on_point, self->uses->points, error,
                       "SELECT p.guest, p.name, d.path, d.dev, d.ino FROM point_disks d"
                       " JOIN points p ON p.id = d.point WHERE p.guest != ?", "s", guest);
}

static void
on_guest (JournalRow *row, gpointer user_data)
{
  g_ptr_array_add (user_data, g_strdup (journal_row_text (row, 0)));
}

/* All that was ever seen, also those that came by their sockets and are forgotten with these. */
static gboolean
add_shut_off (Others *self, const char *guest, GError **error)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new_with_free_func (g_free);

  if (!journal_read (self->journal, on_guest, ids, error,
                     "SELECT DISTINCT guest FROM guest_disks WHERE guest != ?", "s", guest))
    return FALSE;
  for (guint i = 0; i < ids->len; i++)
    {
      const char *id = g_ptr_array_index (ids, i);

      if (!g_hash_table_contains (self->asked, id) && !add_unseen (self, id, TRUE, error))
        return FALSE;
    }
  return TRUE;
}

/**
 * chain_look_others_async:
 * @operations: the operations
 * @guest: the guest that is not meant
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 */
void
chain_look_others_async (Operations *operations, Guest *guest, GCancellable *cancellable,
                         GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_autoptr (GPtrArray) guests = guest_registry_list (operations_get_guests (operations));
  Others *self = g_new0 (Others, 1);
  GError *error = NULL;

  self->uses = g_new0 (OtherUses, 1);
  self->uses->users = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_user_free);
  self->uses->points = g_ptr_array_new_with_free_func ((GDestroyNotify) layer_user_free);
  self->uses->unseen = g_ptr_array_new_with_free_func ((GDestroyNotify) unseen_guest_free);
  self->journal = g_object_ref (operations_get_journal (operations));
  self->asked = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->asking = g_cancellable_new ();
  self->deadline = g_timeout_source_new_seconds (ANSWER_S);
  g_source_set_callback (self->deadline, on_deadline, self, NULL);
  g_source_attach (self->deadline, g_main_context_get_thread_default ());
  g_task_set_task_data (task, self, (GDestroyNotify) others_free);

  self->pending = 1;
  for (guint i = 0; i < guests->len; i++)
    {
      Guest *other = g_ptr_array_index (guests, i);

      if (other != guest && guest_get_client (other) != NULL)
        ask (task, other);
    }
  if (!read_points (self, guest_get_id (guest), &error)
      || !add_shut_off (self, guest_get_id (guest), &error))
    {
      g_task_return_error (task, error);
      return;
    }
  self->pending--;
  finish_if_answered (task);
}

OtherUses *
chain_look_others_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
