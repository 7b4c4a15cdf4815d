/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>
#include <libsoup/soup.h>

G_BEGIN_DECLS

/* Who may ask. */
typedef struct _Access Access;

Access  *access_new   (const Config *config, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void     access_free  (Access *self);
gboolean access_check (const Access *self, SoupServerMessage *message,
                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Access, access_free)

G_END_DECLS
