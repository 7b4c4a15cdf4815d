/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* A member of what QEMU has answered; NULL when @node is no object, has no such member, or one of
 * another type. (nullable) (transfer none) */
const char *reply_text (JsonNode *node, const char *member);

G_END_DECLS
