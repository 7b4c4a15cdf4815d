/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <core/config.h>
#include <image/store.h>
#include <libsoup/soup.h>

G_BEGIN_DECLS

/* Who may ask. */
typedef struct _Access Access;

/* What somebody has to be allowed, each more than the one before. */
typedef enum
{
  ACCESS_LOOK,
  ACCESS_ACT,
  ACCESS_ADMINISTER,
} AccessLevel;

Access    *access_new             (const Config *config, ImageStore *store,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
void       access_free            (Access *self);
/* By its headers alone, which leave it open where @token (transfer full) is set: that one only the
 * store's identity service may know. */
gboolean   access_check           (const Access *self, SoupServerMessage *message,
                                   gboolean is_public, char **token,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
void       access_identify_async  (const Access *self, const char *token, AccessLevel level,
                                   GCancellable *cancellable, GAsyncReadyCallback callback,
                                   gpointer user_data);
ImageUser *access_identify_finish (GAsyncResult *result,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Says with the answer how to come in. */
void       access_challenge       (SoupServerMessage *message, const GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Access, access_free)

G_END_DECLS
