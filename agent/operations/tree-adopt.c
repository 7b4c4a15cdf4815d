/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a tree from another host is taken over: all of it, or nothing. */

#include <operations/disks.h>

#include <core/error.h>

#include "document.h"
#include "image-records.h"
#include "prepare-check.h"
#include "tree-check.h"

typedef struct
{
  Guest     *guest;
  Adoption  *adoption;
  ChainLook *look;
} Takeover;

static void
takeover_free (Takeover *self)
{
  g_object_unref (self->guest);
  g_clear_pointer (&self->adoption, adoption_free);
  g_clear_pointer (&self->look, chain_look_free);
  g_free (self);
}

static void
on_owner (JournalRow *row, gpointer user_data)
{
  char **owner = user_data;

  g_free (*owner);
  *owner = g_strdup (journal_row_text (row, 0));
}

/* What is known here of a point counts: the document may be older than what has become of it. */
static gboolean
take_point (Journal *journal, const char *guest, const Point *point, GError **error)
{
  g_autofree char *owner = NULL;

  if (!journal_read (journal, on_owner, &owner, error, "SELECT guest FROM points WHERE id = ?",
                     "s", point->id))
    return FALSE;
  if (owner == NULL)
    return points_add (journal, guest, point, error);
  if (g_strcmp0 (owner, guest) == 0)
    return TRUE;
  agent_set_error (error, AGENT_ERROR_CONFLICT, NULL, "point %s is guest %s's", point->id, owner);
  return FALSE;
}

static gboolean
write_all (Journal *journal, const Takeover *takeover, GError **error)
{
  const char *guest = guest_get_id (takeover->guest);
  const Adoption *adoption = takeover->adoption;

  for (guint i = 0; i < adoption->points->len; i++)
    {
      const Point *point = g_ptr_array_index (adoption->points, i);

      if (!take_point (journal, guest, point, error))
        return FALSE;
    }
  for (guint i = 0; i < adoption->images->len; i++)
    {
      JsonObject *record = g_ptr_array_index (adoption->images, i);
      const AdoptedFile *file = adoption_find_file (adoption, document_text (record, "layer"));

      /* Backups will stand on it. One that stands for no layer costs an upload. */
      if (file != NULL && !adoption_is_proven (adoption, file))
        file = NULL;
      if (!image_records_take (journal, guest, record, file != NULL ? file->path : NULL,
                               file != NULL ? &file->facts : NULL, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
take_over (Operations *self, const Takeover *takeover, GError **error)
{
  Journal *journal = operations_get_journal (self);

  /* An operation that is under way may be moving what is told here. */
  if (!prepare_check_idle (self, takeover->guest, error) || !journal_begin (journal, error))
    return FALSE;
  if (write_all (journal, takeover, error))
    return journal_commit (journal, error);
  journal_rollback (journal);
  return FALSE;
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error)
      && take_over (g_task_get_source_object (task), g_task_get_task_data (task), &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
check_in_thread (GTask *checking, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Takeover *takeover = task_data;
  GError *error = NULL;

  if (tree_check_files (takeover->adoption, takeover->look, &error))
    g_task_return_boolean (checking, TRUE);
  else
    g_task_return_error (checking, error);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GTask) checking = NULL;
  Takeover *takeover = g_task_get_task_data (task);
  GError *error = NULL;

  takeover->look = chain_look_finish (result, &error);
  if (takeover->look == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  checking = g_task_new (NULL, NULL, on_checked, g_object_ref (task));
  g_task_set_task_data (checking, takeover, NULL);
  g_task_run_in_thread (checking, check_in_thread);
}

/**
 * operations_adopt_tree_async:
 * @self: the operations
 * @guest: the guest, which has the disks of the tree
 * @tree: the document
 * @cancellable: (nullable)
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Makes the points and images of a tree known here, once each of its files has been found to be
 * what it says. Points that are known already stay as they are.
 */
void
operations_adopt_tree_async (Operations *self, Guest *guest, JsonObject *tree,
                             GCancellable *cancellable, GAsyncReadyCallback callback,
                             gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Takeover *takeover = g_new0 (Takeover, 1);
  GError *error = NULL;

  /* What has been written is not taken back: the answer is what has come of it. */
  g_task_set_check_cancellable (task, FALSE);
  takeover->guest = g_object_ref (guest);
  g_task_set_task_data (task, takeover, (GDestroyNotify) takeover_free);
  takeover->adoption = tree_check_parse (tree, &error);
  if (takeover->adoption == NULL)
    g_task_return_error (task, error);
  else
    chain_look_async (self, guest, cancellable, on_looked, g_object_ref (task));
}

/**
 * operations_adopt_tree_finish:
 * @self: the operations
 * @result: the result
 * @error: return location: AGENT_ERROR INVALID, CONFLICT, UNAVAILABLE, TIMEOUT, GUEST; nothing has
 *   been taken over then
 *
 * Returns: whether the tree is known here now
 */
gboolean
operations_adopt_tree_finish (Operations *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
