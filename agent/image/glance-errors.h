/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What the image service said, as AGENT_ERROR. (transfer full) in and out. */
GError *glance_error_translate (GError *error);

G_END_DECLS
