/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how lines travel: cuts what comes at line breaks, and sends whole lines in order. Knows
 * nothing of what they say.
 *
 * Reading goes through a buffer on the stack; only the beginning of a line whose end has not come
 * yet is kept. So an idle link costs no buffer, and each byte is searched once. */

#include "transport.h"

#include <string.h>

#include <qmp/error.h>

#define CHUNK (64 * 1024)

/* How much is still read of a peer that has hung up on what we write. */
#define LAST_CHUNKS 256

struct _QmpTransport
{
  GIOStream             *stream;        /* NULL once closed */
  GPollableInputStream  *input;
  GPollableOutputStream *output;
  GMainContext          *context;
  GSource               *readable;
  GSource               *writable;      /* only while something is unsent */
  GByteArray            *partial;       /* a line without its end */
  GByteArray            *unsent;
  guint                  sent;          /* how much of the beginning of @unsent is gone */
  gboolean               resync;
  guint                  blank;         /* lines in a row that say nothing */
  const char            *chunk;         /* what was read but not looked at: on somebody's stack */
  gsize                  left;
  QmpTransportLine       line;
  QmpTransportDropped    dropped;
  gpointer               user_data;
};

static void
transport_clear (gpointer data)
{
  QmpTransport *self = data;

  g_byte_array_unref (self->partial);
  g_byte_array_unref (self->unsent);
  g_main_context_unref (self->context);
}

static void
transport_unref (QmpTransport *self)
{
  g_rc_box_release_full (self, transport_clear);
}

/* Callbacks may free the transport that calls them. */
typedef QmpTransport QmpTransportHold;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (QmpTransportHold, transport_unref)

static void
clear_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

static void
transport_close (QmpTransport *self)
{
  clear_source (&self->readable);
  clear_source (&self->writable);
  if (self->stream == NULL)
    return;
  g_io_stream_close (self->stream, NULL, NULL);
  g_clear_object (&self->stream);
}

static void
drop (QmpTransport *self,
      GError       *reason)
{
  transport_close (self);
  self->dropped (reason, self->user_data);
}

/* --- reading --- */

static void
deliver (QmpTransport *self,
         const char   *text,
         gsize         length)
{
  const char *mark = self->resync ? memrchr (text, 0xff, length) : NULL;

  if (mark != NULL)
    {
      length -= (gsize) (mark + 1 - text);
      text = mark + 1;
    }
  while (length > 0 && g_ascii_isspace (text[length - 1]))
    length--;
  if (length > 0)
    {
      self->blank = 0;
      self->line ((QmpSpan) { text, length }, mark != NULL, self->user_data);
    }
  else if (++self->blank > QMP_TRANSPORT_BLANK_MAX)
    drop (self, g_error_new (QMP_ERROR, QMP_ERROR_FLOOD, "a flood: %u empty lines in a row",
                             self->blank));
}

/* A callback may run the main loop and so come here again: what is left of the chunk is taken then,
 * and in order. */
static void
take_chunk (QmpTransport *self)
{
  while (self->left > 0 && self->stream != NULL)
    {
      const char *start = self->chunk;
      const char *end = memchr (start, '\n', self->left);
      gsize length = end != NULL ? (gsize) (end - start) : self->left;
      g_autoptr (GByteArray) joined = NULL;

      if (self->partial->len + length > QMP_TRANSPORT_LINE_MAX)
        {
          g_autofree char *quote = qmp_transport_get_partial (self);

          drop (self, g_error_new (QMP_ERROR, QMP_ERROR_PROTOCOL,
                                   "a message of more than %d bytes: \"%s\"",
                                   QMP_TRANSPORT_LINE_MAX, quote));
          return;
        }

      if (end == NULL)
        {
          g_byte_array_append (self->partial, (const guint8 *) start, (guint) length);
          self->left = 0;
          return;
        }
      self->chunk = end + 1;
      self->left -= length + 1;
      if (self->partial->len == 0)
        {
          deliver (self, start, length);
          continue;
        }

      g_byte_array_append (self->partial, (const guint8 *) start, (guint) length);
      joined = g_steal_pointer (&self->partial);
      self->partial = g_byte_array_new ();
      deliver (self, (const char *) joined->data, joined->len);
    }
}

