/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/journal.h>
#include <core/operation.h>

G_BEGIN_DECLS

/* What became of points that are no more, as far as the operations are remembered that have taken
 * them, or that they went with. */

/* @error says that there is no point called @name, which may be an id: where more is known, it says
 * what became of it, and which images hold what it showed. @operations: of Operation, the guest's,
 * newest first. */
void lost_points_explain (GPtrArray *operations, Journal *journal, const char *name,
                          GError **error);

G_END_DECLS
