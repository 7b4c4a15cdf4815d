/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how two daemons of one host keep from working on the same guest.
 *
 * Whoever works on a guest listens on an abstract Unix socket that is called after it. The kernel
 * gives a name to one socket only, takes it back when its process ends, however that ends, and
 * tells who listens there. Abstract names belong to a network namespace: daemons in different ones
 * do not see each other. Only our own user's and root's sockets count, so that nobody else can keep
 * us from a guest by taking names. */

#include "hold.h"

#include "address.h"
#include "process.h"

#include <core/error.h>
#include <core/journal.h>

#include <gio/gunixsocketaddress.h>

#include <sys/stat.h>
#include <unistd.h>

#define NAME_LENGTH_MAX 100     /* of the 107 bytes that there are */
#define TRIES           50      /* while another process comes or goes */
#define WAITING_MAX     16      /* daemons that wait until we let go */
#define QUEUE_LENGTH    1024    /* of who asks while we are held up: long enough for hours */

/* What a daemon has open as long as it lives, in its state folder. */
#define STATE_FILE "/" JOURNAL_FILE ".lock"

struct _GuestHold
{
  GSocket   *socket;            /* (nullable): there was nothing to hold */
  GSource   *source;
  GPtrArray *waiting;           /* of GSocket: what closes when we let go */
};

static GuestHold *
hold_new (void)
{
  GuestHold *self = g_new0 (GuestHold, 1);

  self->waiting = g_ptr_array_new_with_free_func (g_object_unref);

  return self;
}

/**
 * guest_hold_free:
 * @self: (transfer full): a hold
 *
 * Lets go.
 */
void
guest_hold_free (GuestHold *self)
{
  if (self->source != NULL)
    g_source_destroy (self->source);
  g_clear_pointer (&self->source, g_source_unref);
  g_clear_object (&self->socket);
  g_ptr_array_unref (self->waiting);
  g_free (self);
}

/* --- Who is at the other end --- */

static gboolean
read_credentials (GSocket *socket,
                  uid_t   *uid,
                  pid_t   *pid)
{
  g_autoptr (GCredentials) credentials = g_socket_get_credentials (socket, NULL);

  if (credentials == NULL)
    return FALSE;

  *uid = g_credentials_get_unix_user (credentials, NULL);
  *pid = g_credentials_get_unix_pid (credentials, NULL);

  return *uid != (uid_t) -1;
}

static gboolean
is_trusted (uid_t uid)
{
  return uid == 0 || uid == geteuid ();
}

/* Where the daemon with this number keeps its journal; NULL when it does not let us see. */
static char *
find_state_folder (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  const char *name;

  while (folder != NULL && (name = g_dir_read_name (folder)) != NULL)
    {
      g_autofree char *link = g_build_filename (path, name, NULL);
      g_autofree char *target = g_file_read_link (link, NULL);

      if (target != NULL && g_str_has_suffix (target, STATE_FILE))
        return g_path_get_dirname (target);
    }

  return NULL;
}

static GError *
held_by (const char *guest,
         pid_t       pid)
{
  g_autofree char *folder = pid > 0 ? find_state_folder (pid) : NULL;
  g_autofree char *process = pid > 0 ? g_strdup_printf (", process %d", pid) : g_strdup ("");
  g_autofree char *place = folder != NULL ? g_strdup_printf (" (state folder %s)", folder)
                                          : g_strdup ("");

  return agent_error_new (AGENT_ERROR_CONFLICT,
                          "Use that daemon, or detach the guest there; then it is taken here.",
                          "guest %s is attached by another qsnapd%s%s", guest, process, place);
}

/* --- Those who wait until we let go --- */

/* Who asks again hangs up before. */
static void
drop_gone (GPtrArray *waiting)
{
  for (guint i = waiting->len; i > 0; i--)
    if (g_socket_condition_check (g_ptr_array_index (waiting, i - 1), G_IO_IN) != 0)
      g_ptr_array_remove_index (waiting, i - 1);
}

static gboolean
on_asked (GSocket      *socket,
          GIOCondition  condition,
          gpointer      user_data)
{
  GuestHold *self = user_data;
  g_autoptr (GSocket) asker = g_socket_accept (socket, NULL, NULL);
  uid_t uid;
  pid_t pid;

  if (asker == NULL || !read_credentials (asker, &uid, &pid) || !is_trusted (uid))
    return G_SOURCE_CONTINUE;

  drop_gone (self->waiting);
  if (self->waiting->len == WAITING_MAX)
    g_ptr_array_remove_index (self->waiting, 0);
  g_ptr_array_add (self->waiting, g_steal_pointer (&asker));

  return G_SOURCE_CONTINUE;
}

/* --- Taking --- */

typedef enum
{
  OURS,
  ANOTHERS,
  STRANGERS,
  FREE_AGAIN,
} Holder;

