/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the way to a disk's bytes: look at the layers (in a thread), start a process that reads
 * them (in the main loop's), ask it what is data (in a thread). */

#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <core/error.h>

#include "flat-layers.h"
#include "flat-source.h"

#define SOCKET_PREFIX "read-"

typedef struct
{
  GPtrArray   *wanted;          /* of ImageLayer */
  GPtrArray   *layers;          /* of FlatLayer */
  char        *program;
  char        *socket;
  gboolean     is_qcow2;
  gboolean     is_shared;       /* read against QEMU's locks */
  FlatProcess *process;
  GError      *error;           /* (nullable): why the process is ended again */
} Opening;

static void
opening_free (gpointer data)
{
  Opening *self = data;

  g_ptr_array_unref (self->wanted);
  g_clear_pointer (&self->layers, g_ptr_array_unref);
  g_free (self->program);
  g_free (self->socket);
  g_clear_object (&self->process);
  g_clear_error (&self->error);
  g_free (self);
}

/* --- the last stage --- */

static void
on_ended (GObject      *source,
          GAsyncResult *result,
          gpointer      user_data)
{
  g_autoptr (GTask) task = user_data;
  Opening *self = g_task_get_task_data (task);

  flat_process_end_finish (AGENT_FLAT_PROCESS (source), result);
  g_task_return_error (task, g_steal_pointer (&self->error));
}

static void
on_cancelled (GCancellable *cancellable,
              gpointer      process)
{
  flat_process_kill (process);
}

/* In a thread. */
static ImageSource *
read_disk (Opening       *self,
           GCancellable  *cancellable,
           GError       **error)
{
  g_autoptr (FlatNbd) nbd = flat_nbd_connect (self->socket, FLAT_EXPORT, error);
  g_autoptr (FlatMap) map = NULL;

  /* Nobody else is to connect, and nothing is to stay behind. */
  unlink (self->socket);
  if (nbd == NULL)
    return NULL;

  map = flat_nbd_read_map (nbd, cancellable, error);
  if (map == NULL)
    return NULL;

  return flat_source_new (g_object_ref (self->process), g_steal_pointer (&nbd),
                          g_steal_pointer (&map), g_ptr_array_ref (self->layers), self->is_qcow2,
                          error);
}

static void
map_in_thread (GTask        *task,
               gpointer      source_object,
               gpointer      task_data,
               GCancellable *cancellable)
{
  Opening *self = task_data;
  g_autoptr (ImageSource) source = NULL;
  GError *error = NULL;
  gulong handler = 0;

  /* A question that is not answered ends with the process. */
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), self->process, NULL);
  source = read_disk (self, cancellable, &error);
  g_cancellable_disconnect (cancellable, handler);

  if (source == NULL)
    g_task_return_error (task, error);
  else
    g_task_return_pointer (task, g_steal_pointer (&source), g_object_unref);
}

static void
on_mapped (GObject      *source_object,
           GAsyncResult *result,
           gpointer      user_data)
{
  GTask *task = user_data;
  Opening *self = g_task_get_task_data (task);
  GCancellable *cancellable = g_task_get_cancellable (task);
  ImageSource *source = g_task_propagate_pointer (G_TASK (result), &self->error);

  if (source != NULL && g_cancellable_is_cancelled (cancellable))
    g_clear_object (&source);
  if (source == NULL)
    {
      if (g_cancellable_is_cancelled (cancellable))
        {
          g_clear_error (&self->error);
          g_cancellable_set_error_if_cancelled (cancellable, &self->error);
        }
      flat_process_end_async (self->process, on_ended, task);
      return;
    }

  g_task_return_pointer (task, source, g_object_unref);
  g_object_unref (task);
}

/* --- the stages before --- */

static void look (GTask *task);

/* Somebody has a layer open for writing. That he does not write shows in the end, of files. */
static gboolean
is_worth_sharing (Opening      *self,
                  const GError *error)
{
  return !self->is_shared && g_error_matches (error, AGENT_ERROR, AGENT_ERROR_CONFLICT)
         && flat_layers_can_share (self->layers);
}

static void
on_started (GObject      *source_object,
            GAsyncResult *result,
            gpointer      user_data)
{
  GTask *task = user_data;
  Opening *self = g_task_get_task_data (task);
  g_autoptr (GTask) mapping = NULL;
  GError *error = NULL;

  self->process = flat_process_start_finish (result, &error);
  if (self->process == NULL)
    {
      unlink (self->socket);
      if (is_worth_sharing (self, error))
        {
          g_error_free (error);
          self->is_shared = TRUE;
          look (task);
          return;
        }
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }

  mapping = g_task_new (NULL, g_task_get_cancellable (task), on_mapped, task);
  g_task_set_check_cancellable (mapping, FALSE);
  g_task_set_task_data (mapping, self, NULL);
  g_task_run_in_thread (mapping, map_in_thread);
}

