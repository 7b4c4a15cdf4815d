/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a qemu-storage-daemon is started, told what to export, and ended. */

#include "flat-process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <core/error.h>
#include <qmp/batch.h>
#include <qmp/error.h>

#include "flat-layers.h"

/* Descriptors in the process: its monitor, then the layers from the top. */
#define MONITOR_FD     3
#define FIRST_LAYER_FD 4

/* Milliseconds. Opening reads tables from storage that may be slow. */
#define START_DEADLINE 15000
#define OPEN_DEADLINE  60000

/* How much of what it wrote to stderr goes into an error, in bytes. */
#define MAX_WORDS 1024

struct _FlatProcess
{
  GObject      parent_instance;
  GSubprocess *process;
  int          words;           /* where its stderr comes out; does not block */
};

G_DEFINE_FINAL_TYPE (FlatProcess, flat_process, G_TYPE_OBJECT)

typedef struct
{
  FlatProcess *process;
  QmpClient   *client;
  QmpBatch    *batch;
  GPtrArray   *layers;          /* of FlatLayer */
  char        *socket;
  GError      *error;           /* (nullable): why it is ended again */
} Start;

static void
start_free (gpointer data)
{
  Start *self = data;

  g_clear_object (&self->process);
  g_clear_object (&self->client);
  g_clear_object (&self->batch);
  g_ptr_array_unref (self->layers);
  g_free (self->socket);
  g_clear_error (&self->error);
  g_free (self);
}

static void
flat_process_finalize (GObject *object)
{
  FlatProcess *self = AGENT_FLAT_PROCESS (object);

  if (self->process != NULL)
    g_subprocess_force_exit (self->process);
  g_clear_object (&self->process);
  if (self->words >= 0)
    close (self->words);

  G_OBJECT_CLASS (flat_process_parent_class)->finalize (object);
}

static void
flat_process_class_init (FlatProcessClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = flat_process_finalize;
}

static void
flat_process_init (FlatProcess *self)
{
  self->words = -1;
}

/**
 * flat_process_kill:
 * @self: a process
 *
 * Ends it without waiting. Whoever reads from it gets an error soon. Safe in any thread.
 */
void
flat_process_kill (FlatProcess *self)
{
  g_subprocess_force_exit (self->process);
}

/**
 * flat_process_take_words:
 * @self: a process
 *
 * Returns: (transfer full) (nullable): what it wrote to stderr since the last call, at most a
 *   kibibyte, as text
 */
char *
flat_process_take_words (FlatProcess *self)
{
  char buffer[MAX_WORDS];
  gssize n = read (self->words, buffer, sizeof buffer);

  if (n <= 0)
    return NULL;

  return g_strstrip (g_utf8_make_valid (buffer, n));
}

/* --- starting --- */

/* Between fork and exec, where little is allowed. Nobody but us may reach its socket. */
static void
prepare_child (gpointer user_data)
{
  umask (077);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != GPOINTER_TO_INT (user_data))
    _exit (1);
}

static gboolean
set_errno (GError     **error,
           const char  *what)
{
  agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "cannot %s: %s", what, g_strerror (errno));
  return FALSE;
}

/* The descriptors become the launcher's, which closes them. */
static void
add_layers (GSubprocessLauncher *launcher,
            GPtrArray           *layers)
{
  for (guint i = 0; i < layers->len; i++)
    {
      FlatLayer *layer = layers->pdata[i];

      g_subprocess_launcher_take_fd (launcher, layer->fd, FIRST_LAYER_FD + (int) i);
      layer->fd = -1;
    }
}

