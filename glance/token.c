/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a provider of tokens is; Keystone is one of them, a file another. */

#include <glance/token.h>

G_DEFINE_INTERFACE (GlanceToken, glance_token, G_TYPE_OBJECT)

static void
glance_token_default_init (GlanceTokenInterface *iface)
{
}

/**
 * glance_token_get:
 * @self: the provider
 * @refused: (nullable): the token that was answered with 401 just now
 * @cancellable: (nullable): ends the waiting
 * @error: GLANCE_ERROR_UNAUTHORIZED when there is no token, or none but @refused
 *
 * Blocks. May be called from any thread.
 *
 * Returns: (transfer full): a token that is not @refused
 */
char *
glance_token_get (GlanceToken   *self,
                  const char    *refused,
                  GCancellable  *cancellable,
                  GError       **error)
{
  return GLANCE_TOKEN_GET_IFACE (self)->get (self, refused, cancellable, error);
}
