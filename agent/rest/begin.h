/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "request.h"

G_BEGIN_DECLS

/* What requests have in common that begin an operation. */

/* The key that makes a repeat harmless. @key: (out) (nullable) (transfer none).
 * AGENT_ERROR_INVALID */
gboolean begin_get_key (Request *request, const char **key,
                        GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* 202 with the operation and where it is; or @error (transfer full), without @operation. */
void     begin_answer  (Request *request, Operation *operation, GError *error);

G_END_DECLS
