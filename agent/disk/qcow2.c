/* SPDX-License-Identifier: Apache-2.0 */

/* Knows how to read the beginning of a qcow2 image without believing it. Fields and limits are
 * those of QEMU's docs/interop/qcow2.txt and block/qcow2.c. */

#include "qcow2-private.h"

#include <core/error.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MAX_REFTABLE_BYTES  (8u << 20)
#define MAX_REFCOUNT_ORDER  6u
#define MAX_SNAPSHOTS       65536u
#define MAX_EXTENSIONS      64u                 /* QEMU knows five */
#define MIN_CLUSTER_BITS    9u
#define MAX_CLUSTER_BITS    21u

#define INCOMPATIBLE_DIRTY       (G_GUINT64_CONSTANT (1) << 0)
#define INCOMPATIBLE_CORRUPT     (G_GUINT64_CONSTANT (1) << 1)
#define INCOMPATIBLE_DATA_FILE   (G_GUINT64_CONSTANT (1) << 2)
#define INCOMPATIBLE_COMPRESSION (G_GUINT64_CONSTANT (1) << 3)
#define INCOMPATIBLE_EXTENDED_L2 (G_GUINT64_CONSTANT (1) << 4)
#define INCOMPATIBLE_KNOWN       ((G_GUINT64_CONSTANT (1) << 5) - 1)

static guint32
get32 (const guint8 *bytes,
       gsize         at)
{
  guint32 value;

  memcpy (&value, bytes + at, sizeof value);
  return GUINT32_FROM_BE (value);
}

static guint64
get64 (const guint8 *bytes,
       gsize         at)
{
  guint64 value;

  memcpy (&value, bytes + at, sizeof value);
  return GUINT64_FROM_BE (value);
}

static gboolean
malformed (GError     **error,
           const char  *format,
           ...) G_GNUC_PRINTF (2, 3);

static gboolean
malformed (GError     **error,
           const char  *format,
           ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);

  agent_set_error (error, AGENT_ERROR_CONFLICT,
                   "the image is damaged or is no qcow2 image: look at it with qemu-img check",
                   "qcow2 header: %s", what);

  return FALSE;
}

/* A text of the header: without a NUL inside, in UTF-8 or not. */
static char *
dup_text (const guint8  *bytes,
          gsize          length,
          const char    *what,
          GError       **error)
{
  if (memchr (bytes, '\0', length) != NULL)
    {
      malformed (error, "%s has a NUL byte inside", what);
      return NULL;
    }

  return g_strndup ((const char *) bytes, length);
}