static void
hung_up (QmpTransport *self)
{
  g_autofree char *quote = qmp_transport_get_partial (self);

  if (quote != NULL)
    drop (self, g_error_new (QMP_ERROR, QMP_ERROR_LINK,
                             "the peer hung up in the middle of a message: \"%s\"", quote));
  else
    drop (self, g_error_new_literal (QMP_ERROR, QMP_ERROR_LINK, "the peer hung up"));
}

/* FALSE when there is nothing more to read for now, or ever. */
static gboolean
read_chunk (QmpTransport *self)
{
  g_autoptr (GError) error = NULL;
  char chunk[CHUNK];
  gssize length;

  if (self->left > 0)
    {
      take_chunk (self);
      return self->stream != NULL;
    }

  length = g_pollable_input_stream_read_nonblocking (self->input, chunk, sizeof chunk, NULL,
                                                     &error);
  if (length > 0)
    {
      self->chunk = chunk;
      self->left = (gsize) length;
      take_chunk (self);
    }
  else if (length == 0)
    hung_up (self);
  else if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    drop (self, g_error_new (QMP_ERROR, QMP_ERROR_LINK, "cannot read: %s", error->message));

  return length > 0 && self->stream != NULL;
}

static gboolean
on_readable (GObject  *stream,
             gpointer  user_data)
{
  g_autoptr (QmpTransportHold) self = g_rc_box_acquire (user_data);

  read_chunk (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_socket_readable (GSocket      *socket,
                    GIOCondition  condition,
                    gpointer      user_data)
{
  return on_readable (NULL, user_data);
}

/* A socket's own source, where there is one, and allowed to recurse: around each dispatch GLib
 * takes the descriptor of any other out of the poll set and back in, at two system calls for the
 * source and two for the one inside it. */
static GSource *
create_readable (QmpTransport *self)
{
  GSource *source;

  if (G_IS_SOCKET_CONNECTION (self->stream))
    {
      GSocket *socket = g_socket_connection_get_socket (G_SOCKET_CONNECTION (self->stream));

      source = g_socket_create_source (socket, G_IO_IN, NULL);
      g_source_set_callback (source, G_SOURCE_FUNC (on_socket_readable), self, NULL);
    }
  else
    {
      source = g_pollable_input_stream_create_source (self->input, NULL);
      g_source_set_callback (source, G_SOURCE_FUNC (on_readable), self, NULL);
    }
  g_source_set_can_recurse (source, TRUE);
  return source;
}

/* --- writing --- */

/* Writes what can be written now. */
static GPollableReturn
write_some (QmpTransport  *self,
            const void    *bytes,
            gsize          length,
            gsize         *written,
            GError       **error)
{
  GOutputVector vector = { bytes, length };

  *written = 0;
  return g_pollable_output_stream_writev_nonblocking (self->output, &vector, 1, written, NULL,
                                                      error);
}

/* What the peer said before it hung up tells more than our failure to write. */
static void
fail_writing (QmpTransport *self,
              GError       *error)
{
  for (guint i = 0; i < LAST_CHUNKS && read_chunk (self); i++)
    ;
  if (self->stream != NULL)
    drop (self, g_error_new (QMP_ERROR, QMP_ERROR_LINK, "cannot write: %s", error->message));
}

static gboolean
on_writable (GObject  *stream,
             gpointer  user_data)
{
  g_autoptr (QmpTransportHold) self = g_rc_box_acquire (user_data);
  g_autoptr (GError) error = NULL;
  gsize written;

  if (write_some (self, self->unsent->data + self->sent, self->unsent->len - self->sent, &written,
                  &error) == G_POLLABLE_RETURN_FAILED)
    {
      clear_source (&self->writable);
      fail_writing (self, error);
      return G_SOURCE_REMOVE;
    }

  self->sent += (guint) written;
  if (self->sent < self->unsent->len)
    return G_SOURCE_CONTINUE;

  self->sent = 0;
  g_byte_array_unref (self->unsent);
  self->unsent = g_byte_array_new ();
  clear_source (&self->writable);
  return G_SOURCE_REMOVE;
}

/* The queue's beginning is cut off once it is the larger half: each byte moves about once. */
static void
queue (QmpTransport *self,
       const char   *bytes,
       gsize         length)
{
  if (self->sent > 0 && self->sent >= self->unsent->len / 2)
    {
      g_byte_array_remove_range (self->unsent, 0, self->sent);
      self->sent = 0;
    }
  g_byte_array_append (self->unsent, (const guint8 *) bytes, (guint) length);

  if (self->writable != NULL)
    return;
  self->writable = g_pollable_output_stream_create_source (self->output, NULL);
  g_source_set_callback (self->writable, G_SOURCE_FUNC (on_writable), self, NULL);
  g_source_attach (self->writable, self->context);
}

/* --- what others call --- */

/**
 * qmp_transport_new:
 * @stream: a link; closed with the transport, or when it drops
 * @resync: whether byte 0xFF tells to forget what came before it
 * @line: (scope async): called for each line that is not empty, in order
 * @dropped: (scope async): called once when the link drops
 * @user_data: passed on to both
 * @error: return location
 *
 * Reads in the main context that is the thread's default; never calls back before it returns.
 *
 * Returns: (transfer full): the transport; %NULL with %G_IO_ERROR_NOT_SUPPORTED when @stream cannot
 *   be polled
 */
QmpTransport *
qmp_transport_new (GIOStream            *stream,
                   gboolean              resync,
                   QmpTransportLine      line,
                   QmpTransportDropped   dropped,
                   gpointer              user_data,
                   GError              **error)
{
  QmpTransport *self;
  GInputStream *input = g_io_stream_get_input_stream (stream);
  GOutputStream *output = g_io_stream_get_output_stream (stream);

  if (!G_IS_POLLABLE_INPUT_STREAM (input) || !G_IS_POLLABLE_OUTPUT_STREAM (output) ||
      !g_pollable_input_stream_can_poll (G_POLLABLE_INPUT_STREAM (input)) ||
      !g_pollable_output_stream_can_poll (G_POLLABLE_OUTPUT_STREAM (output)))
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   "a %s cannot be polled; give a socket, a pipe or a terminal",
                   G_OBJECT_TYPE_NAME (stream));
      return NULL;
    }

  self = g_rc_box_new0 (QmpTransport);
  self->stream = g_object_ref (stream);
  self->input = G_POLLABLE_INPUT_STREAM (input);
  self->output = G_POLLABLE_OUTPUT_STREAM (output);
  self->context = g_main_context_ref_thread_default ();
  self->partial = g_byte_array_new ();
  self->unsent = g_byte_array_new ();
  self->resync = resync;
  self->line = line;
  self->dropped = dropped;
  self->user_data = user_data;

  self->readable = create_readable (self);
  g_source_attach (self->readable, self->context);

  return self;
}

