/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

#define JSON_BODY_SIZE_MAX  (1024 * 1024)       /* bytes */
#define JSON_BODY_DEPTH_MAX 32                  /* objects and arrays inside each other */

JsonObject *json_body_parse (const char *text, gsize length, GError **error)
                             G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
