/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _Log Log;

/* From now on, what is at least as grave as @level ("error", "warning", "info" or "debug") goes to
 * stderr, or to the journal when that is where stderr leads. */
Log  *log_begin     (const char *level);
void  log_set_level (Log *self, const char *level);

G_END_DECLS
