/* SPDX-License-Identifier: Apache-2.0 */

/* Knows who somebody is, as an identity service tells it. */

#include <image/user.h>

/**
 * image_user_free:
 * @self: (transfer full) (nullable): somebody
 */
void
image_user_free (ImageUser *self)
{
  if (self == NULL)
    return;

  g_free (self->user_id);
  g_free (self->project_id);
  g_strfreev (self->roles);
  g_free (self);
}
