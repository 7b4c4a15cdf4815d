/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ask.h"

G_BEGIN_DECLS

/* What can be said about all that works on chains, or about much of it: a command offers those that
 * it has a use for. */
typedef struct
{
  char    **disks;
  char     *disk_list;
  char     *speed;
  char     *deadline;
  char     *on_deadline;
  char     *on_error;
  gboolean  discard_points;
  gboolean  discard;
  gboolean  no_reset;
  char     *name;
  gboolean  dry_run;
  gboolean  no_wait;
  char     *idempotency_key;
} ChainOptions;

typedef enum
{
  CHAIN_OPTIONS_DISKS    = 1 << 0,      /* --disk, --disks */
  CHAIN_OPTIONS_JOB      = 1 << 1,      /* --speed, --on-error */
  CHAIN_OPTIONS_DEADLINE = 1 << 2,      /* --deadline, --on-deadline */
  CHAIN_OPTIONS_CANCEL   = 1 << 3,      /* ... whose last choice is "cancel" */
  CHAIN_OPTIONS_POINTS   = 1 << 4,      /* --discard-points */
  CHAIN_OPTIONS_SWITCH   = 1 << 5,      /* --no-reset, --discard, --name */
} ChainOptionsFlags;

void        chain_options_clear (ChainOptions *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ChainOptions, chain_options_clear)

/* Reads the command's options: those of @self that @flags name, and before them @more (nullable) of
 * its own. @arguments: (inout): what is left. The request that was asked for so far.
 * CLI_ERROR_USAGE. */
JsonObject *chain_options_parse (ChainOptions *self, Cli *cli, const Command *command,
                                 ChainOptionsFlags flags, const GOptionEntry *more,
                                 char ***arguments, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Asks for @request (transfer full) at "/v1/guests/GUEST/@rest", sees it through to its end, or to
 * its beginning, and prints what was done; for a dry run, what would be done. */
gboolean    chain_options_ask   (const ChainOptions *self, Cli *cli, const char *method,
                                 const char *guest, const char *rest, JsonObject *request,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
