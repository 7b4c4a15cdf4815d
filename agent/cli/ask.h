/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "commands.h"

G_BEGIN_DECLS

typedef void (*Printer) (JsonObject *answer);

/* Asks for @path and prints the answer: as it is with --json, else as @print does for people. */
gboolean ask_and_print (Cli *cli, const char *path, Printer print,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same for a command with one argument, a guest, and no options: "/v1/guests/GUEST/@rest". */
gboolean ask_of_guest  (Cli *cli, const Command *command, char **arguments, const char *rest,
                        Printer print, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
