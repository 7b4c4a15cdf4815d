/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reads members of replies whose shape nobody vouches for. The first thing found wrong is kept in
 * @error (QMP_ERROR_PROTOCOL) and every later read returns something harmless, so that a parser
 * reads all members in a row and looks for an error once. */

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

typedef struct
{
  const char *command;          /* whose reply it is, for the message */
  const char *subject;          /* (nullable): which element is being read, for the message */
  GError     *error;            /* (nullable): the first thing found wrong */
} QmpFields;

G_GNUC_INTERNAL
void        qmp_fields_fault      (QmpFields *self, const char *format, ...) G_GNUC_PRINTF (2, 3);
/* Moves what was found wrong into @error; returns TRUE when nothing was. */
G_GNUC_INTERNAL
gboolean    qmp_fields_close      (QmpFields *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The whole reply, which must be an array or an object; never NULL unless there is a fault. */
G_GNUC_INTERNAL
JsonArray  *qmp_fields_reply_array  (QmpFields *self, JsonNode *reply);
G_GNUC_INTERNAL
JsonObject *qmp_fields_reply_object (QmpFields *self, JsonNode *reply);

/* An element that must be an object; NULL with a fault. */
G_GNUC_INTERNAL
JsonObject *qmp_fields_element    (QmpFields *self, JsonArray *array, guint index);

/* Members that must be there: never NULL, "" or 0 with a fault. */
G_GNUC_INTERNAL
const char *qmp_fields_text       (QmpFields *self, JsonObject *object, const char *member);
G_GNUC_INTERNAL
gint64      qmp_fields_count      (QmpFields *self, JsonObject *object, const char *member);

/* Members that may be absent, but must have the right type when they are there. */
G_GNUC_INTERNAL
const char *qmp_fields_maybe_text (QmpFields *self, JsonObject *object, const char *member);
G_GNUC_INTERNAL
gint64      qmp_fields_maybe_count (QmpFields *self, JsonObject *object, const char *member,
                                    gint64 otherwise);
G_GNUC_INTERNAL
gboolean    qmp_fields_flag       (QmpFields *self, JsonObject *object, const char *member);
G_GNUC_INTERNAL
JsonObject *qmp_fields_maybe_object (QmpFields *self, JsonObject *object, const char *member);
G_GNUC_INTERNAL
JsonArray  *qmp_fields_maybe_array (QmpFields *self, JsonObject *object, const char *member);

/* A string member of something that need not be right; NULL when it is not. */
G_GNUC_INTERNAL
const char *qmp_fields_peek_text  (JsonObject *object, const char *member);

G_END_DECLS
