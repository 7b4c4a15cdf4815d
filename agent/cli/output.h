/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "commands.h"

G_BEGIN_DECLS

/* To stdout, as it is. */
void output_json    (JsonNode *node);
/* To stderr, its hint on a line of its own; with --json the daemon's words to stdout as well. */
void output_error   (Cli *cli, const GError *error);
/* Any object, name by name. */
void output_members (JsonObject *object);
/* One line for people; nothing with --json. */
void output_line    (Cli *cli, const char *format, ...) G_GNUC_PRINTF (2, 3);

G_END_DECLS
