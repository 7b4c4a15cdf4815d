/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a chain is made shorter when no QEMU has it open.
 *
 * At every moment a start from the published name shows the same data, whoever dies:
 *
 *   commit   data goes down; what it came from still hides it      base <- a <- b <- top
 *            it is durable
 *            the header above, or the name, leads to the base      base <- top
 *   stream   data goes up, each write durable before the next; what it came from is hidden by it
 *            the header leads below                                below <- top
 */

#include "move.h"

#include <core/error.h>
#include <disk/names.h>
#include <disk/qemu-img.h>

#include "move-offline-files.h"

#define STALL_S 120u                            /* without a byte read or written */

typedef struct _Run Run;

/* Some of the work that blocks. */
typedef gboolean (*Part) (Run *self, GError **error);

struct _Run
{
  ChainMove    *move;
  Operation    *operation;
  Part          part;           /* the one that a thread is at */
  OfflineFacts  facts;
  GError       *error;          /* (nullable): why the copy has come to nothing */
};

static void
run_free (Run *self)
{
  g_object_unref (self->operation);
  offline_facts_clear (&self->facts);
  g_clear_error (&self->error);
  g_free (self);
}

/* --- parts that block --- */

static void
part_in_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Run *self = task_data;
  GError *error = NULL;

  if (self->part (self, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* Runs @part in a thread; @callback gets @task. */
static void
run_part (GTask *task, Part part, GAsyncReadyCallback callback)
{
  g_autoptr (GTask) thread = g_task_new (NULL, NULL, callback, g_object_ref (task));
  Run *self = g_task_get_task_data (task);

  self->part = part;
  g_task_set_task_data (thread, self, NULL);
  g_task_run_in_thread (thread, part_in_thread);
}

/* TRUE when the part was done; else the task has got its error. */
static gboolean
part_done (GTask *task, GAsyncResult *result)
{
  GError *error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    return TRUE;
  g_task_return_error (task, error);
  return FALSE;
}

static gboolean
look (Run *self, GError **error)
{
  return offline_look (self->move, &self->facts, error);
}

static gboolean
settle_data (Run *self, GError **error)
{
  return offline_settle_data (self->move, error);
}

static gboolean
settle_header (Run *self, GError **error)
{
  return offline_settle_header (self->move, error);
}

static gboolean
publish (Run *self, GError **error)
{
  return offline_publish (self->move, &self->facts, error);
}

/* A death may have come before any of it was on disk. */
static gboolean
settle_all (Run *self, GError **error)
{
  const ChainMove *move = self->move;
  const ChainFile *into = chain_move_into (move);

  if (!offline_settle_data (move, error))
    return FALSE;
  if (move->kind == MOVE_STREAM || move->above != NULL)
    return offline_settle_header (move, error);
  return move->published == NULL
         || files_publish (into->path, move->published, (guint64) into->ino, error);
}

/* --- the end --- */

static void
on_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;

  if (part_done (task, result))
    g_task_return_boolean (task, TRUE);
}

/* --- copying --- */

static void
on_progress (guint permille, gpointer user_data)
{
  Run *self = user_data;
  gint64 done = (gint64) ((double) self->move->estimate * permille / 1000);

  operation_set_progress (self->operation, done, self->move->estimate);
}

/* FALSE when the task has got the error of qemu-img. */
static gboolean
qemu_img_done (GTask *task, GAsyncResult *result)
{
  GError *error = NULL;

  if (qemu_img_run_finish (result, &error))
    return TRUE;
  g_task_return_error (task, error);
  return FALSE;
}

static void
on_renamed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;

  if (qemu_img_done (task, result))
    run_part (task, settle_header, on_settled);
}

