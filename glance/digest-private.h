/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glance/digest.h>

typedef enum
{
  DIGEST_MD5,
  DIGEST_SHA512,
  DIGEST_N,
} DigestHash;

/* Adds the next bytes to one of the hashes: each may have a thread of its own. */
void digest_add (GlanceDigest *self, DigestHash hash, const void *data, gsize size);
