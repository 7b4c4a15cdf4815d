/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to follow a script. It reads with json-glib, so that it shares no code with what it
 * tests. */

#include "peer-private.h"

#include <string.h>
#include <sys/socket.h>

#include <gio/gunixsocketaddress.h>

#define PATIENCE_S 20

static void run (Peer *self);

static void
step_free (gpointer data)
{
  PeerStep *step = data;

  g_clear_pointer (&step->bytes, g_bytes_unref);
  g_clear_pointer (&step->arguments, json_node_unref);
  g_free (step->command);
  g_free (step->body);
  g_free (step);
}

static void
id_free (gpointer id)
{
  if (id != NULL)
    json_node_unref (id);
}

static char *
describe (Peer *self)
{
  PeerStep *step = g_queue_peek_head (&self->steps);

  if (step == NULL)
    return g_strdup ("nothing more");
  switch (step->kind)
    {
    case STEP_EXPECT:
      return g_strdup_printf ("the command %s", step->command);
    case STEP_HOLD:
      return g_strdup ("the word to go on");
    case STEP_EXPECT_HANGUP:
      return g_strdup ("that the client hangs up");
    case STEP_SAY:
    case STEP_ANSWER:
    case STEP_HANG_UP:
    default:
      return g_strdup ("a client");
    }
}

/* --- the link --- */

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
close_link (Peer *self)
{
  clear_source (&self->readable);
  clear_source (&self->writable);
  if (self->stream != NULL)
    g_io_stream_close (self->stream, NULL, NULL);
  g_clear_object (&self->stream);
}

static gboolean
on_writable (GObject  *stream,
             gpointer  user_data)
{
  Peer *self = user_data;
  g_autoptr (GError) error = NULL;
  gssize written;

  written = g_pollable_output_stream_write_nonblocking (G_POLLABLE_OUTPUT_STREAM (stream),
                                                        self->output->data + self->sent,
                                                        self->output->len - self->sent, NULL,
                                                        &error);
  if (written > 0)
    self->sent += (guint) written;
  else if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    self->sent = self->output->len;     /* the client has gone; reading tells the rest */

  if (self->sent < self->output->len)
    return G_SOURCE_CONTINUE;
  self->sent = 0;
  g_byte_array_set_size (self->output, 0);
  clear_source (&self->writable);
  run (self);
  return G_SOURCE_REMOVE;
}

static void
send_bytes (Peer       *self,
            const void *bytes,
            gsize       length)
{
  GOutputStream *output = g_io_stream_get_output_stream (self->stream);

  g_byte_array_append (self->output, bytes, (guint) length);
  if (self->writable != NULL || self->output->len == 0)
    return;
  self->writable = g_pollable_output_stream_create_source (G_POLLABLE_OUTPUT_STREAM (output), NULL);
  g_source_set_callback (self->writable, G_SOURCE_FUNC (on_writable), self, NULL);
  g_source_attach (self->writable, NULL);
}

static gboolean
on_readable (GObject  *stream,
             gpointer  user_data)
{
  Peer *self = user_data;
  g_autoptr (GError) error = NULL;
  char chunk[4096];
  gssize length;

  length = g_pollable_input_stream_read_nonblocking (G_POLLABLE_INPUT_STREAM (stream), chunk,
                                                     sizeof chunk, NULL, &error);
  if (length > 0)
    g_string_append_len (self->input, chunk, length);
  else if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    {
      self->client_gone = TRUE;
      clear_source (&self->readable);
    }
  run (self);
  return self->readable != NULL;
}

static void
begin (Peer      *self,
       GIOStream *stream)
{
  GInputStream *input = g_io_stream_get_input_stream (stream);

  self->stream = g_object_ref (stream);
  self->readable = g_pollable_input_stream_create_source (G_POLLABLE_INPUT_STREAM (input), NULL);
  g_source_set_callback (self->readable, G_SOURCE_FUNC (on_readable), self, NULL);
  g_source_attach (self->readable, NULL);
}

/* --- the script --- */