/* Starts @program. @stream: (out): its monitor. */
static gboolean
spawn (Start       *self,
       const char  *program,
       GIOStream  **stream,
       GError     **error)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (
    G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_autofree char *chardev = g_strdup_printf ("socket,id=monitor,fd=%d,server=off", MONITOR_FD);
  g_autoptr (GSocket) monitor = NULL;
  g_autoptr (GError) spawn_error = NULL;
  int monitors[2];
  int words[2];

  /* A full pipe does not hold the process up: what does not fit is lost. */
  if (pipe2 (words, O_CLOEXEC | O_NONBLOCK) < 0)
    return set_errno (error, "make a pipe");
  self->process->words = words[0];
  g_subprocess_launcher_take_stderr_fd (launcher, words[1]);

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, monitors) < 0)
    return set_errno (error, "make a pair of sockets");
  g_subprocess_launcher_take_fd (launcher, monitors[1], MONITOR_FD);
  monitor = g_socket_new_from_fd (monitors[0], error);
  if (monitor == NULL)
    {
      close (monitors[0]);
      return FALSE;
    }

  add_layers (launcher, self->layers);
  g_subprocess_launcher_set_child_setup (launcher, prepare_child, GINT_TO_POINTER (getpid ()),
                                         NULL);
  self->process->process = g_subprocess_launcher_spawn (launcher, &spawn_error, program,
                                                        "--chardev", chardev,
                                                        "--monitor", "chardev=monitor", NULL);
  if (self->process->process == NULL)
    {
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE,
                       "Install QEMU's tools; qemu-storage-daemon is one of them.",
                       "cannot read the disk: %s", spawn_error->message);
      return FALSE;
    }

  *stream = G_IO_STREAM (g_socket_connection_factory_create_connection (monitor));
  return TRUE;
}

/* --- what failed --- */

static AgentError
code_of (const GError *error)
{
  if (error->domain != QMP_ERROR)
    return AGENT_ERROR_INTERNAL;
  if (error->code == QMP_ERROR_TIMEOUT || error->code == QMP_ERROR_NO_GREETING)
    return AGENT_ERROR_TIMEOUT;

  return AGENT_ERROR_INTERNAL;
}

/* The first command that was not answered: layers come first, from the bottom. */
static const char *
failed_layer (Start *self)
{
  guint done = 0;

  if (self->batch == NULL)
    return NULL;

  while (done < self->layers->len && qmp_batch_get_reply (self->batch, done) != NULL)
    done++;
  if (done == self->layers->len)
    return NULL;

  return ((FlatLayer *) self->layers->pdata[self->layers->len - 1 - done])->path;
}

static GError *
explain (Start        *self,
         const GError *error)
{
  const char *description = qmp_error_get_description (error);
  const char *layer = failed_layer (self);
  g_autofree char *words = flat_process_take_words (self->process);

  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return g_error_copy (error);

  if (layer != NULL && description != NULL)
    {
      if (strstr (description, " lock") != NULL)
        return agent_error_new (AGENT_ERROR_CONFLICT,
                                "A frozen layer must have no writer; find out who has it open.",
                                "cannot read the layer %s, somebody writes to it: %s",
                                layer, description);
      return agent_error_new (AGENT_ERROR_INVALID, NULL, "cannot read the layer %s: %s",
                              layer, description);
    }

  return agent_error_new (code_of (error), NULL, "cannot read the disk%s%s: %s%s%s",
                          layer != NULL ? ", opening " : "", layer != NULL ? layer : "",
                          error->message, words != NULL ? ": " : "", words != NULL ? words : "");
}

static void
on_ended (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Start *self = g_task_get_task_data (task);

  flat_process_end_finish (AGENT_FLAT_PROCESS (source), result);
  g_task_return_error (task, g_steal_pointer (&self->error));
}

/* Takes @task. No process of ours has a layer open any more when the error is seen. */
static void
give_up (GTask        *task,
         const GError *error)
{
  Start *self = g_task_get_task_data (task);

  self->error = explain (self, error);
  if (self->client != NULL)
    qmp_client_close (self->client);
  flat_process_end_async (self->process, on_ended, task);
}

/* --- telling it what to do --- */

static void
on_exported (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  GTask *task = user_data;
  Start *self = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;

  if (!qmp_batch_run_finish (QMP_BATCH (source), result, &error))
    {
      give_up (task, error);
      return;
    }

  qmp_client_close (self->client);
  g_task_return_pointer (task, g_steal_pointer (&self->process), g_object_unref);
  g_object_unref (task);
}

