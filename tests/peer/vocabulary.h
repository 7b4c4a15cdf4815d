/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* All fatal when a real QEMU knows no such name; they pass when no QEMU is installed. */
void vocabulary_check_command (const char *command,
                               JsonNode   *arguments);
void vocabulary_check_unknown (const char *command);
void vocabulary_check_event   (const char *name,
                               JsonNode   *data);

G_END_DECLS
