/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Members of a request, from words of the command line. What was not given is left out. */

void     members_set_text  (JsonObject *object, const char *name, const char *text);
void     members_set_path  (JsonObject *object, const char *name, const char *path);
void     members_set_flag  (JsonObject *object, const char *name, gboolean set);

/* "KEY=VALUE" words as an object. @lone: (nullable): the key of a word without "=". @option: for
 * the error, CLI_ERROR_USAGE. */
gboolean members_set_pairs (JsonObject *object, const char *name, const char *option, char **words,
                            const char *lone, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
