/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Bounds of one text. What QEMU says stays below them. */
#define QMP_JSON_DEPTH_MAX   1024       /* objects and arrays inside each other, as QEMU has it:
                                         * query-block goes one down with each layer of a chain */
#define QMP_JSON_MEMBERS_MAX 1024       /* members of one object */
#define QMP_JSON_VALUES_MAX  (1 << 20)  /* values in all */

/* A piece of a text that somebody else owns; text == NULL: not there. */
typedef struct
{
  const char *text;
  gsize       length;
} QmpSpan;

/* Called for each member of the outermost object; both spans are checked already. @name is what
 * stands between the quotes, with escapes as they came. */
typedef gboolean (*QmpJsonMember) (QmpSpan   name,
                                   QmpSpan   value,
                                   gpointer  user_data,
                                   GError  **error);

G_GNUC_INTERNAL
gboolean  qmp_json_walk    (QmpSpan         object,
                            QmpJsonMember   member,
                            gpointer        user_data,
                            GError        **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
JsonNode *qmp_json_build   (QmpSpan         value) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
gboolean  qmp_json_append  (GString        *line,
                            JsonNode       *value,
                            GError        **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
gboolean  qmp_json_append_string (GString     *line,
                                  const char  *text,
                                  GError     **error) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
char     *qmp_json_to_text (JsonNode       *value) G_GNUC_WARN_UNUSED_RESULT;
G_GNUC_INTERNAL
char     *qmp_json_quote   (QmpSpan         text) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