/* Who listens under the name that was taken. @socket is connected to it when it is another's. */
static Holder
ask_holder (GSocket        *socket,
            GSocketAddress *address,
            pid_t          *pid)
{
  g_autoptr (GError) error = NULL;
  uid_t uid;

  if (!g_socket_connect (socket, address, NULL, &error))
    return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED) ? FREE_AGAIN
                                                                              : STRANGERS;

  if (!read_credentials (socket, &uid, pid) || !is_trusted (uid))
    return STRANGERS;

  return *pid == getpid () ? OURS : ANOTHERS;
}

static GSocket *
make_socket (void)
{
  GSocket *socket = g_socket_new (G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM, 0, NULL);

  /* A queue that is full must not make us wait. */
  if (socket != NULL)
    g_socket_set_blocking (socket, FALSE);

  return socket;
}

static gboolean
bind_and_listen (GuestHold       *self,
                 GSocketAddress  *address,
                 GError         **error)
{
  g_autoptr (GSocket) socket = make_socket ();

  if (socket == NULL)
    return FALSE;
  g_socket_set_listen_backlog (socket, QUEUE_LENGTH);
  if (!g_socket_bind (socket, address, FALSE, error) || !g_socket_listen (socket, error))
    return FALSE;

  self->socket = g_steal_pointer (&socket);
  self->source = g_socket_create_source (self->socket, G_IO_IN, NULL);
  g_source_set_callback (self->source, G_SOURCE_FUNC (on_asked), self, NULL);
  g_source_attach (self->source, g_main_context_get_thread_default ());

  return TRUE;
}

/* Whatever keeps us from making sure must not keep us from the guest. */
static GuestHold *
take (const char  *guest,
      const char  *name,
      GSocket    **holder,
      GError     **error)
{
  g_autoptr (GuestHold) self = hold_new ();
  g_autoptr (GSocketAddress) address =
      g_unix_socket_address_new_with_type (name, -1, G_UNIX_SOCKET_ADDRESS_ABSTRACT);
  g_autoptr (GError) failure = NULL;

  for (guint i = 0; i < TRIES; i++)
    {
      g_autoptr (GSocket) socket = NULL;
      Holder who;
      pid_t pid = 0;

      g_clear_error (&failure);
      if (bind_and_listen (self, address, &failure))
        return g_steal_pointer (&self);

      socket = make_socket ();
      who = socket != NULL ? ask_holder (socket, address, &pid) : STRANGERS;

      if (who == ANOTHERS)
        {
          *holder = g_steal_pointer (&socket);
          g_propagate_error (error, held_by (guest, pid));
          return NULL;
        }
      if (who == OURS)          /* which of our guests may stay is the registry's affair */
        return g_steal_pointer (&self);
      if (who == STRANGERS)
        break;
      g_thread_yield ();
    }

  g_warning ("guest %s: it cannot be seen whether another daemon works on it: @%s: %s", guest, name,
             failure != NULL ? failure->message : "no socket");

  return g_steal_pointer (&self);
}

/**
 * guest_hold_monitor:
 * @guest: what the guest is called, for the error
 * @monitor: a normal address: the path of a socket, or HOST:PORT
 * @holder: (out) (transfer full): on AGENT_ERROR_CONFLICT, what becomes readable when it is let go
 * @error: return location
 *
 * Takes a monitor before anybody connects to it: the one that serves a single client would not even
 * greet a second one. A Unix socket is known by its file, whatever leads there.
 *
 * Returns: (transfer full): the hold, until it is freed; %NULL with AGENT_ERROR_CONFLICT, which
 *   names the daemon that has it
 */
GuestHold *
guest_hold_monitor (const char  *guest,
                    const char  *monitor,
                    GSocket    **holder,
                    GError     **error)
{
  g_autofree char *name = NULL;
  struct stat status;

  if (!address_is_path (monitor))
    name = g_strdup_printf ("qsnapd/tcp/%.*s", NAME_LENGTH_MAX - 11, monitor);
  else if (stat (monitor, &status) == 0)
    name = g_strdup_printf ("qsnapd/socket/%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT,
                            (guint64) status.st_dev, (guint64) status.st_ino);
  else
    return hold_new ();

  return take (guest, name, holder, error);
}

/**
 * guest_hold_process:
 * @guest: what the guest is called, for the error
 * @pid: who listens on its monitor; 0 when unknown
 * @start_time: what process_get_start_time() said of it
 * @holder: (out) (transfer full): as above
 * @error: return location
 *
 * Takes a QEMU, whichever of its monitors leads there. A manager that made the sockets of many
 * QEMUs and passed them on is taken for their peer: then there is nothing to hold.
 *
 * Returns: (transfer full): as above
 */
GuestHold *
guest_hold_process (const char  *guest,
                    GPid         pid,
                    guint64      start_time,
                    GSocket    **holder,
                    GError     **error)
{
  g_autofree char *name = NULL;

  if (start_time == 0 || !process_is_qemu (pid))
    return hold_new ();

  name = g_strdup_printf ("qsnapd/process/%d/%" G_GUINT64_FORMAT, pid, start_time);

  return take (guest, name, holder, error);
}
