/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what a provider of tokens is; Keystone is one of them, a file another. */

#include "token-private.h"

#include <string.h>

#include "error-private.h"

G_DEFINE_INTERFACE (GlanceToken, glance_token, G_TYPE_OBJECT)

static void
glance_token_default_init (GlanceTokenInterface *iface)
{
}

/**
 * glance_token_is_sane:
 * @token: a text that claims to be one
 *
 * Returns: whether it may be put into a header
 */
gboolean
glance_token_is_sane (const char *token)
{
  gsize length = strlen (token);

  for (gsize i = 0; i < length; i++)
    {
      if (!g_ascii_isgraph (token[i]))
        return FALSE;
    }

  return length > 0 && length <= GLANCE_TOKEN_MAX;
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

/**
 * glance_token_get_endpoint:
 * @self: the provider
 * @cancellable: (nullable): ends the waiting
 * @error: GLANCE_ERROR_NO_ENDPOINT when it knows none; what glance_token_get() says
 *
 * Blocks. May be called from any thread.
 *
 * Returns: (transfer full): the address of the image service, as it is known now
 */
char *
glance_token_get_endpoint (GlanceToken   *self,
                           GCancellable  *cancellable,
                           GError       **error)
{
  GlanceTokenInterface *iface = GLANCE_TOKEN_GET_IFACE (self);

  if (iface->get_endpoint != NULL)
    return iface->get_endpoint (self, cancellable, error);

  glance_set_error (error, GLANCE_ERROR_NO_ENDPOINT, "the image service has no address");

  return NULL;
}
