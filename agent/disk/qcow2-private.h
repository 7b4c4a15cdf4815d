/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The format, for qcow2.c, which reads it, and qcow2-overlay.c, which writes it. */

#include <disk/qcow2.h>

G_BEGIN_DECLS

#define QCOW2_MAGIC                    0x514649fbu      /* "QFI\xfb" */
#define QCOW2_V2_HEADER_LENGTH         72u
#define QCOW2_V3_HEADER_LENGTH         104u             /* the shortest that version 3 allows */
#define QCOW2_OUR_HEADER_LENGTH        112u             /* with the compression type */
#define QCOW2_MAX_BACKING_NAME         1023u
#define QCOW2_MAX_FORMAT_NAME          15u              /* QEMU's own buffer for it holds 16 */
#define QCOW2_MAX_L1_BYTES             (32u << 20)

#define QCOW2_EXTENSION_END            0x00000000u
#define QCOW2_EXTENSION_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXTENSION_CRYPTO         0x0537be77u
#define QCOW2_EXTENSION_DATA_FILE      0x44415441u

/* Where the fields stand, in bytes. */
enum
{
  QCOW2_AT_MAGIC             = 0,
  QCOW2_AT_VERSION           = 4,
  QCOW2_AT_BACKING_OFFSET    = 8,
  QCOW2_AT_BACKING_LENGTH    = 16,
  QCOW2_AT_CLUSTER_BITS      = 20,
  QCOW2_AT_SIZE              = 24,
  QCOW2_AT_CRYPT_METHOD      = 32,
  QCOW2_AT_L1_ENTRIES        = 36,
  QCOW2_AT_L1_OFFSET         = 40,
  QCOW2_AT_REFTABLE_OFFSET   = 48,
  QCOW2_AT_REFTABLE_CLUSTERS = 56,
  QCOW2_AT_SNAPSHOTS         = 60,
  QCOW2_AT_INCOMPATIBLE      = 72,
  QCOW2_AT_REFCOUNT_ORDER    = 96,
  QCOW2_AT_HEADER_LENGTH     = 100,
  QCOW2_AT_COMPRESSION       = 104,
};

G_END_DECLS
