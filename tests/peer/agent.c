/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a guest agent answers. */

#include "agent.h"

#include <glib/gstdio.h>
#include <string.h>

#include <gio/gunixsocketaddress.h>
#include <json-glib/json-glib.h>

#define FILESYSTEMS 3

struct _PeerAgent
{
  char             *path;
  GSocketAddress   *address;
  GSocketService   *service;
  GSocketConnection *link;      /* (nullable): the newest one */
  GDataInputStream *input;      /* of that link */
  GCancellable     *reading;

  gboolean          silent;
  gboolean          frozen;
  char             *late;       /* (nullable): the command to answer late */
  GString          *left;       /* for whoever comes next */
  GHashTable       *answers;    /* command -> answer */
  GHashTable       *counts;     /* command -> number */
};

static void
send (PeerAgent  *self,
      const char *bytes)
{
  g_autoptr (GError) error = NULL;
  GOutputStream *output = g_io_stream_get_output_stream (G_IO_STREAM (self->link));

  /* A client that has gone away misses it. */
  g_output_stream_write_all (output, bytes, strlen (bytes), NULL, NULL, &error);
}

/* Does @command; what it returns, as JSON. */
static char *
perform (PeerAgent  *self,
         const char *command,
         JsonObject *arguments)
{
  gpointer count = g_hash_table_lookup (self->counts, command);

  g_hash_table_insert (self->counts, g_strdup (command),
                       GUINT_TO_POINTER (GPOINTER_TO_UINT (count) + 1));
  if (g_str_equal (command, "guest-sync-delimited"))
    return g_strdup_printf ("%" G_GINT64_FORMAT, json_object_get_int_member (arguments, "id"));
  if (g_str_equal (command, "guest-fsfreeze-status"))
    return g_strdup (self->frozen ? "\"frozen\"" : "\"thawed\"");
  if (g_str_equal (command, "guest-fsfreeze-freeze"))
    {
      self->frozen = TRUE;
      return g_strdup_printf ("%d", FILESYSTEMS);
    }
  if (g_str_equal (command, "guest-fsfreeze-thaw"))
    {
      gboolean was_frozen = self->frozen;

      self->frozen = FALSE;
      return g_strdup_printf ("%d", was_frozen ? FILESYSTEMS : 0);
    }
  g_error ("the agent does not know %s", command);
}

static void
answer (PeerAgent  *self,
        const char *line)
{
  g_autoptr (JsonNode) node = json_from_string (line, NULL);
  g_autofree char *text = NULL;
  JsonObject *object, *arguments = NULL;
  const char *command, *given;

  g_assert_true (node != NULL && JSON_NODE_HOLDS_OBJECT (node));
  object = json_node_get_object (node);
  command = json_object_get_string_member (object, "execute");
  if (json_object_has_member (object, "arguments"))
    arguments = json_object_get_object_member (object, "arguments");

  given = g_hash_table_lookup (self->answers, command);
  if (given != NULL)
    text = g_strdup_printf ("{%s}\n", given);
  else
    {
      g_autofree char *value = perform (self, command, arguments);
      gboolean is_sync = g_str_equal (command, "guest-sync-delimited");

      text = g_strdup_printf ("%s{\"return\": %s}\n", is_sync ? "\xff" : "", value);
    }

  if (g_strcmp0 (self->late, command) == 0)
    {
      g_clear_pointer (&self->late, g_free);
      g_string_append (self->left, text);
    }
  else
    send (self, text);
}

static void read_line (PeerAgent *self);

static void
line_read (GObject      *source,
           GAsyncResult *result,
           gpointer      user_data)
{
  PeerAgent *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *line = NULL;

  line = g_data_input_stream_read_line_finish (G_DATA_INPUT_STREAM (source), result, NULL, &error);
  /* Cancelled: the agent is gone, or another link has replaced this one. */
  if (line == NULL)
    return;

  if (!self->silent)
    answer (self, (guchar) line[0] == 0xff ? line + 1 : line);
  if (self->input == G_DATA_INPUT_STREAM (source))
    read_line (self);
}

static void
read_line (PeerAgent *self)
{
  g_data_input_stream_read_line_async (self->input, G_PRIORITY_DEFAULT, self->reading, line_read,
                                       self);
}

void
peer_agent_hang_up (PeerAgent *self)
{
  if (self->link == NULL)
    return;

  g_cancellable_cancel (self->reading);
  g_io_stream_close (G_IO_STREAM (self->link), NULL, NULL);
  g_clear_object (&self->reading);
  g_clear_object (&self->input);
  g_clear_object (&self->link);
}

static gboolean
incoming (GSocketService    *service,
          GSocketConnection *link,
          GObject           *source,
          PeerAgent         *self)
{
  peer_agent_hang_up (self);
  self->link = g_object_ref (link);
  self->input = g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (link)));
  self->reading = g_cancellable_new ();
  if (self->left->len > 0)
    send (self, self->left->str);
  g_string_truncate (self->left, 0);
  read_line (self);
  return TRUE;
}

PeerAgent *
peer_agent_new (const char *path)
{
  PeerAgent *self = g_new0 (PeerAgent, 1);
  g_autoptr (GError) error = NULL;

  self->path = g_strdup (path);
  self->left = g_string_new (NULL);
  self->answers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->counts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->address = g_unix_socket_address_new (path);
  self->service = g_socket_service_new ();
  g_signal_connect (self->service, "incoming", G_CALLBACK (incoming), self);
  g_socket_listener_add_address (G_SOCKET_LISTENER (self->service), self->address,
                                 G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL,
                                 &error);
  g_assert_no_error (error);
  g_socket_service_start (self->service);
  return self;
}

void
peer_agent_free (PeerAgent *self)
{
  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_signal_handlers_disconnect_by_data (self->service, self);
  peer_agent_hang_up (self);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_unlink (self->path);
  g_object_unref (self->service);
  g_object_unref (self->address);
  g_string_free (self->left, TRUE);
  g_hash_table_unref (self->answers);
  g_hash_table_unref (self->counts);
  g_free (self->late);
  g_free (self->path);
  g_free (self);
}

GSocketConnectable *
peer_agent_get_address (PeerAgent *self)
{
  return G_SOCKET_CONNECTABLE (self->address);
}

void
peer_agent_set_silent (PeerAgent *self,
                       gboolean   silent)
{
  self->silent = silent;
}

void
peer_agent_answer_late (PeerAgent  *self,
                        const char *command)
{
  g_free (self->late);
  self->late = g_strdup (command);
}

void
peer_agent_answer_with (PeerAgent  *self,
                        const char *command,
                        const char *text)
{
  g_hash_table_insert (self->answers, g_strdup (command), g_strdup (text));
}

void
peer_agent_leave (PeerAgent  *self,
                  const char *bytes)
{
  g_string_append (self->left, bytes);
}

gboolean
peer_agent_is_frozen (PeerAgent *self)
{
  return self->frozen;
}

guint
peer_agent_count (PeerAgent  *self,
                  const char *command)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, command));
}
