/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* What is Nova's way of saying things, without anything to say: pure functions. */

#define NOVA_MINOR_MIN 1        /* of the microversions 2.1 to 2.90 */
#define NOVA_MINOR_MAX 90

#define NOVA_VERSION_HEADER        "OpenStack-API-Version"
#define NOVA_VERSION_HEADER_LEGACY "X-OpenStack-Nova-API-Version"
#define NOVA_REQUEST_ID_HEADER     "X-Compute-Request-Id"

/* Whether @path speaks Nova's dialect, be there anything at it or not. */
gboolean  nova_owns           (const char *path);
/* @path without a project id behind the version, which is allowed there. (transfer full) */
char     *nova_path_normalize (const char *path);

/* The minor version that the headers (both nullable) ask for. Returns an HTTP status; with another
 * one than 200 @problem (transfer full) tells why. */
guint     nova_version_parse  (const char *header, const char *legacy, guint *minor,
                               char **problem) G_GNUC_WARN_UNUSED_RESULT;

/* An error in Nova's form; nova_fault_status() is what Nova would say in place of @status. */
JsonNode *nova_fault_new      (guint status, const char *message,
                               const char *hint) G_GNUC_WARN_UNUSED_RESULT;
guint     nova_fault_status   (guint status);

/* The id of a server whose guest has no UUID: the same for the same guest, for ever. */
char     *nova_id_from_name   (const char *name) G_GNUC_WARN_UNUSED_RESULT;

/* @text: (nullable): null; need not be UTF-8, as names and what peers said. */
void      nova_set_text       (JsonObject *object, const char *member, const char *text);

/* "2026-01-31T23:59:59Z"; NULL for 0. */
char     *nova_time           (gint64 seconds) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
