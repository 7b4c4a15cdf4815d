/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ask.h"

G_BEGIN_DECLS

/* Waits until @operation (transfer full) is over, showing how it gets on. Returns it as it is then;
 * CLI_ERROR_INTERRUPTED with what can be done when somebody pressed Ctrl-C. */
JsonNode *wait_for_operation      (Cli *cli, JsonNode *operation,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What comes of @begun (transfer full): with @wait its end, printed, else how to learn of it. */
gboolean  wait_and_print          (Cli *cli, JsonNode *begun, gboolean wait, Printer print,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

gboolean  wait_is_over            (JsonObject *operation);
/* Whether @operation, which is over, has succeeded; else CLI_ERROR_FAILED. */
gboolean  wait_check_success      (JsonObject *operation,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
