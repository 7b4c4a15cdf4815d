/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/operation.h>

G_BEGIN_DECLS

/* Operations, seen as what was done to a server. */

/* (transfer full): what Nova would have called the request that began it. */
char       *nova_instance_action_id      (Operation *operation);
/* @minor: the version 2.N that is spoken */
JsonObject *nova_instance_action_to_json (Operation *operation, const char *server,
                                          const char *project, gboolean with_events,
                                          guint minor) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
