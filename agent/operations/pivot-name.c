/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a pivot does to names: the published one moves to the target while the guest's writes
 * are held, and what it has left keeps a name of its own. */

#include "pivot-private.h"

#include <disk/names.h>
#include <string.h>

static gboolean
leads_to_from (const char *path, const Pivot *pivot)
{
  FileFacts facts = { 0 };

  return files_look (path, &facts, NULL)
         && file_facts_are (&facts, pivot->from_dev, pivot->from_ino);
}

/**
 * pivot_look_at_name:
 * @pivot: a pivot
 * @facts: what else is known; its members of the name are set
 * @error: return location
 *
 * A disk that is started from by no name of ours follows its device.
 *
 * Returns: whether it could be looked at
 */
gboolean
pivot_look_at_name (const Pivot *pivot, PivotFacts *facts, GError **error)
{
  g_autoptr (GError) problem = NULL;
  FileFacts published = { 0 };
  gboolean is_there;

  if (pivot->published == NULL)
    {
      facts->name_on_from = facts->from_active;
      facts->name_on_to = facts->to_active;
      return TRUE;
    }
  is_there = files_look (pivot->published, &published, &problem);
  facts->name_on_from = is_there && file_facts_are (&published, pivot->from_dev, pivot->from_ino);
  /* In a folder that is not mounted nothing is there either. */
  facts->name_on_to = pivot->unpublish
    ? !is_there && leads_to_from (pivot->from_path, pivot)
    : is_there && file_facts_are (&published, pivot->to_dev, pivot->to_ino);
  if (problem == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

static gboolean
publish_target (Pivot *pivot, GError **error)
{
  if (pivot->unpublish)
    return files_remove (pivot->published, (guint64) pivot->from_dev, (guint64) pivot->from_ino,
                         error);
  return files_publish (pivot->to_path, pivot->published, (guint64) pivot->from_ino, error);
}

static gboolean
name_for_life (Pivot *pivot, GError **error)
{
  g_autoptr (GPtrArray) entries = NULL;
  NamesChoice choice = { 0 };
  gboolean ok;

  if (strcmp (pivot->from_path, pivot->published) != 0)
    return TRUE;
  entries = names_list (pivot->published, error);
  if (entries == NULL)
    return FALSE;
  names_choose (pivot->published, (guint64) pivot->from_dev, (guint64) pivot->from_ino, entries,
                &choice);
  ok = files_link (pivot->published, choice.layer, (guint64) pivot->from_dev,
                   (guint64) pivot->from_ino, error);
  if (ok)
    {
      g_free (pivot->from_path);
      pivot->from_path = g_steal_pointer (&choice.layer);
    }
  names_choice_clear (&choice);
  return ok;
}

static gboolean
publish_back (Pivot *pivot, GError **error)
{
  return name_for_life (pivot, error)
         && files_publish (pivot->from_path, pivot->published,
                           pivot->unpublish ? 0 : (guint64) pivot->to_ino, error);
}

/* --- in a thread, which alone touches the pivot meanwhile --- */

typedef gboolean (*NameWork) (Pivot *pivot, GError **error);

typedef struct
{
  Pivot    *pivot;
  NameWork  work;
} NameTask;

static void
work_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  const NameTask *self = task_data;
  GError *error = NULL;

  if (self->pivot->published == NULL || self->work (self->pivot, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
run (Pivot *pivot, NameWork work, GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, callback, user_data);
  NameTask *self = g_new0 (NameTask, 1);

  self->pivot = pivot;
  self->work = work;
  g_task_set_task_data (task, self, g_free);
  g_task_run_in_thread (task, work_in_thread);
}

/**
 * pivot_name_async:
 * @pivot: a pivot whose device is where it is to leave
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Once the published name has moved, a file that had no other would be lost.
 */
void
pivot_name_async (Pivot *pivot, GAsyncReadyCallback callback, gpointer user_data)
{
  run (pivot, name_for_life, callback, user_data);
}

/**
 * pivot_publish_async:
 * @pivot: a pivot
 * @to_target: where its published name is to lead: to the target, else to what is to be left
 * @callback: called with the result
 * @user_data: for @callback
 */
void
pivot_publish_async (Pivot *pivot, gboolean to_target, GAsyncReadyCallback callback,
                     gpointer user_data)
{
  run (pivot, to_target ? publish_target : publish_back, callback, user_data);
}

/**
 * pivot_name_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR CONFLICT, NO_SPACE, INTERNAL
 *
 * Returns: whether the name is as it was asked for, durably
 */
gboolean
pivot_name_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
