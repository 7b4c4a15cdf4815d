/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how commands follow each other: the next one is sent when the one before has succeeded. */

#include <qmp/batch.h>

#include <qmp/error.h>

#include "deadline.h"

typedef struct
{
  char     *command;
  JsonNode *arguments;          /* (nullable) */
  gboolean  tolerant;
  JsonNode *reply;              /* (nullable) */
} Entry;

struct _QmpBatch
{
  GObject    parent_instance;

  GPtrArray *entries;           /* of Entry */
  gboolean   running;
};

typedef struct
{
  QmpClient *client;
  gint64     deadline;          /* see deadline.h */
  guint      index;             /* of the command under way */
} Run;

G_DEFINE_FINAL_TYPE (QmpBatch, qmp_batch, G_TYPE_OBJECT)

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_free (entry->command);
  g_clear_pointer (&entry->arguments, json_node_unref);
  g_clear_pointer (&entry->reply, json_node_unref);
  g_free (entry);
}

static void
run_free (gpointer data)
{
  Run *run = data;

  g_object_unref (run->client);
  g_free (run);
}

/**
 * qmp_batch_new:
 *
 * Returns: (transfer full): a batch without commands
 */
QmpBatch *
qmp_batch_new (void)
{
  return g_object_new (QMP_TYPE_BATCH, NULL);
}

static void
add (QmpBatch   *self,
     const char *command,
     JsonNode   *arguments,
     gboolean    tolerant)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->command = g_strdup (command);
  entry->arguments = arguments;
  entry->tolerant = tolerant;
  g_ptr_array_add (self->entries, entry);
}

/**
 * qmp_batch_add:
 * @self: a batch that does not run
 * @command: the command
 * @arguments: (nullable) (transfer full): an object, see qmp_args()
 */
void
qmp_batch_add (QmpBatch   *self,
               const char *command,
               JsonNode   *arguments)
{
  g_return_if_fail (QMP_IS_BATCH (self) && !self->running);
  g_return_if_fail (command != NULL);

  add (self, command, arguments, FALSE);
}

/**
 * qmp_batch_add_tolerant:
 * @self: a batch that does not run
 * @command: the command
 * @arguments: (nullable) (transfer full): an object, see qmp_args()
 *
 * Adds a command that may be refused: for cleaning what may already be gone. A deadline or a drop
 * of the link ends the batch nevertheless.
 */
void
qmp_batch_add_tolerant (QmpBatch   *self,
                        const char *command,
                        JsonNode   *arguments)
{
  g_return_if_fail (QMP_IS_BATCH (self) && !self->running);
  g_return_if_fail (command != NULL);

  add (self, command, arguments, TRUE);
}

/**
 * qmp_batch_get_size:
 * @self: a batch
 *
 * Returns: how many commands it has
 */
guint
qmp_batch_get_size (QmpBatch *self)
{
  g_return_val_if_fail (QMP_IS_BATCH (self), 0);

  return self->entries->len;
}

static void send_next (GTask *task);

static void
finish_run (GTask  *task,
            GError *error)
{
  QmpBatch *self = g_task_get_source_object (task);

  self->running = FALSE;
  if (error != NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

static void
on_answer (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GError) error = NULL;
  QmpBatch *self = g_task_get_source_object (task);
  Run *run = g_task_get_task_data (task);
  Entry *entry = self->entries->pdata[run->index];

  entry->reply = qmp_client_execute_finish (run->client, result, &error);
  if (entry->reply == NULL && !(entry->tolerant && qmp_error_get_class (error) != NULL))
    {
      finish_run (task, g_steal_pointer (&error));
      return;
    }
  run->index++;
  send_next (g_steal_pointer (&task));
}

/* Takes @task. */
static void
send_next (GTask *task)
{
  g_autoptr (GTask) hold = task;
  QmpBatch *self = g_task_get_source_object (task);
  Run *run = g_task_get_task_data (task);
  Entry *entry;

  if (run->index == self->entries->len)
    {
      finish_run (task, NULL);
      return;
    }

  entry = self->entries->pdata[run->index];
  qmp_client_execute_async (run->client, entry->command,
                            entry->arguments != NULL ? json_node_ref (entry->arguments) : NULL,
                            qmp_deadline_left (run->deadline), g_task_get_cancellable (task),
                            on_answer, g_steal_pointer (&hold));
}

/**
 * qmp_batch_run_async:
 * @self: a batch that does not run
 * @client: where to send its commands
 * @deadline_ms: how long all of them may take, in milliseconds; 0 for ever
 * @cancellable: (nullable): ends the batch; the command under way may still take effect
 * @callback: called in the main context, never before this returns
 * @user_data: passed on to @callback
 *
 * Sends the commands one after another, each once the one before it has succeeded; the first that
 * does not ends the batch. May be called again, and then begins from the first.
 */
void
qmp_batch_run_async (QmpBatch            *self,
                     QmpClient           *client,
                     guint                deadline_ms,
                     GCancellable        *cancellable,
                     GAsyncReadyCallback  callback,
                     gpointer             user_data)
{
  GTask *task;
  Run *run;

  g_return_if_fail (QMP_IS_BATCH (self) && !self->running);
  g_return_if_fail (QMP_IS_CLIENT (client));

  run = g_new0 (Run, 1);
  run->client = g_object_ref (client);
  run->deadline = qmp_deadline_begin (deadline_ms);
  for (guint i = 0; i < self->entries->len; i++)
    g_clear_pointer (&((Entry *) self->entries->pdata[i])->reply, json_node_unref);

  task = g_task_new (self, cancellable, callback, user_data);
  /* What was done counts, whatever is cancelled afterwards. */
  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, run, run_free);
  self->running = TRUE;
  send_next (task);
}

