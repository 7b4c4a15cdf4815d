/* SPDX-License-Identifier: Apache-2.0 */

/* Knows when it is worth asking a service again, and how long to wait before. */

#include "retry.h"

#include <curl/curl.h>
#include <string.h>

#include "error-private.h"

/**
 * retry_is_worth_it:
 * @answer: (nullable): what the service said
 * @error: (nullable): why it said nothing
 *
 * Returns: whether it may say something else when it is asked again
 */
gboolean
retry_is_worth_it (const HttpAnswer *answer,
                   const GError     *error)
{
  if (answer != NULL)
    return answer->status == 429 || (answer->status >= 500 && answer->status <= 504);

  return g_error_matches (error, GLANCE_ERROR, GLANCE_ERROR_UNAVAILABLE)
         || g_error_matches (error, GLANCE_ERROR, GLANCE_ERROR_TIMEOUT);
}

/**
 * retry_patience:
 * @stall_s: seconds after which an attempt is given up
 * @backoff_ms: before the first repetition
 *
 * Enough for all attempts that fail at once, and for two that are not answered at all.
 *
 * Returns: microseconds within which the last attempt of a small request begins
 */
gint64
retry_patience (guint stall_s,
                guint backoff_ms)
{
  gint64 waits_ms = 0;

  for (guint n = 1; n < RETRY_ATTEMPTS; n++)
    waits_ms += MIN (backoff_ms << (n - 1), RETRY_BACKOFF_MAX) * 3 / 2;

  return (gint64) stall_s * G_USEC_PER_SEC + waits_ms * 1000;
}

/* Seconds since 1970; -1 when @text is no date. */
static time_t
parse_date (const char *text)
{
  return text != NULL ? curl_getdate (text, NULL) : -1;
}

/**
 * retry_after:
 * @answer: (nullable): what the service said
 *
 * Reads Retry-After, which is a number of seconds or a date. A date is compared with that of the
 * answer: the service's clock may be another than ours.
 *
 * Returns: microseconds for which the service wants to be left alone, %RETRY_AFTER_MAX seconds at
 *   most; 0 when it does not say
 */
gint64
retry_after (const HttpAnswer *answer)
{
  const char *text = answer != NULL ? http_answer_get_header (answer, "retry-after") : NULL;
  gint64 seconds = 0;
  guint64 number;
  time_t then;

  if (text == NULL)
    return 0;

  if (*text != '\0' && strspn (text, "0123456789") == strlen (text))
    {
      seconds = g_ascii_string_to_unsigned (text, 10, 0, RETRY_AFTER_MAX, &number, NULL)
                ? (gint64) number : RETRY_AFTER_MAX;
    }
  else if ((then = parse_date (text)) != -1)
    {
      time_t now = parse_date (http_answer_get_header (answer, "date"));

      seconds = CLAMP ((gint64) then - (gint64) (now != -1 ? now : time (NULL)), 0,
                       RETRY_AFTER_MAX);
    }

  return seconds * G_USEC_PER_SEC;
}

/**
 * retry_wait:
 * @backoff_ms: before the first repetition
 * @n: 1 before the first repetition, 2 before the second, ...
 * @after: microseconds for which the service wants to be left alone, or 0
 *
 * Twice as long each time, and between half and one and a half times that, so that many clients of
 * a service that came back do not come back together.
 *
 * Returns: microseconds to wait
 */
gint64
retry_wait (guint  backoff_ms,
            guint  n,
            gint64 after)
{
  guint base = MIN (backoff_ms << MIN (n - 1, 10), RETRY_BACKOFF_MAX);

  if (after > 0)
    return after + (gint64) (base * g_random_double () * 1000);

  return (gint64) (base * g_random_double_range (0.5, 1.5) * 1000);
}

/**
 * retry_sleep:
 * @wait: microseconds
 * @cancellable: (nullable): ends the waiting at once
 * @error: G_IO_ERROR_CANCELLED
 *
 * Returns: %FALSE when cancelled
 */
gboolean
retry_sleep (gint64         wait,
             GCancellable  *cancellable,
             GError       **error)
{
  gint64 until = g_get_monotonic_time () + wait;
  GPollFD poll_fd = { .fd = -1 };
  gboolean can_wake = g_cancellable_make_pollfd (cancellable, &poll_fd);
  gint64 left;

  while ((left = until - g_get_monotonic_time ()) > 0 && !g_cancellable_is_cancelled (cancellable))
    g_poll (&poll_fd, can_wake ? 1 : 0, (int) (left / 1000 + 1));

  if (can_wake)
    g_cancellable_release_fd (cancellable);

  return !g_cancellable_set_error_if_cancelled (cancellable, error);
}
