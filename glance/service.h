/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/images.h>

#include "http.h"

/* Where the service is, who we are to it, and how patient we are with it. Not changed once it
 * stands. */
typedef struct
{
  char        *url;             /* without "/v2" and without a slash at the end; NULL: the token's
                                 * provider knows it */
  Http        *http;
  GlanceToken *token;           /* (nullable) */
  guint        stall_s;
  guint        settle_ms;
  guint        deadline_s;      /* of a transfer */
  guint        backoff_ms;
} Service;

Service    *service_new     (const GlanceSettings *settings, GlanceToken *token, GError **error)
                             G_GNUC_WARN_UNUSED_RESULT;
void        service_free    (Service *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Service, service_free)

/* A small request, repeated when the service failed, while retry_patience() lasts; only for what
 * may be done twice. @id: (nullable): the image it is about, known in the service's logs as
 * "req-ID". */
HttpAnswer *service_call    (Service *self, const char *method, const char *path, GBytes *json,
                             const char *id, GCancellable *cancellable, GError **error)
                             G_GNUC_WARN_UNUSED_RESULT;

/* One PUT, from the front of @body; twice when the token turned out to be old. */
HttpAnswer *service_put     (Service *self, const char *path, GlancePipe *body,
                             const char *id, gint64 deadline,
                             GCancellable *cancellable, GError **error)
                             G_GNUC_WARN_UNUSED_RESULT;

/* One GET of something large, to the front of @sink. */
HttpAnswer *service_fetch   (Service *self, const char *path, const GlanceSink *sink,
                             const char *id, gint64 deadline,
                             GCancellable *cancellable, GError **error)
                             G_GNUC_WARN_UNUSED_RESULT;

/* When a transfer of @length bytes must be over that begins now: monotonic microseconds. */
gint64      service_deadline (Service *self, gint64 length);

/* Waits before repetition @n (1 for the first one) of what has failed with @failure (nullable).
 * FALSE when cancelled, and with @failure when that would last beyond @deadline. */
gboolean    service_back_off (Service *self, guint n, const GError *failure, gint64 deadline,
                             GCancellable *cancellable, GError **error)
                             G_GNUC_WARN_UNUSED_RESULT;
