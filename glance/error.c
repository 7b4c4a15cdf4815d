/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what an error of the service carries: the status, what was said, and the request's id in
 * its logs. */

#include "error-private.h"
#include "retry.h"

typedef struct
{
  guint status;
  char *text;
  char *request_id;
  gint64 retry_after;           /* microseconds; 0: it did not say */
} GlanceErrorPrivate;

static void
glance_error_private_init (GlanceErrorPrivate *priv)
{
  *priv = (GlanceErrorPrivate) { 0 };
}

static void
glance_error_private_copy (const GlanceErrorPrivate *from,
                           GlanceErrorPrivate       *to)
{
  to->status = from->status;
  to->text = g_strdup (from->text);
  to->request_id = g_strdup (from->request_id);
  to->retry_after = from->retry_after;
}

static void
glance_error_private_clear (GlanceErrorPrivate *priv)
{
  g_clear_pointer (&priv->text, g_free);
  g_clear_pointer (&priv->request_id, g_free);
}

G_DEFINE_EXTENDED_ERROR (GlanceError, glance_error)

/**
 * glance_error_get_status:
 * @error: an error of any domain
 *
 * Returns: the HTTP status it was answered with, or 0 when there was no answer
 */
guint
glance_error_get_status (const GError *error)
{
  return error->domain == GLANCE_ERROR ? glance_error_get_private (error)->status : 0;
}

/**
 * glance_error_get_text:
 * @error: an error of any domain
 *
 * Returns: (transfer none) (nullable): what the service said, as one line
 */
const char *
glance_error_get_text (const GError *error)
{
  return error->domain == GLANCE_ERROR ? glance_error_get_private (error)->text : NULL;
}

/**
 * glance_error_get_request_id:
 * @error: an error of any domain
 *
 * Returns: (transfer none) (nullable): the request's id, by which the service's logs know it
 */
const char *
glance_error_get_request_id (const GError *error)
{
  return error->domain == GLANCE_ERROR ? glance_error_get_private (error)->request_id : NULL;
}

/**
 * glance_error_get_retry_after:
 * @error: an error of any domain
 *
 * Returns: microseconds for which the service wants to be left alone; 0 when it did not say
 */
gint64
glance_error_get_retry_after (const GError *error)
{
  return error->domain == GLANCE_ERROR ? glance_error_get_private (error)->retry_after : 0;
}

/**
 * glance_propagate_attempts:
 * @error: (nullable): where to put it
 * @failure: (transfer full): how the last attempt has ended
 * @attempts: how many there were
 */
void
glance_propagate_attempts (GError **error,
                           GError  *failure,
                           guint    attempts)
{
  if (attempts > 1)
    g_propagate_prefixed_error (error, failure, "given up after %u attempts: ", attempts);
  else
    g_propagate_error (error, failure);
}

/**
 * glance_set_error:
 * @error: (nullable): where to put it
 * @code: what kind of error
 * @format: what is wrong, printf-like
 * @...: arguments of @format
 */
void
glance_set_error (GError     **error,
                  GlanceError  code,
                  const char  *format,
                  ...)
{
  va_list args;

  if (error == NULL)
    return;

  va_start (args, format);
  g_propagate_error (error, g_error_new_valist (GLANCE_ERROR, (int) code, format, args));
  va_end (args);
}

/**
 * glance_error_from_status:
 * @status: an HTTP status that is no success
 *
 * Returns: the kind of error it stands for
 */
GlanceError
glance_error_from_status (guint status)
{
  switch (status)
    {
    case 400:
      return GLANCE_ERROR_INVALID;
    case 401:
      return GLANCE_ERROR_UNAUTHORIZED;
    case 403:
      return GLANCE_ERROR_FORBIDDEN;
    case 404:
    case 410:
      return GLANCE_ERROR_NOT_FOUND;
    case 409:
      return GLANCE_ERROR_CONFLICT;
    case 413:
      return GLANCE_ERROR_NO_SPACE;
    case 415:
      return GLANCE_ERROR_REFUSED;
    case 408:
    case 504:
      return GLANCE_ERROR_TIMEOUT;
    case 429:
    case 502:
    case 503:
      return GLANCE_ERROR_UNAVAILABLE;
    default:
      return status >= 500 ? GLANCE_ERROR_SERVER : GLANCE_ERROR_PROTOCOL;
    }
}

/**
 * glance_set_service_error:
 * @error: (nullable): where to put it
 * @code: what kind of error
 * @answer: an answer that is no success
 * @action: what was tried, as an infinitive: "create image X"
 * @service: who answered
 * @text: (nullable): what was said with it
 *
 * Keeps the status, the text and the request's id with the error.
 */
void
glance_set_service_error (GError           **error,
                          GlanceError        code,
                          const HttpAnswer  *answer,
                          const char        *action,
                          const char        *service,
                          const char        *text)
{
  const char *request_id = http_answer_get_header (answer, "x-openstack-request-id");
  GError *new_error;
  GlanceErrorPrivate *priv;

  if (error == NULL)
    return;

  new_error = g_error_new (GLANCE_ERROR, (int) code, "cannot %s: %s answered %u%s%s", action,
                           service, answer->status, text != NULL ? ": " : "",
                           text != NULL ? text : "");
  if (answer->attempts > 1)
    g_prefix_error (&new_error, "given up after %u attempts: ", answer->attempts);
  if (answer->status >= 300 && answer->status < 400)
    g_prefix_error (&new_error, "the configured address is not that of the service itself: ");

  priv = glance_error_get_private (new_error);
  priv->status = answer->status;
  priv->text = g_strdup (text);
  priv->request_id = g_strdup (request_id);
  priv->retry_after = retry_after (answer);

  g_propagate_error (error, new_error);
}

/**
 * glance_set_answer_error:
 * @error: (nullable): where to put it
 * @answer: an answer of the image service that is no success
 * @action: what was tried, as an infinitive: "create image X"
 *
 * Keeps the status, the text and the request's id with the error.
 */
void
glance_set_answer_error (GError           **error,
                         const HttpAnswer  *answer,
                         const char        *action)
{
  g_autofree char *text = glance_answer_text (answer, NULL, 0);

  glance_set_service_error (error, glance_error_from_status (answer->status), answer, action,
                            "the image service", text);
}