/**
 * qmp_batch_run_finish:
 * @self: a batch
 * @result: what the callback got
 * @error: return location
 *
 * Errors: those of qmp_client_execute_finish(), of the command that ended the batch.
 *
 * Returns: whether all commands succeeded or were tolerated
 */
gboolean
qmp_batch_run_finish (QmpBatch      *self,
                      GAsyncResult  *result,
                      GError       **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * qmp_batch_get_reply:
 * @self: a batch that has run
 * @index: which command, from 0
 *
 * Returns: (nullable) (transfer none): what it returned; %NULL when it was not reached, or was
 *   refused and tolerated
 */
JsonNode *
qmp_batch_get_reply (QmpBatch *self,
                     guint     index)
{
  g_return_val_if_fail (QMP_IS_BATCH (self), NULL);
  g_return_val_if_fail (index < self->entries->len, NULL);

  return ((Entry *) self->entries->pdata[index])->reply;
}

static void
qmp_batch_finalize (GObject *object)
{
  g_ptr_array_unref (QMP_BATCH (object)->entries);

  G_OBJECT_CLASS (qmp_batch_parent_class)->finalize (object);
}

static void
qmp_batch_class_init (QmpBatchClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = qmp_batch_finalize;
}

static void
qmp_batch_init (QmpBatch *self)
{
  self->entries = g_ptr_array_new_with_free_func (entry_free);
}

/* --- arguments --- */

static void
set_argument (JsonObject *object,
              const char *member,
              char        type,
              va_list    *values)
{
  const char *text;

  switch (type)
    {
    case 's':
      text = va_arg (*values, const char *);
      if (text != NULL)
        json_object_set_string_member (object, member, text);
      break;
    case 'b':
      json_object_set_boolean_member (object, member, va_arg (*values, gboolean));
      break;
    case 'i':
      json_object_set_int_member (object, member, va_arg (*values, gint64));
      break;
    case 'n':
      json_object_set_member (object, member, va_arg (*values, JsonNode *));
      break;
    case '0':
      json_object_set_null_member (object, member);
      break;
    default:
      g_error ("qmp_args: type \"%c\" of \"%s\" is none of s b i n 0", type, member);
    }
}

/**
 * qmp_args:
 * @member: name of the first member
 * @...: its type, its value, then further members likewise, and %NULL at the end
 *
 * Makes the arguments of a command in one expression: "s" a string, where %NULL leaves the member
 * out; "b" a #gboolean; "i" a #gint64 (a plain constant needs a cast); "n" a #JsonNode, (transfer
 * full); "0" JSON's null, without a value.
 *
 * Returns: (transfer full): an object
 */
JsonNode *
qmp_args (const char *member,
          ...)
{
  g_autoptr (JsonObject) object = json_object_new ();
  va_list values;

  va_start (values, member);
  while (member != NULL)
    {
      const char *type = va_arg (values, const char *);

      set_argument (object, member, *type, &values);
      member = va_arg (values, const char *);
    }
  va_end (values);

  return json_node_init_object (json_node_alloc (), object);
}
