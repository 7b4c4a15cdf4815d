/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

/* A JSON object in @bytes: valid UTF-8, of bounded depth. GLANCE_ERROR_PROTOCOL when it is none. */
JsonNode   *glance_json_parse       (GBytes *bytes, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A member of the right type, or NULL, @fallback. */
JsonObject *glance_json_get_object  (JsonObject *object, const char *name);
JsonArray  *glance_json_get_array   (JsonObject *object, const char *name);
const char *glance_json_get_string  (JsonObject *object, const char *name);
gint64      glance_json_get_int     (JsonObject *object, const char *name, gint64 fallback);
gboolean    glance_json_get_boolean (JsonObject *object, const char *name);
