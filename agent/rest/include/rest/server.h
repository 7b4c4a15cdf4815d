/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <operations/operations.h>

G_BEGIN_DECLS

/* The REST shim: a Unix socket, and TCP only when configured and then only with a bearer token. */

#define TYPE_REST_SERVER (rest_server_get_type ())
G_DECLARE_FINAL_TYPE (RestServer, rest_server, AGENT, REST_SERVER, GObject)

RestServer *rest_server_new     (Operations *operations);
/* Signal "idle" (RestServer *self): the last answer that was on its way is out. */

/* Listens as the configuration says. */
gboolean    rest_server_start   (RestServer *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Goes over to who may ask by @config and @store; not to other addresses. */
gboolean    rest_server_reload  (RestServer *self, const Config *config, ImageStore *store,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;
void        rest_server_stop    (RestServer *self);
/* Whether no request is on its way. */
gboolean    rest_server_is_idle (RestServer *self);

G_END_DECLS
