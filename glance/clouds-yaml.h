/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

/* What a YAML file says, with the lines that it says it in. Plain data, not changed once read. */

typedef enum
{
  CLOUDS_TEXT,
  CLOUDS_MAP,
  CLOUDS_LIST,
} CloudsKind;

typedef struct
{
  CloudsKind  kind;
  char       *path;             /* a GRefString */
  guint       line;
  gboolean    is_exposed;       /* everybody on this machine may read the file */

  char       *text;             /* of a text */
  gboolean    is_plain;         /* without quotes, so that "null" is nothing and "no" is false */

  GPtrArray  *names;            /* of a map: in their order in the file */
  GHashTable *values;           /* of a map: name -> CloudsNode */
  GPtrArray  *items;            /* of a list, of CloudsNode */
} CloudsNode;

/* (nullable): NULL without an error when there is no such file. */
CloudsNode *clouds_yaml_read  (const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

void        clouds_node_unref (CloudsNode *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CloudsNode, clouds_node_unref)
