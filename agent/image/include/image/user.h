/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whom the store's identity service knows by a token. Plain data. */
typedef struct
{
  char     *user_id;
  char     *project_id;
  char    **roles;              /* names */
  gboolean  is_ours;            /* of the project that our images go to */
} ImageUser;

void       image_user_free (ImageUser *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImageUser, image_user_free)

G_END_DECLS
