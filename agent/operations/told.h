/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/operation.h>

G_BEGIN_DECLS

/* Of the lists in an operation's result ("disks", "images") the object whose @member is @value;
 * (nullable) (transfer none). */
JsonObject *told_find (Operation *operation, const char *list, const char *member,
                       const char *value);

G_END_DECLS
