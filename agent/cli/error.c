/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which exit status stands for what. */

#include "error.h"

G_DEFINE_QUARK (cli-error, cli_error)

/**
 * cli_error_from_http:
 * @status: an HTTP status that stands for no success
 *
 * Returns: what it means to who called qsnap
 */
CliError
cli_error_from_http (guint status)
{
  switch (status)
    {
    case 400:
    case 405:
    case 413:
      return CLI_ERROR_USAGE;
    case 401:
    case 403:
      return CLI_ERROR_DENIED;
    case 404:
      return CLI_ERROR_NOT_FOUND;
    case 409:
      return CLI_ERROR_CONFLICT;
    case 503:
    case 504:
      return CLI_ERROR_UNAVAILABLE;
    default:
      return CLI_ERROR_FAILED;
    }
}

/**
 * cli_error_to_exit:
 * @error: of any domain
 *
 * Returns: the exit status for @error
 */
int
cli_error_to_exit (const GError *error)
{
  if (error->domain == CLI_ERROR)
    return error->code;
  return error->domain == G_OPTION_ERROR ? CLI_ERROR_USAGE : CLI_ERROR_FAILED;
}