/* The fields that both versions have, and those of version 3. */
static gboolean
parse_fixed (Qcow2Header   *self,
             const guint8  *bytes,
             gsize          length,
             GError       **error)
{
  guint64 incompatible = 0;
  guint32 refcount_order = 4;
  guint64 l1_needed, l1_entries, cluster_size;
  guint l1_bits;

  if (length < QCOW2_V2_HEADER_LENGTH)
    return malformed (error, "only %" G_GSIZE_FORMAT " bytes", length);
  if (get32 (bytes, QCOW2_AT_MAGIC) != QCOW2_MAGIC)
    return malformed (error, "it does not begin with qcow2's magic number");

  self->version = get32 (bytes, QCOW2_AT_VERSION);
  if (self->version != 2 && self->version != 3)
    return malformed (error, "version %u; 2 and 3 are known", self->version);

  self->cluster_bits = get32 (bytes, QCOW2_AT_CLUSTER_BITS);
  if (self->cluster_bits < MIN_CLUSTER_BITS || self->cluster_bits > MAX_CLUSTER_BITS)
    return malformed (error, "clusters of 2^%u bytes; 2^%u to 2^%u are possible",
                      self->cluster_bits, MIN_CLUSTER_BITS, MAX_CLUSTER_BITS);
  cluster_size = G_GUINT64_CONSTANT (1) << self->cluster_bits;

  self->header_length = QCOW2_V2_HEADER_LENGTH;
  if (self->version == 3)
    {
      if (length < QCOW2_V3_HEADER_LENGTH)
        return malformed (error, "only %" G_GSIZE_FORMAT " bytes", length);
      incompatible = get64 (bytes, QCOW2_AT_INCOMPATIBLE);
      refcount_order = get32 (bytes, QCOW2_AT_REFCOUNT_ORDER);
      self->header_length = get32 (bytes, QCOW2_AT_HEADER_LENGTH);
    }
  if (self->version == 3 && self->header_length < QCOW2_V3_HEADER_LENGTH)
    return malformed (error, "it says that it is %u bytes long; version 3 needs %u",
                      self->header_length, QCOW2_V3_HEADER_LENGTH);
  if (self->header_length > cluster_size)
    return malformed (error, "it says that it is %u bytes long, more than a cluster",
                      self->header_length);
  if (self->header_length > length)
    return malformed (error, "it says that it is %u bytes long; there are %" G_GSIZE_FORMAT,
                      self->header_length, length);
  if ((incompatible & ~INCOMPATIBLE_KNOWN) != 0)
    return malformed (error, "unknown incompatible features 0x%" G_GINT64_MODIFIER "x",
                      incompatible & ~INCOMPATIBLE_KNOWN);
  if (refcount_order > MAX_REFCOUNT_ORDER)
    return malformed (error, "reference counts of 2^%u bits", refcount_order);

  self->dirty = (incompatible & INCOMPATIBLE_DIRTY) != 0;
  self->corrupt = (incompatible & INCOMPATIBLE_CORRUPT) != 0;
  self->has_data_file = (incompatible & INCOMPATIBLE_DATA_FILE) != 0;
  self->extended_l2 = (incompatible & INCOMPATIBLE_EXTENDED_L2) != 0;

  if ((incompatible & INCOMPATIBLE_COMPRESSION) != 0
      && (self->header_length <= QCOW2_AT_COMPRESSION || bytes[QCOW2_AT_COMPRESSION] == 0))
    return malformed (error, "it announces a compression type and names none");
  if ((incompatible & INCOMPATIBLE_COMPRESSION) == 0
      && self->header_length > QCOW2_AT_COMPRESSION && bytes[QCOW2_AT_COMPRESSION] != 0)
    return malformed (error, "compression type %u without the feature bit",
                      bytes[QCOW2_AT_COMPRESSION]);

  if (get32 (bytes, QCOW2_AT_CRYPT_METHOD) > 2)
    return malformed (error, "unknown encryption method %u", get32 (bytes, QCOW2_AT_CRYPT_METHOD));
  self->encrypted = get32 (bytes, QCOW2_AT_CRYPT_METHOD) != 0;

  if (get32 (bytes, QCOW2_AT_SNAPSHOTS) > MAX_SNAPSHOTS)
    return malformed (error, "%u internal snapshots", get32 (bytes, QCOW2_AT_SNAPSHOTS));
  self->has_snapshots = get32 (bytes, QCOW2_AT_SNAPSHOTS) != 0;
  if ((guint64) get32 (bytes, QCOW2_AT_REFTABLE_CLUSTERS) << self->cluster_bits > MAX_REFTABLE_BYTES
      || get32 (bytes, QCOW2_AT_REFTABLE_CLUSTERS) == 0)
    return malformed (error, "a refcount table of %u clusters",
                      get32 (bytes, QCOW2_AT_REFTABLE_CLUSTERS));
  if (get64 (bytes, QCOW2_AT_REFTABLE_OFFSET) % cluster_size != 0
      || get64 (bytes, QCOW2_AT_REFTABLE_OFFSET) > G_MAXINT64)
    return malformed (error, "the refcount table does not begin with a cluster");
  if (get64 (bytes, QCOW2_AT_L1_OFFSET) % cluster_size != 0
      || get64 (bytes, QCOW2_AT_L1_OFFSET) > G_MAXINT64)
    return malformed (error, "the L1 table does not begin with a cluster");

  self->virtual_size = get64 (bytes, QCOW2_AT_SIZE);
  if (self->virtual_size > G_MAXINT64)
    return malformed (error, "a virtual size of %" G_GUINT64_FORMAT " bytes", self->virtual_size);

  /* An L1 entry stands for one cluster of L2 entries, each of which stands for one cluster. */
  l1_entries = get32 (bytes, QCOW2_AT_L1_ENTRIES);
  l1_bits = 2 * self->cluster_bits - (self->extended_l2 ? 4 : 3);
  l1_needed = (self->virtual_size + (G_GUINT64_CONSTANT (1) << l1_bits) - 1) >> l1_bits;
  if (l1_entries * 8 > QCOW2_MAX_L1_BYTES)
    return malformed (error, "an L1 table of %" G_GUINT64_FORMAT " entries", l1_entries);
  if (l1_entries < l1_needed)
    return malformed (error, "an L1 table of %" G_GUINT64_FORMAT " entries is too small for "
                      "%" G_GUINT64_FORMAT " bytes", l1_entries, self->virtual_size);

  return TRUE;
}

