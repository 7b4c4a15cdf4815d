/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The two hashes that an image is known by: md5 ("checksum") and sha512 ("os_hash_value"). */

typedef struct _GlanceDigest GlanceDigest;

GlanceDigest *glance_digest_new        (void);
void          glance_digest_free       (GlanceDigest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GlanceDigest, glance_digest_free)

void          glance_digest_reset      (GlanceDigest *self);
void          glance_digest_update     (GlanceDigest *self, const void *data, gsize size);
gint64        glance_digest_get_size   (GlanceDigest *self);    /* bytes since the beginning */

/* Hexadecimal. Once asked for, nothing can be added before the next reset. */
const char   *glance_digest_get_md5    (GlanceDigest *self);
const char   *glance_digest_get_sha512 (GlanceDigest *self);

G_END_DECLS
