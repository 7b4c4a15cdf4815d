/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <json-glib/json-glib.h>
#include <libsoup/soup.h>

G_BEGIN_DECLS

#define REQUEST_ID_HEADER "X-Openstack-Request-Id"

/* What a client is told, in the form that all answers of our own API have, or that Nova's have. */

/* Notes what the request is called and who asks, for its answer and for the log. */
void answer_prepare (SoupServerMessage *message);
/* The same for who is known by a token only. */
void answer_name_user (SoupServerMessage *message, const char *user, const char *project);

/* Adds to the headers what everybody who asks should know. */
void answer_warn      (SoupServerMessage *message, const char *text);

/* @body: (transfer full) (nullable) */
void answer_json      (SoupServerMessage *message, guint status, JsonNode *body);
/* @error: (transfer full) */
void answer_error     (SoupServerMessage *message, GError *error);
/* For what HTTP knows and AgentError does not. */
void answer_http_error (SoupServerMessage *message, guint status, const char *word,
                        const char *text, const char *hint);

/* In Nova's dialect: the version that is wanted, an HTTP status; and what is told beside. */
guint answer_find_version (SoupServerMessage *message, guint *minor,
                           char **problem) G_GNUC_WARN_UNUSED_RESULT;
void  answer_name_task    (SoupServerMessage *message, const char *id);

/* {"name": node}; @node: (transfer full) */
JsonNode *answer_wrap (const char *name, JsonNode *node) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