/* The header above is to lead to the file that took the data. */
static void
rename_above (GTask *task)
{
  Run *self = g_task_get_task_data (task);
  const ChainMove *move = self->move;
  const ChainFile *into = chain_move_into (move);
  g_autofree char *name = move->backing_name != NULL
    ? g_strdup (move->backing_name) : names_backing (move->above->path, into->path);
  const char *arguments[] = { "rebase", "-u", "-f", move->above->format, "-F", into->format, "-b",
                              name, move->above->path, NULL };

  qemu_img_run_async (arguments, STALL_S, NULL, NULL, NULL, on_renamed, g_object_ref (task));
}

static void
on_data_settled (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Run *self = g_task_get_task_data (task);

  if (!part_done (task, result))
    return;
  if (self->move->kind == MOVE_STREAM)
    run_part (task, settle_header, on_settled);
  else if (self->move->above != NULL)
    rename_above (task);
  else if (self->move->published != NULL)
    run_part (task, publish, on_settled);
  else
    g_task_return_boolean (task, TRUE);
}

/* Clusters that a death has left without an owner take room and do no harm. @callback gets @task,
 * however that ends: what is really wrong with the image shows when it is written to. */
static void
mend_leaks (GTask *task, GAsyncReadyCallback callback)
{
  Run *self = g_task_get_task_data (task);
  const ChainFile *into = chain_move_into (self->move);
  const char *arguments[] = { "check", "-q", "-r", "leaks", "-f", into->format, into->path, NULL };

  qemu_img_run_async (arguments, STALL_S, NULL, NULL, NULL, callback, g_object_ref (task));
}

static gboolean
may_have_leaks (const ChainMove *move)
{
  return g_str_equal (chain_move_into (move)->format, "qcow2");
}

static void
on_mended_after (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Run *self = g_task_get_task_data (task);
  g_autoptr (GError) ignored = NULL;

  if (!qemu_img_run_finish (result, &ignored))
    g_debug ("chain: leaks stay: %s", ignored->message);
  g_task_return_error (task, g_steal_pointer (&self->error));
}

static void
on_copied (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Run *self = g_task_get_task_data (task);

  self->move->moved += qemu_img_run_get_written (result);
  if (qemu_img_run_finish (result, &self->error))
    run_part (task, settle_data, on_data_settled);
  else if (may_have_leaks (self->move))
    mend_leaks (task, on_mended_after);
  else
    g_task_return_error (task, g_steal_pointer (&self->error));
}

/* How qemu-img is to open @file. What is @claimed already it does not lock: it would not get that.
 * The files below it, the one that it writes to among them, it locks as ever. */
static char *
describe_file (const ChainFile *file, gboolean claimed)
{
  g_auto (GStrv) parts = g_strsplit (file->path, ",", -1);
  g_autofree char *path = g_strjoinv (",,", parts);

  return g_strdup_printf ("driver=%s,file.locking=%s,file.filename=%s", file->format,
                          claimed ? "off" : "auto", path);
}

static void
commit (GTask *task)
{
  Run *self = g_task_get_task_data (task);
  const ChainMove *move = self->move;
  g_autofree char *upper = describe_file (chain_move_upper (move), self->facts.claim >= 0);
  g_autofree char *speed = g_strdup_printf ("%" G_GINT64_FORMAT, move->speed);
  g_autoptr (GPtrArray) words = g_ptr_array_new ();

  g_ptr_array_add (words, (gpointer) "commit");
  g_ptr_array_add (words, (gpointer) "-d");
  g_ptr_array_add (words, (gpointer) "-b");
  g_ptr_array_add (words, self->facts.base);
  if (move->speed > 0)
    {
      g_ptr_array_add (words, (gpointer) "-r");
      g_ptr_array_add (words, speed);
    }
  g_ptr_array_add (words, (gpointer) "--image-opts");
  g_ptr_array_add (words, upper);
  g_ptr_array_add (words, NULL);
  qemu_img_run_async ((const char *const *) words->pdata, STALL_S, on_progress, self,
                      g_task_get_cancellable (task), on_copied, g_object_ref (task));
}

