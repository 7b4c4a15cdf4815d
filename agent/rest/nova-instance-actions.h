/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/operation.h>

G_BEGIN_DECLS

/* Operations, seen as what was done to a server. */

/* (transfer full): what Nova would have called the request that began it. */
char *nova_instance_action_id (Operation *operation);

G_END_DECLS