static void
look_in_thread (GTask        *task,
                gpointer      source_object,
                gpointer      task_data,
                GCancellable *cancellable)
{
  Opening *self = task_data;
  GError *error = NULL;

  g_clear_pointer (&self->layers, g_ptr_array_unref);
  self->layers = flat_layers_open (self->wanted, self->is_shared, &error);
  if (self->layers == NULL)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

static void
on_looked (GObject      *source_object,
           GAsyncResult *result,
           gpointer      user_data)
{
  GTask *task = user_data;
  Opening *self = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error)
      || g_cancellable_set_error_if_cancelled (g_task_get_cancellable (task), &error))
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }

  flat_process_start_async (self->program, self->layers, self->socket,
                            g_task_get_cancellable (task), on_started, task);
}

static void
look (GTask *task)
{
  g_autoptr (GTask) looking = g_task_new (NULL, g_task_get_cancellable (task), on_looked, task);

  g_task_set_check_cancellable (looking, FALSE);
  g_task_set_task_data (looking, g_task_get_task_data (task), NULL);
  g_task_run_in_thread (looking, look_in_thread);
}

static GError *
check_request (Opening    *self,
               const char *format)
{
  struct sockaddr_un address;

  if (g_strcmp0 (format, "qcow2") != 0 && g_strcmp0 (format, "raw") != 0)
    return agent_error_new (AGENT_ERROR_INVALID, "Ask for qcow2 or raw.",
                            "an image of a whole disk cannot be of the format %s",
                            format != NULL ? format : "(none)");

  if (strlen (self->socket) >= sizeof address.sun_path)
    return agent_error_new (AGENT_ERROR_INVALID, "Give the daemon a folder with a shorter path.",
                            "%s is too long for the path of a socket: %zu bytes are the most",
                            self->socket, sizeof address.sun_path - 1);

  return NULL;
}

/**
 * flat_source_open_async:
 * @layers: (element-type ImageLayer): the chain, top first
 * @format: of the image, "qcow2" or "raw"
 * @program: the qemu-storage-daemon, by its path or found in PATH
 * @folder: for a socket, which is gone again when this returns; ours alone
 * @cancellable: (nullable): ends it; no process is left then
 * @callback: called when the image's length is known
 * @user_data: passed on to @callback
 *
 * In the main loop's thread: the process that reads the chain ends with it. Besides that process an
 * open source costs the map (see flat-map.h) and 4 MiB of buffers.
 */
void
flat_source_open_async (GPtrArray           *layers,
                        const char          *format,
                        const char          *program,
                        const char          *folder,
                        GCancellable        *cancellable,
                        GAsyncReadyCallback  callback,
                        gpointer             user_data)
{
  GTask *task = g_task_new (NULL, cancellable, callback, user_data);
  g_autofree char *unique = g_uuid_string_random ();
  Opening *self = g_new0 (Opening, 1);
  GError *error;

  g_task_set_check_cancellable (task, FALSE);
  g_task_set_task_data (task, self, opening_free);
  self->wanted = g_ptr_array_ref (layers);
  self->program = g_strdup (program);
  self->socket = g_strdup_printf ("%s/" SOCKET_PREFIX "%.8s", folder, unique);
  self->is_qcow2 = g_strcmp0 (format, "qcow2") == 0;

  error = check_request (self, format);
  if (error != NULL)
    {
      g_task_return_error (task, error);
      g_object_unref (task);
      return;
    }

  look (task);
}

/**
 * flat_source_open_finish:
 * @result: what the callback got
 * @error: AGENT_ERROR_CONFLICT when a layer is another file by now, or somebody writes to it;
 *   AGENT_ERROR_INVALID for a chain that cannot be read or a disk that the format cannot hold;
 *   AGENT_ERROR_UNAVAILABLE without the program; AGENT_ERROR_FORBIDDEN; AGENT_ERROR_TIMEOUT;
 *   AGENT_ERROR_INTERNAL; G_IO_ERROR_CANCELLED
 *
 * Returns: (transfer full): the image's bytes. After an error no process of ours has a layer open.
 */
ImageSource *
flat_source_open_finish (GAsyncResult  *result,
                         GError       **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * flat_source_clean_up:
 * @folder: where sockets of ours are
 *
 * A socket is there only until we are connected to it; who was killed in between has left one. Its
 * process has ended with him.
 */
void
flat_source_clean_up (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      struct stat st;

      if (g_str_has_prefix (name, SOCKET_PREFIX) && lstat (path, &st) == 0
          && S_ISSOCK (st.st_mode))
        unlink (path);
    }
}
