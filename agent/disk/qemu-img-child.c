/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how a qemu-img is started, watched and ended, and what its last words mean. */

#include "qemu-img-private.h"

#include <core/error.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PROGRAM      "qemu-img"
#define CHUNK_BYTES  65536u
#define MAX_WORDS    2048u                      /* bytes of its stderr that an error repeats */

typedef struct
{
  GSubprocess   *process;
  GInputStream  *stdout_pipe;
  int            words;         /* where its stderr comes out; does not block */
  GCancellable  *reading;       /* ends the wait for more output */
  gulong         cancelled_id;
  guint          stall_s;
  GSource       *stall;         /* (nullable) */
  guint64        seen_io;       /* when progress was last looked for */
  gint64         written;
  QemuImgOutput  output;
  gpointer       output_data;
  GError        *error;         /* (nullable): why we end it */
} Child;

static void
child_free (gpointer data)
{
  Child *self = data;

  if (self->stall != NULL)
    g_source_destroy (self->stall);
  g_clear_pointer (&self->stall, g_source_unref);
  g_clear_object (&self->process);
  g_clear_object (&self->stdout_pipe);
  g_clear_object (&self->reading);
  g_clear_error (&self->error);
  if (self->words >= 0)
    close (self->words);
  g_free (self);
}

/* --- what became of it --- */

static const struct
{
  const char *words;
  AgentError  code;
  const char *hint;
} meanings[] = {
  { "\" lock", AGENT_ERROR_CONFLICT, "an image is open elsewhere: see who has it, then try again" },
  { "No space left", AGENT_ERROR_NO_SPACE, "make room on the file system, then try again" },
  { "Disk quota exceeded", AGENT_ERROR_NO_SPACE,
    "the quota is used up: raise it or make room, then try again" },
  { "Permission denied", AGENT_ERROR_CONFLICT, "the agent needs to read and to write the images" },
};

/* (transfer full) (nullable): what it wrote to stderr */
static char *
take_words (Child *self)
{
  char buffer[MAX_WORDS];
  gssize n = read (self->words, buffer, sizeof buffer);
  char *text;

  if (n <= 0)
    return NULL;

  text = g_strdelimit (g_strstrip (g_utf8_make_valid (buffer, n)), "\n", ';');

  return text;
}

static GError *
explain (Child *self)
{
  g_autofree char *words = take_words (self);
  AgentError code = AGENT_ERROR_INTERNAL;
  const char *hint = NULL;

  if (words == NULL && g_subprocess_get_if_signaled (self->process))
    return agent_error_new (code, "look whether the host has run out of memory",
                            "qemu-img was ended by signal %d",
                            g_subprocess_get_term_sig (self->process));

  for (gsize i = 0; words != NULL && i < G_N_ELEMENTS (meanings); i++)
    {
      if (strstr (words, meanings[i].words) == NULL)
        continue;
      code = meanings[i].code;
      hint = meanings[i].hint;
      break;
    }

  return agent_error_new (code, hint, "%s",
                          words != NULL ? words : "qemu-img failed and did not say why");
}

static void
on_gone (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Child *self = g_task_get_task_data (task);

  g_subprocess_wait_finish (self->process, result, NULL);
  if (self->stall != NULL)
    g_source_destroy (self->stall);
  if (self->cancelled_id != 0)
    g_signal_handler_disconnect (g_task_get_cancellable (task), self->cancelled_id);
  self->cancelled_id = 0;

  /* What was done before somebody wanted it to end is done. */
  if (g_subprocess_get_successful (self->process)
      && (self->error == NULL || g_error_matches (self->error, AGENT_ERROR, AGENT_ERROR_CANCELLED)))
    g_task_return_boolean (task, TRUE);
  else if (self->error != NULL)
    g_task_return_error (task, g_steal_pointer (&self->error));
  else
    g_task_return_error (task, explain (self));
}

/* @error: (transfer full) */
static void
give_up (Child  *self,
         GError *error)
{
  if (self->error == NULL)
    self->error = error;
  else
    g_error_free (error);

  g_subprocess_force_exit (self->process);
  g_cancellable_cancel (self->reading);
}

/* --- while it runs --- */

/* What /proc/PID/io says of a key; 0 when it is gone. */
static guint64
find_count (const char *io,
            const char *key)
{
  const char *at = io != NULL ? strstr (io, key) : NULL;

  return at != NULL ? g_ascii_strtoull (at + strlen (key), NULL, 10) : 0;
}

/* Takes how much it has read and written by now. TRUE when that is more than the last time. */
static gboolean
look_at_io (Child *self)
{
  const char *pid = g_subprocess_get_identifier (self->process);
  g_autofree char *path = pid != NULL ? g_strdup_printf ("/proc/%s/io", pid) : NULL;
  g_autofree char *io = NULL;
  gboolean moved;
  guint64 now;

  if (path == NULL || !g_file_get_contents (path, &io, NULL, NULL))
    return FALSE;

  now = find_count (io, "rchar: ") + find_count (io, "wchar: ");
  self->written = MAX (self->written, (gint64) MIN (find_count (io, "wchar: "), G_MAXINT64));
  moved = now > self->seen_io;
  self->seen_io = MAX (now, self->seen_io);

  return moved;
}

/* It tells its progress in steps of a hundredth, and of a large image that is a lot. */
static gboolean
on_stall (gpointer user_data)
{
  Child *self = user_data;

  if (look_at_io (self))
    return G_SOURCE_CONTINUE;

  give_up (self, agent_error_new (AGENT_ERROR_TIMEOUT, "see whether the storage answers",
                                  "qemu-img has made no progress for %u s", self->stall_s));

  return G_SOURCE_REMOVE;
}