/* The extensions between the header and @end. */
static gboolean
parse_extensions (Qcow2Header   *self,
                  const guint8  *bytes,
                  gsize          end,
                  GError       **error)
{
  gsize at = self->header_length;

  for (guint n = 0; end - at >= 8; n++)
    {
      guint32 type = get32 (bytes, at);
      guint32 length = get32 (bytes, at + 4);

      if (type == QCOW2_EXTENSION_END)
        return TRUE;
      at += 8;
      if (n == MAX_EXTENSIONS)
        return malformed (error, "more than %u extensions", MAX_EXTENSIONS);
      if (length > end - at)
        return malformed (error, "extension 0x%08x of %u bytes does not fit", type, length);

      if (type == QCOW2_EXTENSION_BACKING_FORMAT)
        {
          if (self->backing_format != NULL || length > QCOW2_MAX_FORMAT_NAME)
            return malformed (error, "two backing formats, or one of %u bytes", length);
          if (length > 0
              && !(self->backing_format = dup_text (bytes + at, length,
                                                    "the backing format", error)))
            return FALSE;
        }
      else if (type == QCOW2_EXTENSION_CRYPTO)
        {
          self->encrypted = TRUE;
        }
      else if (type == QCOW2_EXTENSION_DATA_FILE)
        {
          self->has_data_file = TRUE;
        }

      at += MIN (((gsize) length + 7) & ~(gsize) 7, end - at);
    }

  return TRUE;
}

/**
 * qcow2_header_free:
 * @self: (transfer full) (nullable): a header
 */
void
qcow2_header_free (Qcow2Header *self)
{
  if (self == NULL)
    return;

  g_free (self->backing_name);
  g_free (self->backing_format);
  g_free (self);
}

/**
 * qcow2_header_parse:
 * @head: the first bytes of a file: %QCOW2_HEADER_BYTES, or the whole file when it is smaller
 * @error: where to put an error
 *
 * Reads the header, its extensions and the backing name.
 *
 * Errors: %AGENT_ERROR_CONFLICT when @head is no header that QEMU would open, or one whose backing
 * name lies behind @head.
 *
 * Returns: (transfer full): the header
 */
Qcow2Header *
qcow2_header_parse (GBytes  *head,
                    GError **error)
{
  g_autoptr (Qcow2Header) self = g_new0 (Qcow2Header, 1);
  gsize length;
  const guint8 *bytes = g_bytes_get_data (head, &length);
  guint64 name_at, end;
  guint32 name_length;

  if (!parse_fixed (self, bytes, length, error))
    return NULL;

  /* All of it stands in the first cluster: extensions, then the name. */
  end = MIN ((guint64) length, G_GUINT64_CONSTANT (1) << self->cluster_bits);
  name_at = get64 (bytes, QCOW2_AT_BACKING_OFFSET);
  name_length = get32 (bytes, QCOW2_AT_BACKING_LENGTH);

  if (name_at != 0)
    {
      if (name_length > QCOW2_MAX_BACKING_NAME)
        {
          malformed (error, "a backing name of %u bytes; %u are possible",
                     name_length, QCOW2_MAX_BACKING_NAME);
          return NULL;
        }
      if (name_at < self->header_length || name_at > end || name_length > end - name_at)
        {
          malformed (error, "the backing name, %u bytes at %" G_GUINT64_FORMAT
                     ", is not between the header and byte %" G_GUINT64_FORMAT,
                     name_length, name_at, end);
          return NULL;
        }
      if (name_length > 0
          && !(self->backing_name = dup_text (bytes + name_at, name_length,
                                              "the backing name", error)))
        return NULL;
      end = name_at;
    }

  if (!parse_extensions (self, bytes, (gsize) end, error))
    return NULL;

  return g_steal_pointer (&self);
}

/**
 * qcow2_header_read:
 * @fd: a file or block device open for reading; its offset stays as it is
 * @error: where to put an error
 *
 * Reads the beginning of @fd as qcow2_header_parse() does. Blocking.
 *
 * Errors: those of qcow2_header_parse(); %AGENT_ERROR_INTERNAL when @fd cannot be read.
 *
 * Returns: (transfer full): the header
 */
Qcow2Header *
qcow2_header_read (int      fd,
                   GError **error)
{
  g_autofree guint8 *bytes = g_malloc (QCOW2_HEADER_BYTES);
  g_autoptr (GBytes) head = NULL;
  gsize length = 0;

  while (length < QCOW2_HEADER_BYTES)
    {
      ssize_t got = pread (fd, bytes + length, QCOW2_HEADER_BYTES - length, (off_t) length);

      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        {
          agent_set_error (error, AGENT_ERROR_INTERNAL, NULL,
                           "qcow2 header: cannot be read: %s", g_strerror (errno));
          return NULL;
        }
      if (got == 0)
        break;
      length += (gsize) got;
    }

  head = g_bytes_new_take (g_steal_pointer (&bytes), length);

  return qcow2_header_parse (head, error);
}
