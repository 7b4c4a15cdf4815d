/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Members of a request, each checked for its type. One that is missing, or null, leaves the value
 * as it is. AGENT_ERROR_INVALID names the member and what it may be. */

/* @members: NULL-ended */
gboolean request_has_only (JsonObject *json, const char *const *members,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* *@text is freed and replaced. */
gboolean request_text     (JsonObject *json, const char *member, char **text,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean request_flag     (JsonObject *json, const char *member, gboolean *flag,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* From @least to @most; @unit, for people: "seconds", "bytes a second". */
gboolean request_number   (JsonObject *json, const char *member, gint64 least, gint64 most,
                           const char *unit, gint64 *number,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The index in @words (NULL-ended) of what the request says, or else of @fallback. */
gboolean request_word     (JsonObject *json, const char *member, const char *const *words,
                           const char *fallback, guint *index,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A list of one string at least; *@names stays NULL where it is not there. */
gboolean request_names    (JsonObject *json, const char *member, char ***names,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
