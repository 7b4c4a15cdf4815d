/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* The daemon, as one sees it through its socket. */
typedef struct _Client Client;

Client     *client_new           (const char *socket_path);
void        client_free          (Client *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Client, client_free)

/* Asks, and waits for the answer. @answer: (out) (optional): NULL without a body. CLI_ERROR. */
gboolean    client_call          (Client *self, const char *method, const char *path,
                                  JsonNode *body, const char *idempotency_key,
                                  GCancellable *cancellable, JsonNode **answer, GError **error)
                                  G_GNUC_WARN_UNUSED_RESULT;
/* The same for what is answered with an object. */
JsonNode   *client_ask           (Client *self, const char *method, const char *path,
                                  JsonNode *body, const char *idempotency_key,
                                  GCancellable *cancellable,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;
JsonNode   *client_get           (Client *self, const char *path, GError **error)
                                  G_GNUC_WARN_UNUSED_RESULT;

/* The error as the daemon wrote it, of the last call that failed. (nullable) */
JsonNode   *client_get_refusal   (Client *self);

/* "/v1/KIND/NAME/REST", with NAME escaped. @rest: (nullable) */
char       *client_path          (const char *kind, const char *name, const char *rest);

G_END_DECLS
