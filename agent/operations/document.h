/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Members of a JSON document that somebody else has written: one that is missing, or of another
 * type, is as if it were not there. */

/* (nullable) (transfer none): NULL for what is no object */
JsonObject *document_object   (JsonNode *node);
JsonArray  *document_array    (JsonObject *object, const char *member);
const char *document_text     (JsonObject *object, const char *member);
gboolean    document_flag     (JsonObject *object, const char *member);
gint64      document_number   (JsonObject *object, const char *member);  /* -1: none */
/* Microseconds since 1970, of a text as 2026-01-31T12:00:00.000000Z. */
gboolean    document_time     (JsonObject *object, const char *member, gint64 *time_us);

/* null for NULL */
void        document_set_text (JsonObject *object, const char *member, const char *text);
void        document_set_time (JsonObject *object, const char *member, gint64 time_us);

G_END_DECLS
