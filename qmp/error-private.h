/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>
#include <qmp/error.h>

/* The error for a command that was refused: @error_class and @description are the peer's words. */
G_GNUC_INTERNAL
GError *qmp_error_new_refused (const char *error_class,
                               const char *description,
                               const char *command,
                               JsonNode   *arguments);