static void
arm_stall (Child *self)
{
  if (self->stall_s == 0)
    return;

  if (self->stall != NULL)
    {
      g_source_set_ready_time (self->stall, g_get_monotonic_time ()
                                            + self->stall_s * G_USEC_PER_SEC);
      return;
    }

  self->stall = g_timeout_source_new_seconds (self->stall_s);
  g_source_set_callback (self->stall, on_stall, self, NULL);
  g_source_attach (self->stall, g_main_context_get_thread_default ());
}

static void
on_cancelled (GCancellable *cancellable,
              gpointer      user_data)
{
  give_up (user_data, agent_error_new (AGENT_ERROR_CANCELLED, NULL, "qemu-img was cancelled"));
}

static void
on_output (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Child *self = g_task_get_task_data (task);
  g_autoptr (GBytes) bytes = NULL;
  GError *error = NULL;
  const char *text;
  gsize length;

  bytes = g_input_stream_read_bytes_finish (self->stdout_pipe, result, NULL);
  text = bytes != NULL ? g_bytes_get_data (bytes, &length) : NULL;
  if (text == NULL || length == 0 || self->error != NULL)
    {
      g_subprocess_wait_async (self->process, NULL, on_gone, g_steal_pointer (&task));
      return;
    }

  look_at_io (self);
  arm_stall (self);
  if (self->output != NULL && !self->output (text, length, self->output_data, &error))
    give_up (self, error);
  g_input_stream_read_bytes_async (self->stdout_pipe, CHUNK_BYTES, G_PRIORITY_DEFAULT,
                                   self->reading, on_output, g_steal_pointer (&task));
}

/* --- starting --- */

/* Between fork and exec, where little is allowed. */
static void
prepare_child (gpointer user_data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  if (getppid () != GPOINTER_TO_INT (user_data))
    _exit (1);
}

static gboolean
spawn (Child              *self,
       const char *const  *words,
       GError            **error)
{
  g_autoptr (GSubprocessLauncher) launcher =
    g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GError) spawn_error = NULL;
  int pipes[2];

  /* A full pipe does not hold it up: what does not fit is lost. */
  if (pipe2 (pipes, O_CLOEXEC | O_NONBLOCK) < 0)
    {
      agent_set_error (error, AGENT_ERROR_INTERNAL, NULL, "cannot make a pipe: %s",
                       g_strerror (errno));
      return FALSE;
    }
  self->words = pipes[0];
  g_subprocess_launcher_take_stderr_fd (launcher, pipes[1]);
  g_subprocess_launcher_set_child_setup (launcher, prepare_child, GINT_TO_POINTER (getpid ()),
                                         NULL);
  g_subprocess_launcher_setenv (launcher, "LC_ALL", "C", TRUE);

  g_ptr_array_add (argv, (gpointer) PROGRAM);
  for (guint i = 0; words[i] != NULL; i++)
    g_ptr_array_add (argv, (gpointer) words[i]);
  g_ptr_array_add (argv, NULL);

  self->process = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv->pdata,
                                                &spawn_error);
  if (self->process == NULL)
    {
      agent_set_error (error, AGENT_ERROR_UNAVAILABLE,
                       "install QEMU's tools; qemu-img is one of them", "%s",
                       spawn_error->message);
      return FALSE;
    }
  self->stdout_pipe = g_object_ref (g_subprocess_get_stdout_pipe (self->process));

  return TRUE;
}

/*
 * qemu_img_child_run_async:
 * @words: its arguments
 * @stall_s: seconds without output and without I/O after which it is ended; 0: none
 * @output: (nullable): gets its stdout
 * @output_data: for @output
 * @cancellable: (nullable): ends it
 * @callback: called when it is gone
 * @user_data: for @callback
 *
 * It gets a signal when the thread that calls this ends: that must be the main loop's.
 */
void
qemu_img_child_run_async (const char *const   *words,
                          guint                stall_s,
                          QemuImgOutput        output,
                          gpointer             output_data,
                          GCancellable        *cancellable,
                          GAsyncReadyCallback  callback,
                          gpointer             user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Child *self = g_new0 (Child, 1);
  GError *error = NULL;

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, self, child_free);
  self->words = -1;
  self->reading = g_cancellable_new ();
  self->stall_s = stall_s;
  self->output = output;
  self->output_data = output_data;

  if (g_cancellable_is_cancelled (cancellable))
    error = agent_error_new (AGENT_ERROR_CANCELLED, NULL, "qemu-img was cancelled");
  else
    spawn (self, words, &error);
  if (error != NULL)
    {
      g_task_return_error (task, error);
      return;
    }

  arm_stall (self);
  if (cancellable != NULL)
    self->cancelled_id = g_signal_connect (cancellable, "cancelled", G_CALLBACK (on_cancelled),
                                           self);
  g_input_stream_read_bytes_async (self->stdout_pipe, CHUNK_BYTES, G_PRIORITY_DEFAULT,
                                   self->reading, on_output, g_object_ref (task));
}

/*
 * qemu_img_child_run_finish:
 * @result: what the callback got
 * @written: (out) (optional): how many bytes it has written, as far as it was seen
 * @error: where to put an error
 *
 * Returns: whether it did what it was told
 */
gboolean
qemu_img_child_run_finish (GAsyncResult  *result,
                           gint64        *written,
                           GError       **error)
{
  Child *self = g_task_get_task_data (G_TASK (result));

  if (written != NULL)
    *written = self->written;

  return g_task_propagate_boolean (G_TASK (result), error);
}
