/* SPDX-License-Identifier: Apache-2.0 */

/* Knows just enough of QMP and of the guest agent's tongue to be taken for either. */

#include "fake.h"

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define GREETING \
  "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, " \
  "\"package\": \"\"}, \"capabilities\": []}}"

#define COMMAND(name) \
  "{\"name\": \"" name "\", \"meta-type\": \"command\", \"arg-type\": \"0\", \"ret-type\": \"0\"}, "

static const char schema_daemon[] =
  "[" COMMAND ("query-jobs") COMMAND ("query-qmp-schema")
  "{\"name\": \"0\", \"meta-type\": \"object\", \"members\": []}]";

static const char schema_system[] =
  "[" COMMAND ("query-jobs") COMMAND ("query-qmp-schema")
  COMMAND ("query-status") COMMAND ("query-uuid") COMMAND ("query-name")
  "{\"name\": \"0\", \"meta-type\": \"object\", \"members\": []}]";

typedef struct
{
  Fake      *fake;
  GIOStream *stream;
} Link;

static void read_line (Link *link, GDataInputStream *input);

static void
say_to (GIOStream  *stream,
        const char *line)
{
  g_autofree char *text = g_strconcat (line, "\n", NULL);

  /* Who has left does not hear it. */
  g_output_stream_write_all (g_io_stream_get_output_stream (stream), text, strlen (text), NULL,
                             NULL, NULL);
}

void
fake_say (Fake       *self,
          const char *line)
{
  for (guint i = 0; i < self->links->len; i++)
    say_to (g_ptr_array_index (self->links, i), line);
}

void
fake_hang_up (Fake *self)
{
  for (guint i = 0; i < self->links->len; i++)
    {
      GSocket *socket = g_socket_connection_get_socket (g_ptr_array_index (self->links, i));

      g_socket_shutdown (socket, TRUE, TRUE, NULL);
    }
  g_ptr_array_set_size (self->links, 0);
}

/* --- Answers --- */

/* The value to return, as JSON; NULL for a command that is not known. */
static char *
answer_monitor (Fake       *self,
                const char *command)
{
  if (g_str_equal (command, "qmp_capabilities"))
    return g_strdup ("{}");
  if (g_str_equal (command, "query-jobs"))
    return g_strdup ("[]");
  if (g_str_equal (command, "query-qmp-schema"))
    return g_strdup (self->storage_daemon ? schema_daemon : schema_system);
  if (self->storage_daemon)
    return NULL;
  if (g_str_equal (command, "query-uuid"))
    return g_strdup_printf ("{\"UUID\": \"%s\"}", self->uuid);
  if (g_str_equal (command, "query-name"))
    return self->name != NULL ? g_strdup_printf ("{\"name\": \"%s\"}", self->name)
                              : g_strdup ("{}");
  if (g_str_equal (command, "query-status"))
    return g_strdup_printf ("{\"status\": \"%s\", \"singlestep\": false, \"running\": false}",
                            self->status);

  return NULL;
}

static char *
answer_agent (Fake       *self,
              const char *command,
              JsonObject *arguments)
{
  gboolean was_frozen = self->frozen;

  if (g_str_equal (command, "guest-sync-delimited"))
    return g_strdup_printf ("%" G_GINT64_FORMAT, json_object_get_int_member (arguments, "id"));
  if (g_str_equal (command, "guest-fsfreeze-status"))
    return g_strdup (self->frozen ? "\"frozen\"" : "\"thawed\"");
  if (g_str_equal (command, "guest-fsfreeze-freeze"))
    {
      self->frozen = !self->thaws_alone;
      return g_strdup ("2");
    }
  if (g_str_equal (command, "guest-fsfreeze-thaw"))
    {
      self->frozen = FALSE;
      return g_strdup (was_frozen || self->thaws_alone ? "2" : "0");
    }

  return NULL;
}

static gboolean
refuses (Fake       *self,
         const char *command)
{
  if (g_strcmp0 (self->refuses, command) != 0)
    return FALSE;

  if (self->refusals > 0 && --self->refusals == 0)
    self->refuses = NULL;

  return TRUE;
}

static void
answer (Fake       *self,
        GIOStream  *stream,
        JsonObject *message)
{
  const char *command = json_object_get_string_member (message, "execute");
  g_autofree char *id = NULL;
  g_autofree char *value = NULL;
  g_autofree char *line = NULL;

  g_string_append_printf (self->heard, "%s ", command);
  if (g_str_equal (command, "query-status") && self->next_status != NULL)
    say_to (stream, "{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}");
  if (g_strcmp0 (self->silent_on, command) == 0)
    return;

  if (json_object_has_member (message, "id"))
    {
      g_autofree char *text = json_to_string (json_object_get_member (message, "id"), FALSE);

      id = g_strdup_printf (", \"id\": %s", text);
    }

  if (!refuses (self, command))
    value = self->is_agent
                ? answer_agent (self, command,
                                json_object_has_member (message, "arguments")
                                    ? json_object_get_object_member (message, "arguments")
                                    : NULL)
                : answer_monitor (self, command);

  if (value != NULL)
    line = g_strdup_printf ("%s{\"return\": %s%s}",
                            g_str_equal (command, "guest-sync-delimited") ? "\xff" : "", value,
                            id != NULL ? id : "");
  else
    line = g_strdup_printf (
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not this time\"}%s}",
        id != NULL ? id : "");
  say_to (stream, line);

  if (g_str_equal (command, "query-status") && self->next_status != NULL)
    self->status = g_steal_pointer (&self->next_status);
}

