/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the forms of an error: a code with a hint here, a number for HTTP, a word for the journal.
 * */

#include <core/error.h>

#include <gio/gio.h>

typedef struct
{
  char *hint;
} AgentErrorPrivate;

static void
agent_error_private_init (AgentErrorPrivate *priv)
{
  priv->hint = NULL;
}

static void
agent_error_private_copy (const AgentErrorPrivate *from,
                          AgentErrorPrivate       *to)
{
  to->hint = g_strdup (from->hint);
}

static void
agent_error_private_clear (AgentErrorPrivate *priv)
{
  g_clear_pointer (&priv->hint, g_free);
}

G_DEFINE_EXTENDED_ERROR (AgentError, agent_error)

static const struct
{
  AgentError  code;
  guint       http;
  const char *word;
} forms[] = {
  { AGENT_ERROR_INVALID,      400, "invalid"      },
  { AGENT_ERROR_UNAUTHORIZED, 401, "unauthorized" },
  { AGENT_ERROR_FORBIDDEN,    403, "forbidden"    },
  { AGENT_ERROR_NOT_FOUND,    404, "not-found"    },
  { AGENT_ERROR_CONFLICT,     409, "conflict"     },
  { AGENT_ERROR_TOO_LARGE,    413, "too-large"    },
  { AGENT_ERROR_CANCELLED,    409, "cancelled"    },
  { AGENT_ERROR_NO_SPACE,     507, "no-space"     },
  { AGENT_ERROR_STORE,        502, "store"        },
  { AGENT_ERROR_GUEST,        502, "guest"        },
  { AGENT_ERROR_UNAVAILABLE,  503, "unavailable"  },
  { AGENT_ERROR_TIMEOUT,      504, "timeout"      },
  { AGENT_ERROR_DAMAGED,      503, "damaged"      },
  { AGENT_ERROR_INTERNAL,     500, "internal"     },
};

static AgentError
code_of_file_error (int code)
{
  switch (code)
    {
    case G_FILE_ERROR_NOENT:
      return AGENT_ERROR_NOT_FOUND;
    case G_FILE_ERROR_NOSPC:
      return AGENT_ERROR_NO_SPACE;
    case G_FILE_ERROR_ACCES:
    case G_FILE_ERROR_PERM:
      return AGENT_ERROR_FORBIDDEN;
    default:
      return AGENT_ERROR_INTERNAL;
    }
}

static AgentError
code_of_io_error (int code)
{
  switch (code)
    {
    case G_IO_ERROR_CANCELLED:
      return AGENT_ERROR_CANCELLED;
    case G_IO_ERROR_NO_SPACE:
      return AGENT_ERROR_NO_SPACE;
    case G_IO_ERROR_TIMED_OUT:
      return AGENT_ERROR_TIMEOUT;
    case G_IO_ERROR_NOT_FOUND:
      return AGENT_ERROR_NOT_FOUND;
    case G_IO_ERROR_PERMISSION_DENIED:
      return AGENT_ERROR_FORBIDDEN;
    case G_IO_ERROR_INVALID_ARGUMENT:
    case G_IO_ERROR_INVALID_DATA:
      return AGENT_ERROR_INVALID;
    case G_IO_ERROR_BUSY:
    case G_IO_ERROR_EXISTS:
      return AGENT_ERROR_CONFLICT;
    case G_IO_ERROR_CONNECTION_REFUSED:
    case G_IO_ERROR_CONNECTION_CLOSED:
    case G_IO_ERROR_NOT_CONNECTED:
    case G_IO_ERROR_HOST_NOT_FOUND:
    case G_IO_ERROR_HOST_UNREACHABLE:
    case G_IO_ERROR_NETWORK_UNREACHABLE:
      return AGENT_ERROR_UNAVAILABLE;
    default:
      return AGENT_ERROR_INTERNAL;
    }
}

/* What an error of GLib, GIO, or of anybody unknown, is among ours. */
static AgentError
code_of (const GError *error)
{
  if (error->domain == AGENT_ERROR)
    return (AgentError) error->code;

  if (error->domain == G_IO_ERROR)
    return code_of_io_error (error->code);

  if (error->domain == G_FILE_ERROR)
    return code_of_file_error (error->code);

  return AGENT_ERROR_INTERNAL;
}

