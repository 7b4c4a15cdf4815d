/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the shapes of QMP's lines (docs/interop/qmp-spec of QEMU): greeting, return, error, event,
 * and the command. Which is which is found in the one pass that checks the line; nodes are built
 * only of what somebody wants. */

#include "message.h"

#include <string.h>

#include "error-private.h"

static inline gboolean
span_is (QmpSpan     span,
         const char *text,
         gsize       length)
{
  return span.length == length && memcmp (span.text, text, length) == 0;
}

#define SPAN_IS(span, literal) span_is (span, literal, sizeof (literal) - 1)

static gboolean
note_kind (QmpMessage      *message,
           QmpMessageKind   kind,
           QmpSpan          body,
           GError         **error)
{
  if (message->body.text != NULL)
    {
      g_autofree char *quote = qmp_json_quote (message->line);

      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL,
                   "not QMP: two answers in one message: \"%s\"", quote);
      return FALSE;
    }
  message->kind = kind;
  message->body = body;
  return TRUE;
}

static gboolean
note_member (QmpSpan    name,
             QmpSpan    value,
             gpointer   user_data,
             GError   **error)
{
  QmpMessage *message = user_data;

  if (SPAN_IS (name, "return"))
    return note_kind (message, QMP_MESSAGE_RETURN, value, error);
  if (SPAN_IS (name, "event"))
    return note_kind (message, QMP_MESSAGE_EVENT, value, error);
  if (SPAN_IS (name, "error"))
    return note_kind (message, QMP_MESSAGE_ERROR, value, error);
  if (SPAN_IS (name, "QMP"))
    return note_kind (message, QMP_MESSAGE_GREETING, value, error);

  if (SPAN_IS (name, "id"))
    message->id = value;
  else if (SPAN_IS (name, "data"))
    message->data = value;
  else if (SPAN_IS (name, "timestamp"))
    message->timestamp = value;
  return TRUE;
}

static gboolean
has_shape (const QmpMessage *message)
{
  switch (message->kind)
    {
    case QMP_MESSAGE_GREETING:
    case QMP_MESSAGE_ERROR:
      return message->body.text[0] == '{';
    case QMP_MESSAGE_EVENT:
      return message->body.text[0] == '"' &&
             (message->data.text == NULL || message->data.text[0] == '{');
    case QMP_MESSAGE_RETURN:
    default:
      return TRUE;
    }
}

/**
 * qmp_message_read:
 * @message: (out caller-allocates): filled with spans of @line
 * @line: what came between two line breaks
 * @error: return location
 *
 * Returns: whether @line is a message; else %QMP_ERROR_PROTOCOL with a quote
 */
gboolean
qmp_message_read (QmpMessage  *message,
                  QmpSpan      line,
                  GError     **error)
{
  memset (message, 0, sizeof *message);
  message->line = line;

  if (!qmp_json_walk (line, note_member, message, error))
    return FALSE;

  if (message->body.text == NULL || !has_shape (message))
    {
      g_autofree char *quote = qmp_json_quote (line);

      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL,
                   "not QMP: neither greeting, answer nor event: \"%s\"", quote);
      return FALSE;
    }
  return TRUE;
}

/**
 * qmp_message_get_id:
 * @message: an answer
 * @id: (out): the id
 *
 * Returns: whether @message has an id such as qmp_message_write() writes
 */
gboolean
qmp_message_get_id (const QmpMessage *message,
                    guint64          *id)
{
  guint64 value = 0;

  if (message->id.text == NULL || message->id.length > 19)
    return FALSE;
  for (gsize i = 0; i < message->id.length; i++)
    {
      if (!g_ascii_isdigit (message->id.text[i]))
        return FALSE;
      value = value * 10 + (guint64) (message->id.text[i] - '0');
    }
  *id = value;
  return TRUE;
}

/* --- members of untrusted objects: NULL or 0 when missing or of another type --- */

static JsonNode *
peek_member (JsonObject *object,
             const char *name,
             GType       type)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, name) : NULL;

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == type
           ? node : NULL;
}

static const char *
peek_string (JsonObject *object,
             const char *name)
{
  JsonNode *node = peek_member (object, name, G_TYPE_STRING);

  return node != NULL ? json_node_get_string (node) : NULL;
}

static gint64
peek_int (JsonObject *object,
          const char *name)
{
  JsonNode *node = peek_member (object, name, G_TYPE_INT64);

  return node != NULL ? json_node_get_int (node) : -1;
}

static JsonObject *
peek_object (JsonObject *object,
             const char *name)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, name) : NULL;

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static gboolean
offers_oob (JsonObject *greeting)
{
  JsonNode *node = json_object_get_member (greeting, "capabilities");
  JsonArray *capabilities = node != NULL && JSON_NODE_HOLDS_ARRAY (node)
                              ? json_node_get_array (node) : NULL;
  guint length = capabilities != NULL ? json_array_get_length (capabilities) : 0;

  for (guint i = 0; i < length; i++)
    {
      JsonNode *name = json_array_get_element (capabilities, i);

      if (JSON_NODE_HOLDS_VALUE (name) && g_strcmp0 (json_node_get_string (name), "oob") == 0)
        return TRUE;
    }
  return FALSE;
}