/* --- Links --- */

static void
link_free (Link *link)
{
  g_object_unref (link->stream);
  g_free (link);
}

static void
on_line (GObject      *source,
         GAsyncResult *result,
         gpointer      user_data)
{
  Link *link = user_data;
  g_autoptr (JsonNode) node = NULL;
  g_autofree char *line = NULL;
  gsize length;

  line = g_data_input_stream_read_line_finish (G_DATA_INPUT_STREAM (source), result, &length, NULL);
  /* The fake is gone when it has let go of the link. */
  if (line == NULL || g_io_stream_is_closed (link->stream) ||
      g_object_get_data (G_OBJECT (link->stream), "left") != NULL)
    {
      if (g_object_get_data (G_OBJECT (link->stream), "left") == NULL)
        g_ptr_array_remove (link->fake->links, link->stream);
      link_free (link);
      return;
    }

  /* A sync begins with a byte that is no JSON. */
  node = json_from_string (line[0] == '\xff' ? line + 1 : line, NULL);
  if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
    answer (link->fake, link->stream, json_node_get_object (node));

  read_line (link, G_DATA_INPUT_STREAM (source));
}

static void
read_line (Link             *link,
           GDataInputStream *input)
{
  g_data_input_stream_read_line_async (input, G_PRIORITY_DEFAULT, NULL, on_line, link);
}

static gboolean
on_incoming (GSocketService    *service,
             GSocketConnection *connection,
             GObject           *source,
             gpointer           user_data)
{
  Fake *self = user_data;
  g_autoptr (GDataInputStream) input = NULL;
  Link *link;

  self->n_links++;
  self->last_link_us = g_get_monotonic_time ();

  if (self->mode == FAKE_DROP)
    {
      g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
      return TRUE;
    }

  if (self->mode == FAKE_GARBAGE)
    say_to (G_IO_STREAM (connection), "RFB 003.008");
  else if (self->mode != FAKE_SILENT && !self->is_agent)
    say_to (G_IO_STREAM (connection), GREETING);

  if (self->mode == FAKE_GREET_DROP)
    {
      g_io_stream_close (G_IO_STREAM (connection), NULL, NULL);
      return TRUE;
    }

  g_ptr_array_add (self->links, g_object_ref (connection));
  if (self->mode == FAKE_SILENT)
    return TRUE;

  link = g_new0 (Link, 1);
  link->fake = self;
  link->stream = g_object_ref (G_IO_STREAM (connection));
  input = g_data_input_stream_new (g_io_stream_get_input_stream (link->stream));
  read_line (link, input);

  return TRUE;
}

static void
let_go (gpointer data)
{
  g_object_set_data (data, "left", GINT_TO_POINTER (1));
  g_object_unref (data);
}

static Fake *
fake_new (const char *path)
{
  Fake *self = g_new0 (Fake, 1);
  g_autoptr (GSocketAddress) address = g_unix_socket_address_new (path);
  g_autoptr (GError) error = NULL;

  self->path = g_strdup (path);
  self->heard = g_string_new (NULL);
  self->links = g_ptr_array_new_with_free_func (let_go);
  self->service = g_socket_service_new ();
  g_remove (path);
  g_socket_listener_add_address (G_SOCKET_LISTENER (self->service), address, G_SOCKET_TYPE_STREAM,
                                 G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, &error);
  g_assert_no_error (error);
  g_signal_connect (self->service, "incoming", G_CALLBACK (on_incoming), self);

  return self;
}

Fake *
fake_new_monitor (const char *path)
{
  Fake *self = fake_new (path);

  self->uuid = "00000000-0000-0000-0000-000000000000";
  self->status = "running";

  return self;
}

Fake *
fake_new_agent (const char *path)
{
  Fake *self = fake_new (path);

  self->is_agent = TRUE;

  return self;
}

void
fake_die (Fake *self)
{
  if (self->service == NULL)
    return;

  g_socket_service_stop (self->service);
  g_socket_listener_close (G_SOCKET_LISTENER (self->service));
  g_clear_object (&self->service);
  fake_hang_up (self);
}

void
fake_free (Fake *self)
{
  fake_die (self);
  g_remove (self->path);
  g_clear_pointer (&self->links, g_ptr_array_unref);
  g_string_free (self->heard, TRUE);
  g_free (self->path);
  g_free (self);
}

guint
fake_count (Fake       *self,
            const char *command)
{
  g_auto (GStrv) words = g_strsplit (self->heard->str, " ", -1);
  guint n = 0;

  for (guint i = 0; words[i] != NULL; i++)
    n += g_str_equal (words[i], command);

  return n;
}
