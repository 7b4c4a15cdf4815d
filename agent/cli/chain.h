/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* A disk and its layers, the active one on top, each below the one that stands on it. */
void chain_print_disk (JsonObject *disk);

G_END_DECLS