/* Written through: qemu-img rewrites the header right behind the data, and a host that dies must
 * not be left with the header alone. */
static void
stream (GTask *task)
{
  Run *self = g_task_get_task_data (task);
  const ChainMove *move = self->move;
  const ChainFile *into = chain_move_into (move);
  g_autofree char *name = NULL;
  g_autoptr (GPtrArray) words = g_ptr_array_new ();

  if (move->below != NULL)
    name = move->backing_name != NULL ? g_strdup (move->backing_name)
                                      : names_backing (into->path, move->below->path);
  g_ptr_array_add (words, (gpointer) "rebase");
  g_ptr_array_add (words, (gpointer) "-t");
  g_ptr_array_add (words, (gpointer) "writethrough");
  g_ptr_array_add (words, (gpointer) "-f");
  g_ptr_array_add (words, into->format);
  g_ptr_array_add (words, (gpointer) "-b");
  g_ptr_array_add (words, name != NULL ? name : (gpointer) "");
  if (move->below != NULL)
    {
      g_ptr_array_add (words, (gpointer) "-F");
      g_ptr_array_add (words, move->below->format);
    }
  g_ptr_array_add (words, into->path);
  g_ptr_array_add (words, NULL);
  qemu_img_run_async ((const char *const *) words->pdata, STALL_S, on_progress, self,
                      g_task_get_cancellable (task), on_copied, g_object_ref (task));
}

static void
copy (GTask *task)
{
  Run *self = g_task_get_task_data (task);

  self->move->begun = TRUE;
  if (self->move->kind == MOVE_COMMIT)
    commit (task);
  else
    stream (task);
}

static void
on_mended_before (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GError) ignored = NULL;

  if (!qemu_img_run_finish (result, &ignored))
    g_debug ("chain: leaks stay: %s", ignored->message);
  if (g_cancellable_is_cancelled (g_task_get_cancellable (task)))
    g_task_return_new_error (task, AGENT_ERROR, AGENT_ERROR_CANCELLED, "it was called off");
  else
    copy (task);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Run *self = g_task_get_task_data (task);

  if (!part_done (task, result))
    return;
  if (self->facts.done)
    run_part (task, settle_all, on_settled);
  else if (may_have_leaks (self->move))
    mend_leaks (task, on_mended_before);
  else
    copy (task);
}

/**
 * chain_move_offline_async:
 * @move: a move whose files nobody has open; its members moved and begun are kept
 * @operation: the operation, which is told the progress
 * @cancellable: (nullable): ends copying; the chain is then as it was, but what a commit has copied
 *   by then stays in the file that takes the data
 * @callback: called with the result
 * @user_data: for @callback
 *
 * Does the move by qemu-img. It begins by looking how far it has come, so it may be asked again
 * after any death. Files and points that are not needed any more stay.
 */
void
chain_move_offline_async (ChainMove *move, Operation *operation, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Run *self = g_new0 (Run, 1);

  g_task_set_check_cancellable (task, FALSE);
  self->move = move;
  self->operation = g_object_ref (operation);
  self->facts = (OfflineFacts) OFFLINE_FACTS_NONE;
  g_task_set_task_data (task, self, (GDestroyNotify) run_free);
  run_part (task, look, on_looked);
}

/**
 * chain_move_offline_finish:
 * @result: the result
 * @error: return location: AGENT_ERROR CONFLICT, NO_SPACE, TIMEOUT, CANCELLED, UNAVAILABLE or
 *   INTERNAL
 *
 * Returns: whether chain and names are as they are to be, durably
 */
gboolean
chain_move_offline_finish (GAsyncResult *result, GError **error)
{
  Run *self = g_task_get_task_data (G_TASK (result));

  /* Not when the task goes: the caller may want to look at the files, or to try again. */
  offline_facts_clear (&self->facts);
  return g_task_propagate_boolean (G_TASK (result), error);
}
