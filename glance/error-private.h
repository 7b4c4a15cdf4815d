/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/error.h>

#include "http.h"

void        glance_set_error         (GError **error, GlanceError code, const char *format, ...)
                                      G_GNUC_PRINTF (3, 4);

/* An answer that is no success, as an error: @action is what was tried, e.g. "create image X". */
void        glance_set_answer_error  (GError **error, const HttpAnswer *answer, const char *action);

/* The same of any service, with a text that may be shown. */
void        glance_set_service_error (GError **error, GlanceError code, const HttpAnswer *answer,
                                      const char *action, const char *service, const char *text);

/* Says after how many attempts an error is one, if there were more than one. */
void        glance_propagate_attempts (GError **error, GError *failure, guint attempts);

/* Microseconds for which the service wants to be left alone; 0 when it did not say. */
gint64      glance_error_get_retry_after (const GError *error);

GlanceError glance_error_from_status (guint status);

/* The sentence in an error's body, which may be HTML, JSON or text; NULL when there is none, or one
 * of the @secrets, of which some may be NULL, is in it. */
char       *glance_answer_text       (const HttpAnswer *answer, const char *const *secrets,
                                      gsize n_secrets);
