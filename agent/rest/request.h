/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "routes.h"

#include <libsoup/soup.h>
#include <operations/operations.h>

G_BEGIN_DECLS

/* One request between its routing and its answer. The handler that gets it answers exactly once,
 * now or later; the answer ends it. */

Request      *request_new             (SoupServerMessage *message, Operations *operations,
                                       GPtrArray *waiting, const Route *route, char **names,
                                       GHashTable *query);
/* Before the handler sees it. */
gboolean      request_read            (Request *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void          request_set_user        (Request *self, ImageUser *user);

Operations   *request_get_operations  (Request *self);
/* Cancelled when nobody waits for the answer any more. */
GCancellable *request_get_cancellable (Request *self);
const Route  *request_get_route       (Request *self);
SoupServerMessage *request_get_message (Request *self);
const char   *request_get_name        (Request *self);  /* what stands where the pattern has {} */
const char   *request_get_second_name (Request *self);  /* ... and has it again */
const char   *request_get_query       (Request *self, const char *key);         /* (nullable) */
/* A parameter that is true or false, or stands there alone. AGENT_ERROR_INVALID */
gboolean      request_get_flag        (Request *self, const char *key, gboolean *is_set,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;
GHashTable   *request_get_queries     (Request *self);                          /* (nullable) */
const char   *request_get_header      (Request *self, const char *header);      /* (nullable) */
/* Who asks, where the store's identity service said so. */
const ImageUser *request_get_user     (Request *self);                          /* (nullable) */
JsonObject   *request_get_body        (Request *self);  /* empty when none came */

/* The guest that the path names; NULL, and answered, when there is none. */
Guest        *request_find_guest      (Request *self);

void          request_answer          (Request *self, guint status, JsonNode *body);
/* The same with the address of what was made; @location: (transfer full). */
void          request_answer_at       (Request *self, guint status, char *location, JsonNode *body);
void          request_answer_error    (Request *self, GError *error);
/* The same for what the caller may not: what a handler fails with is never a 401. */
void          request_refuse          (Request *self, GError *error);

/* "http://HOST:PORT" as the client calls us. (transfer full) */
char         *request_get_base        (Request *self);
/* "/v1/KIND/ID", escaped. */
char         *request_location        (const char *kind, const char *id);

G_END_DECLS
