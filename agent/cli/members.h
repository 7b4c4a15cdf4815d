/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Members of a request, from words of the command line. What was not given is left out. */

void     members_set_text  (JsonObject *object, const char *name, const char *text);
void     members_set_path  (JsonObject *object, const char *name, const char *path);
void     members_set_flag  (JsonObject *object, const char *name, gboolean set);

/* "all", or an array of those in @disks and in @list, which commas part; neither leaves it out.
 * CLI_ERROR_USAGE. */
gboolean members_set_disks (JsonObject *object, char **disks, const char *list,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* A number of bytes, such as "10M"; "max" is 0. @option: what has it, for CLI_ERROR_USAGE. */
gboolean members_set_bytes (JsonObject *object, const char *name, const char *option,
                            const char *text, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* @what: "whole seconds", for CLI_ERROR_USAGE */
gboolean members_set_count (JsonObject *object, const char *name, const char *option,
                            const char *text, const char *what,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* "KEY=VALUE" words as an object. @lone: (nullable): the key of a word without "=". @option: for
 * the error, CLI_ERROR_USAGE. */
gboolean members_set_pairs (JsonObject *object, const char *name, const char *option, char **words,
                            const char *lone, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
