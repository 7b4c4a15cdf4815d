/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* The qcow2 header, as far as we need it (docs/interop/qcow2.txt of QEMU). Nothing in it is
 * trusted: each field is checked against the bytes given and against bounds before it is believed.
 * */

typedef struct
{
  guint32  version;             /* 2 or 3 */
  guint64  virtual_size;        /* bytes */
  guint32  cluster_bits;
  guint32  header_length;       /* bytes */
  char    *backing_name;        /* (nullable) */
  char    *backing_format;      /* (nullable): of the header extension */
  gboolean encrypted;
  gboolean dirty;
  gboolean corrupt;
  gboolean has_data_file;
  gboolean extended_l2;
  gboolean has_snapshots;       /* internal ones, as "savevm" takes */
} Qcow2Header;

void         qcow2_header_free  (Qcow2Header *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Qcow2Header, qcow2_header_free)

/* How many bytes of a file's beginning are enough for qcow2_header_parse(). */
#define QCOW2_HEADER_BYTES 65536

Qcow2Header *qcow2_header_parse (GBytes *head, GError **error) G_GNUC_WARN_UNUSED_RESULT;
Qcow2Header *qcow2_header_read  (int fd, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* A whole new image file, empty, version 3, 64 KiB clusters, no extended L2, over @backing_name (as
 * it shall stand in the header, relative to the image's folder or absolute; NULL: over nothing).
 * @virtual_size: bytes, a multiple of 512. Its bytes are metadata only: the cost follows the table
 * of @virtual_size, 8 bytes for each 512 MiB. */
GBytes      *qcow2_empty_overlay (guint64 virtual_size, const char *backing_name,
                                  const char *backing_format, GError **error)
                                  G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
