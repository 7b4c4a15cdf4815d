/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http.h"

#define RETRY_ATTEMPTS    4
#define RETRY_BACKOFF_MAX 10000   /* ms, give or take a half */

/* Whether the same request may be answered otherwise soon. Either is NULL. */
gboolean retry_is_worth_it (const HttpAnswer *answer, const GError *error);

/* Waits before attempt @n (1 for the first repetition), a little differently each time. */
gboolean retry_back_off    (guint backoff_ms, guint n, GCancellable *cancellable, GError **error)
                            G_GNUC_WARN_UNUSED_RESULT;
