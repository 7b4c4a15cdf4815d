/* SPDX-License-Identifier: Apache-2.0 */

/* Knows the bytes of a qcow2 image that holds nothing of its own yet. */

#include "qcow2-private.h"

#include <core/error.h>

#include <string.h>

/* What we write: 64 KiB clusters, 16 bits for each count. The largest L1 table takes 512 clusters,
 * far below the 32768 that one refcount block counts, so that one block is always enough. */
#define CLUSTER_BITS    16u
#define CLUSTER         (1u << CLUSTER_BITS)
#define L1_ENTRY_COVERS (G_GUINT64_CONSTANT (1) << (2 * CLUSTER_BITS - 3))      /* 512 MiB */
#define MAX_SIZE        (QCOW2_MAX_L1_BYTES / 8 * L1_ENTRY_COVERS)                    /* 2 PiB */

/* Which cluster holds what. */
enum
{
  REFTABLE_CLUSTER = 1,
  REFBLOCK_CLUSTER = 2,
  L1_CLUSTER       = 3,
};

G_STATIC_ASSERT (L1_CLUSTER + QCOW2_MAX_L1_BYTES / CLUSTER <= CLUSTER / sizeof (guint16));

static void
put16 (guint8  *bytes,
       gsize    at,
       guint16  value)
{
  value = GUINT16_TO_BE (value);
  memcpy (bytes + at, &value, sizeof value);
}

static void
put32 (guint8  *bytes,
       gsize    at,
       guint32  value)
{
  value = GUINT32_TO_BE (value);
  memcpy (bytes + at, &value, sizeof value);
}

static void
put64 (guint8  *bytes,
       gsize    at,
       guint64  value)
{
  value = GUINT64_TO_BE (value);
  memcpy (bytes + at, &value, sizeof value);
}

static gboolean
check_overlay (guint64      virtual_size,
               const char  *backing_name,
               const char  *backing_format,
               GError     **error)
{
  gsize name_length = backing_name != NULL ? strlen (backing_name) : 0;

  if (virtual_size % 512 != 0 || virtual_size > MAX_SIZE)
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "sizes are multiples of 512 bytes up to 2 PiB",
                       "no image of %" G_GUINT64_FORMAT " bytes is possible", virtual_size);
      return FALSE;
    }
  if (backing_name == NULL)
    return TRUE;
  if (name_length == 0 || name_length > QCOW2_MAX_BACKING_NAME)
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "a qcow2 header has room for a backing name of 1 to 1023 bytes: "
                       "use a shorter path, or one relative to the overlay's folder",
                       "a backing name of %" G_GSIZE_FORMAT " bytes is not possible", name_length);
      return FALSE;
    }
  if (backing_name[strcspn (backing_name, ":/")] == ':')
    {
      agent_set_error (error, AGENT_ERROR_INVALID,
                       "put ./ before a relative name that has a colon",
                       "QEMU would take the backing name \"%s\" for a protocol", backing_name);
      return FALSE;
    }
  if (backing_format[0] == '\0' || strlen (backing_format) > QCOW2_MAX_FORMAT_NAME)
    {
      agent_set_error (error, AGENT_ERROR_INVALID, "name the backing format: qcow2 or raw",
                       "\"%s\" is no backing format", backing_format);
      return FALSE;
    }

  return TRUE;
}

/* The format goes into an extension right behind the header, the name behind that. */
static void
put_backing (guint8     *bytes,
             const char *name,
             gsize       name_length,
             const char *format,
             gsize       format_length)
{
  gsize at = QCOW2_OUR_HEADER_LENGTH;

  put32 (bytes, at, QCOW2_EXTENSION_BACKING_FORMAT);
  put32 (bytes, at + 4, (guint32) format_length);
  memcpy (bytes + at + 8, format, format_length);
  at += 8 + ((format_length + 7) & ~(gsize) 7);
  at += 8;                      /* QCOW2_EXTENSION_END and its length: zeros */

  put64 (bytes, QCOW2_AT_BACKING_OFFSET, at);
  put32 (bytes, QCOW2_AT_BACKING_LENGTH, (guint32) name_length);
  memcpy (bytes + at, name, name_length);
}

/**
 * qcow2_empty_overlay:
 * @virtual_size: what the guest sees, in bytes; a multiple of 512, up to 2 PiB
 * @backing_name: (nullable): as it shall stand in the header, relative to the overlay's folder or
 *   absolute; %NULL for an image that stands alone
 * @backing_format: (nullable): "qcow2" or "raw", where there is a name: without it QEMU would
 *   guess, and a guest can forge what is guessed from
 * @error: where to put an error
 *
 * Makes the bytes of an image that holds nothing of its own yet: version 3, 64 KiB clusters, no
 * extended L2, as qemu-img create makes it by default. Everything but a few hundred bytes is zero,
 * so that the file can be sparse.
 *
 * Errors: %AGENT_ERROR_INVALID for a size or a name that qcow2 has no room for, or that QEMU would
 * misread.
 *
 * Returns: (transfer full): the whole file
 */
GBytes *
qcow2_empty_overlay (guint64      virtual_size,
                     const char  *backing_name,
                     const char  *backing_format,
                     GError     **error)
{
  gsize l1_entries, l1_clusters, clusters, format_length, name_length;
  guint8 *bytes;

  g_return_val_if_fail ((backing_name != NULL) == (backing_format != NULL), NULL);

  if (!check_overlay (virtual_size, backing_name, backing_format, error))
    return NULL;

  l1_entries = (gsize) ((virtual_size + L1_ENTRY_COVERS - 1) / L1_ENTRY_COVERS);
  l1_clusters = (l1_entries * 8 + CLUSTER - 1) / CLUSTER;
  clusters = L1_CLUSTER + l1_clusters;
  bytes = g_malloc0 (clusters * CLUSTER);
  name_length = backing_name != NULL ? strlen (backing_name) : 0;
  format_length = backing_format != NULL ? strlen (backing_format) : 0;

  put32 (bytes, QCOW2_AT_MAGIC, QCOW2_MAGIC);
  put32 (bytes, QCOW2_AT_VERSION, 3);
  put32 (bytes, QCOW2_AT_CLUSTER_BITS, CLUSTER_BITS);
  put64 (bytes, QCOW2_AT_SIZE, virtual_size);
  put32 (bytes, QCOW2_AT_L1_ENTRIES, (guint32) l1_entries);
  put64 (bytes, QCOW2_AT_L1_OFFSET, L1_CLUSTER * CLUSTER);
  put64 (bytes, QCOW2_AT_REFTABLE_OFFSET, REFTABLE_CLUSTER * CLUSTER);
  put32 (bytes, QCOW2_AT_REFTABLE_CLUSTERS, 1);
  put32 (bytes, QCOW2_AT_REFCOUNT_ORDER, 4);
  put32 (bytes, QCOW2_AT_HEADER_LENGTH, QCOW2_OUR_HEADER_LENGTH);

  if (backing_name != NULL)
    put_backing (bytes, backing_name, name_length, backing_format, format_length);

  put64 (bytes, REFTABLE_CLUSTER * CLUSTER, REFBLOCK_CLUSTER * CLUSTER);
  for (gsize i = 0; i < clusters; i++)
    put16 (bytes, REFBLOCK_CLUSTER * CLUSTER + 2 * i, 1);

  return g_bytes_new_take (bytes, clusters * CLUSTER);
}
