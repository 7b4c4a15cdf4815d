/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which hashes stand for an image's bytes. */

#include <glance/digest.h>

struct _GlanceDigest
{
  GChecksum *md5;
  GChecksum *sha512;
  gint64     size;
};

/**
 * glance_digest_new:
 *
 * Returns: (transfer full): a digest of nothing yet
 */
GlanceDigest *
glance_digest_new (void)
{
  GlanceDigest *self = g_new0 (GlanceDigest, 1);

  self->md5 = g_checksum_new (G_CHECKSUM_MD5);
  self->sha512 = g_checksum_new (G_CHECKSUM_SHA512);

  return self;
}

/**
 * glance_digest_free:
 * @self: (transfer full) (nullable): the digest
 */
void
glance_digest_free (GlanceDigest *self)
{
  if (self == NULL)
    return;

  g_checksum_free (self->md5);
  g_checksum_free (self->sha512);
  g_free (self);
}

/**
 * glance_digest_reset:
 * @self: the digest
 *
 * Forgets all bytes, for a transfer that starts anew.
 */
void
glance_digest_reset (GlanceDigest *self)
{
  g_checksum_reset (self->md5);
  g_checksum_reset (self->sha512);
  self->size = 0;
}

/**
 * glance_digest_update:
 * @self: the digest
 * @data: the next bytes
 * @size: how many
 */
void
glance_digest_update (GlanceDigest *self,
                      const void   *data,
                      gsize         size)
{
  /* Step by step, so that the second hash finds the bytes in the processor's cache. */
  const gsize step = 65536;

  for (gsize at = 0; at < size; at += step)
    {
      gsize n = MIN (step, size - at);

      g_checksum_update (self->md5, (const guchar *) data + at, (gssize) n);
      g_checksum_update (self->sha512, (const guchar *) data + at, (gssize) n);
    }

  self->size += (gint64) size;
}

/**
 * glance_digest_get_size:
 * @self: the digest
 *
 * Returns: the bytes added since the beginning
 */
gint64
glance_digest_get_size (GlanceDigest *self)
{
  return self->size;
}

/**
 * glance_digest_get_md5:
 * @self: the digest
 *
 * Returns: (transfer none): the md5 of all bytes, hexadecimal
 */
const char *
glance_digest_get_md5 (GlanceDigest *self)
{
  return g_checksum_get_string (self->md5);
}

/**
 * glance_digest_get_sha512:
 * @self: the digest
 *
 * Returns: (transfer none): the sha512 of all bytes, hexadecimal
 */
const char *
glance_digest_get_sha512 (GlanceDigest *self)
{
  return g_checksum_get_string (self->sha512);
}
