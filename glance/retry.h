/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http.h"

#define RETRY_ATTEMPTS    4
#define RETRY_BACKOFF_MAX 10000   /* ms, give or take a half */
#define RETRY_AFTER_MAX   300     /* s: for longer no service is left alone for its asking */

/* Whether the same request may be answered otherwise soon. Either is NULL. */
gboolean retry_is_worth_it (const HttpAnswer *answer, const GError *error);

/* Microseconds within which the last attempt of a small request begins, if each takes @stall_s at
 * most. */
gint64   retry_patience    (guint stall_s, guint backoff_ms);

/* Microseconds for which the service wants to be left alone; 0 when it does not say, or @answer is
 * NULL. */
gint64   retry_after       (const HttpAnswer *answer);

/* Microseconds to wait before repetition @n (1 for the first one), a little different each time,
 * and no less than @after. */
gint64   retry_wait        (guint backoff_ms, guint n, gint64 after);

gboolean retry_sleep       (gint64 wait, GCancellable *cancellable, GError **error)
                            G_GNUC_WARN_UNUSED_RESULT;
