/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "commands.h"

G_BEGIN_DECLS

/* Reads what stands before the command's name. Returns how many words that were, or -1. */
int      options_parse_common (Cli *cli, int argc, char **argv, const char *description,
                               GError **error);

/* Reads the command's options and those that all have, and makes the client. @arguments: (inout):
 * what is left. @entries: (nullable). Prints and ends the program for --help. */
gboolean options_parse        (Cli *cli, const Command *command, const GOptionEntry *entries,
                               char ***arguments, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
