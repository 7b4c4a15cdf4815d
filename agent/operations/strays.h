/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

#include "inspect.h"

G_BEGIN_DECLS

/* What operations that have ended have left in a QEMU, because it refused to let it go then. */

/* Jobs of ours that stand concluded. (transfer container): of char * */
GPtrArray *strays_find_jobs  (GPtrArray *jobs);
/* Nodes of ours that no device and no job uses, each before what is below it; none of @held
 * (nullable, a set of names), and none below these. (transfer container): of char * */
GPtrArray *strays_find_nodes (QmpGraph *graph, GHashTable *held);

/* Lets them go while no operation works on @guest. What QEMU refuses stays, until it is looked at
 * again. */
void       strays_close      (Operations *operations, Guest *guest,
                              Inspection *inspection);

G_END_DECLS
