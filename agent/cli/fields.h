/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Members of an object that may be there, of an answer that a newer daemon may have made. @object
 * may be NULL in all of them. */

const char *field_text   (JsonObject *object, const char *name);        /* (nullable) */
gint64      field_int    (JsonObject *object, const char *name, gint64 fallback);
gboolean    field_bool   (JsonObject *object, const char *name);
JsonObject *field_object (JsonObject *object, const char *name);        /* (nullable) */
JsonArray  *field_array  (JsonObject *object, const char *name);        /* (nullable) */

guint       array_length (JsonArray *array);                            /* NULL: 0 */
JsonObject *array_object (JsonArray *array, guint index);               /* (nullable) */
const char *array_text   (JsonArray *array, guint index);               /* (nullable) */

G_END_DECLS
