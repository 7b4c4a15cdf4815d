/* SPDX-License-Identifier: Apache-2.0 */

/* Knows which hashes stand for an image's bytes, and libcrypto. */

#include <openssl/evp.h>

#include "digest-private.h"

typedef struct
{
  EVP_MD_CTX *context;
  gint64      size;             /* bytes added */
  char       *text;             /* (nullable): once somebody asked for it */
} Hash;

struct _GlanceDigest
{
  OSSL_LIB_CTX *library;
  Hash          hashes[DIGEST_N];
};

static const char *const names[DIGEST_N] = { "MD5", "SHA512" };

/* These calls fail where there is no memory, or no such hash in the library that is installed:
 * nobody can go on from there. */
static void
expect (gboolean    success,
        const char *what)
{
  if (!success)
    g_error ("libcrypto fails: %s", what);
}

/**
 * glance_digest_new:
 *
 * Returns: (transfer full): a digest of nothing yet
 */
GlanceDigest *
glance_digest_new (void)
{
  GlanceDigest *self = g_new0 (GlanceDigest, 1);

  /* A context of our own knows no configuration of the system, which may forbid md5: here it
   * protects nothing, it is compared with what an image service says. */
  self->library = OSSL_LIB_CTX_new ();
  expect (self->library != NULL, "OSSL_LIB_CTX_new");

  for (guint i = 0; i < DIGEST_N; i++)
    {
      EVP_MD *algorithm = EVP_MD_fetch (self->library, names[i], NULL);

      expect (algorithm != NULL, names[i]);
      self->hashes[i].context = EVP_MD_CTX_new ();
      expect (self->hashes[i].context != NULL, "EVP_MD_CTX_new");
      expect (EVP_DigestInit_ex2 (self->hashes[i].context, algorithm, NULL) == 1, names[i]);
      EVP_MD_free (algorithm);
    }

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

  for (guint i = 0; i < DIGEST_N; i++)
    {
      EVP_MD_CTX_free (self->hashes[i].context);
      g_free (self->hashes[i].text);
    }
  OSSL_LIB_CTX_free (self->library);
  g_free (self);

  /* What libcrypto keeps for each thread, its error queue, goes with the thread: of one that ends
   * while the process does, nobody would free it any more. */
  OPENSSL_thread_stop ();
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
  for (guint i = 0; i < DIGEST_N; i++)
    {
      Hash *hash = &self->hashes[i];

      expect (EVP_DigestInit_ex2 (hash->context, NULL, NULL) == 1, names[i]);
      hash->size = 0;
      g_clear_pointer (&hash->text, g_free);
    }
}

/**
 * digest_add:
 * @self: the digest
 * @hash: which of its hashes; only one thread at a time may be at it
 * @data: the next bytes
 * @size: how many
 */
void
digest_add (GlanceDigest *self,
            DigestHash    hash,
            const void   *data,
            gsize         size)
{
  Hash *one = &self->hashes[hash];

  g_return_if_fail (one->text == NULL);

  expect (EVP_DigestUpdate (one->context, data, size) == 1, names[hash]);
  one->size += (gint64) size;
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
      for (guint i = 0; i < DIGEST_N; i++)
        digest_add (self, i, (const char *) data + at, MIN (step, size - at));
    }
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
  return MIN (self->hashes[DIGEST_MD5].size, self->hashes[DIGEST_SHA512].size);
}

static const char *
get_text (GlanceDigest *self,
          DigestHash    which)
{
  Hash *hash = &self->hashes[which];

  if (hash->text == NULL)
    {
      guint8 bytes[EVP_MAX_MD_SIZE];
      guint size = 0;

      expect (EVP_DigestFinal_ex (hash->context, bytes, &size) == 1, names[which]);
      hash->text = g_malloc (2 * size + 1);
      for (guint i = 0; i < size; i++)
        g_snprintf (hash->text + 2 * i, 3, "%02x", bytes[i]);
    }

  return hash->text;
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
  return get_text (self, DIGEST_MD5);
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
  return get_text (self, DIGEST_SHA512);
}
