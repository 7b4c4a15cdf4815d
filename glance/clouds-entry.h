/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/clouds.h>

#include "clouds-yaml.h"

/* The same entry in both files; what is not there is NULL. */
typedef struct
{
  const char       *name;
  const CloudsNode *auth[2];    /* of secure.yaml, then of clouds.yaml */
  const CloudsNode *cloud[2];
} CloudsEntry;

GlanceCloud *clouds_entry_read (const CloudsEntry *entry, GError **error)
                                G_GNUC_WARN_UNUSED_RESULT;

/* Sets the error, with the file and the line of @node; always FALSE. */
gboolean     clouds_fail       (const CloudsNode *node, const char *message, GError **error);
/* @name if it looks like a name: a slip of the pen may have made one of a secret. */
const char  *clouds_show       (const char *name);
/* Whether it is written as nothing: "key:", "~" or "null". */
gboolean     clouds_is_nothing (const CloudsNode *node);
