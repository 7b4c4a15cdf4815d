/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* Plain structs to JSON and back, by a table of their members: what the journal holds of a plan. */

typedef enum
{
  FIELD_STRING,                 /* char *; JSON null for NULL */
  FIELD_BOOLEAN,                /* gboolean */
  FIELD_INT64,                  /* gint64 */
  FIELD_ENUM,                   /* an enumeration, as its number */
} FieldType;

typedef struct
{
  const char *name;             /* NULL ends a table */
  FieldType   type;
  gsize       offset;
} Field;

#define FIELD(struct_type, member, type) { #member, type, G_STRUCT_OFFSET (struct_type, member) }

JsonNode *fields_to_json   (const Field *fields, gconstpointer base) G_GNUC_WARN_UNUSED_RESULT;
/* Fills the struct at @base, which is all zero, with the members that are there.
 * AGENT_ERROR_INTERNAL names the one that is wrong. */
gboolean  fields_from_json (const Field *fields, gpointer base, JsonNode *json,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* The list @member of a plan; AGENT_ERROR_INTERNAL where there is none. (transfer none) */
JsonArray *fields_get_array (JsonObject *plan, const char *member,
                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