/**
 * qmp_message_get_greeting:
 * @message: a greeting
 * @version: (out): "7.2.22", followed by the package in brackets when there is one
 * @oob: (out): whether out-of-band execution is offered
 * @error: return location
 *
 * Returns: whether the greeting is one; else %QMP_ERROR_PROTOCOL with a quote
 */
gboolean
qmp_message_get_greeting (const QmpMessage  *message,
                          char             **version,
                          gboolean          *oob,
                          GError           **error)
{
  g_autoptr (JsonNode) body = qmp_json_build (message->body);
  JsonObject *greeting = json_node_get_object (body);
  JsonObject *versions = peek_object (greeting, "version");
  JsonObject *qemu = peek_object (versions, "qemu");
  const char *package = peek_string (versions, "package");
  gint64 major = peek_int (qemu, "major");
  gint64 minor = peek_int (qemu, "minor");
  gint64 micro = peek_int (qemu, "micro");

  if (major < 0 || minor < 0 || micro < 0)
    {
      g_autofree char *quote = qmp_json_quote (message->line);

      g_set_error (error, QMP_ERROR, QMP_ERROR_PROTOCOL,
                   "a greeting without a version: \"%s\"", quote);
      return FALSE;
    }

  *version = g_strdup_printf ("%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT ".%" G_GINT64_FORMAT
                              "%s%s%s", major, minor, micro,
                              package != NULL && *package != '\0' ? " (" : "",
                              package != NULL ? package : "",
                              package != NULL && *package != '\0' ? ")" : "");
  *oob = offers_oob (greeting);
  return TRUE;
}

/**
 * qmp_message_get_refusal:
 * @message: an error
 * @command: the command that it answers
 * @arguments: (nullable): its arguments
 *
 * Returns: (transfer full): the error, with all that is known of it
 */
GError *
qmp_message_get_refusal (const QmpMessage *message,
                         const char       *command,
                         JsonNode         *arguments)
{
  g_autoptr (JsonNode) body = qmp_json_build (message->body);
  JsonObject *object = json_node_get_object (body);
  const char *error_class = peek_string (object, "class");
  const char *description = peek_string (object, "desc");

  return qmp_error_new_refused (error_class != NULL ? error_class : "GenericError",
                                description != NULL ? description : "no description",
                                command, arguments);
}

typedef struct
{
  gint64 seconds;
  gint64 microseconds;
} Timestamp;

/* Reads plain digits: QEMU says -1 when its clock failed. */
static gboolean
note_time (QmpSpan    name,
           QmpSpan    value,
           gpointer   user_data,
           GError   **error)
{
  Timestamp *timestamp = user_data;
  gint64 number = 0;

  /* 12 digits of seconds fit 64 bits as microseconds, too. */
  if (value.length > 12)
    return TRUE;
  for (gsize i = 0; i < value.length; i++)
    {
      if (!g_ascii_isdigit (value.text[i]))
        return TRUE;
      number = number * 10 + (value.text[i] - '0');
    }

  if (SPAN_IS (name, "seconds"))
    timestamp->seconds = number;
  else if (SPAN_IS (name, "microseconds"))
    timestamp->microseconds = number;
  return TRUE;
}

/**
 * qmp_message_get_timestamp:
 * @message: an event
 *
 * Returns: microseconds since the epoch by the peer's clock; 0 when it told none
 */
gint64
qmp_message_get_timestamp (const QmpMessage *message)
{
  Timestamp timestamp = { 0, 0 };

  if (message->timestamp.text == NULL || message->timestamp.text[0] != '{' ||
      !qmp_json_walk (message->timestamp, note_time, &timestamp, NULL))
    return 0;
  return timestamp.seconds * G_USEC_PER_SEC + timestamp.microseconds;
}

/**
 * qmp_message_write:
 * @verb: "execute" or "exec-oob"
 * @command: the command
 * @arguments: (nullable): an object
 * @id: the id; 0 for none
 * @error: return location
 *
 * Returns: (transfer full): the line, with its line break; %NULL with %G_IO_ERROR_INVALID_ARGUMENT
 *   when JSON cannot say it
 */
GString *
qmp_message_write (const char  *verb,
                   const char  *command,
                   JsonNode    *arguments,
                   guint64      id,
                   GError     **error)
{
  GString *line = g_string_sized_new (256);
  gboolean good;

  g_string_append (line, "{\"");
  g_string_append (line, verb);
  g_string_append (line, "\": ");
  good = qmp_json_append_string (line, command, error);
  if (good && arguments != NULL)
    {
      g_string_append (line, ", \"arguments\": ");
      good = qmp_json_append (line, arguments, error);
    }
  if (id != 0)
    g_string_append_printf (line, ", \"id\": %" G_GUINT64_FORMAT, id);
  g_string_append (line, "}\n");

  if (!good)
    {
      g_prefix_error (error, "%s: ", command);
      g_string_free (line, TRUE);
      return NULL;
    }
  return line;
}