static void
answer (Peer     *self,
        PeerStep *step)
{
  JsonNode *id = NULL;
  g_autofree char *id_text = NULL;
  g_autofree char *line = NULL;

  if (step->nth == NEGOTIATION || step->nth < self->ids->len)
    id = self->ids->pdata[step->nth == NEGOTIATION ? self->ids->len - 1 : step->nth];
  if (id != NULL)
    {
      id_text = json_to_string (id, FALSE);
      line = g_strdup_printf ("{%s, \"id\": %s}\r\n", step->body, id_text);
    }
  else
    line = g_strdup_printf ("{%s}\r\n", step->body);
  send_bytes (self, line, strlen (line));
  if (step->nth == NEGOTIATION)
    g_ptr_array_set_size (self->ids, 0);
}

static void
check_command (Peer       *self,
               PeerStep   *step,
               const char *line)
{
  /* In front of a sync a guest agent's client sends byte 0xFF. */
  g_autoptr (JsonNode) node = peer_parse (self->agent && (guchar) *line == 0xff ? line + 1 : line);
  JsonObject *command = json_node_get_object (node);
  JsonNode *arguments = json_object_get_member (command, "arguments");
  JsonNode *id = json_object_get_member (command, "id");

  if (g_strcmp0 (json_object_get_string_member_with_default (command, step->verb, NULL),
                 step->command) != 0)
    g_error ("the script expects %s %s, but the client sends %s", step->verb, step->command, line);
  if (step->arguments != NULL &&
      (arguments == NULL || !json_node_equal (arguments, step->arguments)))
    {
      g_autofree char *wanted = json_to_string (step->arguments, FALSE);

      g_error ("the script expects the arguments %s, but the client sends %s", wanted, line);
    }
  if ((id == NULL) != self->agent)
    g_error ("%s: %s", self->agent ? "an agent knows no id" : "no id", line);

  g_ptr_array_add (self->ids, id != NULL ? json_node_ref (id) : NULL);
}

static gboolean
take_line (Peer     *self,
           PeerStep *step)
{
  const char *end = memchr (self->input->str, '\n', self->input->len);
  g_autofree char *line = NULL;

  if (end == NULL)
    return FALSE;
  line = g_strndup (self->input->str, (gsize) (end - self->input->str));
  g_string_erase (self->input, 0, end + 1 - self->input->str);
  check_command (self, step, line);
  return TRUE;
}

/* FALSE when the step has to wait. */
static gboolean
do_step (Peer     *self,
         PeerStep *step)
{
  switch (step->kind)
    {
    case STEP_SAY:
      send_bytes (self, g_bytes_get_data (step->bytes, NULL), g_bytes_get_size (step->bytes));
      return TRUE;
    case STEP_ANSWER:
      answer (self, step);
      return TRUE;
    case STEP_EXPECT:
      return take_line (self, step);
    case STEP_EXPECT_HANGUP:
      return self->client_gone;
    case STEP_HANG_UP:
      if (self->output->len > 0)
        return FALSE;
      close_link (self);
      return TRUE;
    case STEP_HOLD:
    default:
      return FALSE;
    }
}

static gboolean
is_on_hold (Peer *self)
{
  PeerStep *step = g_queue_peek_head (&self->steps);

  return step != NULL && step->kind == STEP_HOLD;
}

static void
run (Peer *self)
{
  PeerStep *step;

  if (self->stream == NULL)
    return;
  while ((step = g_queue_peek_head (&self->steps)) != NULL && do_step (self, step))
    {
      step_free (g_queue_pop_head (&self->steps));
      if (self->stream == NULL)
        break;
    }

  if (is_on_hold (self))
    return;
  step = g_queue_peek_head (&self->steps);
  if (self->input->len > 0 && (step == NULL || step->kind != STEP_EXPECT))
    {
      g_autofree char *awaited = describe (self);

      g_error ("the script expects %s, but the client sends %s", awaited, self->input->str);
    }
  if (self->client_gone && step != NULL)
    {
      g_autofree char *awaited = describe (self);

      g_error ("the script expects %s, but the client has hung up", awaited);
    }
}

