/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Tells the service manager, if there is one that listens, of @state: "READY=1", "STOPPING=1". */
void notify_manager (const char *state);

G_END_DECLS
