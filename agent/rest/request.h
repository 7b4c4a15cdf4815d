/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "routes.h"

#include <libsoup/soup.h>
#include <operations/operations.h>

G_BEGIN_DECLS

/* One request between its routing and its answer. The handler that gets it answers exactly once,
 * now or later; the answer ends it. */

Request      *request_new             (SoupServerMessage *message, Operations *operations,
                                       GPtrArray *waiting, char *name, GHashTable *query,
                                       JsonObject *body);

Operations   *request_get_operations  (Request *self);
/* Cancelled when nobody waits for the answer any more. */
GCancellable *request_get_cancellable (Request *self);
const char   *request_get_name        (Request *self);  /* what stands where the pattern has {} */
const char   *request_get_query       (Request *self, const char *key);         /* (nullable) */
const char   *request_get_header      (Request *self, const char *header);      /* (nullable) */
JsonObject   *request_get_body        (Request *self);  /* empty when none came */

/* The guest that the path names; NULL, and answered, when there is none. */
Guest        *request_find_guest      (Request *self);

void          request_answer          (Request *self, guint status, JsonNode *body);
/* The same with the address of what was made; @location: (transfer full). */
void          request_answer_at       (Request *self, guint status, char *location, JsonNode *body);
void          request_answer_error    (Request *self, GError *error);

/* "/v1/KIND/ID", escaped. */
char         *request_location        (const char *kind, const char *id);

G_END_DECLS
