/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a refusal is made of: class, description, command and arguments. */

#include "error-private.h"

#include "strict-json.h"

/* More than this of the arguments is of no help in a line that people read. */
#define ARGUMENTS_IN_MESSAGE 200

typedef struct
{
  char *error_class;
  char *description;
  char *command;
  char *arguments;
} QmpErrorPrivate;

static void
qmp_error_private_init (QmpErrorPrivate *priv)
{
}

static void
qmp_error_private_copy (const QmpErrorPrivate *source,
                        QmpErrorPrivate       *copy)
{
  copy->error_class = g_strdup (source->error_class);
  copy->description = g_strdup (source->description);
  copy->command = g_strdup (source->command);
  copy->arguments = g_strdup (source->arguments);
}

static void
qmp_error_private_clear (QmpErrorPrivate *priv)
{
  g_free (priv->error_class);
  g_free (priv->description);
  g_free (priv->command);
  g_free (priv->arguments);
}

G_DEFINE_EXTENDED_ERROR (QmpError, qmp_error)

static QmpError
code_from_class (const char *error_class)
{
  if (g_str_equal (error_class, "CommandNotFound"))
    return QMP_ERROR_COMMAND_NOT_FOUND;
  if (g_str_equal (error_class, "DeviceNotFound"))
    return QMP_ERROR_DEVICE_NOT_FOUND;
  if (g_str_equal (error_class, "DeviceNotActive"))
    return QMP_ERROR_DEVICE_NOT_ACTIVE;

  return QMP_ERROR_COMMAND;
}

/* Cuts between characters, never inside one. */
static char *
shorten (const char *text)
{
  const char *end;

  if (strlen (text) <= ARGUMENTS_IN_MESSAGE)
    return g_strdup (text);

  end = g_utf8_find_prev_char (text, text + ARGUMENTS_IN_MESSAGE + 1);
  return g_strdup_printf ("%.*s...", (int) (end - text), text);
}

GError *
qmp_error_new_refused (const char *error_class,
                       const char *description,
                       const char *command,
                       JsonNode   *arguments)
{
  GError *error;
  QmpErrorPrivate *priv;
  g_autofree char *text = arguments != NULL ? qmp_json_to_text (arguments) : NULL;
  g_autofree char *brief = text != NULL ? shorten (text) : NULL;

  error = g_error_new (QMP_ERROR, (int) code_from_class (error_class),
                       brief != NULL ? "%s: %s: %s (arguments %s)" : "%s: %s: %s",
                       command, error_class, description, brief);
  priv = qmp_error_get_private (error);
  priv->error_class = g_strdup (error_class);
  priv->description = g_strdup (description);
  priv->command = g_strdup (command);
  priv->arguments = g_steal_pointer (&text);

  return error;
}

static const QmpErrorPrivate *
peek_private (const GError *error)
{
  static const QmpErrorPrivate none = { NULL, NULL, NULL, NULL };

  g_return_val_if_fail (error != NULL, &none);

  return error->domain == QMP_ERROR ? qmp_error_get_private (error) : &none;
}

/**
 * qmp_error_get_class:
 * @error: an error
 *
 * The class that the peer gave its refusal, such as "GenericError". That it is not %NULL says that
 * the peer answered and refused, so that the command did not take effect.
 *
 * Returns: (nullable) (transfer none): the class; %NULL when no reply caused @error
 */
const char *
qmp_error_get_class (const GError *error)
{
  return peek_private (error)->error_class;
}

/**
 * qmp_error_get_description:
 * @error: an error
 *
 * Returns: (nullable) (transfer none): the peer's own words; %NULL when no reply caused @error
 */
const char *
qmp_error_get_description (const GError *error)
{
  return peek_private (error)->description;
}

/**
 * qmp_error_get_command:
 * @error: an error
 *
 * Returns: (nullable) (transfer none): the command that was refused; %NULL when no reply caused
 *   @error
 */
const char *
qmp_error_get_command (const GError *error)
{
  return peek_private (error)->command;
}

/**
 * qmp_error_get_arguments:
 * @error: an error
 *
 * Returns: (nullable) (transfer none): the whole arguments of the refused command as one line of
 *   JSON; %NULL when it had none, or when no reply caused @error
 */
const char *
qmp_error_get_arguments (const GError *error)
{
  return peek_private (error)->arguments;
}
