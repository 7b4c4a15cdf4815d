/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/**
 * CliError:
 * @CLI_ERROR_FAILED: the operation failed, or the daemon did
 * @CLI_ERROR_USAGE: wrong arguments, or a request that is wrong in itself
 * @CLI_ERROR_UNREACHABLE: no daemon answers
 * @CLI_ERROR_NOT_FOUND: no such guest, operation or image
 * @CLI_ERROR_CONFLICT: not now, or not with this guest as it is
 * @CLI_ERROR_UNAVAILABLE: the guest or the store cannot be reached, or took too long
 * @CLI_ERROR_DENIED: not for this user
 * @CLI_ERROR_INTERRUPTED: Ctrl-C while waiting
 *
 * The codes are the exit statuses that qsnap(1) documents.
 */
typedef enum
{
  CLI_ERROR_FAILED      = 1,
  CLI_ERROR_USAGE       = 2,
  CLI_ERROR_UNREACHABLE = 3,
  CLI_ERROR_NOT_FOUND   = 4,
  CLI_ERROR_CONFLICT    = 5,
  CLI_ERROR_UNAVAILABLE = 6,
  CLI_ERROR_DENIED      = 7,
  CLI_ERROR_INTERRUPTED = 130,
} CliError;

#define CLI_ERROR (cli_error_quark ())
GQuark cli_error_quark       (void);

/* What an answer with the HTTP status @status is. */
CliError cli_error_from_http (guint status);
/* The exit status for an error of any domain. */
int    cli_error_to_exit     (const GError *error);

G_END_DECLS