/**
 * qmp_transport_send:
 * @self: a transport
 * @line: a line with its end
 * @error: return location
 *
 * Sends @line behind all that was sent before. A failure to write shows as a drop, later.
 *
 * Returns: %FALSE with %QMP_ERROR_LINK, and nothing of @line sent, when the peer has left too much
 *   unread or the transport is closed
 */
gboolean
qmp_transport_send (QmpTransport   *self,
                    const GString  *line,
                    GError        **error)
{
  gsize written = 0;

  if (self->stream == NULL)
    {
      g_set_error_literal (error, QMP_ERROR, QMP_ERROR_LINK, "the link is closed");
      return FALSE;
    }
  if (self->unsent->len - self->sent + line->len > QMP_TRANSPORT_LINE_MAX)
    {
      g_set_error (error, QMP_ERROR, QMP_ERROR_LINK,
                   "the peer reads nothing: %u bytes wait for it", self->unsent->len - self->sent);
      return FALSE;
    }

  /* An error now is met again, and told, when the rest is written. */
  if (self->writable == NULL)
    (void) write_some (self, line->str, line->len, &written, NULL);
  if (written < line->len)
    queue (self, line->str + written, line->len - written);
  return TRUE;
}

/**
 * qmp_transport_get_partial:
 * @self: a transport
 *
 * Returns: (transfer full) (nullable): a quote of the line whose end has not come yet; %NULL when
 *   none has begun
 */
char *
qmp_transport_get_partial (QmpTransport *self)
{
  if (self->partial->len == 0)
    return NULL;
  return qmp_json_quote ((QmpSpan) { (const char *) self->partial->data, self->partial->len });
}

/**
 * qmp_transport_free:
 * @self: a transport
 *
 * Closes the link without calling back.
 */
void
qmp_transport_free (QmpTransport *self)
{
  transport_close (self);
  transport_unref (self);
}