/**
 * agent_error_to_http:
 * @error: an error of any domain
 *
 * Returns: the HTTP status that a request which failed with @error is answered with
 */
guint
agent_error_to_http (const GError *error)
{
  AgentError code = code_of (error);

  for (gsize i = 0; i < G_N_ELEMENTS (forms); i++)
    {
      if (forms[i].code == code)
        return forms[i].http;
    }

  return 500;
}

/**
 * agent_error_to_word:
 * @error: an error of any domain
 *
 * Returns: (transfer none): the word that stands for the code of @error in JSON and in the journal
 */
const char *
agent_error_to_word (const GError *error)
{
  AgentError code = code_of (error);

  for (gsize i = 0; i < G_N_ELEMENTS (forms); i++)
    {
      if (forms[i].code == code)
        return forms[i].word;
    }

  return "internal";
}

/**
 * agent_error_from_word:
 * @word: (nullable): what agent_error_to_word() gave; an unknown word reads as "internal"
 * @message: (nullable): the error's message
 * @hint: (nullable): what to do about it
 *
 * Returns: (transfer full): the error, as it was before it was written down
 */
GError *
agent_error_from_word (const char *word,
                       const char *message,
                       const char *hint)
{
  AgentError code = AGENT_ERROR_INTERNAL;

  for (gsize i = 0; i < G_N_ELEMENTS (forms); i++)
    {
      if (g_strcmp0 (forms[i].word, word) == 0)
        code = forms[i].code;
    }

  return agent_error_new (code, hint, "%s", message != NULL ? message : "unknown error");
}

static GError *
error_new_valist (AgentError  code,
                  const char *hint,
                  const char *format,
                  va_list     args) G_GNUC_PRINTF (3, 0);

static GError *
error_new_valist (AgentError  code,
                  const char *hint,
                  const char *format,
                  va_list     args)
{
  GError *error = g_error_new_valist (AGENT_ERROR, (int) code, format, args);

  agent_error_get_private (error)->hint = g_strdup (hint);

  return error;
}

/**
 * agent_error_new:
 * @code: what kind of error
 * @hint: (nullable): what the reader can do about it, as a sentence
 * @format: what is wrong, printf-like
 * @...: arguments of @format
 *
 * Returns: (transfer full): an error of the domain AGENT_ERROR
 */
GError *
agent_error_new (AgentError  code,
                 const char *hint,
                 const char *format,
                 ...)
{
  GError *error;
  va_list args;

  va_start (args, format);
  error = error_new_valist (code, hint, format, args);
  va_end (args);

  return error;
}

/**
 * agent_set_error:
 * @error: (nullable): where to put it
 * @code: what kind of error
 * @hint: (nullable): what the reader can do about it, as a sentence
 * @format: what is wrong, printf-like
 * @...: arguments of @format
 *
 * Like g_set_error(), with a hint.
 */
void
agent_set_error (GError     **error,
                 AgentError   code,
                 const char  *hint,
                 const char  *format,
                 ...)
{
  va_list args;

  if (error == NULL)
    return;

  va_start (args, format);
  g_propagate_error (error, error_new_valist (code, hint, format, args));
  va_end (args);
}

/**
 * agent_error_get_hint:
 * @error: an error of any domain
 *
 * Returns: (transfer none) (nullable): what to do about @error, where somebody knew
 */
const char *
agent_error_get_hint (const GError *error)
{
  if (error->domain != AGENT_ERROR)
    return NULL;

  return agent_error_get_private (error)->hint;
}

/**
 * agent_error_adopt:
 * @error: (transfer full) (nullable): an error of any domain
 *
 * Makes @error one of ours: codes of GIO become the nearest of AGENT_ERROR, domains nobody knows
 * here become AGENT_ERROR_INTERNAL. The message stays.
 *
 * Returns: (transfer full) (nullable): an error of the domain AGENT_ERROR
 */
GError *
agent_error_adopt (GError *error)
{
  g_autoptr (GError) old = error;

  if (error == NULL || error->domain == AGENT_ERROR)
    return g_steal_pointer (&old);

  return agent_error_new (code_of (old), NULL, "%s", old->message);
}
