/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* What working on chains came to, for people. */

/* An operation that has succeeded. */
void report_print_done (JsonObject *operation);
/* What a dry run answers. */
void report_print_plan (JsonObject *plan);

G_END_DECLS