/* Steps run from the main loop alone, so that a test can write its script in peace. */
static gboolean
run_once (gpointer user_data)
{
  Peer *self = user_data;

  self->scheduled = 0;
  run (self);
  return G_SOURCE_REMOVE;
}

PeerStep *
peer_add_step (Peer         *self,
               PeerStepKind  kind)
{
  PeerStep *step = g_new0 (PeerStep, 1);

  step->kind = kind;
  g_queue_push_tail (&self->steps, step);
  if (self->scheduled == 0)
    self->scheduled = g_idle_add_full (G_PRIORITY_DEFAULT, run_once, self, NULL);
  return step;
}

/* --- what tests call --- */

static Peer *
new_peer (void)
{
  Peer *self = g_new0 (Peer, 1);

  g_queue_init (&self->steps);
  self->ids = g_ptr_array_new_with_free_func (id_free);
  self->input = g_string_new (NULL);
  self->output = g_byte_array_new ();
  return self;
}

static GIOStream *
stream_from_fd (int fd)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocket) socket = g_socket_new_from_fd (fd, &error);

  g_assert_no_error (error);
  return G_IO_STREAM (g_socket_connection_factory_create_connection (socket));
}

Peer *
peer_new (void)
{
  Peer *self = new_peer ();
  g_autoptr (GIOStream) stream = NULL;
  int ends[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
  stream = stream_from_fd (ends[0]);
  self->other_end = stream_from_fd (ends[1]);
  begin (self, stream);
  return self;
}

Peer *
peer_new_agent (void)
{
  Peer *self = peer_new ();

  self->agent = TRUE;
  return self;
}

GIOStream *
peer_take_stream (Peer *self)
{
  g_assert_nonnull (self->other_end);
  return g_steal_pointer (&self->other_end);
}

static void
on_accepted (GObject      *source,
             GAsyncResult *result,
             gpointer      user_data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSocketConnection) connection =
    g_socket_listener_accept_finish (G_SOCKET_LISTENER (source), result, NULL, &error);
  Peer *self = user_data;

  if (connection == NULL)
    return;
  begin (self, G_IO_STREAM (connection));
  run (self);
}

Peer *
peer_new_listening (GSocketAddress *address)
{
  Peer *self = new_peer ();
  g_autoptr (GError) error = NULL;

  self->listener = g_socket_listener_new ();
  g_socket_listener_add_address (self->listener, address, G_SOCKET_TYPE_STREAM,
                                 G_SOCKET_PROTOCOL_DEFAULT, NULL, &self->address, &error);
  g_assert_no_error (error);
  g_socket_listener_accept_async (self->listener, NULL, on_accepted, self);
  return self;
}

GSocketConnectable *
peer_get_address (Peer *self)
{
  return G_SOCKET_CONNECTABLE (self->address);
}

static gboolean
on_out_of_patience (gpointer user_data)
{
  g_autofree char *awaited = describe (user_data);

  g_error ("the script still expects %s", awaited);
  return G_SOURCE_REMOVE;
}

void
peer_go (Peer *self)
{
  guint patience = g_timeout_add_seconds (PATIENCE_S, on_out_of_patience, self);

  while (!is_on_hold (self))
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (patience);
  step_free (g_queue_pop_head (&self->steps));
  run (self);
}

void
peer_finish (Peer *self)
{
  guint patience = g_timeout_add_seconds (PATIENCE_S, on_out_of_patience, self);

  while (self->steps.length > 0 || (self->output->len > 0 && self->stream != NULL))
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (patience);
  while (g_main_context_iteration (NULL, FALSE))
    ;

  g_clear_handle_id (&self->scheduled, g_source_remove);
  close_link (self);
  if (self->listener != NULL)
    g_socket_listener_close (self->listener);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_clear_object (&self->listener);
  g_clear_object (&self->address);
  g_clear_object (&self->other_end);
  g_ptr_array_unref (self->ids);
  g_string_free (self->input, TRUE);
  g_byte_array_unref (self->output);
  g_free (self);
}
