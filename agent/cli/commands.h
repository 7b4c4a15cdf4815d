/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "client.h"

G_BEGIN_DECLS

#define DEFAULT_SOCKET "/run/qsnapd/qsnapd.sock"

typedef struct
{
  char     *socket;             /* --socket (nullable) */
  gboolean  json;               /* --json */
  gboolean  dry_run;            /* only what would be done is asked for: qsnap plan */
  Client   *client;             /* once the options are read */
} Cli;

typedef struct _Command Command;

/* @arguments: the words behind the command's name. FALSE with @error; most of them are answers. */
typedef gboolean (*CommandRun) (Cli *cli, const Command *command, char **arguments, GError **error);

struct _Command
{
  const char *name;
  const char *arguments;        /* "GUEST [NAME]" */
  guint       arguments_min;
  guint       arguments_max;
  const char *summary;
  const char *examples;         /* for --help; each line indented by two */
  CommandRun  run;
};

/* By file; behind the last of each stands one without a name. */
extern const Command guest_commands[];
extern const Command point_commands[];
extern const Command tree_commands[];
extern const Command chain_commands[];
extern const Command image_commands[];
extern const Command operation_commands[];
extern const Command journal_commands[];

G_END_DECLS
