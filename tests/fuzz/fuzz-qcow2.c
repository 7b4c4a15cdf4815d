/* SPDX-License-Identifier: Apache-2.0 */

/* The header of a qcow2 image that nobody vouches for. */

#include "fuzz.h"

#include <disk/qcow2.h>

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GBytes) head = g_bytes_new_static (data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (Qcow2Header) header = qcow2_header_parse (head, &error);

  fuzz_check_told (header, error);
  if (header == NULL)
    return 0;
  g_assert_cmpuint (header->header_length, <=, 1u << header->cluster_bits);
  g_assert_true (header->backing_name == NULL || *header->backing_name != '\0');
  return 0;
}