static void
add_commands (Start *self)
{
  g_autofree char *top = flat_layer_node_name (0);

  for (guint i = self->layers->len; i-- > 0;)
    qmp_batch_add (self->batch, "blockdev-add",
                   flat_layer_node (self->layers, i, FIRST_LAYER_FD + (int) i));

  qmp_batch_add (self->batch, "nbd-server-start",
                 qmp_args ("addr", "n",
                           qmp_args ("type", "s", "unix", "data", "n",
                                     qmp_args ("path", "s", self->socket, NULL), NULL),
                           "max-connections", "i", (gint64) 1, NULL));
  qmp_batch_add (self->batch, "block-export-add",
                 qmp_args ("type", "s", "nbd", "id", "s", "export", "node-name", "s", top,
                           "name", "s", FLAT_EXPORT, "writable", "b", FALSE, NULL));
}

static void
on_greeted (GObject      *source,
            GAsyncResult *result,
            gpointer      user_data)
{
  GTask *task = user_data;
  Start *self = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;

  self->client = qmp_client_open_finish (result, &error);
  if (self->client == NULL)
    {
      give_up (task, error);
      return;
    }

  self->batch = qmp_batch_new ();
  add_commands (self);
  qmp_batch_run_async (self->batch, self->client, OPEN_DEADLINE, g_task_get_cancellable (task),
                       on_exported, task);
}

/**
 * flat_process_start_async:
 * @program: the qemu-storage-daemon
 * @layers: (element-type FlatLayer): the chain, top first; their descriptors are taken
 * @socket: the path for its NBD socket, at most 107 bytes
 * @cancellable: (nullable): ends it again
 * @callback: called when the disk can be read, or not
 * @user_data: passed on to @callback
 *
 * The process gets a signal when the thread that calls this ends: it must be the main loop's.
 */
void
flat_process_start_async (const char          *program,
                          GPtrArray           *layers,
                          const char          *socket,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  GTask *task = g_task_new (NULL, cancellable, callback, user_data);
  Start *self = g_new0 (Start, 1);
  g_autoptr (GIOStream) stream = NULL;
  GError *error = NULL;

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, self, start_free);
  self->process = g_object_new (TYPE_FLAT_PROCESS, NULL);
  self->layers = g_ptr_array_ref (layers);
  self->socket = g_strdup (socket);

  if (!spawn (self, program, &stream, &error))
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }

  qmp_client_adopt_async (stream, QMP_DIALECT_MONITOR, START_DEADLINE, cancellable, on_greeted,
                          task);
}

/**
 * flat_process_start_finish:
 * @result: what the callback got
 * @error: AGENT_ERROR_CONFLICT when somebody writes to a layer; AGENT_ERROR_INVALID for one that
 *   QEMU cannot read; AGENT_ERROR_UNAVAILABLE without the program; AGENT_ERROR_TIMEOUT;
 *   AGENT_ERROR_INTERNAL; G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full): the process; after an error there is none any more
 */
FlatProcess *
flat_process_start_finish (GAsyncResult  *result,
                           GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* --- the end --- */

static void
on_gone (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;

  g_subprocess_wait_finish (G_SUBPROCESS (source), result, NULL);
  g_task_return_boolean (task, TRUE);
}

/**
 * flat_process_end_async:
 * @self: a process, which may have gone already
 * @callback: called when it has gone
 * @user_data: passed on to @callback
 *
 * Ends it. There is no deadline: a process that the kernel keeps waiting for its storage still has
 * its files.
 */
void
flat_process_end_async (FlatProcess         *self,
                        GAsyncReadyCallback  callback,
                        gpointer             user_data)
{
  GTask *task = g_task_new (self, NULL, callback, user_data);

  flat_process_kill (self);
  g_subprocess_wait_async (self->process, NULL, on_gone, task);
}

/**
 * flat_process_end_finish:
 * @self: a process
 * @result: what the callback got
 */
void
flat_process_end_finish (FlatProcess  *self,
                         GAsyncResult *result)
{
  g_return_if_fail (g_task_is_valid (result, self));

  g_task_propagate_boolean (G_TASK (result), NULL);
}
